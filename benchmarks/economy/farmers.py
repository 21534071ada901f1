"""Whoever tries to get more out than was put in. Each takes a turn a month, with people and keys of
its own; a ring's answers come from its own keys alone, which is the worst case: a router doesn't
let anyone choose. What a ring asks of the operator's keys it gets for nothing, at what it costs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from pydantic import SecretStr

from benchmarks.economy.town import ANSWER, WELCOME, WELCOMES_A_DAY, Town
from core.admin.abuse_check import ScenarioName
from core.money import Credits, parse_usd
from core.pool.types import DuplicateKey
from payments.cancellations import CancellationRefused
from payments.types import CardPaymentsPaused, Payment

#: 40 average requests: 3,600 Credits after the fee.
KEY = "24"
CREDITED = 3_600
#: Ten of them, and five.
TEN, SMALL = "6", "3"
#: What a key of a ring is funded with, so that it never runs dry.
DEEP = "2400"
STARTER, ENTERPRISE = parse_usd("10"), parse_usd("8")


@dataclass
class Farmer:
    """One of them: its people, its keys, what it put in play so far."""

    name: ScenarioName
    #: A month's turn; the second month of each pair only cashes.
    turn: Callable[[Farmer, Town], Awaitable[None]]
    people: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    #: Credits put in play.
    played: int = 0
    #: Welcomes that were spent on the operator's keys before the farm began: none of its doing.
    aside: int = 0
    #: What may still be taken back by a bank.
    payments: list[Payment] = field(default_factory=list)

    async def somebody(self, town: Town) -> str:
        """A new account."""
        name = town.name(self.name)
        await town.person(name)
        self.people.append(name)
        return name

    async def friend(self, town: Town) -> tuple[str, str]:
        """The account that earns, and its key; the same all year."""
        if not self.keys:
            name = await self.somebody(town)
            await self.spends_welcome(town, name)
            self.keys.append(await town.contributes(name, DEEP))
        return self.people[0], self.keys[0]

    async def spends_welcome(self, town: Town, name: str) -> None:
        """On the operator's keys, so that it isn't counted as this farm's."""
        self.aside += await town.asks(name, town.own, WELCOME.units)

    async def buyer(self, town: Town) -> str:
        """A new account without its welcome."""
        name = await self.somebody(town)
        await self.spends_welcome(town, name)
        return name

    async def cashes(self, town: Town) -> None:
        """Whoever earned asks for it."""
        for name in self.people:
            await town.cashes(name)


async def wash(self: Farmer, town: Town) -> None:
    """Buys, asks at a friend's key, who cashes."""
    _, key = await self.friend(town)
    buyer = await self.buyer(town)
    await town.buys(buyer, STARTER)
    self.played += await town.asks(buyer, [key], 1_000)


#: Accounts of a ring whose programs ask, in a month; over fifty in a year of turns.
_PROGRAMS: Final = 9


async def programs(self: Farmer, town: Town) -> None:
    """Many accounts buy, and their programs ask at a friend's key, who lets programs use it."""
    _, key = await self.friend(town)
    await town.lets_programs(key)
    for _ in range(_PROGRAMS):
        buyer = await self.buyer(town)
        await town.buys(buyer, STARTER)
        spent = await town.asks_by_program(buyer, [key], 1_000)
        # A program's answer isn't cut short for the last Credits: a chat takes them.
        self.played += spent + await town.asks(buyer, [key], 1_000 - spent)


async def bonus(self: Farmer, town: Town) -> None:
    """The same with the pack of the richest bonus."""
    _, key = await self.friend(town)
    buyer = await self.buyer(town)
    await town.buys(buyer, ENTERPRISE)
    await town.asks(buyer, [key], 1_000)
    self.played += 800


async def twice(self: Farmer, town: Town) -> None:
    """The same, and asks for all of it twice at once."""
    await wash(self, town)
    friend, _ = await self.friend(town)
    await asyncio.gather(town.cashes(friend), town.cashes(friend))


async def linked(self: Farmer, town: Town) -> None:
    """Buys by an account that is linked to the one whose key it wants to be answered by."""
    name = await self.buyer(town)
    town.clock.advance(seconds=1)
    other = await self.somebody(town)
    await self.spends_welcome(town, other)
    await town.buys(other, STARTER)
    await town.market.links(name, other)
    key = await town.contributes(name, KEY)
    self.keys.append(key)
    await town.asks(other, [key], 1_000)
    self.played += 1_000


async def idle_key(self: Farmer, town: Town) -> None:
    """Has dear answers of one key draw on the worth of another that is never used."""
    name, buyer = await self.buyer(town), await self.buyer(town)
    key, _ = await town.contributes(name, SMALL), await town.contributes(name, KEY)
    self.keys.append(key)
    await town.buys(buyer, STARTER)
    await town.reprices(ANSWER * 2)
    self.played += await town.asks(buyer, [key], 1_000, each=ANSWER * 2)
    await town.reprices(ANSWER)


async def bought(self: Farmer, town: Town) -> None:
    """Buys, and asks for cash for it."""
    name = await self.buyer(town)
    await town.buys(name, STARTER)
    await town.cashes(name)
    self.played += 1_000


async def gifts(self: Farmer, town: Town) -> None:
    """Many accounts spend their welcome at a friend's key, who cashes."""
    _, key = await self.friend(town)
    for _ in range(5):
        name = await self.somebody(town)
        self.played += await town.asks(name, [key], WELCOME.units)


async def welcome(self: Farmer, town: Town) -> None:
    """As many accounts as it can make on one day for the answers alone; most stay unspent."""
    town.clock.advance(days=1)
    names = [await self.somebody(town) for _ in range(WELCOMES_A_DAY + 3)]
    self.played += sum([sum((await town.market.has(name)).values()) for name in names])
    for name in names[:3]:
        await town.asks(name, town.own, WELCOME.units)
    town.clock.advance(days=1)


async def advance(self: Farmer, town: Town) -> None:
    """Contributes, spends what is lent on the operator's keys, revokes."""
    name = await self.buyer(town)
    key = await town.contributes(name, KEY)
    await town.asks(name, town.own, CREDITED)
    await town.market.takes_back(name, key)
    self.played += CREDITED


async def advance_to_friend(self: Farmer, town: Town) -> None:
    """The same on a friend's key, who cashes."""
    _, friends = await self.friend(town)
    name = await self.buyer(town)
    key = await town.contributes(name, KEY)
    await town.asks(name, [friends], CREDITED)
    await town.market.takes_back(name, key)
    self.played += CREDITED


async def withdraw_and_revoke(self: Farmer, town: Town) -> None:
    """Earns, asks for that, spends as much of what is lent for another key, and revokes it."""
    name, buyer = await self.buyer(town), await self.buyer(town)
    earning = await town.contributes(name, TEN)
    self.keys.append(earning)
    await town.buys(buyer, STARTER)
    self.played += await town.asks(buyer, [earning], 1_000)
    await town.market.closes()
    lending = await town.contributes(name, KEY)
    asked = await town.requests(name)
    await town.asks(name, town.own, 900)
    await town.market.takes_back(name, lending)
    if asked is not None:
        await town.decides(asked)


async def lowered(self: Farmer, town: Town) -> None:
    """Takes nearly all dollars of a key back, then the rest, and spends the Credits."""
    name = await self.buyer(town)
    key = await town.contributes(name, KEY)
    person = (await town.person(name)).id
    await town.service.app.services.earnings.termination.lower_contribution(
        key, person, Credits(ANSWER)
    )
    await town.market.takes_back(name, key)
    await town.asks(name, town.own, CREDITED)
    self.played += CREDITED


async def false_budget(self: Farmer, town: Town) -> None:
    """Says that keys are worth what nobody can verify, and spends what is lent for them."""
    name = await self.buyer(town)
    keys = [await town.contributes(name, KEY, verified=False) for _ in range(2)]
    self.played += await town.asks(name, town.own, 2 * CREDITED)
    for key in keys:
        await town.market.takes_back(name, key)


async def same_key_twice(self: Farmer, town: Town) -> None:
    """Two people contribute the same key, and the second spends what is lent for it."""
    first, second = await self.buyer(town), await self.buyer(town)
    secret = town.name("sk-twice")
    key = await town.market.contributes(first, secret, KEY)
    await town.service.app.services.pool.pool.set_key_state(key, "paused")
    self.played += CREDITED
    town.service.openai.organisations.pop(secret, None)
    try:
        offer = await town.service.app.services.earnings.contributions.create_proposal(
            await town.person(second), "openai", SecretStr(secret), ""
        )
    except DuplicateKey:
        return
    await town.service.app.services.earnings.contributions.accept_proposal(
        offer.key, await town.person(second), parse_usd(KEY)
    )
    await town.asks(second, town.own, CREDITED)


async def cheap_answers(self: Farmer, town: Town) -> None:
    """Waits for a price cut on a key that was valued at the old price."""
    _, key = await self.friend(town)
    buyer = await self.buyer(town)
    await town.buys(buyer, STARTER)
    await town.reprices(ANSWER // 2)
    self.played += await town.asks(buyer, [key], 1_000, each=ANSWER // 2)
    await town.reprices(ANSWER)


async def chargeback(self: Farmer, town: Town) -> None:
    """Buys, spends it at once, and has the bank take the money back; again by the same account."""
    name = self.people[0] if self.people else await self.buyer(town)
    try:
        _, payment = await town.buys(name, STARTER)
    except CardPaymentsPaused:
        return
    self.played += await town.asks(name, town.own, 1_000)
    await town.market.disputes(payment)


async def withdrawn(self: Farmer, town: Town) -> None:
    """Buys, asks at a friend's key, who cashes, and withdraws from the purchase."""
    _, key = await self.friend(town)
    buyer = await self.buyer(town)
    order, payment = await town.buys(buyer, STARTER)
    self.played += await town.asks(buyer, [key], 1_000)
    with suppress(CancellationRefused):
        await town.market.cancels(buyer, order, payment)


async def dispute(self: Farmer, town: Town) -> None:
    """Buys, asks at a friend's key, who cashes as soon as they can; two months later the payer has
    their bank take the money back."""
    friend, key = await self.friend(town)
    buyer = await self.buyer(town)
    _, payment = await town.buys(buyer, STARTER)
    self.payments.append(payment)
    self.played += await town.asks(buyer, [key], 1_000)
    await town.cashes(friend)
    if len(self.payments) > 2:
        await town.market.disputes(self.payments.pop(0))


async def invited(self: Farmer, town: Town, inviter: str) -> str:
    """A new account of its own that came by an invitation, without its welcome."""
    app = town.service.app
    code = await app.services.users.referrals.get_or_create_code(await town.person(inviter))
    town.clock.advance(seconds=1)
    name = await self.somebody(town)
    await app.services.users.referrals.bind_inviter(await town.person(name), code, "telegram", name)
    await self.spends_welcome(town, name)
    return name


async def referral(self: Farmer, town: Town) -> None:
    """Invites its own accounts, which buy and ask at the inviter's key."""
    friend, key = await self.friend(town)
    name = await invited(self, town, friend)
    await town.buys(name, STARTER)
    self.played += await town.asks(name, [key], 1_000)


async def dying_referral(self: Farmer, town: Town) -> None:
    """Invites its own account, which contributes a key that dies before it is used."""
    inviter = await self.buyer(town)
    name = await invited(self, town, inviter)
    key = await town.contributes(name, KEY)
    await town.service.app.services.pool.pool.set_key_state(key, "dead", "refused twice")
    await town.market.closes()
    await town.asks(inviter, town.own, CREDITED)
    self.played += CREDITED


async def unpaid_work(self: Farmer, town: Town) -> None:
    """Asks for what isn't charged, as often as it is let; its welcome is none of this farm's."""
    name = await self.somebody(town)
    self.played += await town.asks_unpaid(name, town.own, 5) * ANSWER
    town.clock.advance(days=1)
    await self.spends_welcome(town, name)


TURNS: Final[dict[ScenarioName, Callable[[Farmer, Town], Awaitable[None]]]] = {
    "wash": wash,
    "programs": programs,
    "bonus": bonus,
    "twice": twice,
    "linked": linked,
    "idle-key": idle_key,
    "bought": bought,
    "gifts": gifts,
    "welcome": welcome,
    "advance": advance,
    "advance-to-friend": advance_to_friend,
    "withdraw-and-revoke": withdraw_and_revoke,
    "lowered": lowered,
    "false-budget": false_budget,
    "same-key-twice": same_key_twice,
    "cheap-answers": cheap_answers,
    "chargeback": chargeback,
    "withdrawn": withdrawn,
    "dispute": dispute,
    "referral": referral,
    "dying-referral": dying_referral,
    "unpaid-work": unpaid_work,
}
