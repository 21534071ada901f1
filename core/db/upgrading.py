"""Runs the migrations: Alembic, on a connection and transaction of the caller's."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory

SCRIPTS = ScriptDirectory(str(Path(__file__).parent / "migrations"))


def upgrade(connection: sa.Connection) -> None:
    """Every step from where the database is to the newest revision."""
    head = SCRIPTS.get_current_head()
    assert head is not None

    def steps(revision: object, _context: object) -> object:
        return SCRIPTS._upgrade_revs(head, revision)  # type: ignore[arg-type] # noqa: SLF001

    with EnvironmentContext(Config(), SCRIPTS, fn=steps) as environment:
        environment.configure(connection=connection, transactional_ddl=True)
        environment.run_migrations()
