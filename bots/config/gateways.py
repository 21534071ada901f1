"""The world outside by the settings: suppliers, payment gateways, and which of them pay people.

Libraries of platforms and gateways are large: whoever doesn't sell by one doesn't load it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bots.config.settings import Config
from bots.externals import Externals, SettingRefused, build_suppliers, list_own_keys
from core.clock import Clock
from core.earnings.payouts import PayoutMethod
from core.pricing.catalogue import Catalogue, Model, UnknownModel
from core.pricing.costs import Costs
from payments.gateways.base import Gateway
from payments.gateways.btcpay.checkout import BtcPayGateway
from payments.gateways.btcpay.payouts import BtcPayPayoutProvider
from payments.gateways.discord_store import DiscordStoreGateway
from payments.gateways.paypal.checkout import PayPalGateway
from payments.gateways.paypal.payouts import PayPalPayoutProvider
from payments.gateways.telegram_stars import TelegramStarsGateway
from payments.payouts import PayoutProvider


def build_externals(config: Config, clock: Clock, *, sells: bool = True) -> Externals:
    """The world of the settings; without what sells and pays where that isn't wanted. Raises
    `BadOverlay`, and `SettingRefused` for a default model that can't be there."""
    catalogue = load_catalogue(config, clock)
    # A server of the operator's own may have it: that is known once the server was asked.
    if not any(supplier.url for supplier in config.suppliers.values()):
        require_default_model(config.models.default_model, catalogue)
    return Externals(
        catalogue=catalogue,
        costs=Costs.load(config.models.overlay),
        suppliers=build_suppliers(config),
        own_keys=list_own_keys(config),
        gateways=build_gateways(config, clock) if sells else {},
        payout_providers=build_payout_providers(config) if sells else {},
        payout_methods=list_payout_methods(config),
    )


def load_catalogue(config: Config, clock: Clock) -> Catalogue:
    """The catalogue that ships under the operator's overlay; raises `BadOverlay`."""
    return Catalogue.load(config.models.overlay, clock)


def require_default_model(name: str, catalogue: Catalogue) -> Model | None:
    """The model that the settings name, None where they name none; raises `SettingRefused`."""
    if not name:
        return None
    try:
        return catalogue.find(name)
    except UnknownModel as unknown:
        raise SettingRefused("CREDITBOT_DEFAULT_MODEL", unknown) from None


def build_gateways(config: Config, clock: Clock) -> Mapping[str, Gateway]:
    """The gateways that settings name; first what platforms show themselves: Stars where there is a
    Telegram bot, unless that is switched off, and SKUs where they are named."""
    gateways: list[Gateway] = []
    if config.telegram.stars and config.telegram.is_set:
        gateways.append(_stars(config, clock))
    if config.discord.skus:
        gateways.append(_skus(config, clock))
    back = f"{config.http.public_url}/paid"
    if config.stripe.is_set:
        from payments.gateways.stripe import StripeGateway

        stripe = StripeGateway(
            api_key=config.stripe.secret_key,
            webhook_secret=config.stripe.webhook_secret,
            return_url=back,
            api_url=config.stripe.api_url,
            managed_tax_code=config.stripe.managed_tax_code,
            clock=clock,
        )
        gateways.append(stripe)
    if config.paypal.client_id:
        paypal = PayPalGateway(
            client_id=config.paypal.client_id,
            client_secret=config.paypal.client_secret,
            webhook_id=config.paypal.webhook_id,
            public_url=config.http.public_url,
            api_url=config.paypal.api_url,
        )
        gateways.append(paypal)
    if config.btcpay.url:
        btcpay = BtcPayGateway(
            url=config.btcpay.url,
            store_id=config.btcpay.store_id,
            api_key=config.btcpay.api_key,
            webhook_secret=config.btcpay.webhook_secret,
            return_url=back,
        )
        gateways.append(btcpay)
    return {gateway.name: gateway for gateway in gateways}


def _stars(config: Config, clock: Clock) -> TelegramStarsGateway:
    from bots.telegram.payments import TelegramStarsClient

    return TelegramStarsGateway(
        api=TelegramStarsClient(config.telegram), usd_per_star=config.telegram.star_usd, clock=clock
    )


def _skus(config: Config, clock: Clock) -> DiscordStoreGateway:
    from bots.discord.store import DiscordStoreClient

    return DiscordStoreGateway(
        api=DiscordStoreClient(config.discord),
        packs=config.discord.sku_prices(config.sales.offer),
        fee_percent=config.discord.fee_percent,
        test_purchases=config.discord.test_purchases,
        clock=clock,
    )


def build_payout_providers(config: Config) -> Mapping[PayoutMethod, PayoutProvider]:
    """Those that can pay people: also where they aren't offered any more, what they were given is
    followed to its end."""
    providers: dict[PayoutMethod, PayoutProvider] = {}
    if config.paypal.client_id:
        providers["paypal"] = PayPalPayoutProvider(
            client_id=config.paypal.client_id,
            client_secret=config.paypal.client_secret,
            api_url=config.paypal.api_url,
        )
    if config.btcpay.url:
        providers["btcpay"] = BtcPayPayoutProvider(
            url=config.btcpay.url, store_id=config.btcpay.store_id, api_key=config.btcpay.api_key
        )
    return providers


def list_payout_methods(config: Config) -> Sequence[PayoutMethod]:
    """By which ways people are paid: as the operator names them, else those that are set up, else
    by hand."""
    if config.earnings.payouts:
        return config.earnings.payouts
    methods: list[PayoutMethod] = []
    if config.paypal.client_id:
        methods.append("paypal")
    if config.btcpay.url:
        methods.append("btcpay")
    return methods or ("manual",)
