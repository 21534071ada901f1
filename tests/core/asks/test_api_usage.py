"""What a person's programs asked: in pages, the newest first, and nobody else's."""

from __future__ import annotations

import dataclasses

import sqlalchemy as sa

from core.asks.api_usage import ApiUsageHistory, UsageCursor
from core.db import schema
from core.db.writes import Insert
from core.ledger.ledger import Ledger
from core.money import Credits, Tokens


def _fill(table: sa.Table, **told: object) -> Insert:
    """A row with what a test says, and nothing in all other columns that must be there."""
    empty = {sa.Text: "", sa.BigInteger: 0, sa.Integer: 0, sa.Boolean: False}
    row = {
        column.name: next(one for kind, one in empty.items() if isinstance(column.type, kind))
        for column in table.c
        if not column.nullable
    }
    return Insert(table, row | told)


async def _record(ledger: Ledger, ask: str, person: str, at: int, token: str | None) -> None:
    await ledger.record(
        _fill(schema.ask, id=ask, person=person, state="settled", outcome="done", api_token=token),
        _fill(
            schema.usage,
            ask=ask,
            person=person,
            at=at,
            model="gpt-5",
            input_tokens=9,
            cached_tokens=4,
            output_tokens=2,
            charge=1,
        ),
    )


async def test_pages_hold_each_ask_once(ledger: Ledger) -> None:
    history = ApiUsageHistory(ledger.db)
    # Several of one time: the cursor must tell them apart.
    times = {f"ask_{number:02}": 1_000 + number // 4 for number in range(10)}
    for ask, at in times.items():
        await _record(ledger, ask, "usr_1", at, "tok_1")
    await _record(ledger, "ask_chat", "usr_1", 1_001, None)
    await _record(ledger, "ask_other", "usr_2", 1_001, "tok_2")
    expected = sorted(times, key=lambda ask: (times[ask], ask), reverse=True)
    for count in (1, 3, 10, 1_000):
        seen: list[str] = []
        after = None
        while page := await history.list_page("usr_1", count, after):
            seen += [one.ask for one in page]
            after = UsageCursor(page[-1].at, page[-1].ask)
        assert seen == expected
    (first, *_) = await history.list_page("usr_1", 1)
    told = dataclasses.replace(first, ask="", at=0)
    assert (told.token, told.model, told.charge) == ("tok_1", "gpt-5", Credits(1))
    assert (told.input, told.cached, told.output) == (Tokens(9), Tokens(4), Tokens(2))


async def test_what_became_a_part_of_somebody_is_theirs(ledger: Ledger) -> None:
    await ledger.record(_fill(schema.person, id="usr_1"))
    await ledger.record(_fill(schema.person, id="usr_2", merged_into="usr_1"))
    await _record(ledger, "ask_1", "usr_2", 5, "tok_2")
    history = ApiUsageHistory(ledger.db)
    assert [one.ask for one in await history.list_page("usr_1", 9)] == ["ask_1"]
