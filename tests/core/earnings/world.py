"""People who contribute keys in the brief's world, and people who ask."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from pydantic import SecretStr

from core import chart, ids
from core.asks.run import AskRun
from core.asks.types import Question
from core.clock import Clock
from core.earnings.payouts import Payout
from core.earnings.types import BRIEF_POLICY, Contribution, EarningPolicy
from core.ledger.types import Account, Submission
from core.money import AnyMoney, Credits, NanoUsd, parse_usd
from core.users.types import Person
from payments.fulfillment import Fulfillment
from payments.offer import Offer
from payments.types import Dispute, Order, Payment, Refund
from tests.peers.suppliers import Answer, Used
from tests.support import brief, service
from tests.support.databases import TestClock
from tests.support.service import Service

TAKES_OPENAI = frozenset({"openai"})
BRIEFS = replace(BRIEF_POLICY, suppliers=TAKES_OPENAI)
#: Payouts from one Credit on.
LITTLE = replace(BRIEFS, payout_least=Credits(1))
#: 1,000 tokens, as an average request: 500 in, 500 out.
THOUSAND = Answer("word " * 500, usage=Used(500, 500))
QUESTION = "why " * 480
#: Credits that such a question holds at most.
HELD_MOST = 13
_AT_ONCE = 64
CARD = "stripe"
NOTHING = NanoUsd(0)


@dataclass
class Market:
    """A service, its people by name, and what they do."""

    service: Service
    clock: Clock
    #: From where its people write.
    platform: str = "telegram"
    #: What a sum of cash buys.
    offer: Offer = field(default_factory=Offer)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def person(self, name: str) -> Person:
        return await self.service.app.services.users.users.get_or_create(
            self.platform, name, language="en"
        )

    async def links(self, older: str, younger: str) -> Person:
        """They become one: the younger one becomes a part of the older one."""
        app = self.service.app
        first, second = await self.person(older), await self.person(younger)
        proposal = await app.services.links.enter_code(
            second, await app.services.links.create_link_code(first)
        )
        await app.services.links.accept_proposal(proposal.id, second)
        assert await app.services.links.accept_proposal(proposal.id, first)
        app.services.users.users.clear_cache()
        await app.services.pool.pool.reload()
        return await self.person(older)

    async def has(self, name: str) -> dict[str, int]:
        """What a person has, by pocket, and owes."""
        person = await self.person(name)
        accounts = [*chart.pockets(person.id), chart.owed(person.id)]
        balances = await self.service.app.services.base.ledger.read_balances(accounts)
        names = ("gift", "bought", "earned", "owed")
        figures = zip(names, (balance.available for balance in balances.values()), strict=True)
        return {pocket: abs(amount) for pocket, amount in figures if amount}

    async def gets(self, name: str, amount: int, pocket: chart.Pocket = "bought") -> None:
        """Credits out of nowhere."""
        person = await self.person(name)
        entries = (
            chart.credit_topup(person.id, Credits(amount), Credits(0))
            if pocket == "bought"
            else (chart.give_gift(person.id, "grant", Credits(amount)),)
        )
        cause = f"gets/{next(self._numbers)}"
        await self.service.app.services.base.ledger.submit(Submission(cause, entries))

    # --- cash -----------------------------------------------------------------------------------

    async def buys(self, name: str, cash: NanoUsd, fee: NanoUsd = NOTHING) -> tuple[Order, Payment]:
        """Paid by card at once; `fee` is what its processor keeps."""
        person, app = await self.person(name), self.service.app
        order = await app.services.payments.orders.create_order(
            cause=f"buys/{next(self._numbers)}",
            at_ms=self.clock.now_ms(),
            person=person.id,
            place=f"telegram:{name}:",
            message="1",
            gateway=CARD,
            value=cash,
            amount=cash,
            lifetime_seconds=1_800,
        )
        payment = Payment(CARD, f"pi_{order.id}", order.id, cash, fee)
        return await self._crediting().credit_payment(payment, notify=False), payment

    async def disputes(self, payment: Payment, state: Literal["open", "lost"] = "lost") -> None:
        """Its payer's bank takes it back: lost is for good."""
        dispute = Dispute(CARD, f"dp_{payment.id}", payment.id, payment.amount, state)
        await self._crediting().apply_dispute(dispute)

    async def cancels(self, name: str, order: Order, payment: Payment) -> None:
        """Its buyer withdraws from it, and what goes back of it does; raises
        `CancellationRefused`."""
        person, service = await self.person(name), self.service.app.services.payments.cancellations
        cause = ids.derive_id("btn", self.clock.now_ms(), payment.id)
        asked = await service.cancel_purchase(order.id, person.id, cause=cause)
        back = NanoUsd(asked.cash)
        await self._crediting().apply_refund(Refund(CARD, f"re_{payment.id}", payment.id, back))

    async def refunds(self, payment: Payment) -> None:
        """All of it is given back."""
        refund = Refund(CARD, f"re_{payment.id}", payment.id, payment.amount)
        await self._crediting().apply_refund(refund)

    def _crediting(self) -> Fulfillment:
        app = self.service.app
        return Fulfillment(
            orders=app.services.payments.orders, ledger=app.services.base.ledger, offer=self.offer
        )

    async def addressed(self, name: str) -> str:
        """A person who said where to pay; their id."""
        person = await self.person(name)
        await self.service.app.services.earnings.payout_methods.save_address(
            person.id, "manual", SecretStr(f"DE00 {name}"), "DE••••"
        )
        return person.id

    async def withdraws(self, name: str, amount: int, cause: str = "") -> Payout:
        """Asks for so many Credits; the same cause is the same press."""
        return await self.service.app.services.earnings.withdrawals.request_payout(
            await self.addressed(name),
            Credits(amount),
            "manual",
            cause=cause or f"withdraws/{next(self._numbers)}",
            at_ms=self.clock.now_ms(),
        )

    async def pays_out(self, payout: Payout) -> None:
        """An admin agrees, and pays by hand."""
        earning = self.service.app.services.earnings
        await earning.withdrawals.approve_payout(payout.id, actor="usr_operator")
        await earning.payouts.begin_manual_payment(payout.id)
        await earning.payouts.confirm_manual_payment(payout.id)

    # --- keys -----------------------------------------------------------------------------------

    async def offers(self, name: str, secret: str, dollars: str = "") -> str:
        """A key that is examined; its id. With dollars its supplier tells what is left."""
        self.service.openai.allow(secret)
        if dollars:
            self.service.openai.balances[secret] = dollars
        self.service.openai.organisations.setdefault(secret, f"org-{secret}")
        contributions = self.service.app.services.earnings.contributions
        offer = await contributions.create_proposal(
            await self.person(name), "openai", SecretStr(secret), ""
        )
        return offer.key

    async def contributes(
        self, name: str, secret: str, dollars: str, *, verified: bool = True
    ) -> str:
        """A key that serves; its id."""
        key = await self.offers(name, secret, dollars if verified else "")
        await self.service.app.services.earnings.contributions.accept_proposal(
            key, await self.person(name), parse_usd(dollars)
        )
        return key

    async def contribution(self, key: str, name: str) -> Contribution:
        person = await self.person(name)
        return await self.service.app.services.earnings.contributions.get(key, person.id)

    async def takes_back(self, name: str, key: str) -> None:
        """Its owner revokes it."""
        person = await self.person(name)
        await self.service.app.services.earnings.termination.withdraw_contribution(key, person.id)
        await self.closes()

    # --- asks, and what came of them ------------------------------------------------------------

    async def asks(self, name: str, times: int = 1, *, answer: Answer = THOUSAND) -> list[AskRun]:
        """Asks, as many at once as balance and keys can hold; each answered the same."""
        self.service.openai.always(answer)
        person = await self.person(name)
        done: list[AskRun] = []
        at_once = _AT_ONCE
        while len(done) < times:
            have = (
                await self.service.app.services.users.balances.for_user(person.id)
            ).available.units
            # Whose balance is short gets shorter answers: one at a time, then.
            many = min(at_once, times - len(done), max(1, have // HELD_MOST))
            begun = await asyncio.gather(
                *(self.begins(person) for _ in range(many)), return_exceptions=True
            )
            runs = [one for one in begun if isinstance(one, AskRun)]
            if not runs and many == 1:
                raise next(one for one in begun if isinstance(one, BaseException))
            await asyncio.gather(*(run.result for run in runs))
            done += runs
            if len(runs) < many:
                at_once = max(1, len(runs) // 2)
        return done

    async def begins(self, person: Person) -> AskRun:
        number = next(self._numbers)
        return await self.service.app.services.asks.asks.start_ask(
            Question(
                id=ids.derive_id("ask", self.clock.now_ms(), f"market/{number}"),
                person=person,
                place=f"telegram:{number}:",
                asked_in="1",
                text=QUESTION,
                model=brief.GPT_4,
            )
        )

    async def posted(self, *accounts: Account[AnyMoney]) -> list[int]:
        balances = await self.service.app.services.base.ledger.read_balances(accounts)
        return [balances[account.code].posted for account in accounts]

    async def stands(self, codes: Sequence[str], unit: type[Credits] | type[NanoUsd]) -> list[int]:
        """Debits less credits."""
        balances = await self.service.app.services.base.ledger.read_balances(
            [Account(code, unit) for code in codes]
        )
        return [-balances[code].posted for code in codes]

    async def closes(self) -> None:
        """The chore."""
        await self.service.app.services.earnings.termination.process_terminations()


@contextlib.asynccontextmanager
async def market(
    url: str, clock: TestClock, *, policy: EarningPolicy = BRIEFS, own_keys: int = 0
) -> AsyncIterator[Market]:
    """The brief's world, in which only contributed keys serve unless said otherwise."""
    async with service.running(
        url, clock, welcome=0, keys=own_keys, policy=policy, budget="100000"
    ) as running:
        yield Market(running, clock)
