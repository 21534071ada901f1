"""SIGKILL of the whole service right behind what Telegram was told is taken: no question and no tap
is lost, nothing is charged or given twice."""

from __future__ import annotations

import base64
import itertools
import os
import signal
import time

import pytest

from core import chart
from core.clock import SystemClock
from core.db import schema
from core.db.database import Database
from core.ledger.ledger import Ledger
from core.users.service import find_person
from tests.peers.suppliers import Answer, FakeSupplier
from tests.peers.telegram import TOKEN, FakeTelegram
from tests.peers.telegram_chats import Message, User
from tests.support.config import KEYS
from tests.support.ports import find_free_port
from tests.support.size import size
from tests.system.commandline import PATIENCE_S, Place, Process, place, press

__all__ = ["place", "press"]

MASTER_KEY = base64.b64encode(bytes([6]) * 32).decode()
MODELS = ("gpt-6.1-terra", "gpt-6.1-sol", "gpt-6-luna")
WELCOME = 500
GIFT = 300
OWNER = 1
QUESTION = "canary-question-of"
SECRET = "s3cret_of_the_webhook"


#: Database, and whether updates are polled.
CASES = list(itertools.product(("sqlite", "postgresql"), (False, True)))


async def read_books(database_url: str, person: User) -> tuple[int, list[bytes]]:
    """What somebody has, and what the table of updates holds."""
    store = await Database.open(database_url, kind=None, clock=SystemClock())
    ledger = Ledger(store, SystemClock())
    await ledger.start()
    id_ = (await find_person(store, f"telegram:{person.id}")).id
    balances = await ledger.read_balances(chart.pockets(id_))
    rows = await store.fetch(schema.chat_update.select())
    await ledger.stop()
    await store.close()
    return sum(each.posted for each in balances.values()), [bytes(row.sealed) for row in rows]


async def taken_and_killed(telegram: FakeTelegram, service: Process) -> None:
    """Killed as soon as Telegram was told that all of it is taken."""
    await telegram.wait_for(lambda: not telegram.updates, PATIENCE_S)
    os.kill(service.pid, signal.SIGKILL)
    await service.end()


def answers(telegram: FakeTelegram, person: User) -> list[Message]:
    return [each for each in telegram.chat(person.id).bot_messages if "◈" in each.text]


def interrupted(telegram: FakeTelegram, person: User) -> list[Message]:
    sentence = "interrupted before anything arrived. Nothing was charged"
    return [each for each in telegram.chat(person.id).bot_messages if sentence in each.text]


def configure(
    place: Place,
    telegram: FakeTelegram,
    openai: FakeSupplier,
    database_url: str,
    *,
    is_polling: bool,
) -> None:
    place.secrets = {MASTER_KEY, TOKEN, KEYS[0], QUESTION}
    place.settings = {
        "database_url": database_url,
        "master_keys": MASTER_KEY,
        "telegram_token": TOKEN,
        "telegram_api_url": telegram.url,
        "supplier_openai_url": openai.url,
        "supplier_openai_key": KEYS[0],
        "supplier_openai_quota": "50",
        "welcome_credits": str(WELCOME),
        "admins": f"telegram:{OWNER}",
        "http_port": "0",
    }
    if not is_polling:
        port = find_free_port()
        place.settings |= {
            "http_port": str(port),
            "telegram_webhook_url": f"http://127.0.0.1:{port}/webhooks/telegram",
            "telegram_webhook_secret": SECRET,
        }


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("database_url", "is_polling"), CASES[: size(small=1, full=4)], indirect=["database_url"]
)
async def test_what_was_acknowledged_is_answered_and_charged_once(
    place: Place, telegram: FakeTelegram, database_url: str, is_polling: bool
) -> None:
    owner, asker = telegram.user(OWNER), telegram.user(9)
    people = [telegram.user(100 + number) for number in range(size(small=5, full=30))]
    async with FakeSupplier("openai", models=list(MODELS), strict=False) as openai:
        openai.allow(*KEYS)
        openai.always(Answer("an answer"))
        configure(place, telegram, openai, database_url, is_polling=is_polling)
        service = await place.start("run")
        await service.said("creditbot runs")
        # Everybody asks once; and the owner gives somebody a gift, by a tap.
        telegram.says(asker, "/balance")
        await telegram.seen(asker.id, "Credits", seconds=PATIENCE_S)
        telegram.says(owner, f"/grant telegram:{asker.id} {GIFT} because")
        card = await telegram.seen(OWNER, "because", seconds=PATIENCE_S)
        for person in people:
            telegram.says(person, f"{QUESTION} {person.id}")
        telegram.presses(owner, card, "Yes")
        await taken_and_killed(telegram, service)
        assert len(openai.calls) < len(people), "killed too late to show anything"

        again = await place.start("run")
        await again.said("creditbot runs")
        begun = time.monotonic()
        await telegram.wait_for(
            lambda: all(answers(telegram, one) or interrupted(telegram, one) for one in people),
            PATIENCE_S,
        )
        await telegram.seen(OWNER, "Given:", seconds=PATIENCE_S)
        print(f"all answered {time.monotonic() - begun:.1f} s after the next process began")
        # Of whom a supplier was being asked they know that nothing came, and ask again.
        retried = [person for person in people if not answers(telegram, person)]
        for person in retried:
            telegram.presses(person, interrupted(telegram, person)[0], "Again")
        await telegram.wait_for(
            lambda: all(len(answers(telegram, person)) == 1 for person in people), PATIENCE_S
        )
        # Once more, while nothing is under way: nothing is left to be worked.
        os.kill(again.pid, signal.SIGKILL)
        await again.end()
        last = await place.start("run")
        await last.said("creditbot runs")
        await last.stopped()
    asked = [str(call.body) for call in openai.calls]
    for person in people:
        times = sum(f"{QUESTION} {person.id}" in body for body in asked)
        assert times in ((1, 2) if person in retried else (1,))
        assert len(answers(telegram, person)) == 1
    has, left = await read_books(database_url, asker)
    assert has == WELCOME + GIFT
    assert not [row for row in left if QUESTION.encode() in row]
    told = (await place.creditbot("audit", "--json")).json
    assert told["findings"] == []
