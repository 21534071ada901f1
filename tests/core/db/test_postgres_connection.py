"""A PostgreSQL that says nothing any more: whoever waits for it is told, and the next one is
answered over another connection."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import psycopg
import pytest
import sqlalchemy as sa

from core.clock import SystemClock
from core.db import connections, postgres_connection, schema
from core.db.connections import create_engine, parse_url
from core.db.database import Database
from core.db.errors import DatabaseUnavailable
from core.db.postgres_pipeline import PostgresPipeline
from core.db.postgres_reads import PostgresReads
from core.db.prepared import PreparedSelect
from core.ledger.audit import check_ledger
from core.ledger.ledger import Ledger
from core.ledger.postgres import PostgresSession
from tests.core.ledger.accounts import GIFT, give
from tests.support.postgres_relay import PostgresRelay

COUNT = PreparedSelect(sa.select(sa.func.count()).select_from(schema.meta))


@pytest.fixture
def relay(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgresRelay]:
    """The server, behind a network that may swallow what it says."""
    # Longer than a server takes on a machine that has too much to do.
    monkeypatch.setattr(postgres_connection, "SILENT_S", 1.5)
    with PostgresRelay(postgres_url) as opened:
        yield opened


def test_a_statement_that_is_not_answered_ends_the_connection(relay: PostgresRelay) -> None:
    opened = connections.open_postgres(parse_url(relay.url))
    assert opened.execute("SELECT 1").fetchone() == (1,)
    relay.mute()
    with pytest.raises(psycopg.OperationalError):
        opened.execute("SELECT 2")
    assert opened.closed


def test_what_the_server_ends_by_itself_ends_no_connection(
    relay: PostgresRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        postgres_connection, "_OPTIONS", f"{postgres_connection._OPTIONS} -c statement_timeout=9"
    )
    opened = connections.open_postgres(parse_url(relay.url))
    with pytest.raises(psycopg.errors.QueryCanceled):
        opened.execute("SELECT pg_sleep(9)")
    assert opened.execute("SELECT 1").fetchone() == (1,)
    opened.close()


def test_an_engine_takes_another_connection(relay: PostgresRelay) -> None:
    engine = create_engine(parse_url(relay.url), write=False, size=1)
    with engine.connect() as opened:
        opened.execute(sa.text("SELECT 1"))
    relay.mute()
    with pytest.raises(sa.exc.OperationalError), engine.connect() as opened:
        opened.execute(sa.text("SELECT 1"))
    with engine.connect() as opened:
        assert opened.scalar(sa.text("SELECT 1")) == 1
    engine.dispose()


def test_a_pipeline_that_is_not_answered_ends_its_connection(relay: PostgresRelay) -> None:
    opened = connections.open_postgres(parse_url(relay.url))
    pipeline = PostgresPipeline(opened)
    assert pipeline.run([("SELECT 1", ())]) == [[(1,)]]
    relay.mute()
    with pytest.raises(psycopg.OperationalError):
        pipeline.run([("SELECT 1", ())])
    assert opened.closed


async def test_reads_that_are_not_answered_are_asked_elsewhere(relay: PostgresRelay) -> None:
    reads = PostgresReads(parse_url(relay.url))
    assert (await reads.fetch(COUNT, {}))[0][0] == 3
    relay.mute()
    told = await asyncio.gather(*(reads.fetch(COUNT, {}) for _ in range(3)))
    assert [rows[0][0] for rows in told] == [3, 3, 3]
    assert relay.count == 2
    # Nor is a connection given up because nothing was asked of it.
    await asyncio.sleep(1.1 * postgres_connection.SILENT_S)
    assert (await reads.fetch(COUNT, {}))[0][0] == 3
    assert relay.count == 2
    await reads.close()


async def test_a_read_that_is_answered_nowhere_is_given_up(
    relay: PostgresRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = PostgresReads(parse_url(relay.url))
    await reads.fetch(COUNT, {})
    open_connection = postgres_connection.open_connection

    def open_muted(conninfo: str) -> postgres_connection.PostgresConnection:
        opened = open_connection(conninfo)
        relay.mute()
        return opened

    monkeypatch.setattr(postgres_connection, "open_connection", open_muted)
    relay.mute()
    with pytest.raises(DatabaseUnavailable):
        await reads.fetch(COUNT, {})
    await reads.close()


async def test_a_commit_that_is_not_answered_is_read_again(
    relay: PostgresRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await Database.open(relay.url, kind=None, clock=SystemClock())
    ledger = Ledger(store, SystemClock())
    await ledger.start()
    await ledger.submit(give("g1", 5))
    is_muted = threading.Event()
    commit = PostgresSession.commit

    def commit_unheard(session: PostgresSession) -> None:
        if not is_muted.is_set():
            is_muted.set()
            relay.mute()
        commit(session)

    monkeypatch.setattr(PostgresSession, "commit", commit_unheard)
    receipt = await ledger.submit(give("g2", 5))
    assert (is_muted.is_set(), receipt.existed) == (True, False)
    assert (await ledger.read_balances([GIFT]))[GIFT.code].posted == 10
    await ledger.stop()
    audit = await check_ledger(store)
    assert (audit.findings, audit.transfers) == ((), 2)
    await store.close()


def test_an_address_may_say_how_long_a_network_may_be_silent(relay: PostgresRelay) -> None:
    query = "?tcp_user_timeout=7000&keepalives_idle=9"
    opened = connections.open_postgres(parse_url(f"{relay.url}{query}"))
    told = {one.keyword: one.val for one in opened.pgconn.info}
    opened.close()
    names = (b"tcp_user_timeout", b"keepalives_idle", b"keepalives_interval")
    assert [told[name] for name in names] == [b"7000", b"9", b"5"]
