"""Dialects of own servers: what a custom address doesn't take is found out by asking, and kept.

Servers that imitate OpenAI differ in the fields that they take, by the model that they lead to. One
that refuses a field by its name is asked again without it, in the same call; nothing is recorded
against the key, since no answer was asked of a model yet.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from cachetools import LRUCache

from core.pool.providers.http import SupplierClient
from core.pool.providers.openai import PLAIN_DIALECT, OpenAIDialect
from core.pool.providers.types import CallTarget, ModelCall, StreamEvent, SupplierFault
from core.pool.suppliers import Supplier

#: So many models' dialects are remembered, the latest ones.
REMEMBERED_MAX: Final = 1_000


class Dialects:
    """Remembers, in this process, which dialect each model of a custom address takes."""

    def __init__(self) -> None:
        #: By supplier, its address and its model.
        self._learned: LRUCache[tuple[str, str, str], OpenAIDialect] = LRUCache(REMEMBERED_MAX)

    async def stream(
        self,
        client: SupplierClient,
        supplier: Supplier,
        target: CallTarget,
        call: ModelCall,
        *,
        is_local: bool,
    ) -> AsyncGenerator[StreamEvent, None]:
        """The events of a call, as `SupplierAdapter.stream` yields and raises them; `is_local` for
        a model that only a custom address has."""
        name = (supplier.name, supplier.base_url, call.model)
        usual = PLAIN_DIALECT if is_local else supplier.dialect
        dialect = self._learned.get(name, usual)
        tried = {dialect}
        while True:
            has_answered = False
            events = supplier.create_adapter(client, dialect).stream(target, call)
            try:
                async with aclosing(events):
                    async for event in events:
                        if not has_answered:
                            has_answered = True
                            self._remember(name, dialect, usual)
                        yield event
            except SupplierFault as fault:
                other = dialect.without(fault.parameter)
                if has_answered or other is None or other in tried:
                    raise
                tried.add(other)
                dialect = other
            else:
                return

    def _remember(
        self, name: tuple[str, str, str], dialect: OpenAIDialect, usual: OpenAIDialect
    ) -> None:
        if dialect == usual:
            self._learned.pop(name, None)
        else:
            self._learned[name] = dialect
