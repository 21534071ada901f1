"""Fulfillment: each event that gateways report of money becomes one submission, done once.

The unique payment, the order's state, the cash side with the fee, the Credits: all or nothing. The
event is checked against the order here, whoever brought it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import sqlalchemy as sa

from core import chart, ids
from core.clock import Clock
from core.db import schema
from core.db.database import Store
from core.db.writes import Insert, Update
from core.ledger.ledger import Ledger
from core.ledger.types import CompanionRefused, IdempotencyConflict, Submission
from core.money import Credits, NanoUsd
from core.notification import notice
from core.users.service import survivor
from payments.disputes import Disputes
from payments.offer import Offer, cents, of_cents
from payments.orders import Orders, changed, event, given_for, left, standing
from payments.referral_share import Shared, shared
from payments.types import (
    UNITS,
    Cash,
    Dispute,
    News,
    Order,
    Payment,
    PaymentRefused,
    Purchase,
    Refunded,
    TakenBack,
    UnknownOrder,
)

#: Kinds of notifications that come of money.
PAID, REFUNDED = "paid", "refunded"
#: An order that others change at the same time is worked out again so often.
_TRIES = 8

#: Finds or makes the person who writes from a platform by an id there, and gives their own id.
Who = Callable[[str, str], Awaitable[str]]


class Crediting:
    """Fulfillment is the one place where payments become Credits, and refunds take them back."""

    def __init__(
        self,
        *,
        orders: Orders,
        store: Store,
        ledger: Ledger,
        clock: Clock,
        offer: Offer,
        who: Who | None = None,
    ) -> None:
        """`offer` counts for orders that kept none; `get_person_id` is needed where platforms' own
        stores sell."""
        self.orders, self._store, self._ledger = orders, store, ledger
        self._clock, self._offer, self._who = clock, offer, who
        self._disputes = Disputes(
            orders=orders, store=store, ledger=ledger, clock=clock, offer=offer
        )

    async def pay(self, payment: Payment, *, telling: bool = True) -> Order:
        """Credits what a payment brings, once, however often it is reported. Raises `UnknownOrder`,
        `PaymentMismatch`; nothing was credited then. Without `notify` its person gets no
        notification: they are shown it already."""
        return await self._tried(lambda: self._pay(payment, telling=telling), payment.order)

    async def tell(self, news: News) -> None:
        """Fulfills an event, whatever it is. Raises what the three methods below raise."""
        if isinstance(news, Payment):
            await self.pay(news)
        elif isinstance(news, Purchase):
            await self.pay(await self._payment(news))
        elif isinstance(news, Refunded):
            await self.refund(news)
        elif isinstance(news, TakenBack):
            await self.refund(await self._whole(news))
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
        for one in self._disputes.steps(dispute):
            order = await self._tried(partial(self._disputes.worked, order.id, one), order.id)
        return order

    async def _pay(self, payment: Payment, *, telling: bool) -> Submission | None:
        order = await self.orders.get(payment.order)
        if order.gateway != payment.gateway:
            raise PaymentRefused(order.id, "gateway")
        if payment.checkout and order.external and payment.checkout != order.external:
            raise PaymentRefused(order.id, "checkout")
        if payment.payer and not order.place.startswith(f"{payment.payer}:"):
            raise PaymentRefused(order.id, "payer")
        if type(payment.amount) is not type(order.amount):
            raise PaymentRefused(order.id, "unit")
        if payment.amount != order.amount and not payment.any_amount:
            raise PaymentRefused(order.id, "amount")
        if await self._exists(schema.payment, payment.gateway, payment.id):
            return None
        amount = await self._counted(order, payment)
        paid, stands = order.paid.units + amount.units, standing(order)
        now_left = left(order) + amount.units
        given = given_for(order, now_left, self._offer).at_least(stands)
        more = given - stands
        person, still = await survivor(self._store, order.person)
        friend = await self._shared(order, given.total, person, f"{payment.gateway}/{payment.id}")
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
        heard = telling and not (more.total.is_zero and order.state == "credited")
        told = notice(
            self._clock,
            cause_id=f"paid/{payment.gateway}/{payment.id}",
            person=person,
            kind=PAID,
            facts={"order": order.id, "credits": more.total.units, "paid": now_left},
        )
        return Submission(
            f"payment/{payment.gateway}/{payment.id}",
            (
                *chart.took_cash(payment.gateway, amount, payment.fee),
                *chart.sold(person, more.bought, more.bonus),
                *friend.entries,
            ),
            (
                Insert(schema.payment, receipt),
                changed(order, {**change, **friend.change}),
                event(self._clock, order.id, "paid", **figures, **friend.figures),
                *((told,) if heard else ()),
                still,
                *friend.rows,
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
        stands, now_left = standing(order), left(order) - refunded.amount.units
        kept = given_for(order, now_left, self._offer).at_most(stands)
        person, still = await survivor(self._store, order.person)
        cause = f"{refunded.gateway}/{refunded.id}"
        friend = await self._shared(order, kept.total, person, cause)
        now = self._clock.now_ms()
        row = {
            "gateway": refunded.gateway,
            "external": refunded.id,
            "id": ids.derived("rfd", now, refunded.gateway, refunded.id),
            "order": order.id,
            "amount": refunded.amount.units,
            "at": now,
            "failed_at": None,
        }
        back = stands - kept
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
                *friend.entries,
            ),
            (
                Insert(schema.refund, row),
                changed(order, {**change, **friend.change}),
                event(self._clock, order.id, "refunded", **figures, **friend.figures),
                told,
                still,
                *friend.rows,
            ),
        )

    async def _refund_failed(self, order: Order, refunded: Refunded, total: int) -> Submission:
        amount = type(refunded.amount)(order.refunded.units - total)
        stands, now_left = standing(order), left(order) + amount.units
        given = given_for(order, now_left, self._offer).at_least(stands)
        again = given - stands
        person, still = await survivor(self._store, order.person)
        cause = f"{refunded.gateway}/{refunded.id}/failed"
        friend = await self._shared(order, given.total, person, cause)
        key = {"gateway": refunded.gateway, "external": refunded.id}
        change = {"refunded": total, "bought": given.bought.units, "bonus": given.bonus.units}
        return Submission(
            f"refund/{refunded.gateway}/{refunded.id}/failed",
            (
                *chart.took_cash(refunded.gateway, amount, type(amount)(0)),
                *chart.sold(person, again.bought, again.bonus),
                *friend.entries,
            ),
            (
                Update(
                    schema.refund, key, {"failed_at": self._clock.now_ms()}, {"failed_at": None}
                ),
                changed(order, {**change, **friend.change}),
                event(
                    self._clock,
                    order.id,
                    "refund failed",
                    credits=again.total.units,
                    **friend.figures,
                ),
                still,
                *friend.rows,
            ),
        )

    # --- helpers --------------------------------------------------------------------------------

    async def _payment(self, bought: Purchase) -> Payment:
        """A purchase as the payment of its order."""
        assert self._who is not None, "a store sells"
        who = self._who
        order = await self.orders.claimed(
            gateway=bought.gateway,
            external=bought.id,
            at_ms=bought.at_ms,
            place=f"{bought.platform}:{bought.buyer}:",
            value=bought.value,
            person=lambda: who(bought.platform, bought.buyer),
        )
        # What it costs now may not be what its order was about.
        amount = order.amount
        return Payment(bought.gateway, bought.id, order.id, amount, bought.fee, checkout=bought.id)

    async def _whole(self, back: TakenBack) -> Refunded:
        table = schema.payment
        rows = await self._store.fetch(
            sa.select(table.c.unit, table.c.amount).where(
                table.c.gateway == back.gateway, table.c.external == back.payment
            )
        )
        if not rows:
            raise UnknownOrder(back.payment)
        amount = UNITS[rows[0].unit](rows[0].amount)
        return Refunded(back.gateway, back.payment, back.payment, amount)

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
        done = await self.orders.get(order)
        self.orders.changed(done.person)
        return done

    async def _shared(self, order: Order, gives: Credits, payer: str, cause: str) -> Shared:
        return await shared(
            self._store,
            self._clock,
            order,
            gives=gives,
            payer=payer,
            offer=self._offer,
            cause=cause,
        )

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

    async def _exists(self, table: sa.Table, gateway: str, external: str) -> bool:
        return bool(
            await self._store.fetch(
                sa.select(table.c.gateway).where(
                    table.c.gateway == gateway, table.c.external == external
                )
            )
        )
