"""Prompt caches: which key's supplier keeps the prompt of a conversation, and until when.

Suppliers keep the beginning of a prompt for minutes, each account its own, and read it for a tenth
of the price. It is remembered in this process alone: whoever forgets it pays more, nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cachetools import LRUCache

from core.clock import Clock
from core.money import Tokens
from core.pool.providers.types import PromptCache
from core.pool.suppliers import Supplier
from core.pool.types import Candidate
from core.pool.vault import Vault
from core.pricing.catalogue import Route

#: So many conversations are remembered, the latest ones.
REMEMBERED_MAX: Final = 50_000
#: A shorter prompt is kept by no supplier: Anthropic's newest models keep 512 tokens, OpenAI 1,024.
CACHEABLE_TOKENS_MIN: Final = Tokens(512)


@dataclass(frozen=True, slots=True)
class CacheScope:
    """A prompt's cache is for its conversation; it `is_reusable` where the conversation's next
    prompt will begin with this one."""

    conversation: str
    is_reusable: bool = False


@dataclass(frozen=True, slots=True)
class _KeptPrompt:
    key: str
    #: Until when its supplier keeps it (milliseconds UTC).
    until_ms: int


class PromptCaches:
    """Remembers, of each conversation and model, the key that was asked last."""

    def __init__(self, vault: Vault, clock: Clock) -> None:
        self._vault, self._clock = vault, clock
        #: By conversation, supplier and the supplier's model.
        self._kept: LRUCache[tuple[str, str, str], _KeptPrompt] = LRUCache(REMEMBERED_MAX)

    def list_keys(self, conversation: str, routes: Iterable[Route]) -> frozenset[str]:
        """The keys whose supplier keeps the conversation's last prompt for one of these routes."""
        if not conversation:
            return frozenset()
        found = (self._find(conversation, route) for route in routes)
        return frozenset(kept.key for kept in found if kept is not None)

    def describe(
        self, scope: CacheScope | None, candidate: Candidate, end_user: str
    ) -> PromptCache | None:
        """What a call tells its supplier of the cache; None for a call of no conversation. Its key
        is of the person and the conversation, so that nobody shares one."""
        if scope is None:
            return None
        kept = self._find(scope.conversation, candidate.route)
        return PromptCache(
            self._vault.derive_id("prompt cache", end_user, scope.conversation),
            is_warm=kept is not None and kept.key == candidate.key,
            is_reusable=scope.is_reusable,
        )

    def record_call(
        self, scope: CacheScope | None, candidate: Candidate, supplier: Supplier
    ) -> None:
        """Records that a supplier began to answer: from now on it keeps the prompt."""
        if scope is None:
            return
        route = candidate.route
        name = (scope.conversation, route.provider, route.model)
        until_ms = self._clock.now_ms() + round(supplier.cache_seconds * 1_000)
        self._kept[name] = _KeptPrompt(candidate.key, until_ms)

    def _find(self, conversation: str, route: Route) -> _KeptPrompt | None:
        kept = self._kept.get((conversation, route.provider, route.model))
        return kept if kept is not None and self._clock.now_ms() < kept.until_ms else None
