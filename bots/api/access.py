"""Who may ask at all: tokens are read from headers alone, wrong ones are counted by where they come
from before any is looked up, and each person has so many requests at once.
"""

from __future__ import annotations

import contextlib
import functools
import ipaddress
from collections import Counter
from collections.abc import Collection, Iterator
from typing import Final

from cachetools import TTLCache

from bots.api.errors import ApiError
from bots.api.exchange import Exchange
from bots.api.ports import ApiTokens
from core.api_tokens.types import ApiToken, InvalidToken, NetworkNotAllowed
from core.clock import Clock

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_WINDOW_SECONDS: Final = 60
WRONG_TOKENS_PER_MINUTE: Final = 20
#: Requests that cost nobody anything: lists, balances; and counts of tokens.
LOOKUPS_PER_MINUTE: Final = 300
COUNTS_PER_MINUTE: Final = 120
#: Of one person, from the first byte to the last; agents ask four at once, and chats shall have
#: room beside them.
REQUESTS_AT_ONCE: Final = 6
#: So many callers are remembered.
_CALLERS_MAX: Final = 50_000
#: What was read of so many addresses is kept: it takes longer than looking it up.
_ADDRESSES_KEPT: Final = 1_024
#: No token is longer.
_SECRET_CHARS_MAX: Final = 256
#: A house has so many of IPv6's addresses, at least.
_IPV6_PREFIX: Final = 64


class MinuteBudget:
    """A budget of so many a minute for each caller; a minute begins with a caller's first."""

    def __init__(self, per_minute: int, clock: Clock) -> None:
        self._per_minute, self._clock = per_minute, clock
        self._used: TTLCache[str, list[float]] = TTLCache(
            maxsize=_CALLERS_MAX, ttl=_WINDOW_SECONDS, timer=clock.monotonic
        )

    def measure_wait(self, caller: str) -> float:
        """Seconds until a caller may go on; 0: now."""
        used = self._used.get(caller)
        if used is None or used[1] < self._per_minute:
            return 0
        return max(1.0, used[0] + _WINDOW_SECONDS - self._clock.monotonic())

    def spend(self, caller: str) -> None:
        """Counts one."""
        used = self._used.get(caller)
        if used is None:
            self._used[caller] = [self._clock.monotonic(), 1]
        else:
            used[1] += 1

    def require(self, caller: str) -> None:
        """Counts one, or raises `ApiError` where none is left."""
        if wait := self.measure_wait(caller):
            raise refuse_haste("Too many requests in a minute.", wait)
        self.spend(caller)


def refuse_haste(message: str, seconds: float) -> ApiError:
    """Too much at once or a minute; it goes on in so many seconds."""
    return ApiError(429, message, code="rate_limit_exceeded", retry_seconds=seconds)


class AccessControl:
    """Lets in who has a token, and not too many requests of anybody at once."""

    def __init__(
        self, *, tokens: ApiTokens, clock: Clock, trusted_proxies: Collection[IpNetwork] = ()
    ) -> None:
        """`trusted_proxies` are believed about whom they speak for."""
        self._tokens, self._trusted_proxies = tokens, trusted_proxies
        self._wrong_tokens = MinuteBudget(WRONG_TOKENS_PER_MINUTE, clock)
        self.lookups = MinuteBudget(LOOKUPS_PER_MINUTE, clock)
        self.counts = MinuteBudget(COUNTS_PER_MINUTE, clock)
        self._running: Counter[str] = Counter()

    async def authenticate(self, exchange: Exchange) -> ApiToken:
        """The token of a request; raises `ApiError`."""
        address = self.find_address(exchange)
        network = _name_network(address)
        if wait := self._wrong_tokens.measure_wait(network):
            raise refuse_haste("Too many wrong tokens from your address.", wait)
        secret = _read_secret(exchange)
        if not secret or len(secret) > _SECRET_CHARS_MAX:
            self._wrong_tokens.spend(network)
            raise _refuse_token()
        try:
            token = await self._tokens.authenticate(secret, address)
        except InvalidToken:
            self._wrong_tokens.spend(network)
            raise _refuse_token() from None
        except NetworkNotAllowed:
            text = "This token may not be used from your network."
            raise ApiError(403, text, code="ip_not_allowed") from None
        await self._tokens.record_use(token, address)
        return token

    @contextlib.contextmanager
    def hold_slot(self, person: str) -> Iterator[None]:
        """Counts a request of a person while it lasts; raises `ApiError` where they have too many
        already."""
        if self._running[person] >= REQUESTS_AT_ONCE:
            text = f"You have {REQUESTS_AT_ONCE} requests running: wait for one to end."
            raise refuse_haste(text, 2)
        self._running[person] += 1
        try:
            yield
        finally:
            self._running[person] -= 1
            if not self._running[person]:
                del self._running[person]

    def find_address(self, exchange: Exchange) -> str:
        """Where a request comes from: the last address that no proxy of ours spoke for. What stands
        before it in the header, anybody may have written."""
        peer = _parse_address(exchange.peer)
        if peer is None or not self._is_trusted(peer):
            return exchange.peer
        told = [
            one.strip()
            for name, value in exchange.headers
            if name == b"x-forwarded-for"
            for one in value.decode("latin-1").split(",")
        ]
        found = peer
        for one in reversed(told):
            address = _parse_address(one)
            if address is None:
                break
            found = address
            if not self._is_trusted(address):
                break
        return str(found)

    def _is_trusted(self, address: IpAddress) -> bool:
        return any(address in network for network in self._trusted_proxies)


def _read_secret(exchange: Exchange) -> str:
    """The token in a request's headers; never one in its address, which others write down."""
    scheme, _, secret = exchange.get_header(b"authorization").partition(" ")
    if scheme.lower() == "bearer" and secret.strip():
        return secret.strip()
    return exchange.get_header(b"x-api-key").strip()


def _refuse_token() -> ApiError:
    return ApiError(401, "The token is missing or not valid.", code="invalid_api_key")


@functools.lru_cache(maxsize=_ADDRESSES_KEPT)
def _parse_address(text: str) -> IpAddress | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return address if mapped is None else mapped


@functools.lru_cache(maxsize=_ADDRESSES_KEPT)
def _name_network(address: str) -> str:
    parsed = _parse_address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed, _IPV6_PREFIX), strict=False))
    return address
