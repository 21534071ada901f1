"""What a step of the schema makes of the rows that are there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from core.db.connections import create_engine, parse_url
from core.db.migrate import run_migrations
from tests.support.databases import Postgres

pytestmark = pytest.mark.integration


@pytest.fixture(params=["sqlite", "postgresql"])
def connection(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sa.Connection]:
    """On a database with nothing in it."""
    if request.param == "sqlite":
        opened = create_engine(parse_url(f"sqlite:///{tmp_path}/empty.db"), write=True, size=1)
        with opened.begin() as begun:
            yield begun
        opened.dispose()
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    name = postgres.create()
    opened = create_engine(parse_url(postgres.url(name)), write=True, size=1)
    with opened.begin() as begun:
        yield begun
    opened.dispose()
    postgres.drop(name)


def test_refunds_get_receipts_and_disputes_rows_of_their_own(connection: sa.Connection) -> None:
    run_migrations(connection, "0007")
    tables = sa.MetaData()
    order, event, refund, payment = (
        sa.Table(name, tables, autoload_with=connection)
        for name in ("order", "order_event", "refund", "payment")
    )
    needed = {
        each.name: "" if isinstance(each.type, sa.Text) else 0
        for each in order.columns
        if not each.nullable
    }
    sold = {"gateway": "stripe", "unit": "USD", "paid": 90, "bought": 40}
    for name, state in (("o1", "open"), ("o2", "lost"), ("o3", "")):
        disputed = {"dispute": f"dp_{name}" if state else None, "dispute_state": state}
        connection.execute(order.insert().values(needed | sold | disputed | {"id": name}))
        connection.execute(
            payment.insert().values(
                {"gateway": "stripe", "external": f"pi_{name}", "id": f"pay_{name}"}
                | {"order": name, "unit": "USD", "amount": 90, "fee": 0, "at": 5}
            )
        )
        if state:
            connection.execute(
                event.insert().values(
                    {"id": f"oev_{name}", "order": name, "at": 7, "what": "dispute open"}
                    | {"facts": '{"amount": 90}'}
                )
            )
    for name in ("re_1", "re_2"):
        connection.execute(
            refund.insert().values(
                {"gateway": "stripe", "external": name, "order": "o3", "amount": 1, "at": 6}
            )
        )
    run_migrations(connection)
    rows = connection.execute(
        sa.text('SELECT external, "order", payment, amount, state, ended_at FROM dispute')
    )
    assert sorted(map(tuple, rows)) == [
        ("dp_o1", "o1", "pi_o1", 90, "open", None),
        ("dp_o2", "o2", "pi_o2", 90, "lost", 7),
    ]
    rows = connection.execute(
        sa.text('SELECT id, lost, bought, offer, referral, share FROM "order" ORDER BY id')
    )
    assert list(map(tuple, rows)) == [
        ("o1", 0, 40, "", None, 0),
        ("o2", 90, 0, "", None, 0),
        ("o3", 0, 40, "", None, 0),
    ]
    receipts = connection.execute(sa.text("SELECT id FROM refund")).scalars().all()
    assert len(set(receipts)) == 2
    assert all(id_.startswith("rfd_") for id_ in receipts)


def test_answers_that_landed_before_branching_can_be_replied_to(connection: sa.Connection) -> None:
    run_migrations(connection, "0003")
    table = sa.Table("ask", sa.MetaData(), autoload_with=connection)
    needed = {
        each.name: "" if isinstance(each.type, sa.Text) else 0
        for each in table.columns
        if not each.nullable
    }
    needed["stop_requested"] = False
    for ask, shown_in, landed_at in (("a", "1", 5), ("b", "2", None), ("c", "", 5)):
        row = {"id": ask, "place": "telegram:7:", "shown_in": shown_in, "landed_at": landed_at}
        connection.execute(table.insert().values(needed | row))
    run_migrations(connection)
    rows = connection.execute(sa.text("SELECT place, message, ask FROM shown")).all()
    assert [tuple(row) for row in rows] == [("telegram:7:", "1", "a")]


def test_what_was_lost_before_it_could_be_undone_is_known(connection: sa.Connection) -> None:
    run_migrations(connection, "0018")
    tables = sa.MetaData()
    order, event, dispute = (
        sa.Table(name, tables, autoload_with=connection)
        for name in ("order", "order_event", "dispute")
    )
    needed = {
        each.name: "" if isinstance(each.type, sa.Text) else 0
        for each in order.columns
        if not each.nullable
    }
    # Of $10 so much was spent; beside the second one, the order was given back too.
    for name, refunded, bad_debt in (("o1", 0, 4_000_000_000), ("o2", 1, 10_000_000_000)):
        sold = {"gateway": "stripe", "unit": "USD", "refunded": refunded, "dispute_state": "lost"}
        connection.execute(order.insert().values(needed | sold | {"id": name}))
        lost = {"gateway": "stripe", "payment": "p", "amount": 10_000_000_000, "state": "lost"}
        lost |= {"external": f"dp_{name}", "id": f"dsp_{name}", "order": name, "reason": ""}
        connection.execute(dispute.insert().values(lost | {"opened_at": 5, "ended_at": 7}))
        for id_, amount, what in ((1, 10_000_000_000, "dispute lost"), (2, 5, "dispute lost")):
            facts = f'{{"amount": {amount}, "bad_debt": {bad_debt if id_ == 1 else 5}}}'
            told = {"id": f"oev_{name}_{id_}", "order": name, "at": 7, "what": what}
            connection.execute(event.insert().values(told | {"facts": facts}))
    run_migrations(connection)
    rows = connection.execute(
        sa.text(
            "SELECT external, turn, fee, bad_debt, unrecovered_bought, unrecovered_bonus, running"
            " FROM dispute ORDER BY external"
        )
    )
    assert list(map(tuple, rows)) == [
        ("dp_o1", 0, 0, 4_000_000_000, 400, 0, None),
        ("dp_o2", 0, 0, 10_000_000_000, 0, 0, None),
    ]
