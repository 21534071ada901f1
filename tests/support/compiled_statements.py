"""SQL that was built once serves all databases of a kind. An engine keeps what it has built, and in
production there are two for years; here each test has engines of its own, and would build hundreds
of statements anew."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.util import LRUCache

_create_engine = sa.create_engine
_built: LRUCache[Any, Any] = LRUCache(4_000)


def share_built_statements() -> None:
    """From here on engines share what they have built: by the kind of their dialect, which all of
    one kind have of the same driver and server, and no more by which of the objects it is."""
    DefaultDialect.__eq__ = lambda one, other: type(one) is type(other)  # type: ignore[method-assign]
    DefaultDialect.__hash__ = lambda one: hash(type(one))  # type: ignore[method-assign]
    sa.create_engine = _create_sharing_engine


def _create_sharing_engine(url: str, **options: Any) -> sa.Engine:
    return _create_engine(url, execution_options={"compiled_cache": _built}, **options)
