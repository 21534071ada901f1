"""The database as commands of the command line open it: the live one, or the demo's, beside a
service that may be running. Writing goes through a ledger writer of the command's own, which the
database keeps in turn with the service's.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import AsyncIterator, Iterable

from bots.cli.output import CommandRefused
from bots.config.gateways import build_externals
from bots.config.settings import Config, load
from bots.demo import demo_database, with_demo_master_key
from bots.services import Foundation, build_foundation, build_pool, build_pricing, open_vault
from core.clock import SystemClock
from core.db.database import Database
from core.db.migrate import DatabaseKind
from core.db.writes import Companion
from core.ledger.ledger import Ledger
from core.ledger.types import AnyAccount, Balance
from core.pool.pool import Pool


def database_url(config: Config, *, demo: bool = False) -> str:
    """The address of the settings' database, or of the demo's."""
    return demo_database(config) if demo else config.database.url.get_secret_value()


@contextlib.asynccontextmanager
async def open_for_reading(config: Config) -> AsyncIterator[Database]:
    """The database as it is, of either kind."""
    db = await Database.open(database_url(config), kind=None, clock=SystemClock())
    try:
        yield db
    finally:
        await db.close()


@contextlib.asynccontextmanager
async def open_for_writing(
    config: Config, *, kind: DatabaseKind | None = "live", migrate: bool = False
) -> AsyncIterator[Foundation]:
    """The live database, the demo's, or with no kind whichever the settings name."""
    clock = SystemClock()
    url = database_url(config, demo=kind == "demo")
    db = await Database.open(url, kind=kind, clock=clock, migrate=migrate)
    try:
        if db.kind == "demo":
            config = with_demo_master_key(config)
        base = await build_foundation(config, db=db, clock=clock)
        try:
            yield base
        finally:
            await base.ledger.stop()
    finally:
        await db.close()


class ReadOnlyLedger(Ledger):
    """A ledger for whoever only looks: balances are read from the database, and what is to be
    recorded is dropped. It has no writer, so each submission is refused."""

    async def start(self) -> None:
        """Starts no writer."""

    async def read_balances(self, accounts: Iterable[AnyAccount]) -> dict[str, Balance]:
        """The accounts' balances, by code."""
        codes = [account.code for account in accounts]
        found = await self._fetch_balances(codes)
        return {code: found.get(code, Balance()) for code in codes}

    async def record(self, *companions: Companion) -> None:
        """Writes nothing."""
        del companions


@contextlib.asynccontextmanager
async def open_for_looking(config: Config) -> AsyncIterator[Foundation]:
    """The settings' database, of either kind, for commands that change nothing of it; raises
    `NeedsMigration` where it isn't there."""
    clock = SystemClock()
    db = await Database.open(
        database_url(config), kind=None, clock=clock, migrate=False, leaves_alone=True
    )
    try:
        if db.kind == "demo":
            config = with_demo_master_key(config)
        yield await build_foundation(config, db=db, clock=clock, ledger=ReadOnlyLedger(db, clock))
    finally:
        await db.close()


def open_as_asked(
    arguments: argparse.Namespace,
) -> contextlib.AbstractAsyncContextManager[Foundation]:
    """By the flag `--demo`."""
    return open_for_writing(load(), kind="demo" if arguments.demo else "live")


def require_master_keys(config: Config) -> None:
    """Raises `CommandRefused` where the settings have no master key."""
    if not config.operator.master_key_bytes:
        raise CommandRefused("CREDITBOT_MASTER_KEYS is not set. `creditbot init` makes one.")


@contextlib.asynccontextmanager
async def open_pool(base: Foundation) -> AsyncIterator[Pool]:
    """The pool with every key that the vault opens."""
    externals = build_externals(base.config, base.clock, sells=False)
    require_master_keys(base.config)
    vault = await open_vault(base)
    pool = build_pool(base, externals, build_pricing(base, externals), vault).pool
    await pool.start()
    try:
        yield pool
    finally:
        await pool.stop()
