"""SIGKILL of the whole service while somebody pays with Stars. It polls, and Telegram counts an
update as delivered when the next one is asked for: what died with it is found in the list of Stars.
"""

from __future__ import annotations

import base64
import os
import random
import signal

import pytest

from core import chart
from core.clock import SystemClock
from core.db.database import Database
from core.ledger.ledger import Ledger
from core.users.service import find_person
from tests.peers.telegram import TOKEN, FakeTelegram
from tests.peers.telegram_chats import User
from tests.peers.telegram_stars import Checkout
from tests.support.size import size
from tests.system.commandline import PATIENCE_S, Place, place, press

__all__ = ["place", "press"]

MASTER_KEY = base64.b64encode(bytes([5]) * 32).decode()


async def pays(telegram: FakeTelegram, person: User) -> Checkout:
    """Orders a pack, and presses Pay."""
    telegram.says(person, "/topup")
    card = await telegram.seen(person.id, "Top up", seconds=PATIENCE_S)
    telegram.presses(person, card, "Starter")
    chat = telegram.chat(person.id)
    await telegram.wait_for(lambda: chat.last.invoice, PATIENCE_S)
    return telegram.stars.pays(person, chat.last)


async def credits_of(database: str, person: User) -> int:
    store = await Database.open(database, kind=None, clock=SystemClock())
    ledger = Ledger(store, SystemClock())
    await ledger.start()
    id_ = (await find_person(store, f"telegram:{person.id}")).id
    balances = await ledger.read_balances(chart.pockets(id_))
    await ledger.stop()
    await store.close()
    return sum(balance.posted for balance in balances.values())


@pytest.mark.timeout(900)
async def test_who_paid_has_their_credits_whenever_it_died(
    place: Place, telegram: FakeTelegram
) -> None:
    chance, people = random.Random(23), []
    database = f"sqlite:///{place.database}"
    place.secrets = {MASTER_KEY, TOKEN}
    place.settings = {
        "database_url": database,
        "master_keys": MASTER_KEY,
        "telegram_token": TOKEN,
        "telegram_api_url": telegram.url,
        "welcome_credits": "0",
        "http_port": "0",
    }
    for number in range(1, size(small=2, full=20) + 1):
        service = await place.start("run")
        await service.said("creditbot runs")
        people.append(telegram.user(number))
        checkout = await pays(telegram, people[-1])
        until = len(telegram.calls) + chance.randint(0, 4)
        await telegram.wait_for(
            lambda until=until, checkout=checkout: len(telegram.calls) >= until or checkout.charge,
            PATIENCE_S,
        )
        os.kill(service.pid, signal.SIGKILL)
        await service.end()
        if chance.random() < 0.5:  # what it had fetched counted as delivered
            telegram.updates.clear()
    assert any(each.charge for each in telegram.stars.checkouts)
    await place.creditbot("payments", "reconcile")
    for person in people:
        paid = [each for each in telegram.stars.checkouts if each.payer is person and each.charge]
        assert await credits_of(database, person) == 1_000 * len(paid)
    told = (await place.creditbot("audit", "--json")).json
    assert told["findings"] == []
