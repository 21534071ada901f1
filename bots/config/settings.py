"""Settings from the environment and `.env`, typed; everything wrong with them told at once.

Names are in the README; each room takes its own small frozen config from here.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from dotenv import dotenv_values
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from bots.offering import dollars, packs_of, wrong_with
from bots.selling_settings import (
    known_ways,
    lacking,
    sku_prices,
    skus,
    star,
    ways,
    ways_set_up,
    wrong_skus,
)
from bots.supplier_settings import SUPPLIER, SupplierSetting, address, settings_of_suppliers
from core.earnings.payouts import PayoutMethod
from core.earnings.types import BRIEF_POLICY, SAFE_POLICY, EarningPolicy
from core.money import Credits, NanoUsd
from core.pool.suppliers import SUPPLIERS
from core.pricing.deals import FLOOR_PERCENT
from payments.offer import Offer

PREFIX = "CREDITBOT_"
ENV_FILE = Path(".env")
MASTER_KEY_BYTES = 32
_ADMIN = re.compile(r"(telegram|discord|console):\S+")
_SHARDS = re.compile(r"(\d{1,4})-(\d{1,4})/(\d{1,4})")
_PLATFORM_NAMES = "telegram:123 or discord:456"


class SettingsWrong(Exception):
    """Settings that can't be used: each by its name and what is wrong with it."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        self.problems = dict(problems)
        super().__init__("; ".join(f"{name}: {what}" for name, what in self.problems.items()))


def _master_keys(text: SecretStr) -> SecretStr:
    for key in filter(None, text.get_secret_value().split(",")):
        try:
            length = len(base64.b64decode(key.strip(), validate=True))
        except binascii.Error:
            length = 0
        if length != MASTER_KEY_BYTES:
            raise ValueError("each key is base64 of 32 bytes; `creditbot init` makes one")
    return text


def _admins(text: str) -> str:
    for admin in filter(None, (part.strip() for part in text.split(","))):
        if not _ADMIN.fullmatch(admin):
            raise ValueError(f"“{admin[:40]}” is not like {_PLATFORM_NAMES}")
    return text


def _database(url: SecretStr) -> SecretStr:
    known = ("sqlite:///", "postgresql://", "postgres://")
    if not url.get_secret_value().startswith(known):
        raise ValueError("is sqlite:///file.db or postgresql://user:password@host/database")
    return url


def _gateway(url: str) -> str:
    if url and not re.fullmatch(r"wss?://[^\s/]+(/\S*)?", url):
        raise ValueError("is an address like wss://gateway.example.org")
    return url.rstrip("/")


def _suppliers_named(text: str) -> str:
    for name in filter(None, (part.strip() for part in text.split(","))):
        if name not in SUPPLIERS:
            raise ValueError(f"names “{name[:40]}”; known: {', '.join(sorted(SUPPLIERS))}")
    return text


def _shards(text: str) -> str:
    matched = _SHARDS.fullmatch(text)
    if text and (matched is None or not int(matched[1]) <= int(matched[2]) < int(matched[3])):
        raise ValueError("is this process's shards of all, like 0-3/8")
    return text


def _packs(text: str) -> str:
    packs_of(text)
    return text


def _dollars(text: str) -> str:
    dollars(text)
    return text


PROFILES = {"safe": SAFE_POLICY, "brief": BRIEF_POLICY}
Dollars = Annotated[str, AfterValidator(_dollars)]
Percent = Annotated[int, Field(ge=0, le=50)]
Url = Annotated[str, AfterValidator(address)]
Port = Annotated[int, Field(ge=0, le=65_535)]


class Settings(BaseModel):
    """Every setting but the suppliers', which are named by the operator."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    #: Where everything is kept.
    database_url: Annotated[SecretStr, AfterValidator(_database)] = SecretStr(
        "sqlite:///creditbot.db"
    )
    #: Seals keys and questions; the first one seals, all open.
    master_keys: Annotated[SecretStr, AfterValidator(_master_keys)] = SecretStr("")
    #: Who the operator is: `telegram:123,discord:456`.
    admins: Annotated[str, AfterValidator(_admins)] = ""
    #: Limits and numbers as a set.
    profile: Literal["safe", "brief"] = "safe"
    #: A new person's gift; 20 in `run` and 1,000 in `demo` unless set.
    welcome_credits: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    #: How many new people a day get it, all together.
    welcome_people_per_day: Annotated[int, Field(ge=0)] = 500
    #: The model that answers until a person chooses; empty: the catalogue's own default.
    default_model: str = ""
    #: History that goes with a question, in tokens at most.
    history_tokens: Annotated[int, Field(ge=0, le=200_000)] = 4_000
    asks_per_minute: Annotated[int, Field(ge=1, le=1_000)] = 30
    asks_at_once: Annotated[int, Field(ge=1, le=1_000)] = 8
    credits_per_day: Annotated[int, Field(ge=0, le=1_000_000_000)] = 0
    #: An operator's own models, costs and names over the shipped ones: a TOML file.
    overlay: Path | None = None

    telegram_token: SecretStr = SecretStr("")
    #: The address before `/bot<token>`.
    telegram_api_url: Url = "https://api.telegram.org"
    #: With it updates come by webhook, else they are polled.
    telegram_webhook_url: Url = ""
    telegram_webhook_secret: SecretStr = SecretStr("")

    discord_token: SecretStr = SecretStr("")
    #: These two for tests and proxies.
    discord_api_url: Url = "https://discord.com/api/v10"
    discord_gateway_url: Annotated[str, AfterValidator(_gateway)] = ""
    #: This process's shards, of how many: `0-3/8`. Empty: all that Discord recommends.
    discord_shards: Annotated[str, AfterValidator(_shards)] = ""

    #: Whether Credits are sold for Telegram Stars, and the dollars that a Star brings the operator.
    telegram_stars: bool = True
    telegram_star_usd: Annotated[str, AfterValidator(star)] = "0.013"
    #: Packs and the SKUs that sell them in Discord's store: `starter:123,pro:456`.
    discord_skus: Annotated[str, AfterValidator(skus)] = ""
    #: What Discord keeps of a sale.
    discord_fee_percent: Annotated[int, Field(ge=0, le=99)] = 15
    #: Whether purchases of Discord's test mode, which cost nothing, give Credits.
    discord_test_purchases: bool = False

    #: What is sold: packs as name:dollars:Credits, and any amount between two, with a bonus from
    #: one on; and what whoever invited a buyer gets on top.
    packs: Annotated[str, AfterValidator(_packs)] = (
        "Starter:10:1000,Pro:90:10000,Enterprise:800:100000"
    )
    topup_least: Dollars = "1"
    topup_most: Dollars = "10000"
    bonus_from: Dollars = "100"
    bonus_percent: Percent = 10
    referral_percent: Percent = 10
    #: No tier or promotion lowers a price below so many per cent over what the supplier takes.
    offer_floor_percent: Annotated[int, Field(ge=-100, le=200)] = FLOOR_PERCENT

    #: What the formula adds to the base cost; prices that an admin lets move by themselves do so
    #: every so many hours at most, and so many per cent a day.
    markup_percent: Annotated[int, Field(ge=20, le=50)] = 35
    reprice_hours: Annotated[int, Field(ge=1, le=720)] = 24
    reprice_day_percent: Annotated[int, Field(ge=1, le=50)] = 10
    #: Whether suppliers' price lists are fetched, from the price package's own address or a copy.
    price_updates: bool = False
    price_updates_url: Url = ""

    #: Suppliers whose keys people may contribute, comma-separated; none: nobody may.
    contributions: Annotated[str, AfterValidator(_suppliers_named)] = ""
    #: Of a contribution whose quota is verified so many per cent may be spent before it vests; of
    #: all others so many Credits a person. The profile's own unless set.
    advance_percent: Annotated[int, Field(ge=0, le=100)] | None = None
    advance_unverified: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    #: Earned Credits can be withdrawn so many days after; at least so many at once.
    payout_hold_days: Annotated[int, Field(ge=0, le=365)] | None = None
    payout_least: Annotated[int, Field(ge=100, le=100_000_000)] | None = None
    #: By which people are paid, of paypal, btcpay and manual; those that are set up, else manual.
    payouts: Annotated[str, AfterValidator(known_ways)] = ""

    #: Whether Telegram's users may be led to a checkout outside; Telegram's terms want Stars.
    telegram_external_checkout: bool = False

    #: Card payments by Stripe, with the secret of its webhook.
    stripe_secret_key: SecretStr = SecretStr("")
    stripe_webhook_secret: SecretStr = SecretStr("")
    stripe_api_url: Url = "https://api.stripe.com"
    #: PayPal: an app of the account, and PayPal's id of the app's webhook to us.
    paypal_client_id: str = ""
    paypal_client_secret: SecretStr = SecretStr("")
    paypal_webhook_id: str = ""
    #: `https://api-m.sandbox.paypal.com` with an app of the sandbox.
    paypal_api_url: Url = "https://api-m.paypal.com"
    #: Cryptocurrency by a BTCPay Server: its address, a store there, a key for it, and the secret
    #: of the store's webhook to us.
    btcpay_url: Url = ""
    btcpay_store_id: str = ""
    btcpay_api_key: SecretStr = SecretStr("")
    btcpay_webhook_secret: SecretStr = SecretStr("")
    #: What buyers read under `/terms`, and whom `/paysupport` names.
    terms: str = ""
    support_contact: str = ""

    http_host: str = "127.0.0.1"
    #: The HTTP app; 0 switches it off.
    http_port: Port = 8080
    public_url: Url = ""
    #: Metrics on a port of their own; 0 switches them off.
    metrics_port: Port = 0
    #: debug, info, warning or error.
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def policy(self) -> EarningPolicy:
        """What may be contributed and cashed out: the profile's numbers, but for those set."""
        profile = PROFILES[self.profile]
        names = filter(None, (name.strip() for name in self.contributions.split(",")))
        unverified, least = self.advance_unverified, self.payout_least
        percent, days = self.advance_percent, self.payout_hold_days
        return replace(
            profile,
            suppliers=frozenset(names),
            advance_percent=profile.advance_percent if percent is None else percent,
            advance_unverified=(
                profile.advance_unverified if unverified is None else Credits(unverified)
            ),
            payout_hold_days=profile.payout_hold_days if days is None else days,
            payout_least=profile.payout_least if least is None else Credits(least),
        )

    @property
    def payout_methods(self) -> tuple[PayoutMethod, ...]:
        """By which people are paid."""
        return ways(self.payouts or ways_set_up(self.paypal_client_id, self.btcpay_url))

    @property
    def admin_ids(self) -> list[tuple[str, str]]:
        """(platform, id) of each admin."""
        parts = [part.strip() for part in self.admins.split(",") if part.strip()]
        return [(platform, id_) for platform, _, id_ in (part.partition(":") for part in parts)]

    @property
    def offer(self) -> Offer:
        """What is sold."""
        return Offer(
            packs=packs_of(self.packs),
            bonus_from=dollars(self.bonus_from),
            bonus_percent=self.bonus_percent,
            min_amount=dollars(self.topup_least),
            max_amount=dollars(self.topup_most),
            inviter_percent=self.referral_percent,
        )

    @property
    def discord_shard_range(self) -> tuple[tuple[int, ...], int]:
        """This process's shards, and how many there are; nothing when Discord is to say."""
        matched = _SHARDS.fullmatch(self.discord_shards)
        if matched is None:
            return (), 0
        first, last, count = (int(number) for number in matched.groups())
        return tuple(range(first, last + 1)), count

    @property
    def discord_packs(self) -> dict[str, NanoUsd]:
        """The price of each SKU's pack, by SKU."""
        return sku_prices(self.discord_skus, self.offer)

    @property
    def master_key_bytes(self) -> list[bytes]:
        """The master keys themselves."""
        text = self.master_keys.get_secret_value()
        return [base64.b64decode(key.strip()) for key in text.split(",") if key.strip()]


@dataclass(frozen=True, slots=True)
class Configuration:
    """Settings and suppliers, checked."""

    settings: Settings
    suppliers: Mapping[str, SupplierSetting]


def load(
    environment: Mapping[str, str] | None = None, *, env_file: Path = ENV_FILE
) -> Configuration:
    """Reads settings from `environment` (the process's unless given) over `env_file`; raises
    `SettingsWrong` with everything that is wrong."""
    found = {
        name: value
        for name, value in {
            **dotenv_values(env_file),
            **(os.environ if environment is None else environment),
        }.items()
        if value
    }
    problems: dict[str, str] = {}
    suppliers = settings_of_suppliers(found, problems)
    values = {
        name.removeprefix(PREFIX).lower(): value
        for name, value in found.items()
        if name.startswith(PREFIX)
    }
    known = {name: values[name] for name in Settings.model_fields if name in values}
    settings = None
    _together(values, problems)
    try:
        settings = Settings.model_validate(known)
    except ValidationError as error:
        for wrong in error.errors(include_url=False, include_input=False):
            name = PREFIX + str(wrong["loc"][0]).upper()
            problems[name] = wrong["msg"].removeprefix("Value error, ")
    else:
        for what in wrong_skus(settings.discord_skus, settings.offer):
            problems[f"{PREFIX}DISCORD_SKUS"] = what
        for name, what in wrong_with(settings.offer).items():
            problems[PREFIX + name.upper()] = what
    _unknown(values, problems)
    if problems or settings is None:
        raise SettingsWrong(problems)
    return Configuration(settings, suppliers)


def _together(values: Mapping[str, str], problems: dict[str, str]) -> None:
    """What only two settings together can get wrong, or a setting and the disk."""
    if "telegram_webhook_url" in values:
        if "telegram_webhook_secret" not in values:
            problems[f"{PREFIX}TELEGRAM_WEBHOOK_SECRET"] = (
                "is needed with a webhook: without it anyone could forge messages"
            )
        if values.get("http_port", "").strip() == "0":
            problems[f"{PREFIX}HTTP_PORT"] = "must not be 0 with a webhook"
    for name, what in lacking(values).items():
        problems[PREFIX + name.upper()] = what
    if "overlay" in values and not Path(values["overlay"]).is_file():
        problems[f"{PREFIX}OVERLAY"] = "names a file that isn't there"


def _unknown(values: Mapping[str, str], problems: dict[str, str]) -> None:
    """A misspelt name is told, not ignored."""
    later = ("test_", "demo_")
    for name in values:
        if name in Settings.model_fields or name.startswith(later):
            continue
        if not SUPPLIER.fullmatch(PREFIX + name.upper()):
            problems[PREFIX + name.upper()] = "is no setting; see the README for all of them"
