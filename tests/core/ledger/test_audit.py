"""The audit sees any one row altered, deleted or added by hand; and nothing in a sound ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
import pytest_asyncio
import sqlalchemy as sa

from core.db.connections import create_engine
from core.db.database import Database
from core.ledger import audit
from core.ledger.audit import audit_snapshot, check_ledger
from core.ledger.daily_closings import close_days
from core.ledger.ledger import Ledger
from core.ledger.types import Move, Submission
from core.money import Credits
from tests.core.ledger.accounts import BOUGHT, SPENT, give, hold, settle
from tests.support.databases import TestClock


@contextmanager
def writing(store: Database) -> Iterator[sa.Connection]:
    """A connection that does what no part of the product can, and takes it back at the end."""
    opened = create_engine(store.address, write=True, size=1)
    try:
        with opened.begin() as connection, connection.begin_nested() as tampered:
            for table in ("transfer", "submission"):
                for verb in ("update", "delete"):
                    on = f" ON {table}" if store.dialect == "postgresql" else ""
                    connection.exec_driver_sql(f"DROP TRIGGER {table}_{verb}{on}")
            yield connection
            tampered.rollback()
    finally:
        opened.dispose()


@pytest_asyncio.fixture
async def lived_in(store: Database, clock: TestClock) -> AsyncIterator[Database]:
    """Three days of history, with holds settled, voided and open."""
    ledger = Ledger(store, clock)
    await ledger.start()
    await ledger.submit(give("g1", 100))
    await ledger.submit(give("b1", 100, BOUGHT))
    await ledger.submit(hold("ask/1", 120))
    await ledger.submit(settle("ask/1", 110))
    clock.advance(days=1)
    await ledger.submit(hold("ask/2", 30))
    await ledger.submit(settle("ask/2", 0))
    await ledger.submit(Submission("nothing", ()))
    clock.advance(days=1)
    await close_days(store, ledger, clock, "2026-03-03")
    await ledger.submit(hold("ask/3", 40))
    await ledger.submit(Submission("last", (Move("a", BOUGHT, SPENT, Credits(1)),)))
    await ledger.stop()
    yield store


async def test_a_sound_ledger_has_no_findings(lived_in: Database) -> None:
    found = await check_ledger(lived_in)
    assert found.findings == ()
    assert (found.accounts, found.transfers, found.holds) == (4, 10, 1)


TAMPERINGS = [
    *[
        f"UPDATE account SET {column} = {column} + 1 WHERE code = 'user/1/bought'"
        for column in ("debits_pending", "debits_posted", "credits_pending", "credits_posted")
    ],
    "UPDATE account SET head = head - 1 WHERE code = 'user/1/bought'",
    "UPDATE account SET day = day + 1 WHERE code = 'user/1/bought'",
    "UPDATE account SET day = day - 2 WHERE code = 'user/1/gift'",
    "UPDATE account SET code = 'user/2/gift' WHERE code = 'user/1/gift'",
    "UPDATE account SET unit = 'STAR' WHERE code = 'user/1/gift'",
    "UPDATE account SET unit = 'EUR' WHERE code = 'user/1/gift'",
    "UPDATE account SET limit_kind = 'none' WHERE code = 'user/1/gift'",
    "UPDATE account SET limit_kind = 'some' WHERE code = 'user/1/gift'",
    "UPDATE account SET id = id + 100 WHERE code = 'user/1/gift'",
    "DELETE FROM account WHERE code = 'user/1/gift'",
    (
        "INSERT INTO account SELECT id + 100, code || 'x', unit, limit_kind, 0, 0, 0, 0, 0, 0, seal"
        " FROM account WHERE code = 'user/1/gift'"
    ),
    "UPDATE transfer SET amount = amount + 1 WHERE seq = {first}",
    "UPDATE transfer SET amount = amount - 1 WHERE seq = {hold}",
    "UPDATE transfer SET amount = amount + 1 WHERE seq = {void}",
    "UPDATE transfer SET kind = 1 WHERE seq = {first}",
    "UPDATE transfer SET kind = 9 WHERE seq = {first}",
    "UPDATE transfer SET kind = 2 WHERE seq = {void}",
    "UPDATE transfer SET pending = NULL WHERE seq = {void}",
    "UPDATE transfer SET pending = {hold} WHERE seq = {first}",
    "UPDATE transfer SET debit = credit, credit = debit WHERE seq = {first}",
    "UPDATE transfer SET debit_previous = debit_previous + 1 WHERE seq = {last}",
    "UPDATE transfer SET credit_previous = 0 WHERE seq = {last}",
    "UPDATE transfer SET entry = 'other' WHERE seq = {first}",
    "UPDATE transfer SET n = 1 WHERE seq = {first}",
    "UPDATE transfer SET submission = submission + 1 WHERE seq = {first}",
    "UPDATE transfer SET seq = seq + 500000 WHERE seq = {last}",
    "DELETE FROM transfer WHERE seq = {last}",
    "DELETE FROM transfer WHERE seq = {first}",
    (
        "INSERT INTO transfer SELECT seq + 500000, submission, entry, n, kind, debit, credit,"
        " amount, pending, debit_previous, credit_previous FROM transfer WHERE seq = {last}"
    ),
    "UPDATE submission SET id = 'g9' WHERE id = 'g1'",
    "UPDATE submission SET at = at + 1 WHERE id = 'g1'",
    "UPDATE submission SET at = at - 259200000 WHERE id = 'last'",
    "UPDATE submission SET digest = seal WHERE id = 'g1'",
    "UPDATE submission SET first = first + 1 WHERE id = 'g1'",
    "UPDATE submission SET transfers = transfers + 1 WHERE id = 'g1'",
    "UPDATE submission SET transfers = transfers + 1 WHERE id = 'nothing'",
    "UPDATE submission SET id = 'nothing more' WHERE id = 'nothing'",
    "DELETE FROM submission WHERE id = 'g1'",
    "UPDATE hold SET amount = amount + 1",
    "UPDATE hold SET name = 'ask/4/credits'",
    "UPDATE hold SET debit = credit",
    "UPDATE hold SET seq = seq + 1",
    "DELETE FROM hold",
    "INSERT INTO hold SELECT seq + 1, name, debit, credit, amount FROM hold",
    "UPDATE closing SET debits_posted = debits_posted + 1 WHERE {one_closing}",
    "UPDATE closing SET credits_posted = credits_posted + 1 WHERE {one_closing}",
    "UPDATE closing SET head = head + 1 WHERE {one_closing}",
    "UPDATE closing SET head = head + 500000 WHERE {one_closing}",
    "UPDATE closing SET day = '2026-02-28' WHERE {one_closing}",
    "UPDATE closing SET account = account + 100 WHERE {one_closing}",
    "DELETE FROM closing WHERE {one_closing}",
    (
        "INSERT INTO closing SELECT account, '2026-03-09', debits_posted, credits_posted, head"
        " FROM closing WHERE {one_closing}"
    ),
]


async def test_any_one_row_altered_is_found(lived_in: Database) -> None:
    with writing(lived_in) as connection:
        unnoticed = [text for text in TAMPERINGS if not findings_after(connection, text)]
        assert unnoticed == []
        assert audit_snapshot(connection).findings == ()


def findings_after(connection: sa.Connection, tampering: str) -> tuple[str, ...]:
    rows = connection.exec_driver_sql("SELECT seq, kind FROM transfer ORDER BY seq").all()
    text = tampering.format(
        first=rows[0].seq,
        last=rows[-1].seq,
        hold=next(row.seq for row in rows if row.kind == 1),
        void=next(row.seq for row in rows if row.kind == 3),
        one_closing="day = '2026-03-01' AND account ="
        " (SELECT id FROM account WHERE code = 'user/1/bought')",
    )
    with connection.begin_nested() as tampered:
        assert connection.exec_driver_sql(text).rowcount == 1, text
        found = audit_snapshot(connection).findings
        tampered.rollback()
    return found


@pytest.mark.parametrize(
    ("tampering", "finding"),
    [
        ("UPDATE account SET unit = 'EUR' WHERE code = 'user/1/gift'", "unit 'EUR'"),
        (
            "UPDATE submission SET at = at - 259200000 WHERE id = 'last'",
            "user/1/bought: transfer {last} counts to an earlier day",
        ),
        ("UPDATE closing SET head = head + 500000 WHERE {one_closing}", "no such transfer"),
    ],
)
async def test_a_finding_names_what_is_wrong(
    lived_in: Database, tampering: str, finding: str
) -> None:
    with writing(lived_in) as connection:
        last = connection.exec_driver_sql("SELECT max(seq) FROM transfer").scalar_one()
        expected = finding.format(last=last)
        assert [one for one in findings_after(connection, tampering) if expected in one]


async def test_findings_past_the_bound_are_counted(
    lived_in: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "UPDATE account SET code = 'x' WHERE code = 'user/1/gift'"
    missing = "DELETE FROM account WHERE code = 'user/1/gift'"
    with writing(lived_in) as connection:
        all_findings = findings_after(connection, missing)
        monkeypatch.setattr(audit, "FINDINGS_MAX", 2)
        found = findings_after(connection, missing)
        assert found == (*all_findings[:2], f"and {len(all_findings) - 2} more")
        assert len(findings_after(connection, text)) == 1, "as many as fit, and none more"


@pytest.mark.parametrize("statement", ["UPDATE transfer SET amount = 1", "DELETE FROM submission"])
async def test_history_can_not_be_rewritten(lived_in: Database, statement: str) -> None:
    opened = create_engine(lived_in.address, write=True, size=1)
    with pytest.raises(sa.exc.DBAPIError, match="written once"), opened.begin() as connection:
        connection.exec_driver_sql(statement)
    opened.dispose()
    assert (await check_ledger(lived_in)).findings == ()
