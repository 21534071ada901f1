"""Updates are sealed rows before they are acknowledged, worked once, and never hold a secret."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from bots.chat.types import ButtonPress, IncomingMessage, Sender
from bots.chat.update_inbox import LEASE_MS, ReceivedUpdate, UpdateInbox
from bots.chat.update_intake import TakenUpdate, UpdateIntake, estimate_bytes
from core.admin_log import admin_log_row
from core.clock import DAY_MS
from core.db import schema
from core.ledger.types import LedgerUnavailable
from tests.support import service
from tests.support.databases import TestClock
from tests.support.service import Service

WORDS = "canary-of-what-was-asked"
PASTED = "sk-proj-canarypasted0123456789canarypasted"


@pytest.fixture
async def tom(database_url: str, clock: TestClock) -> AsyncIterator[Service]:
    async with service.running(database_url, clock) as tom:
        yield tom


def received(name: str, sender: str = "7", text: str = WORDS) -> ReceivedUpdate:
    return ReceivedUpdate(f"telegram/{sender}/{name}", "telegram", sender, {"text": text})


async def rows(tom: Service) -> list[Any]:
    return list(await tom.app.services.base.db.fetch(schema.chat_update.select()))


async def settled(inbox: UpdateInbox) -> None:
    while inbox._deletions:
        await asyncio.gather(*inbox._deletions)


class Worker:
    """Works what was left, and remembers it."""

    def __init__(self, inbox: UpdateInbox) -> None:
        self.worked: list[ReceivedUpdate] = []
        inbox.register_worker("telegram", self.work)

    async def work(self, update: ReceivedUpdate) -> None:
        self.worked.append(update)


async def test_a_row_is_sealed_and_goes_when_it_is_worked(tom: Service) -> None:
    inbox = tom.open_inbox("p1")
    assert await inbox.store(received("1"))
    (row,) = await rows(tom)
    assert WORDS.encode() not in bytes(row.sealed)
    assert not await inbox.store(received("1")), "it is kept already"
    inbox.forget("telegram/7/1", "telegram/7/unknown")
    await settled(inbox)
    assert (await rows(tom), len(inbox)) == ([], 0)


async def test_what_a_process_left_is_worked_once_by_one_of_the_others(
    tom: Service, clock: TestClock
) -> None:
    gone, first, second = (tom.open_inbox(name) for name in ("gone", "first", "second"))
    for number in range(9, 12):
        await gone.store(received(str(number)))
    workers = [Worker(first), Worker(second)]
    assert await first.work_left_updates() == 0, "its process may live"
    clock.advance(seconds=LEASE_MS / 1000 + 1)
    counts = await asyncio.gather(first.work_left_updates(), second.work_left_updates())
    assert sum(counts) == 3
    worked = [each for worker in workers for each in worker.worked]
    assert sorted(each.id for each in worked) == [f"telegram/7/{n}" for n in (10, 11, 9)]
    assert {each.content["text"] for each in worked} == {WORDS}
    first.forget(*(each.id for each in worked))
    second.forget(*(each.id for each in worked))
    await settled(first)
    await settled(second)
    assert await rows(tom) == []


async def test_they_come_in_their_order(tom: Service, clock: TestClock) -> None:
    gone, other = tom.open_inbox("gone"), tom.open_inbox("other")
    for number in (9, 10, 8, 100):
        await gone.store(received(str(number)))
    worker = Worker(other)
    clock.advance(seconds=LEASE_MS / 1000 + 1)
    await other.work_left_updates()
    assert [each.id.rpartition("/")[2] for each in worker.worked] == ["8", "9", "10", "100"]


async def test_a_process_that_lives_keeps_its_rows(tom: Service, clock: TestClock) -> None:
    busy, other = tom.open_inbox("busy"), tom.open_inbox("other")
    worker, own = Worker(other), Worker(busy)
    await busy.store(received("1"))
    for _ in range(5):
        clock.advance(seconds=LEASE_MS / 2000)
        await busy.renew_leases()
        assert await other.work_left_updates() == 0
    clock.advance(seconds=LEASE_MS / 500)
    assert await busy.work_left_updates() == 0, "it was held up, and works it still"
    await busy.release()
    clock.advance(seconds=0.001)
    assert await other.work_left_updates() == 1
    assert (len(worker.worked), own.worked) == (1, [])


async def test_what_ends_every_process_is_given_up(tom: Service, clock: TestClock) -> None:
    await tom.open_inbox("gone").store(received("1"))
    counts = []
    for number in range(25):
        clock.advance(seconds=LEASE_MS / 1000 + 1)
        inbox = tom.open_inbox(f"p{number}")
        Worker(inbox)
        counts.append(await inbox.work_left_updates())
    assert counts == [1] * 20 + [0] * 5
    assert await rows(tom) == []


async def test_nothing_is_kept_for_longer_than_a_day(tom: Service, clock: TestClock) -> None:
    inbox = tom.open_inbox("p1")
    await inbox.store(received("1"))
    await inbox.delete_old()
    assert len(await rows(tom)) == 1
    clock.at_ms += DAY_MS + 1
    await inbox.delete_old()
    assert await rows(tom) == []


async def test_who_is_erased_leaves_no_update(tom: Service) -> None:
    inbox = tom.open_inbox("p1")
    await tom.says("/balance")
    await inbox.store(received("1"))
    await inbox.store(received("2", sender="8"))
    person = await tom.person()
    row = admin_log_row(tom.clock, actor=person.id, act="erase", before={}, after={})
    await tom.app.services.admin.erasure.erase_person(person, is_own_request=True, companion=row)
    assert [row.sender for row in await rows(tom)] == ["telegram:8"]


# --- what a platform is told -------------------------------------------------------------------


class Front:
    """A front end's intake, and what it handed on."""

    def __init__(self, tom: Service) -> None:
        self.tom = tom
        self.inbox = tom.open_inbox("front")
        self.intake = UpdateIntake(tom.app.chat.update_policy, self.inbox)
        self.handed: list[str] = []
        #: How many rows there were as it was handed on.
        self.stored: list[int] = []
        self.has_handed = asyncio.Event()

    async def take(self, incoming: IncomingMessage, *, works: bool = True) -> bool:
        update = received(incoming.message, text=incoming.text)

        def hand_over() -> bool:
            self.handed.append(incoming.text)
            self.stored.append(len(self.inbox))
            self.has_handed.set()
            if works:
                asyncio.get_running_loop().call_soon(self.intake.finish, "7", (update.id,))
            return True

        return await self.intake.take(TakenUpdate(update, incoming, hand_over))


async def test_a_question_is_stored_before_it_is_handed_on(tom: Service) -> None:
    front = Front(tom)
    assert await front.take(tom.incoming(WORDS), works=False)
    assert (front.handed, front.stored) == ([WORDS], [1])
    assert len(await rows(tom)) == 1
    assert WORDS not in str(await rows(tom))


async def test_what_is_not_worked_yet_is_bounded_in_bytes(
    tom: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bots.chat.update_intake.HELD_BYTES_MAX", 30_000)
    front = Front(tom)
    names = [str(number) for number in range(1, 4)]
    for name in names:
        assert front.intake.has_room()
        assert await front.take(tom.incoming("x" * 10_000, message=name), works=False)
    assert not front.intake.has_room()
    again = tom.incoming("x" * 10_000, message="1")
    assert await front.take(again, works=False), "it is kept already, and counted once"
    for name in names:
        front.intake.finish("7", (f"telegram/7/{name}", "telegram/7/unknown"))
    assert (front.intake.has_room(), front.intake._held_bytes) == (True, 0)


def test_an_updates_size_is_what_it_holds() -> None:
    words = {"message": {"text": "x" * 1_000, "entities": [{"offset": 1}] * 5}}
    assert 1_500 < estimate_bytes(words) < 4_000


@pytest.mark.parametrize("text", [PASTED, f"my key is\n{PASTED}", f"/ask {PASTED}"])
async def test_a_key_is_never_written_and_worked_first(tom: Service, text: str) -> None:
    front = Front(tom)
    taking = asyncio.create_task(front.take(tom.incoming(text, message="5"), works=False))
    await front.has_handed.wait()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not taking.done(), "it isn't acknowledged before it is worked"
    front.intake.finish("7", ("telegram/7/5",))
    assert await taking
    assert (front.stored, await rows(tom)) == ([0], [])


async def test_a_key_in_what_is_quoted_is_not_written(tom: Service) -> None:
    policy = tom.app.chat.update_policy
    message = {"text": "what is this?", "reply_to_message": {"text": f"x\n{PASTED}"}}
    assert not await policy.may_be_stored(tom.incoming("what is this?"), message)
    assert await policy.may_be_stored(tom.incoming("what is this?"), {"text": "what is this?"})


async def test_the_answer_to_a_form_is_never_written(tom: Service) -> None:
    owner = tom.someone("1")
    front = Front(owner)
    await owner.says("/pool add openai 50")
    assert await front.take(owner.incoming("hunter2-is-no-key", message="90"))
    assert (front.handed, front.stored, await rows(tom)) == (["hunter2-is-no-key"], [0], [])
    assert await owner.app.chat.update_policy.may_be_stored(owner.incoming("/balance"), {})
    group = replace(owner.incoming("hello"), may_fill_form=False)
    assert await owner.app.chat.update_policy.may_be_stored(group, {})


async def test_what_comes_behind_a_command_that_asks_waits_for_its_form(tom: Service) -> None:
    owner = tom.someone("1")
    front = Front(owner)
    command = owner.incoming("/pool add openai 50", message="80")
    assert await front.take(command, works=False)
    key = asyncio.create_task(front.take(owner.incoming("hunter2-is-no-key", message="81")))
    for _ in range(20):
        await asyncio.sleep(0)
    assert front.handed == ["/pool add openai 50"]
    await owner._shown(owner.app.chat.dispatcher.handle_message(command), owner.place)
    front.intake.finish("1", ("telegram/7/80",))
    assert await key
    assert front.stored[-1] == 0, "it isn't written"
    assert front.handed[-1] == "hunter2-is-no-key"


async def test_a_form_closed_or_late_keeps_nothing_from_being_stored(
    tom: Service, clock: TestClock
) -> None:
    owner = tom.someone("1")
    policy = owner.app.chat.update_policy
    await owner.says("/pool add openai 50")
    clock.advance(seconds=601)
    assert await policy.may_be_stored(owner.incoming("a question, please"), {})
    assert not await policy.may_be_stored(owner.incoming("reads-like-a-key-0123456789"), {})


async def test_what_is_over_ones_budget_is_not_written(tom: Service) -> None:
    front, budget = Front(tom), tom.app.chat.dispatcher.work_budget
    while not budget.is_spent("telegram", "7"):
        budget.take("telegram", "7")
    assert await front.take(tom.incoming("/help"))
    assert front.stored == [0]
    assert await front.take(tom.incoming("a question"), works=False)
    assert front.stored == [0, 1], "a question is no free work"
    press = ButtonPress(tom.place, Sender("7"), "btn_1", "1", id="q1")
    assert not await tom.app.chat.update_policy.may_be_stored(press, {})
    stop = replace(press, button="s:ask_1")
    assert await tom.app.chat.update_policy.may_be_stored(stop, {})


async def test_what_can_not_be_written_is_not_acknowledged(
    tom: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    front = Front(tom)

    async def refuse(*_: Any) -> None:
        raise LedgerUnavailable

    with monkeypatch.context() as patched:
        patched.setattr(front.inbox._ledger, "record", refuse)
        assert not await front.take(tom.incoming("first", message="1"))
    assert front.handed == []
    assert await front.take(tom.incoming("first", message="1"))
    assert front.handed == ["first"]


async def test_one_place_keeps_its_order_and_a_batch_is_one_write(tom: Service) -> None:
    front = Front(tom)
    batches: list[int] = []
    record = front.inbox._ledger.record

    async def slow(*companions: Any) -> None:
        batches.append(len(batches))
        # The earlier one's write ends later.
        for _ in range(100 - 10 * len(batches)):
            await asyncio.sleep(0)
        await record(*companions)

    front.inbox._ledger = type("", (), {"record": staticmethod(slow)})()  # type: ignore[assignment]
    taking = [front.take(tom.incoming(f"m{n}", message=str(n)), works=False) for n in range(5)]
    assert all(await asyncio.gather(*taking))
    assert front.handed == [f"m{n}" for n in range(5)]


async def test_the_same_again_is_acknowledged_and_not_worked_twice(tom: Service) -> None:
    front, other = Front(tom), Front(tom)
    other.inbox = tom.open_inbox("other")
    other.intake = UpdateIntake(tom.app.chat.update_policy, other.inbox)
    incoming = tom.incoming("once", message="3")
    assert await front.take(incoming, works=False)
    assert await front.take(incoming, works=False)
    assert await other.take(incoming, works=False)
    assert (front.handed, other.handed) == (["once"], [])
    assert json.dumps([row.id for row in await rows(tom)]) == '["telegram/7/3"]'
