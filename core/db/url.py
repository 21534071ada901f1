"""Where a database is: its URL taken apart, and shown without its password."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import sqlalchemy as sa

from core.db.errors import DatabaseUnavailable

Dialect = Literal["sqlite", "postgresql"]


@dataclass(frozen=True, slots=True)
class Address:
    """A database's place: a file for SQLite, a connection text for PostgreSQL."""

    dialect: Dialect
    #: For people and logs: never with a password.
    shown: str
    #: The file of an SQLite database.
    file: Path = Path()
    #: What libpq connects with; may hold a password.
    conninfo: str = field(default="", repr=False)


def parse(url: str) -> Address:
    """The address in `url`: `sqlite:///x.db`, `sqlite:////abs.db` or `postgresql://…`.

    Raises DatabaseUnavailable for anything else.
    """
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise DatabaseUnavailable("unreadable address") from None
    kind = parsed.get_backend_name()
    if kind == "sqlite" and parsed.database and parsed.database != ":memory:":
        file = Path(parsed.database)
        return Address("sqlite", f"sqlite:///{file}", file=file)
    if kind == "postgresql":
        bare = parsed.set(drivername="postgresql")
        shown = sa.URL.create(
            "postgresql", parsed.username, None, parsed.host, parsed.port, parsed.database
        ).render_as_string()
        return Address("postgresql", shown, conninfo=bare.render_as_string(hide_password=False))
    raise DatabaseUnavailable(f"{kind}: not a database that is supported")
