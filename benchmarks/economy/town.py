"""The town: a service on the real ledger, where each answer of 1,000 tokens costs 100 Credits and
its supplier $0.60, so that a year needs few of them; and what anybody in it can do.
"""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace

from core import ids
from core.admin.abuse_check import EconomySettings, SaleChannel
from core.admin.payout_risk import assess_payout_risk
from core.asks.api_calls import ApiCall, TokenCap
from core.asks.run import AskRun
from core.asks.types import AskRefusal, Question
from core.clock import DAY_MS, as_utc_day
from core.earnings.payouts import (
    NothingWithdrawable,
    Payout,
    PayoutStateConflict,
    WithdrawalBlocked,
)
from core.earnings.types import BRIEF_POLICY, SAFE_POLICY, EarningPolicy
from core.ledger.daily_closings import close_days
from core.money import Credits, MicroCredits, NanoUsd, parse_usd
from core.pool.providers.message_parts import CallOptions
from core.pool.providers.types import ChatMessage
from core.pool.types import PROGRAM_CALLS_PER_MINUTE
from core.pricing.costs import Costs
from core.users.types import Person
from payments.offer import Offer, Pack
from payments.types import Order, Payment
from tests.core.earnings.world import CARD, QUESTION, TAKES_OPENAI, THOUSAND, Market
from tests.support import brief
from tests.support.databases import TestClock
from tests.support.service import Service, running

#: Credits that an answer costs, and how much of that at par its supplier takes.
ANSWER = 100
COST_PERCENT = 60
WELCOME = Credits(100)
#: What one person's answers that nobody pays for may cost in a day: less than one answer here.
UNPAID_WORK = parse_usd("0.50")
#: New people who get it on one day at most.
WELCOMES_A_DAY = 30
#: The brief's packs; Enterprise a hundredth of its size.
OFFER = Offer(
    packs=(
        Pack("Starter", parse_usd("10"), Credits(1_000)),
        Pack("Enterprise", parse_usd("8"), Credits(1_000)),
    )
)


def fee_of(cash: NanoUsd) -> NanoUsd:
    """What a card's processor keeps: 2.9 % and 30 cents."""
    return cash.share_up(29, 1_000) + parse_usd("0.30")


def policy_of(profile: str) -> EarningPolicy:
    """The profile, with a least payout that a year of small farms reaches."""
    policy = {"safe": SAFE_POLICY, "brief": BRIEF_POLICY}[profile]
    return replace(policy, suppliers=TAKES_OPENAI, payout_least=Credits(100))


def economy_of(policy: EarningPolicy) -> EconomySettings:
    """The same town, for the check."""
    ways = []
    for pack in OFFER.packs:
        given = OFFER.compute_entitlement(pack.cash)
        fee = fee_of(pack.cash)
        ways.append(
            SaleChannel(
                CARD, pack.name, pack.cash, fee, given.bought, given.bonus, is_disputable=True
            )
        )
    return EconomySettings(policy, ways, WELCOME, UNPAID_WORK, COST_PERCENT)


@dataclass
class Town:
    """A service, its clock, and its operator, who decides payouts."""

    market: Market
    clock: TestClock
    #: Whether the operator follows the risk card; else everything is approved.
    heeds: bool
    random: random.Random
    own: list[str] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    #: Those of honest people, and of the operator: they serve unless a ring steers around them.
    open_keys: list[str] = field(default_factory=list)

    @property
    def service(self) -> Service:
        """It runs here, in this process."""
        return self.market.service

    def name(self, what: str) -> str:
        """A name, or a key, that nobody had before."""
        return f"{what}-{next(self._numbers):010}"

    async def months(self, count: int) -> None:
        """Time goes by, and the books are closed day by day."""
        self.clock.advance(days=30 * count)
        app = self.service.app
        await close_days(
            app.services.base.db,
            app.services.base.ledger,
            self.clock,
            as_utc_day(self.clock.now_ms()),
        )
        await self.market.closes()

    # --- people ---------------------------------------------------------------------------------

    async def person(self, name: str) -> Person:
        """By a name, made when first asked for."""
        return await self.market.person(name)

    async def buys(self, name: str, cash: NanoUsd) -> tuple[Order, Payment]:
        """Paid by card at once."""
        return await self.market.buys(name, cash, fee_of(cash))

    async def contributes(self, name: str, dollars: str, *, verified: bool = True) -> str:
        """A key of theirs alone; it serves nobody until somebody steers to it."""
        key = await self.market.contributes(
            name, self.name(f"sk-{name}"), dollars, verified=verified
        )
        await self.service.app.services.pool.pool.set_key_state(key, "paused")
        return key

    async def asks(
        self, name: str, keys: Sequence[str], credits_: int, *, each: int = ANSWER
    ) -> int:
        """Spends so many Credits on answers of these keys alone; how many it could."""
        spent, person = 0, await self.person(name)
        async with self._only(keys):
            while spent + each <= credits_:
                self.service.openai.always(THOUSAND)
                try:
                    run = await self.market.begins(person)
                except AskRefusal:
                    break
                spent += (await run.result).charge.units
        return spent

    async def lets_programs(self, key: str) -> None:
        """The key's contributor lets programs use it."""
        contributions = self.service.app.services.earnings.contributions
        await contributions.set_takes_programs(key, True)

    async def asks_by_program(self, name: str, keys: Sequence[str], credits_: int) -> int:
        """The same by a program of theirs, as fast as a contributed key's pace lets it."""
        spent, person = 0, await self.person(name)
        async with self._only(keys):
            while spent + ANSWER <= credits_:
                self.clock.advance(seconds=60 / PROGRAM_CALLS_PER_MINUTE)
                self.service.openai.always(THOUSAND)
                try:
                    run = await self._begin_program(person)
                except AskRefusal:
                    break
                spent += (await run.result).charge.units
        return spent

    async def _begin_program(self, person: Person) -> AskRun:
        now, services = self.clock.now_ms(), self.service.app.services
        cap = TokenCap(f"tok-{person.id}", now // DAY_MS, Credits(1_000_000))
        await services.api.tokens.prepare_day(cap.token, cap.day)
        return await services.asks.asks.start_ask(
            Question(
                id=ids.new_id("ask", now),
                person=person,
                place=f"api:{cap.token}:",
                asked_in="",
                text="",
                model=brief.GPT_4,
                api_call=ApiCall(cap, (ChatMessage("user", QUESTION),), CallOptions()),
            )
        )

    async def asks_unpaid(self, name: str, keys: Sequence[str], times: int) -> int:
        """Asks so often for answers in which nothing can be seen; how many came."""
        person, came = await self.person(name), 0
        async with self._only(keys):
            for _ in range(times):
                self.service.openai.always(replace(THOUSAND, text="\u200b"))
                try:
                    await (await self.market.begins(person)).result
                except AskRefusal:
                    break
                came += 1
        return came

    @contextlib.asynccontextmanager
    async def _only(self, keys: Sequence[str]) -> AsyncIterator[None]:
        pool, shut = (
            self.service.app.services.pool.pool,
            [key for key in self.open_keys if key not in keys],
        )
        for key in shut:
            await pool.set_key_state(key, "paused")
        opened = []
        for card in await pool.list_keys():
            if card.id in keys and card.state == "paused":
                await pool.resume_key(card.id)
                opened.append(card.id)
        try:
            yield
        finally:
            for key in opened:
                if next(c.state for c in await pool.list_keys() if c.id == key) == "active":
                    await pool.set_key_state(key, "paused")
            for key in shut:
                await pool.resume_key(key)

    async def cashes(self, name: str) -> None:
        """Asks for all that can be withdrawn; the operator decides."""
        one = await self.requests(name)
        if one is not None:
            await self.decides(one)

    async def requests(self, name: str) -> Payout | None:
        """Asks for all that can be withdrawn; None where that isn't enough, or is refused."""
        person, earning = await self.person(name), self.service.app.services.earnings
        amount = (await earning.withdrawals.get_earnings(person.id)).withdrawable
        if amount < earning.policy.payout_least:
            return None
        try:
            return await self.market.withdraws(name, amount.units)
        except (NothingWithdrawable, WithdrawalBlocked):
            return None

    async def decides(self, one: Payout) -> None:
        """The operator pays it, or follows the card's advice."""
        app = self.service.app
        base, now = app.services.base, self.clock.now_ms()
        risk = await assess_payout_risk(base.db, base.payment_records, [one.person], now)
        with contextlib.suppress(PayoutStateConflict, WithdrawalBlocked):
            if self.heeds and risk.advises_refusal:
                await app.services.earnings.withdrawals.reject_payout(
                    one.id, actor="usr_operator", reason="see the card"
                )
            else:
                await self.market.pays_out(one)

    async def reprices(self, credits_per_1k: int) -> None:
        """GPT-4's price."""
        rate = MicroCredits(credits_per_1k * 1_000)
        await self.service.app.services.pricing.prices.set_price(
            "gpt-4", rate, rate, set_by="admin"
        )


@contextlib.asynccontextmanager
async def town(
    url: str,
    profile: str,
    seed: int,
    policy: EarningPolicy | None = None,
    offer: Offer = OFFER,
    welcomes_a_day: int = WELCOMES_A_DAY,
) -> AsyncIterator[Town]:
    """Opens it, with a key of the operator's own."""
    clock = TestClock()
    async with running(
        url,
        clock,
        welcome=WELCOME.units,
        welcomes_a_day=welcomes_a_day,
        keys=1,
        budget="1000000",
        policy=policy or policy_of(profile),
        costs=_costs(),
        offer=offer,
    ) as service:
        market = Market(service, clock, offer=offer)
        made = Town(market, clock, heeds=profile == "safe", random=random.Random(seed))
        await made.reprices(ANSWER)
        made.own = [card.id for card in await service.app.services.pool.pool.list_keys()]
        made.open_keys = list(made.own)
        yield made


def _costs() -> Costs:
    return Costs({brief.OPENAI: brief.flat("0.6")})
