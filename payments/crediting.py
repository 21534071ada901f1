"""Crediting: what gateways tell of money becomes one submission each, done once.

The unique payment, the order's state, the cash side with the fee, the Credits: all or nothing. What
is told is checked against the order here, whoever brought the news.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import sqlalchemy as sa

from core import chart, ids
from core.clock import Clock
from core.ledger import CompanionRefused, IdempotencyConflict, Ledger, Submission
from core.notice import notice
from core.pricing import PAR
from core.store import Companion, Insert, Store, Update, schema
from core.units import Credits, NanoUsd
from payments.offer import Given, Offer, cents, of_cents
from payments.orders import Orders, event
from payments.types import Cash, Dispute, News, Order, Payment, PaymentRefused, Refunded

#: Kinds of notices that come of money.
PAID, REFUNDED = "paid", "refunded"
#: An order that others change at the same time is worked out again so often.
_TRIES = 8


class Crediting:
    """The one place where payments become Credits, and refunds take them back."""

    def __init__(
        self, *, orders: Orders, store: Store, ledger: Ledger, clock: Clock, offer: Offer
    ) -> None:
        self.orders, self._store, self._ledger = orders, store, ledger
        self._clock, self._offer = clock, offer

    async def pay(self, payment: Payment) -> Order:
        """Credits what a payment brings, once, however often it is told. Raises `UnknownOrder`,
        `PaymentRefused`; nothing was credited then."""
        return await self._tried(lambda: self._pay(payment), payment.order)

    async def tell(self, news: News) -> None:
        """Whatever it is. Raises as the three below."""
        if isinstance(news, Payment):
            await self.pay(news)
        elif isinstance(news, Refunded):
            await self.refund(news)
        elif isinstance(news, Dispute):
            await self.dispute(news)
        else:
            await self.orders.ended(await self.orders.get(news.order), news.state)

    async def refund(self, refunded: Refunded) -> Order:
        """Keeps what the offer would give for what is left of the payment, takes back the rest;
        what was spent is owed. A refund that failed gives it back. Each once."""
        order = await self.orders.by_payment(refunded.gateway, refunded.payment)
        return await self._tried(lambda: self._refund(order.id, refunded), order.id)

    async def dispute(self, dispute: Dispute) -> Order:
        """Open: holds what is left of the order. Won: gives it back. Lost: it is gone, and what
        was spent is bad debt. Each once."""
        order = await self.orders.by_payment(dispute.gateway, dispute.payment)
        return await self._tried(lambda: self._dispute(order.id, dispute), order.id)

    async def _pay(self, payment: Payment) -> Submission | None:
        order = await self.orders.get(payment.order)
        if order.gateway != payment.gateway:
            raise PaymentRefused(order.id, "gateway")
        if payment.checkout and order.external and payment.checkout != order.external:
            raise PaymentRefused(order.id, "checkout")
        if type(payment.amount) is not type(order.amount):
            raise PaymentRefused(order.id, "unit")
        if payment.amount != order.amount and not payment.any_amount:
            raise PaymentRefused(order.id, "amount")
        if await self._exists(schema.payment, payment.gateway, payment.id):
            return None
        amount = await self._counted(order, payment)
        paid = order.paid.units + amount.units
        given = self._given(order, paid - order.refunded.units)
        more = given - _standing(order)
        person, still = await self._survivor(order.person)
        now = self._clock.now_ms()
        receipt = {
            "gateway": payment.gateway,
            "external": payment.id,
            "id": ids.derived("pay", now, payment.gateway, payment.id),
            "order": order.id,
            "unit": amount.NAME,
            "amount": amount.units,
            "fee": payment.fee.units,
            "at": now,
        }
        change: dict[str, Any] = {
            "paid": paid,
            "bought": given.bought.units,
            "bonus": given.bonus.units,
        }
        if not given.total.is_zero:
            change |= {"state": "credited"}
        figures = {"paid": amount.units, "credits": more.total.units}
        # Less than a cent on top is nothing to be told of.
        heard = not more.total.is_zero or order.state != "credited"
        told = notice(
            self._clock,
            cause_id=f"paid/{payment.gateway}/{payment.id}",
            person=person,
            kind=PAID,
            facts={
                "order": order.id,
                "credits": more.total.units,
                "paid": paid - order.refunded.units,
            },
        )
        return Submission(
            f"payment/{payment.gateway}/{payment.id}",
            (
                *chart.took_cash(payment.gateway, amount, payment.fee),
                *chart.sold(person, more.bought, more.bonus),
            ),
            (
                Insert(schema.payment, receipt),
                self._change(order, change),
                event(self._clock, order.id, "paid", **figures),
                *((told,) if heard else ()),
                still,
            ),
        )

    async def _refund(self, id_: str, refunded: Refunded) -> Submission | None:
        order = await self.orders.get(id_)
        if type(refunded.amount) is not type(order.amount):
            raise PaymentRefused(order.id, "unit")
        known = await self._store.fetch(
            sa.select(schema.refund).where(
                schema.refund.c.gateway == refunded.gateway,
                schema.refund.c.external == refunded.id,
            )
        )
        if refunded.failed:
            if not known or known[0].failed_at is not None:
                return None
            total = order.refunded.units - known[0].amount
            return await self._refund_failed(order, refunded, total)
        if known:
            return None
        total = order.refunded.units + refunded.amount.units
        if total > order.paid.units:
            raise PaymentRefused(order.id, "amount")
        kept = self._given(order, order.paid.units - total)
        person, still = await self._survivor(order.person)
        now = self._clock.now_ms()
        row = {
            "gateway": refunded.gateway,
            "external": refunded.id,
            "order": order.id,
            "amount": refunded.amount.units,
            "at": now,
            "failed_at": None,
        }
        back = _standing(order) - kept
        disputed = order.id if order.dispute_state == "open" else ""
        change = {"refunded": total, "bought": kept.bought.units, "bonus": kept.bonus.units}
        figures = {"refunded": refunded.amount.units, "credits": back.total.units}
        facts: dict[str, str | int] = {"order": order.id, "credits": back.total.units}
        if refunded.claim_url:
            facts["claim"] = refunded.claim_url
        told = notice(
            self._clock,
            cause_id=f"refunded/{refunded.gateway}/{refunded.id}",
            person=person,
            kind=REFUNDED,
            facts=facts,
        )
        return Submission(
            f"refund/{refunded.gateway}/{refunded.id}",
            (
                chart.gave_cash(refunded.gateway, refunded.amount),
                *chart.took_back(person, back.bought, back.bonus, disputed_order=disputed),
            ),
            (
                Insert(schema.refund, row),
                self._change(order, change),
                event(self._clock, order.id, "refunded", **figures),
                told,
                still,
            ),
        )

    async def _refund_failed(self, order: Order, refunded: Refunded, total: int) -> Submission:
        given = self._given(order, order.paid.units - total)
        again = given - _standing(order)
        person, still = await self._survivor(order.person)
        key = {"gateway": refunded.gateway, "external": refunded.id}
        amount = type(refunded.amount)(order.refunded.units - total)
        change = {"refunded": total, "bought": given.bought.units, "bonus": given.bonus.units}
        return Submission(
            f"refund/{refunded.gateway}/{refunded.id}/failed",
            (
                *chart.took_cash(refunded.gateway, amount, type(amount)(0)),
                *chart.sold(person, again.bought, again.bonus),
            ),
            (
                Update(
                    schema.refund, key, {"failed_at": self._clock.now_ms()}, {"failed_at": None}
                ),
                self._change(order, change),
                event(self._clock, order.id, "refund failed", credits=again.total.units),
                still,
            ),
        )

    async def _dispute(self, id_: str, dispute: Dispute) -> Submission | None:
        order = await self.orders.get(id_)
        if type(dispute.amount) is not NanoUsd:
            raise PaymentRefused(order.id, "unit")
        if order.dispute == dispute.id and order.dispute_state in {dispute.state, "won", "lost"}:
            return None
        if order.dispute_state != "open" and dispute.state != "open":
            return None  # it ended before we heard that it began: nothing was moved, nothing is
        name = f"dispute/{dispute.gateway}/{dispute.id}/{dispute.state}"
        person, still = await self._survivor(order.person)
        change: dict[str, Any] = {"dispute": dispute.id, "dispute_state": dispute.state}
        gateway, amount = dispute.gateway, dispute.amount
        if dispute.state == "open":
            entries = chart.dispute_opened(
                person, order.id, gateway, amount, bought=order.bought, bonus=order.bonus
            )
        elif dispute.state == "won":
            entries = chart.dispute_won(
                person, order.id, gateway, amount, bought=order.bought, bonus=order.bonus
            )
        else:
            held = await self._ledger.balances(
                [chart.disputed(order.id, "bought"), chart.disputed(order.id, "gift")]
            )
            bought, bonus = (Credits(balance.available) for balance in held.values())
            returned = min(PAR.times(bought.units), amount)
            entries = chart.dispute_lost(order.id, amount, returned, bought, bonus)
            change |= {
                "bought": order.bought.units - bought.units,
                "bonus": order.bonus.units - bonus.units,
            }
        return Submission(
            name,
            entries,
            (
                self._change(order, change),
                event(self._clock, order.id, f"dispute {dispute.state}", amount=amount.units),
                still,
            ),
        )

    # --- helpers --------------------------------------------------------------------------------

    async def _tried(self, work: Callable[[], Awaitable[Submission | None]], order: str) -> Order:
        """Works it out on the order as it stands, and again when others changed it meanwhile."""
        for _ in range(_TRIES):
            submission = await work()
            if submission is None:
                break
            try:
                await self._ledger.submit(submission)
            except (CompanionRefused, IdempotencyConflict):
                continue
            break
        else:
            raise PaymentRefused(order, "busy")
        return await self.orders.get(order)

    def _given(self, order: Order, paid: int) -> Given:
        """What is given for an order of which so much is paid and not refunded. Nothing until it is
        paid in full; what is paid above is worth the free rate."""
        if order.state != "credited" and paid < order.amount.units:
            return Given(Credits(0), Credits(0))
        value = NanoUsd(order.value.units * min(paid, order.amount.units) // order.amount.units)
        given = self._offer.given(value)
        surplus = paid - order.amount.units
        if surplus > 0:
            more = self._offer.free(NanoUsd(order.value.units * surplus // order.amount.units))
            return Given(given.bought + more.bought, given.bonus + more.bonus)
        return given

    async def _counted(self, order: Order, payment: Payment) -> Cash:
        """What of a payment counts: all of it, or where it has parts of cents, the whole cents by
        which it raises the sum of those that were counted before."""
        if not payment.parts:
            return payment.amount
        table = schema.payment
        rows = await self._store.fetch(
            sa.select(table.c.external).where(
                table.c.gateway == payment.gateway, table.c.order == order.id
            )
        )
        before = (payment.parts[row.external] for row in rows if row.external in payment.parts)
        known = sum(before, start=NanoUsd(0))
        return of_cents(cents(known + payment.parts[payment.id]) - cents(known))

    async def _survivor(self, person: str) -> tuple[str, Companion]:
        """Whom a person's Credits belong to now, and what keeps that true until it is written."""
        table = schema.person
        while True:
            rows = await self._store.fetch(
                sa.select(table.c.merged_into).where(table.c.id == person)
            )
            into = rows[0].merged_into if rows else None
            if into is None:
                unchanged = {"merged_into": None}
                return person, Update(table, {"id": person}, unchanged, unchanged)
            person = into

    async def _exists(self, table: sa.Table, gateway: str, external: str) -> bool:
        return bool(
            await self._store.fetch(
                sa.select(table.c.gateway).where(
                    table.c.gateway == gateway, table.c.external == external
                )
            )
        )

    def _change(self, order: Order, change: dict[str, Any]) -> Update:
        """The order's new figures, while nobody else has changed it since it was read."""
        expected = {
            "state": order.state,
            "paid": order.paid.units,
            "refunded": order.refunded.units,
            "bought": order.bought.units,
            "bonus": order.bonus.units,
            "dispute_state": order.dispute_state,
        }
        return Update(schema.order, {"id": order.id}, change, expected)


def _standing(order: Order) -> Given:
    """What is given for an order as it stands."""
    return Given(order.bought, order.bonus)
