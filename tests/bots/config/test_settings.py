"""Every setting arrives in what `creditbot run` is built of."""

from __future__ import annotations

import base64
import contextlib
import functools
import importlib
import logging
import re
import shutil
import ssl
import types
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from bots import run
from bots.cli.output import CommandRefused
from bots.config.settings import PREFIX, Config, Section, SettingsWrong, load, setting_names
from core.db.database import Database
from core.db.migrate import migrate
from tests.support.databases import TestClock

#: A service that has everything that can be set up.
BASE = {
    "MASTER_KEYS": base64.b64encode(bytes(32)).decode(),
    "ADMINS": "telegram:1",
    "PUBLIC_URL": "https://bot.example",
    "TELEGRAM_TOKEN": "1:AAa",
    "DISCORD_TOKEN": "MTIz.aaa.bbb",
    "DISCORD_SKUS": "starter:1,pro:2",
    "STRIPE_SECRET_KEY": "sk_test_1",
    "STRIPE_WEBHOOK_SECRET": "whsec_1",
    "PAYPAL_CLIENT_ID": "client",
    "PAYPAL_CLIENT_SECRET": "secret",
    "PAYPAL_WEBHOOK_ID": "WH-1",
    "BTCPAY_URL": "https://btcpay.example",
    "BTCPAY_STORE_ID": "store",
    "BTCPAY_API_KEY": "key",
    "BTCPAY_WEBHOOK_SECRET": "hook",
    "CONTRIBUTIONS": "openai",
    "API": "true",
    "SUPPLIER_OPENAI_KEY": "sk-first-0001",
    "SUPPLIER_OPENAI_QUOTA": "10",
    "PRICE_UPDATES": "true",
}

#: The database that each service gets a copy of.
TEMPLATE = "template.db"

#: Another value of each, with what else it needs.
OTHER: Mapping[str, Mapping[str, str]] = {
    "DATABASE_URL": {},  # each service of the test has another
    "MASTER_KEYS": {"MASTER_KEYS": base64.b64encode(bytes(range(32))).decode()},
    "ADMINS": {"ADMINS": "discord:5"},
    "TERMS": {"TERMS": "No refunds on Sundays."},
    "SUPPORT_CONTACT": {"SUPPORT_CONTACT": "@help"},
    "SELLER_NAME": {"SELLER_NAME": "Example Ltd"},
    "SELLER_TAX": {"SELLER_NAME": "Example Ltd", "SELLER_TAX": "VAT GB1"},
    "LOG_LEVEL": {},  # a test of its own
    "WELCOME_CREDITS": {"WELCOME_CREDITS": "7"},
    "WELCOME_PEOPLE_PER_DAY": {"WELCOME_PEOPLE_PER_DAY": "77"},
    "ASKS_PER_MINUTE": {"ASKS_PER_MINUTE": "17"},
    "ASKS_AT_ONCE": {"ASKS_AT_ONCE": "19"},
    "CREDITS_PER_DAY": {"CREDITS_PER_DAY": "1234"},
    "UNPAID_WORK_PER_DAY": {"UNPAID_WORK_PER_DAY": "0.75"},
    "DEFAULT_MODEL": {"DEFAULT_MODEL": "gpt-5.4"},
    "HISTORY_TOKENS": {"HISTORY_TOKENS": "321"},
    "OVERLAY": {"OVERLAY": "overlay.toml"},
    "TELEGRAM_TOKEN": {"TELEGRAM_TOKEN": "2:AAb"},
    "TELEGRAM_API_URL": {"TELEGRAM_API_URL": "https://telegram.example"},
    "TELEGRAM_WEBHOOK_URL": {
        "TELEGRAM_WEBHOOK_URL": "https://bot.example/webhooks/telegram",
        "TELEGRAM_WEBHOOK_SECRET": "s",
    },
    "TELEGRAM_WEBHOOK_SECRET": {"TELEGRAM_WEBHOOK_SECRET": "s"},
    "TELEGRAM_STARS": {"TELEGRAM_STARS": "false"},
    "TELEGRAM_STAR_USD": {"TELEGRAM_STAR_USD": "0.02"},
    "TELEGRAM_EXTERNAL_CHECKOUT": {"TELEGRAM_EXTERNAL_CHECKOUT": "true"},
    "DISCORD_TOKEN": {"DISCORD_TOKEN": "MTIz.ccc.ddd"},
    "DISCORD_API_URL": {"DISCORD_API_URL": "https://discord.example/api/v10"},
    "DISCORD_GATEWAY_URL": {"DISCORD_GATEWAY_URL": "wss://gateway.example"},
    "DISCORD_SHARDS": {"DISCORD_SHARDS": "0-1/4"},
    "DISCORD_SKUS": {"DISCORD_SKUS": "starter:3"},
    "DISCORD_FEE_PERCENT": {"DISCORD_FEE_PERCENT": "30"},
    "DISCORD_TEST_PURCHASES": {"DISCORD_TEST_PURCHASES": "true"},
    "PACKS": {"PACKS": "Starter:11:1200,Pro:90:10000"},
    "TOPUP_LEAST": {"TOPUP_LEAST": "2"},
    "TOPUP_MOST": {"TOPUP_MOST": "9000"},
    "BONUS_FROM": {"BONUS_FROM": "90"},
    "BONUS_PERCENT": {"BONUS_PERCENT": "11"},
    "REFERRAL_PERCENT": {"REFERRAL_PERCENT": "9"},
    "WITHDRAWAL_DAYS": {"WITHDRAWAL_DAYS": "7"},
    "OFFER_FLOOR_PERCENT": {"OFFER_FLOOR_PERCENT": "3"},
    "MARKUP_PERCENT": {"MARKUP_PERCENT": "20"},
    "REPRICE_HOURS": {"REPRICE_HOURS": "6"},
    "REPRICE_DAY_PERCENT": {"REPRICE_DAY_PERCENT": "5"},
    "PRICE_UPDATES": {"PRICE_UPDATES": "false"},
    "PRICE_UPDATES_URL": {"PRICE_UPDATES_URL": "https://lists.example/data.json"},
    "PROFILE": {"PROFILE": "brief"},
    "CONTRIBUTIONS": {"CONTRIBUTIONS": "openai,mistral"},
    "ADVANCE_PERCENT": {"ADVANCE_PERCENT": "3"},
    "ADVANCE_UNVERIFIED": {"ADVANCE_UNVERIFIED": "3"},
    "PAYOUT_HOLD_DAYS": {"PAYOUT_HOLD_DAYS": "3"},
    "PAYOUT_LEAST": {"PAYOUT_LEAST": "3000"},
    "PAYOUTS": {"PAYOUTS": "btcpay"},
    "STRIPE_SECRET_KEY": {"STRIPE_SECRET_KEY": "sk_test_2"},
    "STRIPE_WEBHOOK_SECRET": {"STRIPE_WEBHOOK_SECRET": "whsec_2"},
    "STRIPE_MANAGED_PAYMENTS": {"STRIPE_MANAGED_PAYMENTS": "true"},
    "STRIPE_TAX_CODE": {"STRIPE_MANAGED_PAYMENTS": "true", "STRIPE_TAX_CODE": "txcd_10105002"},
    "STRIPE_API_URL": {"STRIPE_API_URL": "https://stripe.example"},
    "PAYPAL_CLIENT_ID": {"PAYPAL_CLIENT_ID": "client2"},
    "PAYPAL_CLIENT_SECRET": {"PAYPAL_CLIENT_SECRET": "secret2"},
    "PAYPAL_WEBHOOK_ID": {"PAYPAL_WEBHOOK_ID": "WH-2"},
    "PAYPAL_API_URL": {"PAYPAL_API_URL": "https://paypal.example"},
    "BTCPAY_URL": {"BTCPAY_URL": "https://btcpay.example/2"},
    "BTCPAY_STORE_ID": {"BTCPAY_STORE_ID": "store2"},
    "BTCPAY_API_KEY": {"BTCPAY_API_KEY": "key2"},
    "BTCPAY_WEBHOOK_SECRET": {"BTCPAY_WEBHOOK_SECRET": "hook2"},
    "HTTP_HOST": {"HTTP_HOST": "0.0.0.0"},
    "HTTP_PORT": {"HTTP_PORT": "8081"},
    "HTTP_CONNECTIONS": {"HTTP_CONNECTIONS": "300"},
    "HTTP_HEADER_SECONDS": {"HTTP_HEADER_SECONDS": "11"},
    "HTTP_BODY_SECONDS": {"HTTP_BODY_SECONDS": "21"},
    "HTTP_BODY_KILOBYTES": {"HTTP_BODY_KILOBYTES": "1000"},
    "HTTP_BODIES_MEGABYTES": {"HTTP_BODIES_MEGABYTES": "33"},
    "PUBLIC_URL": {"PUBLIC_URL": "https://bot2.example"},
    "API": {"API": "false"},
    "API_HOST": {"API_HOST": "127.0.0.2"},
    "API_PORT": {"API_PORT": "8091"},
    "API_URL": {"API_URL": "https://api.example"},
    "API_PROXIES": {"API_PROXIES": "127.0.0.1,10.0.0.0/8"},
    "METRICS_PORT": {"METRICS_PORT": "9100"},
    "SUPPLIER_OPENAI_URL": {"SUPPLIER_OPENAI_URL": "https://openai.example/v1"},
    "SUPPLIER_OPENAI_KEY": {"SUPPLIER_OPENAI_KEY": "sk-second-0002"},
    "SUPPLIER_OPENAI_QUOTA": {"SUPPLIER_OPENAI_QUOTA": "11"},
    "SUPPLIER_OPENAI_ACCOUNT": {"SUPPLIER_OPENAI_ACCOUNT": "org-1"},
}
#: What is looked into: our objects, those of the library that holds Stripe's key itself, networks.
_OURS = ("bots", "payments", "core", "stripe", "ipaddress")
OVERLAY = 'withdrawn = ["gpt-5.4"]\n'


def test_each_setting_has_another_value() -> None:
    named = {name for name, _, _ in setting_names()}
    assert named == {name for name in OTHER if not name.startswith("SUPPLIER_")}


@pytest.mark.integration
@pytest.mark.slow
async def test_every_setting_changes_what_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "overlay.toml").write_text(OVERLAY)
    # A hundred services: certificates are read once, and a database is migrated once.
    certificates = ssl.create_default_context()
    monkeypatch.setattr(ssl, "create_default_context", lambda *_, **__: certificates)
    await migrate(f"sqlite:///{tmp_path / TEMPLATE}", "live", TestClock())
    base, again = [await _describe(BASE, tmp_path / name) for name in ("a.db", "b.db")]
    noise = {path for path in base.keys() | again.keys() if base.get(path) != again.get(path)}
    assert any("a.db" in base.get(path, "") for path in noise), "the database's address arrives"
    dead = []
    for number, (name, changes) in enumerate(OTHER.items()):
        if name in ("DATABASE_URL", "LOG_LEVEL"):
            continue
        made = await _describe({**BASE, **changes}, tmp_path / f"{number}.db")
        paths = (base.keys() | made.keys()) - noise
        if all(base.get(path) == made.get(path) for path in paths):
            dead.append(name)
    assert dead == []


async def _describe(settings: Mapping[str, str], file: Path) -> dict[str, str]:
    """Every plain value that a service of these settings is made of, by where it is; the settings
    themselves, whole, don't count: only what somebody was given of them."""
    given = {PREFIX + name: value for name, value in settings.items()}
    given[f"{PREFIX}DATABASE_URL"] = f"sqlite:///{file}"
    config = load(given, env_file=file.with_suffix(".env"))
    clock = TestClock()
    shutil.copy(file.with_name(TEMPLATE), file)
    db = await Database.open(config.database.url.get_secret_value(), kind="live", clock=clock)
    app = await run.build_app(config, db, clock)
    try:
        telegram = run._build_telegram(app)
        parts = [
            app,
            telegram,
            run._build_discord(app),
            run._build_servers(app, telegram),
        ]
        return dict(_walk(parts, "", set()))
    finally:
        await app.stop()


def _walk(value: object, path: str, seen: set[int]) -> Iterator[tuple[str, str]]:
    """Plain values below `value`, each with its path; shared objects once."""
    if isinstance(value, Config) or id(value) in seen:
        return
    if isinstance(value, SecretStr):
        yield path, value.get_secret_value()
    elif value is None or isinstance(value, str | bytes | int | float | Enum | Path):
        yield path, repr(value)
    elif isinstance(value, frozenset | set):
        yield path, repr(sorted(map(repr, value)))
    else:
        seen.add(id(value))
        for name, part in _parts(value):
            yield from _walk(part, f"{path}.{name}", seen)


def _parts(value: object) -> Iterator[tuple[str, object]]:
    """What an object of ours, a collection, a method or a function holds."""
    if isinstance(value, Mapping):
        yield from ((str(key), part) for key, part in value.items())
    elif isinstance(value, list | tuple):
        yield from ((str(number), part) for number, part in enumerate(value))
    elif isinstance(value, functools.partial):
        yield from (("func", value.func), ("args", value.args), ("keywords", value.keywords))
    elif isinstance(value, types.MethodType):
        yield "self", value.__self__
    elif isinstance(value, types.FunctionType):
        for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
            with contextlib.suppress(ValueError):  # not filled yet
                yield name, cell.cell_contents
    elif isinstance(value, BaseModel):
        yield from value
    elif type(value).__module__.partition(".")[0] in _OURS:
        yield from _attributes(value)


def _attributes(value: object) -> Iterator[tuple[str, object]]:
    """Of a section of settings only what the package of its holder reads."""
    for name, part in _fields(value):
        if not isinstance(part, Section):
            yield name, part
            continue
        for field in type(part).model_fields:
            if field in _read_fields(type(value).__module__.rpartition(".")[0]):
                yield f"{name}.{field}", getattr(part, field)


@functools.cache
def _read_fields(package: str) -> frozenset[str]:
    """What a package's modules read of sections."""
    (folder,) = importlib.import_module(package).__path__
    text = "".join(file.read_text() for file in Path(folder).glob("*.py"))
    return frozenset(re.findall(r"config\.(\w+)", text))


def _fields(value: object) -> Iterator[tuple[str, Any]]:
    yield from getattr(value, "__dict__", {}).items()
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(value, name):
                yield name, getattr(value, name)


@pytest.fixture
def root_logger() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield root
    root.handlers = handlers
    root.setLevel(level)


@pytest.mark.parametrize(("name", "level"), [("debug", logging.DEBUG), ("error", logging.ERROR)])
async def test_the_log_level_arrives(name: str, level: int, root_logger: logging.Logger) -> None:
    config = load({f"{PREFIX}LOG_LEVEL": name}, env_file=Path("/nonexistent"))
    with pytest.raises(CommandRefused, match="MASTER_KEYS is not set"):
        await run.run(config)
    assert root_logger.level == level


def test_an_empty_setting_counts_as_unset(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("CREDITBOT_PROFILE=brief\n")
    given = {"CREDITBOT_PROFILE": "", "CREDITBOT_HTTP_PORT": ""}
    assert load(given, env_file=tmp_path / ".env") == load({}, env_file=Path("/nonexistent"))


def test_the_environment_goes_over_the_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("CREDITBOT_HTTP_PORT=1\nCREDITBOT_METRICS_PORT=2\nOTHER=3\n")
    http = load({"CREDITBOT_HTTP_PORT": "4"}, env_file=tmp_path / ".env").http
    assert (http.http_port, http.metrics_port) == (4, 2)


def test_all_that_is_wrong_is_told_at_once_and_no_value() -> None:
    wrong = {
        "CREDITBOT_STRIPE_SECRET_KEY": "canary-1",
        "CREDITBOT_MASTER_KEYS": "canary-2",
        "CREDITBOT_SUPPLIER_OPENAI_KEY": "sk-canary-3-canary",
        "CREDITBOT_SUPPLIER_MY_HOST_QUOTA": "canary-4",
        "CREDITBOT_TELEGRAM_TOKN": "canary-5",
        "CREDITBOT_MARKUP_PERCENT": "canary-6",
        "CREDITBOT_TELEGRAM_WEBHOOK_URL": "https://bot.example/canary-7",
    }
    with pytest.raises(SettingsWrong) as refused:
        load(wrong, env_file=Path("/nonexistent"))
    assert {name.removeprefix(PREFIX) for name in refused.value.problems} == {
        *("STRIPE_WEBHOOK_SECRET", "PUBLIC_URL", "MASTER_KEYS", "SUPPLIER_OPENAI_QUOTA"),
        *("SUPPLIER_MY_HOST_QUOTA", "TELEGRAM_TOKN", "MARKUP_PERCENT", "TELEGRAM_WEBHOOK_SECRET"),
        "TELEGRAM_WEBHOOK_URL",
    }
    assert "canary" not in f"{refused.value}{refused.value.__cause__!r}"


def test_what_a_value_must_be_is_said_in_words() -> None:
    wrong = {"WELCOME_CREDITS": "-1", "HTTP_PORT": "x", "TELEGRAM_STARS": "may", "PROFILE": "x"}
    with pytest.raises(SettingsWrong) as refused:
        load({PREFIX + name: value for name, value in wrong.items()}, env_file=Path("/nonexistent"))
    assert refused.value.problems == {
        f"{PREFIX}WELCOME_CREDITS": "is 0 or more",
        f"{PREFIX}HTTP_PORT": "is a whole number",
        f"{PREFIX}TELEGRAM_STARS": "is true or false",
        f"{PREFIX}PROFILE": "is one of: 'safe' or 'brief'",
    }


def test_suppliers_are_named_by_the_operator() -> None:
    given = {"CREDITBOT_SUPPLIER_DEEPSEEK_URL": "http://127.0.0.1:9/v1/"}
    (supplier,) = load(given, env_file=Path("/nonexistent")).suppliers.items()
    assert (supplier[0], supplier[1].url) == ("deepseek", "http://127.0.0.1:9/v1")


_CF = {"SUPPLIER_CLOUDFLARE_KEY": "c" * 40, "SUPPLIER_CLOUDFLARE_QUOTA": "5"}


@pytest.mark.parametrize(
    ("given", "name", "words"),
    [
        ({"TELEGRAM_WEBHOOK_URL": "https://bot.example/t"}, "TELEGRAM_WEBHOOK_URL", "ends in"),
        (
            {"TELEGRAM_WEBHOOK_URL": "http://bot.example/webhooks/telegram"},
            "TELEGRAM_WEBHOOK_URL",
            "begins with https://",
        ),
        (
            {"TELEGRAM_WEBHOOK_URL": "https://bot.example:8080/webhooks/telegram"},
            "TELEGRAM_WEBHOOK_URL",
            "443, 80, 88, 8443",
        ),
        ({"TELEGRAM_WEBHOOK_SECRET": "two words"}, "TELEGRAM_WEBHOOK_SECRET", "letters, digits"),
        ({"TELEGRAM_WEBHOOK_SECRET": "x" * 257}, "TELEGRAM_WEBHOOK_SECRET", "1 to 256"),
        ({"PUBLIC_URL": "http://bot.example"}, "PUBLIC_URL", "begins with https://"),
        ({"SUPPLIER_OPENAI_KEY": "hello"}, "SUPPLIER_OPENAI_KEY", "a key of OpenAI"),
        ({"SUPPLIER_OPENAI_KEY": "sk-admin-12345678"}, "SUPPLIER_OPENAI_KEY", "admin key"),
        ({"SUPPLIER_ANTHROPIC_KEY": "sk-ant-oat01-12345678"}, "SUPPLIER_ANTHROPIC_KEY", "subscrip"),
        (_CF, "SUPPLIER_CLOUDFLARE_ACCOUNT", "32 hexadecimal digits"),
        ({"SUPPLIER_OPNAI_KEY": "sk-12345678"}, "SUPPLIER_OPNAI_KEY", "known are anthropic"),
        ({"SUPPLIER_OPNAI_URL": "https://x.example"}, "SUPPLIER_OPNAI_URL", "known are anthropic"),
    ],
)
def test_what_a_platform_or_a_supplier_would_refuse_is_told_by_its_setting(
    given: dict[str, str], name: str, words: str
) -> None:
    whole = {"TELEGRAM_WEBHOOK_SECRET": "s", **given}
    with pytest.raises(SettingsWrong) as refused:
        load({PREFIX + key: value for key, value in whole.items()}, env_file=Path("/nonexistent"))
    assert words in refused.value.problems[PREFIX + name]
    for key, value in given.items():
        if key.endswith(("_KEY", "_SECRET")):
            assert value not in str(refused.value)


@pytest.mark.parametrize(
    "given",
    [
        {"TELEGRAM_WEBHOOK_URL": "https://bot.example:8443/a/webhooks/telegram/"},
        # A Bot API server of one's own calls any address.
        {
            "TELEGRAM_WEBHOOK_URL": "http://10.0.0.1:9000/webhooks/telegram",
            "TELEGRAM_API_URL": "http://10.0.0.2:8081",
        },
        {"PUBLIC_URL": "http://127.0.0.1:8080"},
        {"PUBLIC_URL": "http://[::1]:8080"},
        {**_CF, "SUPPLIER_CLOUDFLARE_ACCOUNT": "0" * 32},
        # A server of one's own takes any key.
        {"SUPPLIER_OPENAI_KEY": "hello", "SUPPLIER_OPENAI_URL": "http://127.0.0.1:1/v1"},
    ],
)
def test_what_they_take_is_taken(given: dict[str, str]) -> None:
    whole = {"TELEGRAM_WEBHOOK_SECRET": "s-_9", **given}
    load({PREFIX + key: value for key, value in whole.items()}, env_file=Path("/nonexistent"))
