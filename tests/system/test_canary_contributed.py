"""A contributed key and its owner's bank details as canaries, from the first message to the end, on
each platform: nothing that is said, logged, exported, measured or kept holds them, but what is
sealed, and the owner's card that says where to pay."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import pytest
import sqlalchemy as sa
from prometheus_client import generate_latest

from bots import http
from core.admin.report import build_report
from core.admin.trial_balance import ReportPeriod
from core.db import schema
from core.db.backup import back_up_database
from core.ledger.export import write_beancount, write_csv
from tests.peers.suppliers import Answer, Refuse
from tests.support.size import size
from tests.system import canaries
from tests.system.canaries import Everything, columns, product_logs as logs
from tests.system.chats import PLATFORMS
from tests.system.contribution_support import (
    ANN,
    BANK,
    BOB,
    HOLDER,
    IBAN,
    KEY,
    OWNER,
    TOM,
    Fair,
    contributed,
    open_market,
    shown,
    withdrawn,
)

__all__ = ["logs"]

REFUSED = "sk-proj-canary-of-nobody-T3BlbkFJ-0002"
KEYS = {KEY, REFUSED, KEY.removeprefix("sk-proj-")}
DETAILS = {HOLDER, IBAN, BANK}
PLANTED = KEYS | DETAILS

#: How a supplier may fail, each quoting the key that it was called with.
FAILURES = (
    Refuse(401, code="invalid_api_key", message=f"Incorrect API key provided: {KEY}"),
    Refuse(429, code="rate_limit_exceeded", message=KEY, retry_after="20"),
    Refuse(500, body=f"<html>{KEY}</html>".encode()),
    Refuse(302, headers={"Location": f"http://127.0.0.1:1/{KEY}"}, body=KEY.encode()),
    Refuse(200, body=f"not an event stream {KEY}".encode()),
)


async def _refused(there: Fair) -> None:
    """A key that its supplier doesn't take, and says so with all of it."""
    openai, ann = there.market.service.openai, there.chat(ANN)
    openai.listing = Refuse(401, code="invalid_api_key", message=f"Incorrect key: {REFUSED}")
    card = await ann.says("contribute", "Contribute your API key", supplier="openai")
    await ann.types(card, "OpenAI", key=REFUSED)
    openai.listing = None


async def _again(there: Fair) -> None:
    """Somebody else tries the same key."""
    ann = there.chat(ANN)
    card = await ann.says("contribute", "Contribute your API key", supplier="openai")
    await ann.types(card, "in the pool already", key=KEY)


async def _fails(there: Fair) -> None:
    """Each failure, in the chat; then one in the middle of an answer."""
    service, tom = there.market.service, there.chat(TOM)
    broken = Answer(chunks=("word ",) * 9, fails_after=4)
    for failure in (*FAILURES, broken):
        # A supplier that fails is asked once more before that is told.
        is_asked_again = isinstance(failure, Refuse) and failure.status == 500
        service.openai.script(*(failure,) * (1 + is_asked_again))
        await tom.says("ask", "◈" if failure is broken else "charged", question="why " * 480)
        await tom.says("new", "New conversation.")
        for card in await service.app.services.pool.pool.list_keys():
            await service.app.services.pool.pool.resume_key(card.id)


async def _looked_at(there: Fair) -> None:
    """Everything that shows keys or payouts to anyone."""
    bob, owner = there.chat(BOB), there.chat(OWNER)
    card = await bob.says("keys", "My keys")
    card = await bob.presses(card, "OpenAI …0001", "Used: ")
    card = await bob.presses(card, "Pause", "paused")
    card = await bob.presses(card, "Resume", "serving")
    card = await bob.presses(card, "Lower its limit", "How many should the key go on to earn?")
    await bob.presses(card, "Back", "Used: ")
    await bob.says("export", "Everything kept about you")
    await bob.says("usage", "Recent Usage")
    card = await owner.says("pool", "can be served now")
    await owner.presses(card, "…0001", "Last fault")
    await owner.says("payouts", "Payouts")
    await owner.says("report", "Report · ")
    await owner.says("audit", "Audit: clean")


async def _taken_back(there: Fair) -> None:
    bob = there.chat(BOB)
    card = await bob.says("keys", "My keys")
    card = await bob.presses(card, "OpenAI …0001", "Used: ")
    card = await bob.presses(card, "Take it back", "Take OpenAI …0001 back?")
    await bob.presses(card, "Yes, take it back", "Ended")


DATABASES = ("sqlite", "postgresql")


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("database_url", "platform"),
    list(itertools.product(DATABASES, PLATFORMS))
    if size(small=0, full=1)
    else list(zip(DATABASES, PLATFORMS, strict=True)),
    indirect=["database_url"],
)
async def test_a_contributed_key_and_bank_details_are_nowhere_but_sealed(
    platform: str, database_url: str, logs: Everything, tmp_path: Path
) -> None:
    async with open_market(platform, database_url, least=10) as there:
        await _refused(there)
        await contributed(there)
        await _again(there)
        await there.buys(TOM, 1_000)
        await _fails(there)
        await there.asks(TOM, 10)
        earned = (await there.market.has(str(BOB)))["earned"]
        await withdrawn(there, earned, shown(earned))
        await there.asks(TOM, 10)
        await _asks_for_more(there)
        await _looked_at(there)
        await _all_is_clean(there, database_url, tmp_path)
        assert await _sealed(there) == {"key": 1, "payout": 1, "payout_method": 1}
        await _taken_back(there)
        await there.tells()
        await _all_is_clean(there, database_url, tmp_path)
        assert await _sealed(there) == {"key": 0, "payout": 1, "payout_method": 1}
    _clean("the logs", "\n".join(logs.lines))
    assert logs.lines, "something was logged"


async def _asks_for_more(there: Fair) -> None:
    """A second withdrawal to the same address, which nobody has decided yet."""
    bob = there.chat(BOB)
    earned = (await there.market.has(str(BOB)))["earned"]
    card = await bob.says("withdraw", f"Withdrawable: {earned:,} Credits")
    card = await bob.presses(card, f"{earned:,} Credits by Bank transfer", "GB••••5555")
    await bob.presses(card, "Yes, withdraw", "Withdrawal requested")


async def _all_is_clean(there: Fair, url: str, folder: Path) -> None:
    service = there.market.service
    app, now = service.app, service.clock.now_ms()
    base = app.services.base
    for name, content in await columns(app.services.base.db):
        _clean(name, content)
    for write in (write_beancount, write_csv):
        out = io.StringIO()
        await write(app.services.base.db, out)
        _clean(write.__name__, out.getvalue())
    _clean(
        "the report",
        repr(
            await build_report(base.db, base.payment_records, ReportPeriod.whole_history(now), now)
        ),
    )
    _clean("the keys' cards", repr(await app.services.pool.pool.list_keys()))
    _clean(
        "the metrics",
        generate_latest(
            http.build_metrics_registry(
                app.services.asks.asks,
                app.services.pool.pool,
                app.services.admin.monitor,
                app.chat.readiness.platform_states,
            )
        ),
    )
    if app.services.base.db.dialect == "sqlite":
        await back_up_database(url, copy := folder / f"copy-{now}.db")
        _clean("the backup", copy.read_bytes())
        for part in Path(url.removeprefix("sqlite:///")).parent.glob("*.db*"):
            _clean(part.name, part.read_bytes())
    _nobody_was_told(there)
    for call in service.openai.calls:
        headers = {**call.headers, "Authorization": ""}
        assert not canaries.found(PLANTED, f"{headers} {call.body} {call.path}")


def _nobody_was_told(there: Fair) -> None:
    """But the owner, where to pay, once Bob couldn't take it back any more."""
    sent = there.town.sent()
    assert len(sent) > 50
    told = [each for each in sent if canaries.found(PLANTED, each)]
    assert told
    for each in told:
        assert "Pay it by hand to" in each
        assert not canaries.found(KEYS, each)
    for person in (BOB, TOM, ANN):
        assert not any(there.chat(person).sees(canary) for canary in PLANTED)


async def _sealed(there: Fair) -> dict[str, int]:
    """How much is sealed of each kind."""
    tables = (schema.key, schema.payout, schema.payout_method)
    return {
        table.name: len(
            await there.market.service.app.services.base.db.fetch(
                sa.select(table.c.id).where(table.c.sealed.is_not(None))
            )
        )
        for table in tables
    }


def _clean(place: str, content: str | bytes) -> None:
    assert not (found := canaries.found(PLANTED, content)), f"{found} in {place}"
