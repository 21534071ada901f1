"""Calls of tools as servers of OpenAI's wire stream them, however they number their pieces.

OpenAI gives each call an index, its id and name once, and then pieces of its arguments. Others
leave the index out, give every call the same, repeat id and name in each piece, give no id at all,
write arguments as an object, or none for a tool that takes none.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from core.pool.providers.types import ToolCallDelta

#: More calls than any answer makes.
_CALLS_MAX: Final = 1_000


@dataclass(slots=True)
class _Call:
    """A call that is being told; `told_id` is the server's own, where it gave one."""

    index: int
    told_id: str
    has_arguments: bool = False


class ToolCallReading:
    """What the pieces of one answer's calls have said so far: pieces go in, events come out, each
    call's id and name first and once."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        #: By the server's own index, the call that it last stood for.
        self._by_index: dict[int, _Call] = {}
        self._by_id: dict[str, _Call] = {}

    @property
    def has_calls(self) -> bool:
        """Whether any tool was called."""
        return bool(self._calls)

    def read(self, pieces: Any) -> Iterator[ToolCallDelta]:
        """The events of a chunk's pieces, or of whole calls; what is none of either is nothing."""
        for piece in pieces if isinstance(pieces, list) else ():
            function = piece.get("function") if isinstance(piece, dict) else None
            if isinstance(function, dict):
                yield from self._read_piece(piece, function)

    def finish(self) -> Iterator[ToolCallDelta]:
        """A call of which no arguments came has an empty object of them."""
        for call in self._calls:
            if not call.has_arguments:
                call.has_arguments = True
                yield ToolCallDelta(call.index, arguments="{}")

    def _read_piece(
        self, piece: Mapping[str, Any], function: Mapping[str, Any]
    ) -> Iterator[ToolCallDelta]:
        id_, name = _as_text(piece.get("id")), _as_text(function.get("name"))
        arguments = function.get("arguments")
        if isinstance(arguments, dict):
            arguments = json.dumps(arguments)
        text, index = _as_text(arguments), piece.get("index")
        call = self._find_call(index, id_, name)
        if call is None:
            if len(self._calls) >= _CALLS_MAX:
                return
            call = _Call(len(self._calls), id_)
            self._calls.append(call)
            is_fresh = bool(id_) and id_ not in self._by_id
            own_id = id_ if is_fresh else f"call_{secrets.token_hex(12)}"
            self._by_id.setdefault(own_id, call)
            yield ToolCallDelta(call.index, own_id, name, text)
        elif text:
            yield ToolCallDelta(call.index, arguments=text)
        call.has_arguments |= bool(text)
        if type(index) is int:
            self._by_index[index] = call

    def _find_call(self, index: Any, id_: str, name: str) -> _Call | None:
        """The call that a piece goes on with; None where it begins one: by another id, or, where
        there are neither ids nor indexes, by a name after the arguments of another."""
        if type(index) is int:
            known = self._by_index.get(index)
            is_other = known is not None and id_ and known.told_id and id_ != known.told_id
            return None if is_other else known
        if id_:
            return self._by_id.get(id_)
        last = self._calls[-1] if self._calls else None
        return None if name and last is not None and last.has_arguments else last


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else ""
