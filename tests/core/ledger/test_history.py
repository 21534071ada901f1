"""The history of accounts: read backwards, each row once, and only what was posted."""

from __future__ import annotations

from core.db.database import Database
from core.ledger.account_history import AccountHistory
from core.ledger.ledger import Ledger
from tests.core.ledger.accounts import BOUGHT, GIFT, ISSUED, SPENT, give, hold, settle


async def test_an_account_with_nothing_but_holds_has_no_history_yet(
    ledger: Ledger, store: Database
) -> None:
    await ledger.submit(give("g", 100))
    await ledger.submit(hold("ask/1", 60))
    history = AccountHistory(store)
    codes = [SPENT.code, GIFT.code, BOUGHT.code]
    positions = await history.read_positions(codes)
    posted = {one.code: one.posted for one in positions if one.head}
    assert posted == {SPENT.code: 0, GIFT.code: 100}
    changes = [change async for change in history.walk(positions)]
    assert [(one.code, one.counter, one.amount) for one in changes] == [
        (GIFT.code, ISSUED.code, 100)
    ]
    await ledger.submit(settle("ask/1", 50))
    changes = [change async for change in history.walk(await history.read_positions(codes))]
    assert sorted((one.code, one.amount) for one in changes) == [
        (SPENT.code, 50),
        (GIFT.code, -50),
        (GIFT.code, 100),
    ]
