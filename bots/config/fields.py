"""How settings are written: each reader takes a setting's text and gives its value, or raises
ValueError with words that follow the setting's name. None of them repeats a secret.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import BeforeValidator, PlainValidator, SecretStr

from core.earnings.payouts import PayoutMethod
from core.money import Credits, NanoUsd, parse_usd
from core.pool.suppliers import SUPPLIERS
from payments.offer import CENT, Pack

MASTER_KEY_BYTES: Final = 32
#: Ways by which people can be paid, and the setting that each needs.
METHOD_SETTINGS: Final[Mapping[PayoutMethod, str]] = {
    "paypal": "PAYPAL_CLIENT_ID",
    "btcpay": "BTCPAY_URL",
    "manual": "",
}
#: Sums above this are a slip.
_DOLLARS_MAX: Final = parse_usd("100000")
#: A Star that brings less or more than this is a slip.
_STAR_LEAST, _STAR_MOST = parse_usd("0.001"), parse_usd("1")
_ADMIN: Final = re.compile(r"(telegram|discord|console):\S+")
_PACK: Final = re.compile(r"([^:,]{1,32}):([^:,]+):(\d{1,9})")
_SHARDS: Final = re.compile(r"(\d{1,4})-(\d{1,4})/(\d{1,4})")
_SNOWFLAKE: Final = re.compile(r"\d{1,20}")


def read_url(text: str) -> str:
    """A web address, without the slash at its end; empty stays empty."""
    if text and not re.fullmatch(r"https?://[^\s/]+(/\S*)?", text):
        raise ValueError("is an address like https://example.org")
    return text.rstrip("/")


def read_socket_url(text: str) -> str:
    """The address of a web socket, without the slash at its end; empty stays empty."""
    if text and not re.fullmatch(r"wss?://[^\s/]+(/\S*)?", text):
        raise ValueError("is an address like wss://gateway.example.org")
    return text.rstrip("/")


def read_database_url(url: SecretStr | str) -> SecretStr:
    """The address of a database, which may hold a password."""
    secret = url if isinstance(url, SecretStr) else SecretStr(url)
    if not secret.get_secret_value().startswith(("sqlite:///", "postgresql://", "postgres://")):
        raise ValueError("is sqlite:///file.db or postgresql://user:password@host/database")
    return secret


def read_master_keys(keys: SecretStr | str) -> SecretStr:
    """Base64 of 32 bytes each, comma-separated."""
    secret = keys if isinstance(keys, SecretStr) else SecretStr(keys)
    for key in filter(None, secret.get_secret_value().split(",")):
        try:
            length = len(base64.b64decode(key.strip(), validate=True))
        except binascii.Error:
            length = 0
        if length != MASTER_KEY_BYTES:
            raise ValueError("each key is base64 of 32 bytes; `creditbot init` makes one")
    return secret


def read_admins(text: str) -> tuple[tuple[str, str], ...]:
    """`telegram:123,discord:456` as (platform, id) of each."""
    names = _split(text)
    for name in names:
        if not _ADMIN.fullmatch(name):
            raise ValueError(f"“{name[:40]}” is not like telegram:123 or discord:456")
    return tuple((platform, id_) for platform, _, id_ in (name.partition(":") for name in names))


def read_suppliers(text: str) -> frozenset[str]:
    """Names of suppliers, comma-separated."""
    names = _split(text)
    for name in names:
        if name not in SUPPLIERS:
            raise ValueError(f"names “{name[:40]}”; known: {', '.join(sorted(SUPPLIERS))}")
    return frozenset(names)


def read_shards(text: str) -> tuple[tuple[int, ...], int]:
    """`0-3/8`: this process's shards, and how many there are; (), 0 where Discord is to say."""
    if not text:
        return (), 0
    found = _SHARDS.fullmatch(text)
    if found is None or not int(found[1]) <= int(found[2]) < int(found[3]):
        raise ValueError("is this process's shards of all, like 0-3/8")
    first, last, count = (int(number) for number in found.groups())
    return tuple(range(first, last + 1)), count


def read_networks(text: str) -> tuple[str, ...]:
    """Addresses and networks, comma-separated: `10.0.0.1,192.0.2.0/24`."""
    networks = []
    for part in _split(text):
        try:
            networks.append(str(ipaddress.ip_network(part, strict=False)))
        except ValueError:
            raise ValueError(f"“{part[:40]}” is not like 10.0.0.1 or 192.0.2.0/24") from None
    return tuple(networks)


def read_dollars(text: str) -> NanoUsd:
    """An amount in whole cents above zero."""
    try:
        amount = parse_usd(text.strip())
    except ValueError:
        amount = NanoUsd(0)
    if amount.units <= 0 or amount.units % CENT.units or amount > _DOLLARS_MAX:
        raise ValueError(f"“{text[:40]}” is no amount of dollars like 100 or 9.99")
    return amount


def read_budget(text: str) -> NanoUsd:
    """What a key may cost, in dollars above zero, to a part of a cent."""
    try:
        amount = parse_usd(text)
    except ValueError:
        amount = NanoUsd(0)
    if amount <= NanoUsd(0):
        raise ValueError("is a budget in dollars above zero, like 50 or 12.5")
    return amount


def read_star(text: str) -> NanoUsd:
    """What a Telegram Star brings the operator, in dollars."""
    try:
        worth = parse_usd(text)
    except ValueError:
        worth = NanoUsd(0)
    if not _STAR_LEAST <= worth <= _STAR_MOST:
        raise ValueError("is what a Star brings, in dollars, like 0.013")
    return worth


def read_packs(text: str) -> tuple[Pack, ...]:
    """`Starter:10:1000,Pro:90:10000`: name, dollars, Credits; or `none`."""
    if text.strip().lower() == "none":
        return ()
    packs = []
    for part in text.split(","):
        found = _PACK.fullmatch(part.strip())
        if found is None:
            raise ValueError(f"“{part.strip()[:40]}” is not like Starter:10:1000")
        packs.append(Pack(found[1].strip(), read_dollars(found[2]), Credits(int(found[3]))))
    return tuple(packs)


def read_skus(text: str) -> tuple[tuple[str, str], ...]:
    """`starter:123,pro:456`: (a pack's name in small letters, its SKU in Discord's store)."""
    parts = [part.partition(":") for part in text.split(",") if part.strip()]
    pairs = [(name.strip().casefold(), sku.strip()) for name, _, sku in parts]
    names, ids = {name for name, _ in pairs}, {sku for _, sku in pairs}
    if len(names) < len(pairs) or len(ids) < len(pairs) or not all(map(_SNOWFLAKE.fullmatch, ids)):
        raise ValueError("names each pack once with a SKU of its own, like starter:123,pro:456")
    return tuple(pairs)


def read_payout_methods(text: str) -> tuple[PayoutMethod, ...]:
    """Ways by which people are paid, comma-separated, in the operator's order."""
    named = _split(text)
    if len(set(named)) < len(named) or not set(named) <= set(METHOD_SETTINGS):
        raise ValueError(f"names some of {', '.join(METHOD_SETTINGS)}, each once")
    return tuple(method for name in named for method in METHOD_SETTINGS if method == name)


def _split(text: str) -> list[str]:
    return [part for part in (part.strip() for part in text.split(",")) if part]


def _reader(read: object) -> PlainValidator:
    """A value that was read already stays as it is: sections are also made in code."""
    assert callable(read)
    return PlainValidator(lambda given: read(given) if isinstance(given, str) else given)


Url = Annotated[str, BeforeValidator(read_url)]
SocketUrl = Annotated[str, BeforeValidator(read_socket_url)]
DatabaseUrl = Annotated[SecretStr, BeforeValidator(read_database_url)]
MasterKeys = Annotated[SecretStr, BeforeValidator(read_master_keys)]
Admins = Annotated[tuple[tuple[str, str], ...], _reader(read_admins)]
SupplierNames = Annotated[frozenset[str], _reader(read_suppliers)]
Shards = Annotated[tuple[tuple[int, ...], int], _reader(read_shards)]
Networks = Annotated[tuple[str, ...], _reader(read_networks)]
Dollars = Annotated[NanoUsd, _reader(read_dollars)]
Budget = Annotated[NanoUsd, _reader(read_budget)]
StarWorth = Annotated[NanoUsd, _reader(read_star)]
Packs = Annotated[tuple[Pack, ...], _reader(read_packs)]
Skus = Annotated[tuple[tuple[str, str], ...], _reader(read_skus)]
PayoutMethodNames = Annotated[tuple[PayoutMethod, ...], _reader(read_payout_methods)]
