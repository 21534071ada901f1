"""Disputes against a plain model, in whatever order hypothesis thinks of: over several payments,
parts of one, several over one, over what was refunded; told twice, late, and both ways."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, Phase, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from core import chart
from core.clock import SystemClock
from core.db.database import Database
from core.ledger.ledger import Ledger
from core.money import Credits, NanoUsd
from payments.offer import from_cents, to_cents
from payments.types import Dispute, Order, Payment, Refund
from tests.payments.conftest import Shop
from tests.payments.dispute_model import DisputeModel, ModelDispute, ModelOrder
from tests.support.databases import TestClock
from tests.support.size import size

ACCOUNTS = ("cash/sandbox", "disputed", "bad-debt")
choices = st.integers(0, 999)
numbers = itertools.count()


class Bank:
    """It knows how each dispute stands now."""

    name = "sandbox"

    def __init__(self) -> None:
        self.states: dict[str, str] = {}

    async def fetch_dispute(self, order: Order, dispute: Dispute) -> Dispute:
        return replace(dispute, state=self.states[dispute.id])  # type: ignore[arg-type]


class DisputeMachine(RuleBasedStateMachine):
    """One buyer with up to three orders; each rule is something that a gateway tells."""

    url: str

    def __init__(self) -> None:
        super().__init__()
        self.model, self.bank = DisputeModel(), Bank()
        self.runner = asyncio.Runner()
        self.runner.run(self._open())

    async def _open(self) -> None:
        clock = TestClock()
        clock.at_ms = SystemClock().now_ms()
        self.store = await Database.open(type(self).url, kind="live", clock=clock)
        self.ledger = Ledger(self.store, clock)
        await self.ledger.start()
        self.shop = Shop(self.store, self.ledger, clock, gateways={"sandbox": self.bank})  # type: ignore[dict-item]
        self.shop._causes = numbers  # the database has seen other examples
        self.person = await self.shop.person()
        self.before = await self.shop.stands(*ACCOUNTS)

    # --- what happens ---------------------------------------------------------------------------

    @precondition(lambda self: len(self.model.orders) < 3)
    @rule(cents=st.sampled_from([1_000, 2_500, 9_000, 9_500, 10_000, 10_500]))
    def order(self, cents: int) -> None:
        async def make() -> str:
            order = await self.shop.order(self.person, from_cents(cents), gateway="sandbox")
            return order.id

        # Who disputes can't order by card: these were ordered before.
        if any(order.is_disputed or order.lost for order in self.model.orders.values()):
            return
        id_ = self.runner.run(make())
        self.model.orders[id_] = ModelOrder(cents)
        self._pay(id_, cents)

    @precondition(lambda self: self.model.orders)
    @rule(which=choices, cents=st.sampled_from([500, 1_000, 3_000]))
    def pay_more(self, which: int, cents: int) -> None:
        self._pay(_pick(list(self.model.orders), which), cents)

    def _pay(self, order: str, cents: int) -> None:
        id_ = f"pi_{next(numbers)}"
        paid = Payment("sandbox", id_, order, from_cents(cents), NanoUsd(0), any_amount=True)
        self._tell(self.shop.crediting.credit_payment, paid)
        self.model.pay(self.model.orders[order], id_, cents)
        self._check()

    @rule(share=st.integers(1, 100))
    def spend(self, share: int) -> None:
        amount = self.model.pocket[0] * share // 100
        if amount:
            self.runner.run(self.shop.spend(self.person, Credits(amount)))
            self.model.spend(amount)

    @precondition(lambda self: self.model.orders)
    @rule(which=choices, payment=choices, share=st.integers(1, 100))
    def refund(self, which: int, payment: int, share: int) -> None:
        order = _pick(list(self.model.orders.values()), which)
        id_ = _pick(list(order.payments), payment)
        gone = sum(cents for of, cents in order.refunds.values() if of == id_)
        cents = (order.payments[id_] - gone) * share // 100
        if not cents:
            return
        name = f"re_{next(numbers)}"
        self._tell(
            self.shop.crediting.apply_refund, Refund("sandbox", name, id_, from_cents(cents))
        )
        self.model.refund(order, name, id_, cents)
        self._check()

    @precondition(lambda self: any(order.refunds for order in self.model.orders.values()))
    @rule(which=choices, refund=choices)
    def refund_fails(self, which: int, refund: int) -> None:
        order = _pick([one for one in self.model.orders.values() if one.refunds], which)
        name = _pick(list(order.refunds), refund)
        payment, cents = order.refunds[name]
        failed = Refund("sandbox", name, payment, from_cents(cents), failed=True)
        self._tell(self.shop.crediting.apply_refund, failed)
        self.model.refund_fails(order, name)
        self._check()

    @precondition(lambda self: self.model.orders)
    @rule(
        which=choices,
        payment=choices,
        share=st.sampled_from([30, 50, 100]),
        state=st.sampled_from(["open", "lost"]),
    )
    def dispute(self, which: int, payment: int, share: int, state: str) -> None:
        order = _pick(list(self.model.orders.values()), which)
        id_ = _pick(list(order.payments), payment)
        name = f"dp_{next(numbers)}"
        order.disputes[name] = ModelDispute(id_, order.payments[id_] * share // 100)
        self.bank.states[name] = state
        self._follow(order, name, state)

    @precondition(lambda self: self.bank.states)
    @rule(which=choices, state=st.sampled_from(["open", "won", "lost"]), told=st.booleans())
    def goes_on(self, which: int, state: str, told: bool) -> None:
        """The bank changes its mind; we may hear of it only later."""
        name = _pick(list(self.bank.states), which)
        self.bank.states[name] = state
        if told:
            self._follow(self._order_of(name), name, state)

    @precondition(lambda self: self.bank.states)
    @rule(which=choices, state=st.sampled_from(["open", "won", "lost"]))
    def is_told_late(self, which: int, state: str) -> None:
        """Whatever a message says that is older than what the bank knows now."""
        name = _pick(list(self.bank.states), which)
        self._follow(self._order_of(name), name, state)

    # --- helpers --------------------------------------------------------------------------------

    def _order_of(self, name: str) -> ModelOrder:
        return next(order for order in self.model.orders.values() if name in order.disputes)

    def _follow(self, order: ModelOrder, name: str, told: str) -> None:
        modelled = order.disputes[name]
        amount = from_cents(modelled.cents)
        self._tell(
            self.shop.crediting.apply_dispute,
            Dispute("sandbox", name, modelled.payment, amount, told),  # type: ignore[arg-type]
        )
        for _ in range(2):
            # What may be old news is looked up; a beginning and its first end never were before.
            is_news = not modelled.state or (modelled.state == "open" and not modelled.turn)
            target = told if is_news or told == modelled.state else self.bank.states[name]
            self.model.follow(order, modelled, target)
        self._check()

    def _tell(self, method: Any, event: object) -> None:
        async def twice() -> None:
            await method(event)
            await method(event)

        self.runner.run(twice())

    def _check(self) -> None:
        self.runner.run(self._compare())

    async def _compare(self) -> None:
        model = self.model
        figures = {"gift": model.pocket[1], "bought": model.pocket[0], "owed": model.owed}
        assert await self.shop.has(self.person) == {
            name: amount for name, amount in figures.items() if amount
        }
        for id_, modelled in model.orders.items():
            order = await self.shop.orders.get(id_)
            assert (order.bought.units, order.bonus.units) == modelled.given
            assert order.lost == from_cents(modelled.lost)
            codes = [chart.disputed_credits(id_, name).code for name in ("bought", "gift")]  # type: ignore[arg-type]
            assert [-one for one in await self.shop.stands(*codes)] == list(modelled.held)
            assert (order.dispute_state == "open") == modelled.is_disputed
        moved = await self.shop.stands(*ACCOUNTS)
        changes = [
            to_cents(NanoUsd(after - before))
            for after, before in zip(moved, self.before, strict=True)
        ]
        assert changes == self._expected_cash()

    def _expected_cash(self) -> list[int]:
        """At the gateway: its movements. Undecided: what is open. Bad debt: what lost ones cost."""
        disputes = [one for order in self.model.orders.values() for one in order.disputes.values()]
        gone = sum(one.cents for one in disputes if one.state in {"open", "lost"})
        movements = sum(
            sum(order.payments.values()) - sum(cents for _, cents in order.refunds.values())
            for order in self.model.orders.values()
        )
        undecided = sum(one.cents for one in disputes if one.state == "open")
        return [movements - gone, undecided, sum(one.bad_debt for one in disputes)]

    def teardown(self) -> None:
        try:
            self._end_all()
        finally:
            self.runner.run(self._close())
            self.runner.close()

    def _end_all(self) -> None:
        """Everything is decided, and told: nothing is held, and what is left is the offer's."""
        for number, (name, state) in enumerate(self.bank.states.items()):
            last = state if state != "open" else ("won", "lost")[number % 2]
            self.bank.states[name] = last
            self._follow(self._order_of(name), name, last)
        held = [order.held for order in self.model.orders.values()]
        assert set(held) <= {(0, 0)}
        given = sum(sum(order.given) for order in self.model.orders.values())
        written_off = sum(
            sum(one.spent)
            for order in self.model.orders.values()
            for one in order.disputes.values()
        )
        model = self.model
        assert sum(model.pocket) + model.used - model.owed == given + written_off
        self.runner.run(self.shop.audited())

    async def _close(self) -> None:
        await self.ledger.stop()
        await self.store.close()


def _pick(things: list[Any], number: int) -> Any:
    return things[number % len(things)]


def test_disputes_are_what_the_model_says(database_url: str) -> None:
    machine = type("Machine", (DisputeMachine,), {"url": database_url})
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            max_examples=size(small=6, full=150),
            stateful_step_count=25,
            phases=[Phase.generate],
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
