"""Settings as sections, read from the environment over `.env`; all that is wrong is told at once.

An operator writes flat names (`CREDITBOT_TELEGRAM_TOKEN`), which `FlatNames` maps to sections
(`config.telegram.token`): a section's prefix and a field make a name. Each part of the service is
handed the sections that it needs, or what a section makes of itself for `core` and `payments`.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from bots.config import conflicts
from bots.config.fields import (
    Admins,
    Budget,
    DatabaseUrl,
    Dollars,
    MasterKeys,
    Networks,
    Packs,
    PayoutMethodNames,
    Shards,
    Skus,
    SocketUrl,
    StarWorth,
    SupplierNames,
    Url,
)
from core.asks.conversations import HISTORY_TOKENS_MAX
from core.earnings.types import BRIEF_POLICY, SAFE_POLICY, EarningPolicy
from core.money import Credits, NanoUsd, Tokens
from core.pricing.deals import FLOOR_PERCENT
from core.pricing.formula import MARKUP_PERCENT
from core.repricing.automatic import RepricingLimits
from core.users.limits import Allowance
from core.users.types import WelcomeGift
from payments.cancellations import CancellationPolicy
from payments.offer import Offer

PREFIX: Final = "CREDITBOT_"
ENV_FILE: Final = Path(".env")
SUPPLIER: Final = re.compile(rf"{PREFIX}SUPPLIER_([A-Z0-9_]+?)_(URL|KEY|QUOTA|ACCOUNT)")
#: Names that tests and the demo's scripts set beside ours.
_NOT_OURS: Final = ("TEST_", "DEMO_")
_NO_SECRET: Final = SecretStr("")
_OFFER: Final = Offer()
_PACE: Final = RepricingLimits()
_PROFILES: Final = {"safe": SAFE_POLICY, "brief": BRIEF_POLICY}

Percent = Annotated[int, Field(ge=0, le=50)]
Port = Annotated[int, Field(ge=0, le=65_535)]
Connections = Annotated[int, Field(ge=8, le=65_535)]
Patience = Annotated[int, Field(ge=1, le=600)]
#: Telegram's updates and gateways' messages stay far below the least.
BodyKilobytes = Annotated[int, Field(ge=64, le=1_024)]
BodiesMegabytes = Annotated[int, Field(ge=2, le=4_096)]


class Section(BaseModel):
    """Settings that belong together. Values never show in errors: some are secrets."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    #: What the names of its settings begin with, after `CREDITBOT_`.
    prefix: ClassVar[str] = ""


class DatabaseConfig(Section):
    """The database in which everything is kept."""

    prefix = "DATABASE_"

    url: DatabaseUrl = SecretStr("sqlite:///creditbot.db")


class OperatorConfig(Section):
    """Who runs the service, what seals its secrets, and what buyers read of it."""

    #: Seal keys and questions: base64 of 32 bytes each; the first one seals, all open.
    master_keys: MasterKeys = _NO_SECRET
    #: (platform, id) of each owner.
    admins: Admins = ()
    #: What buyers read under `/terms`, and whom `/paysupport` names.
    terms: str = ""
    support_contact: str = ""
    #: Who sells, as receipts name it, and a line about tax there; without a name none are given.
    seller_name: str = ""
    seller_tax: str = ""
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def master_key_bytes(self) -> list[bytes]:
        """The master keys themselves."""
        text = self.master_keys.get_secret_value()
        return [base64.b64decode(key.strip()) for key in text.split(",") if key.strip()]


class UsersConfig(Section):
    """What a person gets and may ask, unless the operator says otherwise of them."""

    #: A new person's gift, in Credits; and how many new people a UTC day get it.
    welcome_credits: Annotated[int, Field(ge=0, le=1_000_000)] = 20
    welcome_people_per_day: Annotated[int, Field(ge=0)] = 500
    asks_per_minute: Annotated[int, Field(ge=1, le=1_000)] = 30
    asks_at_once: Annotated[int, Field(ge=1, le=1_000)] = 8
    #: In Credits a UTC day; 0: no limit.
    credits_per_day: Annotated[int, Field(ge=0, le=1_000_000_000)] = 0
    #: What one person's answers that nobody pays for may cost suppliers, in dollars a UTC day.
    unpaid_work_per_day: Dollars = NanoUsd(500_000_000)

    @property
    def welcome(self) -> WelcomeGift:
        """The gift."""
        return WelcomeGift(Credits(self.welcome_credits), self.welcome_people_per_day)

    @property
    def allowance(self) -> Allowance:
        """What everyone may ask."""
        day = Credits(self.credits_per_day) if self.credits_per_day else None
        return Allowance(self.asks_per_minute, self.asks_at_once, day)


class ModelsConfig(Section):
    """Which models there are, and what goes along with a question."""

    #: The model that answers until a person chooses; empty: the catalogue's own default.
    default_model: str = ""
    #: History that goes with a question, in tokens at most.
    history_tokens: Annotated[int, Field(ge=0, le=200_000)] = HISTORY_TOKENS_MAX.units
    #: An operator's own models, costs and names over the shipped ones: a TOML file.
    overlay: Path | None = None

    @property
    def history(self) -> Tokens:
        """The bound on history."""
        return Tokens(self.history_tokens)


class Timing(BaseModel):
    """How fast a front end works. No settings: platforms say it, and tests shorten it."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TelegramTiming(Timing):
    """Times of the Telegram front end, in seconds."""

    #: Least time between two messages or edits in one chat: Telegram allows about one a second,
    #: and 20 a minute in a group.
    private_interval_seconds: float = 1.0
    group_interval_seconds: float = 3.0
    #: How long running answers may take to end when the service stops.
    stop_seconds: float = 20.0
    #: How long a message near the size limit is held for the rest of a split paste.
    join_seconds: float = 1.0
    #: How long an album is held for its next part: each is uploaded by itself, and how many there
    #: will be isn't told.
    album_seconds: float = 1.5
    #: Long poll.
    poll_seconds: int = 20
    #: After a poll that failed, or updates that could not be taken, the next one waits so long.
    fetch_pause_seconds: float = 1.0


class DiscordTiming(Timing):
    """Times of the Discord front end, in seconds."""

    #: Least time between two edits in one channel: a bucket holds about five in five seconds.
    interval_seconds: float = 1.2
    #: An interaction's token lives 15 minutes: it is given up a little before.
    token_seconds: float = 885.0
    #: How long running answers may take to end when the service stops.
    stop_seconds: float = 20.0
    #: How long the first connection to the gateway may take.
    connect_seconds: float = 60.0


class TelegramConfig(Section):
    """The Telegram bot. Without `webhook_url` it polls; with it a secret is needed: nobody could
    tell forged updates."""

    prefix = "TELEGRAM_"

    token: SecretStr = _NO_SECRET
    #: The address before `/bot<token>`.
    api_url: Url = "https://api.telegram.org"
    #: What Telegram is told to call.
    webhook_url: Url = ""
    webhook_secret: SecretStr = _NO_SECRET
    #: Whether Credits are sold for Telegram Stars, and the dollars that a Star brings the operator.
    stars: bool = True
    star_usd: StarWorth = NanoUsd(13_000_000)
    #: Whether people may be led to a checkout outside; Telegram's terms want Stars.
    external_checkout: bool = False
    timing: TelegramTiming = TelegramTiming()

    @model_validator(mode="after")
    def _require_webhook_secret(self) -> Self:
        if self.webhook_url and not self.webhook_secret.get_secret_value():
            raise ValueError("a webhook URL needs a webhook secret")
        return self

    @property
    def is_set(self) -> bool:
        """Whether there is a bot."""
        return bool(self.token.get_secret_value())

    @property
    def is_polling(self) -> bool:
        """Whether updates are fetched, not pushed."""
        return not self.webhook_url


class DiscordConfig(Section):
    """The Discord bot, and what its store sells."""

    prefix = "DISCORD_"

    token: SecretStr = _NO_SECRET
    #: These two for tests and proxies; without a gateway's address Discord tells its own.
    api_url: Url = "https://discord.com/api/v10"
    gateway_url: SocketUrl = ""
    #: This process's shards, and of how many; none: all that Discord recommends.
    shards: Shards = ((), 0)
    #: The SKU of each pack, by the pack's name in small letters.
    skus: Skus = ()
    #: What Discord keeps of a sale.
    fee_percent: Annotated[int, Field(ge=0, le=99)] = 15
    #: Whether purchases of Discord's test mode, which cost nothing, give Credits.
    test_purchases: bool = False
    timing: DiscordTiming = DiscordTiming()

    @property
    def is_set(self) -> bool:
        """Whether there is a bot."""
        return bool(self.token.get_secret_value())

    @property
    def shard_ids(self) -> tuple[int, ...]:
        """This process's shards; none: all that there are."""
        return self.shards[0]

    @property
    def shard_count(self) -> int:
        """How many shards there are; 0: as many as Discord recommends."""
        return self.shards[1]

    def sku_prices(self, offer: Offer) -> dict[str, NanoUsd]:
        """The price of each SKU's pack, by SKU."""
        prices = {pack.name.casefold(): pack.cash for pack in offer.packs}
        return {sku: prices[name] for name, sku in self.skus}


class SalesConfig(Section):
    """What is sold: packs, and any amount between two, with a bonus from one on; and what whoever
    invited a buyer gets on top."""

    packs: Packs = tuple(_OFFER.packs)
    topup_least: Dollars = _OFFER.min_amount
    topup_most: Dollars = _OFFER.max_amount
    bonus_from: Dollars = _OFFER.bonus_from
    bonus_percent: Percent = _OFFER.bonus_percent
    referral_percent: Percent = _OFFER.inviter_percent
    #: Within so many days of a payment its buyer may withdraw from the purchase (in the European
    #: Union 14, by law); 0: only on request.
    withdrawal_days: Annotated[int, Field(ge=0, le=60)] = CancellationPolicy().days
    #: No tier or promotion lowers a price below so many per cent over what the supplier takes.
    offer_floor_percent: Annotated[int, Field(ge=-100, le=200)] = FLOOR_PERCENT

    @property
    def offer(self) -> Offer:
        """What everyone is offered."""
        return Offer(
            packs=self.packs,
            bonus_from=self.bonus_from,
            bonus_percent=self.bonus_percent,
            min_amount=self.topup_least,
            max_amount=self.topup_most,
            inviter_percent=self.referral_percent,
        )


class PricingConfig(Section):
    """How prices are worked out, and from which lists of suppliers."""

    #: What the formula adds to the base cost.
    markup_percent: Annotated[int, Field(ge=20, le=50)] = MARKUP_PERCENT
    #: Prices that an admin lets move by themselves do so every so many hours at most, and so many
    #: per cent a day.
    reprice_hours: Annotated[int, Field(ge=1, le=720)] = _PACE.interval_hours
    reprice_day_percent: Annotated[int, Field(ge=1, le=50)] = _PACE.max_daily_percent
    #: Whether suppliers' price lists are fetched, from the price package's own address or a copy.
    price_updates: bool = False
    price_updates_url: Url = ""

    @property
    def repricing_limits(self) -> RepricingLimits:
        """How prices move by themselves."""
        return RepricingLimits(self.reprice_hours, self.reprice_day_percent)


class EarningsConfig(Section):
    """What may be contributed and cashed out: the profile's numbers, but for those that are set."""

    profile: Literal["safe", "brief"] = "safe"
    #: Suppliers whose keys people may contribute; none: nobody may.
    contributions: SupplierNames = frozenset()
    #: Of a contribution whose quota is verified so many per cent may be spent before it vests; of
    #: all others so many Credits a person.
    advance_percent: Annotated[int, Field(ge=0, le=100)] | None = None
    advance_unverified: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    #: Earned Credits can be withdrawn so many days after; at least so many Credits at once.
    payout_hold_days: Annotated[int, Field(ge=0, le=365)] | None = None
    payout_least: Annotated[int, Field(ge=100, le=100_000_000)] | None = None
    #: By which ways people are paid; none named: those that are set up, else by hand.
    payouts: PayoutMethodNames = ()

    @property
    def policy(self) -> EarningPolicy:
        """The numbers."""
        given = {
            "advance_percent": self.advance_percent,
            "advance_unverified": _credits(self.advance_unverified),
            "payout_hold_days": self.payout_hold_days,
            "payout_least": _credits(self.payout_least),
        }
        numbers: dict[str, Any] = {name: it for name, it in given.items() if it is not None}
        return replace(_PROFILES[self.profile], suppliers=self.contributions, **numbers)


class StripeConfig(Section):
    """Card payments by Stripe, with the secret of its webhook."""

    prefix = "STRIPE_"

    secret_key: SecretStr = _NO_SECRET
    webhook_secret: SecretStr = _NO_SECRET
    api_url: Url = "https://api.stripe.com"
    #: Whether Stripe itself sells, as merchant of record (Managed Payments), and goods of which tax
    #: code (`txcd_10105001`: AI as a service, in the cloud, for personal use).
    managed_payments: bool = False
    tax_code: str = "txcd_10105001"

    @property
    def managed_tax_code(self) -> str:
        """The tax code where Stripe sells; empty where the operator does."""
        return self.tax_code if self.managed_payments else ""

    @property
    def is_set(self) -> bool:
        """Whether cards are taken."""
        return bool(self.secret_key.get_secret_value())


class PayPalConfig(Section):
    """PayPal: an app of the account, and PayPal's id of the app's webhook to us."""

    prefix = "PAYPAL_"

    client_id: str = ""
    client_secret: SecretStr = _NO_SECRET
    webhook_id: str = ""
    #: `https://api-m.sandbox.paypal.com` with an app of the sandbox.
    api_url: Url = "https://api-m.paypal.com"


class BtcPayConfig(Section):
    """Cryptocurrency by a BTCPay Server: its address, a store there, a key for it, and the secret
    of the store's webhook to us."""

    prefix = "BTCPAY_"

    url: Url = ""
    store_id: str = ""
    api_key: SecretStr = _NO_SECRET
    webhook_secret: SecretStr = _NO_SECRET


class HttpConfig(Section):
    """The HTTP app and metrics; port 0 switches either off."""

    http_host: str = "127.0.0.1"
    http_port: Port = 8080
    #: How many connections the HTTP app holds; one more sends away whoever waits longest.
    http_connections: Connections = 256
    #: How long a request's headers may take, and its body.
    http_header_seconds: Patience = 10
    http_body_seconds: Patience = 20
    #: How large a body may be, and all together that aren't answered yet.
    http_body_kilobytes: BodyKilobytes = 1_024
    http_bodies_megabytes: BodiesMegabytes = 32
    #: The address at which the world reaches this service.
    public_url: Url = ""
    metrics_port: Port = 0


class ApiConfig(Section):
    """The API by which people's programs ask, on a port of its own."""

    #: Whether it is served, and people can make tokens for it.
    api: bool = False
    api_host: str = "127.0.0.1"
    api_port: Port = 8090
    #: The address that people are told; empty: host and port.
    api_url: Url = ""
    #: Proxies whose word is taken for where a request came from.
    api_proxies: Networks = ()

    @property
    def is_on(self) -> bool:
        """Whether programs may ask."""
        return self.api

    @property
    def base_url(self) -> str:
        """Where programs reach it, without a slash at its end."""
        return self.api_url or f"http://{self.api_host}:{self.api_port}"


class SupplierConfig(Section):
    """What is set for one supplier: another address, an own key with its budget in dollars."""

    url: Url = ""
    key: SecretStr = _NO_SECRET
    quota: Budget = NanoUsd(0)
    account: str = ""


class Config(BaseSettings):
    """Everything that an operator sets, and the whole of what a service is built from."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    database: DatabaseConfig = DatabaseConfig()
    operator: OperatorConfig = OperatorConfig()
    users: UsersConfig = UsersConfig()
    models: ModelsConfig = ModelsConfig()
    telegram: TelegramConfig = TelegramConfig()
    discord: DiscordConfig = DiscordConfig()
    sales: SalesConfig = SalesConfig()
    pricing: PricingConfig = PricingConfig()
    earnings: EarningsConfig = EarningsConfig()
    stripe: StripeConfig = StripeConfig()
    paypal: PayPalConfig = PayPalConfig()
    btcpay: BtcPayConfig = BtcPayConfig()
    http: HttpConfig = HttpConfig()
    api: ApiConfig = ApiConfig()
    #: By name.
    suppliers: dict[str, SupplierConfig] = {}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the library's signature
        init_settings: PydanticBaseSettingsSource,
        *_: PydanticBaseSettingsSource,
        **__: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flat names are the only source that `load` uses, which calls it to tell every problem."""
        return (init_settings,)


class SettingsWrong(Exception):
    """Settings that can't be used: each by its name and what is wrong with it."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        self.problems = dict(problems)
        super().__init__("; ".join(f"{name}: {what}" for name, what in self.problems.items()))


class FlatNames(PydanticBaseSettingsSource):
    """Flat names of the environment over `.env`, as the sections that they belong to. An empty
    value counts as none; suppliers are named by the operator (`SUPPLIER_<NAME>_KEY`)."""

    def __init__(self, environment: Mapping[str, str] | None, env_file: Path) -> None:
        """`environment` is the process's unless given."""
        super().__init__(Config)
        ours = os.environ if environment is None else environment
        found: dict[str, str | None] = {**dotenv_values(env_file), **ours}
        #: What is set, by its name without the prefix.
        self.given = {
            name.removeprefix(PREFIX).upper(): value
            for name, value in found.items()
            if value and name.startswith(PREFIX)
        }

    def __call__(self) -> dict[str, Any]:
        """Every section of which something is set, with its fields."""
        sections: dict[str, Any] = {"suppliers": {}}
        for name, value in self.given.items():
            if matched := SUPPLIER.fullmatch(PREFIX + name):
                supplier = matched[1].lower().replace("_", "-")
                sections["suppliers"].setdefault(supplier, {})[matched[2].lower()] = value
        for name, section, field in setting_names():
            if name in self.given:
                sections.setdefault(section, {})[field] = self.given[name]
        return sections

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """One section, where only that is wanted."""
        del field
        return self().get(field_name), field_name, True

    def unknown(self) -> Iterator[str]:
        """Names that are no setting: misspelt ones are told, not ignored."""
        known = {name for name, _, _ in setting_names()}
        for name in self.given:
            if name in known or name.startswith(_NOT_OURS) or SUPPLIER.fullmatch(PREFIX + name):
                continue
            yield name


def setting_names() -> Iterator[tuple[str, str, str]]:
    """Every setting but the suppliers': its name without `CREDITBOT_`, its section, its field."""
    for section, info in Config.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            for field in kind.model_fields:
                if field != "timing":
                    yield kind.prefix + field.upper(), section, field


def name_supplier_setting(supplier: str, what: str) -> str:
    """The setting of a supplier: `CREDITBOT_SUPPLIER_OPENAI_KEY`."""
    return f"{PREFIX}SUPPLIER_{supplier.upper().replace('-', '_')}_{what}"


def load(environment: Mapping[str, str] | None = None, *, env_file: Path = ENV_FILE) -> Config:
    """Reads settings from `environment` (the process's unless given) over `env_file`; raises
    `SettingsWrong` with everything that is wrong."""
    source = FlatNames(environment, env_file)
    problems = conflicts.find_missing(source.given)
    config = None
    try:
        config = Config(**source())
    except ValidationError as error:
        for wrong in error.errors(include_url=False, include_input=False):
            if len(wrong["loc"]) == 1:  # a section's own rule: told above, by the setting it lacks
                continue
            problems[_name_of(wrong["loc"])] = _describe_problem(wrong)
    else:
        problems |= conflicts.find_conflicts(config.sales.offer, config.discord.skus)
    problems |= dict.fromkeys(source.unknown(), "is no setting; docs/settings.md has all of them")
    if problems or config is None:
        raise SettingsWrong({PREFIX + name: what for name, what in problems.items()})
    return config


#: What the library's own checks find, in our words.
_PROBLEMS: Final = {
    "greater_than": "is above {gt}",
    "greater_than_equal": "is {ge} or more",
    "less_than": "is below {lt}",
    "less_than_equal": "is at most {le}",
    "int_parsing": "is a whole number",
    "bool_parsing": "is true or false",
    "literal_error": "is one of: {expected}",
}


def _describe_problem(wrong: ErrorDetails) -> str:
    words = _PROBLEMS.get(wrong["type"])
    if words is None:
        return wrong["msg"].removeprefix("Value error, ")
    return words.format(**wrong.get("ctx", {}))


def _name_of(location: tuple[int | str, ...]) -> str:
    """The setting that an error is about."""
    section, field = str(location[0]), location[1:]
    if section == "suppliers":
        supplier, what = (str(part).upper().replace("-", "_") for part in field[:2])
        return f"SUPPLIER_{supplier}_{what}"
    kind = Config.model_fields[section].annotation
    assert isinstance(kind, type)
    assert issubclass(kind, Section)
    return kind.prefix + str(field[0]).upper()


def _credits(units: int | None) -> Credits | None:
    return None if units is None else Credits(units)
