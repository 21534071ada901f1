"""Which payment gateways there are, and which of them pay people, by the settings."""

from __future__ import annotations

from collections.abc import Mapping

from bots.config.settings import Settings
from bots.platforms import platform_gateways
from core.earnings.payouts import PayoutMethod
from payments.gateways.base import Gateway
from payments.gateways.btcpay.checkout import BtcPayGateway
from payments.gateways.btcpay.payouts import BtcPayPayoutProvider
from payments.gateways.paypal.checkout import PayPalGateway
from payments.gateways.paypal.payouts import PayPalPayoutProvider
from payments.payouts import PayoutProvider


def gateways_of(settings: Settings) -> Mapping[str, Gateway]:
    """The gateways that settings name; first what platforms show themselves."""
    gateways = platform_gateways(settings)
    back = f"{settings.public_url}/paid"
    if settings.stripe_secret_key.get_secret_value():
        # Its library is large: whoever doesn't sell by it doesn't load it.
        from payments.gateways.stripe import StripeGateway

        stripe = StripeGateway(
            api_key=settings.stripe_secret_key,
            webhook_secret=settings.stripe_webhook_secret,
            return_url=back,
            api_url=settings.stripe_api_url,
        )
        gateways.append(stripe)
    if settings.paypal_client_id:
        paypal = PayPalGateway(
            client_id=settings.paypal_client_id,
            client_secret=settings.paypal_client_secret,
            webhook_id=settings.paypal_webhook_id,
            public_url=settings.public_url,
            api_url=settings.paypal_api_url,
        )
        gateways.append(paypal)
    if settings.btcpay_url:
        btcpay = BtcPayGateway(
            url=settings.btcpay_url,
            store_id=settings.btcpay_store_id,
            api_key=settings.btcpay_api_key,
            webhook_secret=settings.btcpay_webhook_secret,
            return_url=back,
        )
        gateways.append(btcpay)
    return {gateway.name: gateway for gateway in gateways}


def disbursers_of(settings: Settings) -> Mapping[PayoutMethod, PayoutProvider]:
    """Those that can pay people: also where they aren't offered any more, what they were given is
    followed to its end."""
    disbursers: dict[PayoutMethod, PayoutProvider] = {}
    if settings.paypal_client_id:
        disbursers["paypal"] = PayPalPayoutProvider(
            client_id=settings.paypal_client_id,
            client_secret=settings.paypal_client_secret,
            api_url=settings.paypal_api_url,
        )
    if settings.btcpay_url:
        disbursers["btcpay"] = BtcPayPayoutProvider(
            url=settings.btcpay_url,
            store_id=settings.btcpay_store_id,
            api_key=settings.btcpay_api_key,
        )
    return disbursers
