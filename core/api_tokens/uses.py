"""Uses of tokens: when each was used last, and what its person is told without having asked.

Told are a token's first use, a use from a network that it wasn't used from before, and that half of
its day's cap is used. Addresses are kept as keyed digests of their networks alone.
"""

from __future__ import annotations

import ipaddress
from typing import Final

from cachetools import TTLCache

from core.api_tokens.caps import as_day_number
from core.api_tokens.repository import TokenRepository, TokenUses
from core.api_tokens.types import (
    API_FIRST_USED,
    API_HALF_SPENT,
    API_USED_ELSEWHERE,
    ApiToken,
)
from core.clock import DAY_MS
from core.db import schema
from core.db.writes import Companion, Insert, Update
from core.ledger.ledger import Ledger
from core.notification import make_lasting, notification_row
from core.pool.vault import Vault

#: The time of a token's last use is written once in so long.
USE_SECONDS: Final = 60
#: Whether half of a day is used is looked up once in so long.
HALF_SECONDS: Final = 10
#: So many networks of a token are remembered; the one that was used longest ago goes first.
SEEN_NETWORKS_MAX: Final = 20
#: What counts as one network, in bits of an address: a household's or a small host's.
_NETWORK_BITS: Final = {4: 24, 6: 48}
_DIGEST_CHARS: Final = 20
_REMEMBERED_MAX: Final = 50_000
_ATTEMPTS_MAX: Final = 3

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def parse_address(text: str) -> Address | None:
    """An address as a connection has it; one of IPv4 in IPv6's clothes is IPv4's. None for what is
    no address."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


class TokenUseRecorder:
    """The recorder writes when tokens are used, and has their people told of what is unusual."""

    def __init__(self, *, ledger: Ledger, vault: Vault, repository: TokenRepository) -> None:
        self._ledger, self._clock, self._vault = ledger, ledger.clock, vault
        self._repository = repository
        timer = ledger.clock.monotonic
        #: Uses that this process recorded within the last minute, by token and address.
        self._recorded: TTLCache[tuple[str, str], bool] = TTLCache(
            maxsize=_REMEMBERED_MAX, ttl=USE_SECONDS, timer=timer
        )
        #: Tokens and days of which half wasn't used just now.
        self._half_left: TTLCache[tuple[str, int], bool] = TTLCache(
            maxsize=_REMEMBERED_MAX, ttl=HALF_SECONDS, timer=timer
        )
        #: Tokens and days of which somebody was told that half is used.
        self._half_told: TTLCache[tuple[str, int], bool] = TTLCache(
            maxsize=_REMEMBERED_MAX, ttl=DAY_MS / 1000, timer=timer
        )

    async def record_use(self, token: ApiToken, address: str) -> None:
        """Records a use of a token from an address."""
        if (token.id, address) not in self._recorded:
            network = self._digest_network(token.id, address)
            for _ in range(_ATTEMPTS_MAX):
                uses = await self._repository.find_uses(token.id)
                if uses is None or uses.is_revoked or await self._try_record(uses, network):
                    break
            self._recorded[token.id, address] = True
        await self._tell_half_spent(token)

    async def _try_record(self, uses: TokenUses, network: str) -> bool:
        """Whether the row is as it shall be; False when another process has just changed it."""
        token, now = uses.token, self._clock.now_ms()
        is_due = token.last_used_at is None or now - token.last_used_at >= USE_SECONDS * 1000
        is_new = bool(network) and network not in uses.seen_networks
        if not (is_due or is_new):
            return True
        others = tuple(one for one in uses.seen_networks if one != network)
        seen = (*others, network) if network else others
        before, after = " ".join(uses.seen_networks), " ".join(seen[-SEEN_NETWORKS_MAX:])
        change: dict[str, int | str] = {"seen_networks": after}
        if is_due:
            change["last_used_at"] = now
        expected = {"seen_networks": before, "last_used_at": token.last_used_at}
        rows: list[Companion] = [Update(schema.api_token, {"id": token.id}, change, expected)]
        if token.last_used_at is None:
            rows.append(self._build_notification(token, API_FIRST_USED, "first"))
        elif is_new:
            rows.append(self._build_notification(token, API_USED_ELSEWHERE, network))
        return await self._ledger.try_record(*rows)

    async def _tell_half_spent(self, token: ApiToken) -> None:
        day = as_day_number(self._clock.now_ms())
        if (token.id, day) in self._half_left or (token.id, day) in self._half_told:
            return
        used = await self._repository.measure_spending(token.id, day)
        if used.units * 2 < token.per_day.units:
            self._half_left[token.id, day] = True
            return
        row = self._build_notification(token, API_HALF_SPENT, f"half/{day}", once=True)
        await self._ledger.record(make_lasting(row))
        self._half_told[token.id, day] = True

    def _build_notification(
        self, token: ApiToken, kind: str, cause: str, *, once: bool = False
    ) -> Insert:
        return notification_row(
            self._clock,
            cause_id=f"api/{token.id}/{cause}",
            person=token.person,
            kind=kind,
            facts={"token": token.id, "name": token.name, "label": token.label},
            once=once,
        )

    def _digest_network(self, token: str, address: str) -> str:
        """A network as it is remembered of one token; empty for what is no address."""
        parsed = parse_address(address)
        if parsed is None:
            return ""
        bits = _NETWORK_BITS[parsed.version]
        network = ipaddress.ip_network(f"{parsed}/{bits}", strict=False)
        return self._vault.derive_id("api network", token, str(network))[:_DIGEST_CHARS]
