"""Random life on a real service that is killed again and again, and a journal, kept outside, of
what it acknowledged and of what its outside parties did: people ask, buy and are given back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.peers import stripe as fake
from tests.peers.stripe import FakeStripe
from tests.peers.telegram import FakeTelegram
from tests.peers.telegram_chats import Message, User
from tests.system.commandline import PATIENCE_S, Place, Process

OWNER, ASKERS, BUYERS = 1, (10, 11), (20, 21, 22)
#: Whoever waits for a killed service gives up after so long, as people do.
_GIVE_UP_S = 4.0
_GRANT = 100_000
#: A life that waits for a refund ends after so many calls all the same.
_CALLS_MAX = 300


@dataclass
class Journal:
    """What must be true afterwards."""

    #: Cents that were paid at Stripe, by order.
    paid: dict[str, int] = field(default_factory=dict)
    #: Orders whose payment the service acknowledged to have heard of.
    acknowledged: set[str] = field(default_factory=set)
    #: Grants that the owner confirmed, and those that were said to be made; each has an own size.
    confirmed: set[int] = field(default_factory=set)
    granted: set[int] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)


class Life:
    """People at a service that may die at any moment. Each of their steps may come to nothing."""

    def __init__(
        self, place: Place, telegram: FakeTelegram, stripe: FakeStripe, chance: random.Random
    ) -> None:
        self.place, self.telegram, self.stripe, self.chance = place, telegram, stripe, chance
        self.journal = Journal()
        self.is_over = False
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_GIVE_UP_S))
        self._messages: set[asyncio.Task[None]] = set()
        self._number = 0

    async def run(self, kills: int) -> None:
        """The service lives and dies so often, while everybody does what they do."""
        people = [
            asyncio.create_task(self._forever(act, number))
            for act, numbers in (
                (self._asks, ASKERS),
                (self._buys, BUYERS),
                (self._operates, (OWNER,)),
            )
            for number in numbers
        ]
        try:
            for _ in range(kills):
                service = await self._starts()
                # At any moment, or as soon as Stripe has given something back.
                at_refund = self.chance.random() < 0.5
                await self._happens(self.chance.randint(0, 150), at_refund=at_refund)
                os.kill(service.pid, signal.SIGKILL)
                await service.end()
                self.journal.counts["kills"] += 1
            service = await self._starts()
            await self._happens(150)
            self.is_over = True
            for one in people:
                one.cancel()
            await asyncio.gather(*people, return_exceptions=True)
            await asyncio.gather(*self._messages)
            assert (await service.stopped()).code == 0
        finally:
            for one in (*people, *self._messages):
                one.cancel()
            await self._session.close()

    async def _starts(self) -> Process:
        service = await self.place.start("run")
        await service.said("creditbot runs")
        return service

    async def _happens(self, count: int, *, at_refund: bool = False) -> None:
        """So many calls to outside parties later, or at the next refund, but not for ever."""

        def calls() -> int:
            return len(self.telegram.calls) + len(self.stripe.calls)

        until, refunds = calls() + count, len(self.stripe.refunds)
        if at_refund:
            until += _CALLS_MAX
        with contextlib.suppress(TimeoutError, AssertionError):
            await self.telegram.wait_for(
                lambda: calls() >= until or (at_refund and len(self.stripe.refunds) > refunds),
                PATIENCE_S / 3,
            )

    async def _forever(self, act: Callable[[User], Any], number: int) -> None:
        person = self.telegram.user(number)
        while not self.is_over:
            await act(person)
            await asyncio.sleep(0)

    # --- what people do -------------------------------------------------------------------------

    async def _asks(self, person: User) -> None:
        self._number += 1
        await self._says(person, f"tell me about {self._number}", "◈")
        self.journal.counts["asks"] += 1

    async def _buys(self, person: User) -> None:
        card = await self._says(person, f"/topup {self.chance.choice((10, 25, 90))}", "Top up")
        card = card and await self._presses(person, card, "$", "How would you like")
        card = card and await self._presses(person, card, "Card and more", "Order ord_")
        found = re.search(r"ord_\w+", card.text) if card else None
        if found is None:
            return
        sessions = self.stripe.sessions.values()
        session = next((one for one in sessions if one["client_reference_id"] == found[0]), None)
        if session is None or session["payment_status"] == "paid":
            return
        self.stripe.pay(session["id"])
        self.journal.paid[found[0]] = session["amount_total"]
        if self.chance.random() < 0.7:  # the others' messages are lost
            body = self.stripe.event("checkout.session.completed", session)
            for _ in range(self.chance.choice((1, 1, 2))):
                task = asyncio.create_task(self._delivers(found[0], body))
                self._messages.add(task)

    async def _delivers(self, order: str, body: bytes) -> None:
        """Stripe sends a message until it is acknowledged."""
        url = f"http://127.0.0.1:{self.place.settings['http_port']}/webhooks/stripe"
        while not self.is_over:
            headers = {"Stripe-Signature": fake.signature(body)}
            with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
                async with self._session.post(url, data=body, headers=headers) as answer:
                    if answer.status == 200:
                        self.journal.acknowledged.add(order)
                        return
            await self._changes()

    async def _operates(self, owner: User) -> None:
        if self.chance.random() < 0.25 or not self.journal.acknowledged:
            await self._grants(owner)
            return
        order = self.chance.choice(sorted(self.journal.acknowledged))
        card = await self._says(owner, f"/refund {order} {self.chance.randint(1, 3)}", "Give back")
        if card and await self._presses(owner, card, "Yes", "ack"):
            self.journal.counts["refunds said"] += 1

    async def _grants(self, owner: User) -> None:
        self._number += 1
        amount = _GRANT + self._number
        to = self.chance.choice(ASKERS)
        card = await self._says(owner, f"/grant telegram:{to} {amount} soak", f"{amount:,} Credits")
        if card is None:
            return
        self.journal.confirmed.add(amount)
        for _ in range(2):  # an impatient second tap
            done = await self._presses(owner, card, "Yes", "Given:")
            if done is not None and f"{amount:,}" in done.text:
                self.journal.granted.add(amount)
                return

    # --- waiting --------------------------------------------------------------------------------

    async def _says(self, person: User, text: str, shown: str) -> Message | None:
        known = self._known(person)
        self.telegram.says(person, text)
        return await self._new_message(person, known, shown)

    async def _presses(self, person: User, card: Message, label: str, shown: str) -> Message | None:
        named = next((one for one in card.labels if label in one), None)
        if named is None:
            return None
        known = self._known(person)
        self.telegram.presses(person, card, named)
        return await self._new_message(person, known, shown)

    def _known(self, person: User) -> dict[int, str]:
        return {one.id: one.text for one in self.telegram.chat(person.id).bot_messages[-20:]}

    async def _new_message(self, person: User, known: dict[int, str], shown: str) -> Message | None:
        found: list[Message] = []

        def is_there() -> bool:
            messages = self.telegram.chat(person.id).bot_messages[-20:]
            found[:] = [
                one for one in messages if shown in one.text and known.get(one.id) != one.text
            ]
            return bool(found)

        with contextlib.suppress(TimeoutError, AssertionError):
            await self.telegram.wait_for(is_there, _GIVE_UP_S)
        return found[-1] if found else None

    async def _changes(self) -> None:
        with contextlib.suppress(TimeoutError):
            await self.telegram.until_changed(0.2)
