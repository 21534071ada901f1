"""Alerts: each thing that owners should know comes by itself, once an hour, until it is muted."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from core import chart
from core.db import schema
from core.db.writes import Insert, Update
from core.ledger.types import Move, Submission
from core.money import parse_usd
from core.pool.health import CIRCUIT_FAULTS, Attempt
from core.pool.providers.types import Fault
from tests.bots.commands.admin.alerts_support import front, heard, owner
from tests.bots.commands.commands_support import button, text_of
from tests.core.admin.erasure_support import _payout
from tests.peers.suppliers import Answer as Says, Refuse, Script, Used
from tests.support.databases import TestClock
from tests.support.service import Service

__all__ = ["owner"]


async def test_a_supplier_that_fails_is_told_once_an_hour_and_can_be_muted(
    owner: Service, clock: TestClock
) -> None:
    chats = front(owner)
    circuit = owner.app.services.pool.pool._router.circuits["openai"]
    for _ in range(CIRCUIT_FAULTS):
        circuit.record_failure(Fault.UNAVAILABLE, Attempt("answer", clock.now_ms()), clock.now_ms())
    assert owner.app.services.pool.pool.list_down_suppliers() == ["openai"]
    await owner.app.services.admin.monitor.check_process()
    await owner.app.services.admin.monitor.check_process()
    (card,) = await heard(owner, chats)
    assert card.title == "⚠️ A supplier is down"
    assert "OpenAI is failing" in text_of(card)
    assert "OpenAI" in text_of((await owner.presses(button(card, "Open")))[-1])
    assert "Muted until" in text_of((await owner.presses(button(card, "Mute 4 h")))[-1])
    circuit.open_until += 86_400_000
    clock.advance(seconds=3 * 3_600)
    await owner.app.services.admin.monitor.check_process()
    assert await heard(owner, chats) == []
    clock.advance(seconds=2 * 3_600)
    await owner.app.services.admin.monitor.check_process()
    assert len(await heard(owner, chats)) == 1
    clock.advance(seconds=1_800)
    await owner.app.services.admin.monitor.check_process()
    assert await heard(owner, chats) == []


async def test_answers_that_fail_are_told_as_a_rate(owner: Service, clock: TestClock) -> None:
    chats, ended = front(owner), owner.app.services.asks.asks.outcome_counts
    ended["done"] += 1_000
    await owner.app.services.admin.monitor.check_process()
    clock.advance(seconds=300)
    ended["done"] += 16
    ended["broken"] += 4
    await owner.app.services.admin.monitor.check_process()
    (card,) = await heard(owner, chats)
    assert "4 of the last 20 answers" in text_of(card)
    clock.advance(seconds=4_000)
    await owner.app.services.admin.monitor.check_process()
    ended["done"] += 100
    ended["broken"] += 19
    await owner.app.services.admin.monitor.check_process()
    assert await heard(owner, chats) == [], "16 % is no alert"


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (
            Refuse(400, message="the moon is in the wrong house"),
            "OpenAI refused 5 questions in ten minutes in words",
        ),
        (
            Says("Because.", usage=Used(90_000, 3)),
            "OpenAI told a usage that can't be true of 5 answers",
        ),
    ],
)
async def test_what_a_supplier_says_again_and_again_is_told(
    owner: Service, script: Script, told: str
) -> None:
    chats, tom = front(owner), owner.someone("7")
    await owner.app.services.admin.monitor.check_process()
    for times in (4, 1):
        assert await heard(owner, chats) == []
        for _ in range(times):
            owner.openai.always(script)
            await tom.answer("why?")
        await owner.app.services.admin.monitor.check_process()
    (card,) = await heard(owner, chats)
    assert told in text_of(card)


@pytest.mark.parametrize(("used", "level"), [("7.9", None), ("8", 20), ("9.6", 5), ("10", 0)])
async def test_keys_that_run_out(owner: Service, used: str, level: int | None) -> None:
    chats = front(owner)
    (card,) = await owner.app.services.pool.pool.list_keys()
    move = Move("used", chart.key_quota(card.id), chart.supplier_cost("openai"), parse_usd(used))
    await owner.app.services.base.ledger.submit(Submission("test/used", (move,)))
    await owner.app.services.pool.pool.reload()
    await owner.app.services.admin.monitor.check_service()
    told = [text_of(one) for one in await heard(owner, chats)]
    assert [f"{level} % of all budgets" in one for one in told] == [True] * (level is not None)


async def test_a_model_that_is_sold_under_cost(owner: Service) -> None:
    chats = front(owner)
    sure = await owner.screen("/setprice gpt-4 0.01")
    await owner.presses(sure.buttons[0][0].id)
    tom = owner.someone("7")
    for _ in range(3):
        await tom.answer("why " * 480)
    await owner.app.services.admin.monitor.check_service()
    told = [text_of(one) for one in await heard(owner, chats)]
    assert any("more than it brought in the last day" in one for one in told), told


async def test_withdrawals_that_wait_for_a_day(owner: Service, clock: TestClock) -> None:
    chats = front(owner)
    at = clock.now_ms()
    row = {**_payout("usr_x"), "state": "requested", "created_at": at}
    await owner.app.services.base.ledger.record(Insert(schema.payout, row))
    clock.advance(seconds=86_000)
    await owner.app.services.admin.monitor.check_service()
    assert await heard(owner, chats) == []
    clock.advance(seconds=500)
    await owner.app.services.admin.monitor.check_service()
    (card,) = await heard(owner, chats)
    assert "1 waits for longer than a day" in text_of(card)
    await owner.app.services.base.ledger.record(
        Update(schema.payout, {"id": row["id"]}, {"state": "cancelled"})
    )


async def test_what_the_audit_finds(owner: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    chats = front(owner)
    await owner.someone("7").answer("why?")
    await owner.app.services.admin.monitor.audit_ledger()
    assert await heard(owner, chats) == []
    ask = (await owner.app.services.base.db.fetch(sa.select(schema.usage.c.ask)))[0].ask
    charge = (await owner.app.services.base.db.fetch(sa.select(schema.usage.c.charge)))[0].charge
    await owner.app.services.base.ledger.record(
        Update(schema.usage, {"ask": ask}, {"charge": charge + 1})
    )
    with monkeypatch.context() as patched:
        patched.setattr("core.admin.monitor._AUDITED_MOST", 3)
        await owner.app.services.admin.monitor.audit_ledger()
        assert await heard(owner, chats) == [], "too large to be recomputed here"
    await owner.app.services.admin.monitor.audit_ledger()
    (card,) = await heard(owner, chats)
    assert card.title == "⚠️ The audit found something"
    assert ask in text_of(card)
    await owner.app.services.base.ledger.record(
        Update(schema.usage, {"ask": ask}, {"charge": charge})
    )
