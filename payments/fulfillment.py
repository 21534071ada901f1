"""Fulfillment: each event that gateways report of money becomes one submission, done once.

The unique payment, the order's state, the cash side with the fee, the Credits: all or nothing. The
event is checked against the order here, whoever brought it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from core import chart, ids
from core.db import schema
from core.db.database import Database
from core.db.writes import Insert, Update
from core.ledger.ledger import Ledger
from core.ledger.prepare import AMOUNT_MAX
from core.ledger.types import (
    CompanionRefused,
    Entry,
    HoldResolved,
    IdempotencyConflict,
    InsufficientFunds,
    Submission,
)
from core.money import Credits, NanoUsd
from core.notification import notification_row
from core.users.service import find_survivor
from payments.dispute_steps import select_dispute_refunds
from payments.disputes import Disputes
from payments.gateways.base import Gateway
from payments.mismatches import Mismatches
from payments.offer import Offer, from_cents, to_cents
from payments.orders import (
    Orders,
    current_entitlement,
    entitlement_for,
    order_event_row,
    order_update,
    remaining_cash,
)
from payments.payment_warnings import PaymentWarnings
from payments.referral_share import ReferralShare, compute_referral_share
from payments.reversals import Reversals
from payments.types import (
    Cash,
    CheckoutEnded,
    Dispute,
    GatewayEvent,
    Order,
    Payment,
    PaymentMismatch,
    PaymentPending,
    PaymentWarning,
    Refund,
    Reversal,
    StorePurchase,
)

#: Kinds of notifications that come of money.
PAID, REFUNDED = "paid", "refunded"
#: And of money on its way: that it is, and that it came to nothing.
ON_ITS_WAY, ARRIVED_NOT = "on_its_way", "arrived_not"
#: An order that others change at the same time is worked out again so often.
_ATTEMPTS_MAX = 8
#: A dispute that was won and is lost now: taken up again, lost, its fee.
_DISPUTE_STEPS_MAX = 3

#: Finds or makes the person who writes from a platform by an id there, and gives their own id.
GetPersonId = Callable[[str, str], Awaitable[str]]


class Fulfillment:
    """Fulfillment is the one place where payments become Credits, and refunds take them back."""

    def __init__(
        self,
        *,
        orders: Orders,
        ledger: Ledger,
        offer: Offer,
        get_person_id: GetPersonId | None = None,
        gateways: Mapping[str, Gateway] | None = None,
    ) -> None:
        """`offer` counts for orders that kept none; `get_person_id` is needed where platforms' own
        stores sell, `gateways` where disputes go on after their end."""
        self.orders, self._db, self._ledger = orders, ledger.db, ledger
        self._clock, self._offer, self._get_person_id = ledger.clock, offer, get_person_id
        self.disputes = Disputes(
            orders=orders,
            ledger=ledger,
            offer=offer,
            gateways={} if gateways is None else gateways,
        )
        self._warnings = PaymentWarnings(orders=orders, ledger=ledger)
        self._reversals = Reversals(db=ledger.db)
        self._mismatches = Mismatches(orders=orders, ledger=ledger)

    async def credit_payment(self, payment: Payment, *, notify: bool = True) -> Order:
        """Credits what a payment brings, once, however often it is reported. Raises `UnknownOrder`,
        `PaymentMismatch`; nothing was credited then. Without `notify` its person gets no
        notification: they are shown it already."""
        try:
            return await self._submit_with_retries(
                lambda: self._prepare_payment(payment, notify=notify), payment.order
            )
        except PaymentMismatch as refused:
            if refused.reason != "busy":
                await self._mismatches.report(payment, refused)
            raise

    async def handle(self, event: GatewayEvent) -> None:
        """Fulfills an event, whatever it is. Raises what the three methods below raise."""
        if isinstance(event, Payment):
            await self.credit_payment(event)
        elif isinstance(event, StorePurchase):
            await self.credit_payment(await self._payment_of_purchase(event))
            await self.restore_purchase(event)
        elif isinstance(event, Refund):
            await self.apply_refund(event)
        elif isinstance(event, Reversal):
            await self.apply_refund(await self._reversals.find_refund(event))
        elif isinstance(event, Dispute):
            await self.apply_dispute(event)
        elif isinstance(event, PaymentPending):
            await self._mark_processing(event)
        elif isinstance(event, PaymentWarning):
            await self._warnings.pass_on(event)
        else:
            await self._end_checkout(event)

    async def restore_purchase(self, purchase: StorePurchase) -> None:
        """Gives back what a purchase brought that its store had taken back, and has again."""
        undone = await self._reversals.find_undone(purchase)
        if undone is not None:
            await self.apply_refund(undone)

    async def apply_refund(self, refund: Refund) -> Order:
        """Keeps what the offer would give for what is left of the payment, takes back the rest;
        what was spent is owed. A refund that failed gives it back. Each once."""
        order = await self.orders.get_by_payment(refund.gateway, refund.payment)
        if refund.dispute:
            return await self._apply_dispute_part(order, refund)
        return await self._submit_with_retries(
            lambda: self._prepare_refund(order.id, refund), order.id
        )

    async def apply_dispute(self, dispute: Dispute) -> Order:
        """Open: holds what is left of the order. Won: gives it back. Lost: it is gone, and what
        was spent is bad debt. Each once; what ended and goes on is undone. Raises
        `GatewayUnavailable`."""
        order = await self.orders.get_by_payment(dispute.gateway, dispute.payment)
        for _ in range(_ATTEMPTS_MAX + _DISPUTE_STEPS_MAX):
            submission, dispute = await self.disputes.prepare_submission(order.id, dispute)
            if submission is None:
                self.orders.invalidate_offer(order.person)
                return await self.orders.get(order.id)
            with suppress(CompanionRefused, IdempotencyConflict, InsufficientFunds):
                await self._ledger.submit(submission)
        raise PaymentMismatch(order.id, "busy")

    async def _mark_processing(self, event: PaymentPending) -> None:
        order = await self.orders.get(event.order)
        await self.orders.mark_processing(order, await self._notification(order, ON_ITS_WAY))

    async def _end_checkout(self, event: CheckoutEnded) -> None:
        """Whoever tried to pay, or has read that their money is on its way, reads that it came to
        nothing; a checkout that nobody used just ends."""
        order = await self.orders.get(event.order)
        also = (await self._notification(order, ARRIVED_NOT),)
        was_tried = event.state == "failed" or order.state == "processing"
        await self.orders.end_unpaid(order, event.state, *(also if was_tried else ()))

    async def _prepare_payment(self, payment: Payment, *, notify: bool) -> Submission | None:
        order = await self.orders.get(payment.order)
        if order.gateway != payment.gateway:
            raise PaymentMismatch(order.id, "gateway")
        if payment.checkout and order.external_id and payment.checkout != order.external_id:
            raise PaymentMismatch(order.id, "checkout")
        if payment.payer and not order.place.startswith(f"{payment.payer}:"):
            raise PaymentMismatch(order.id, "payer")
        if type(payment.amount) is not type(order.amount):
            raise PaymentMismatch(order.id, "unit")
        if payment.amount != order.amount and not payment.any_amount:
            raise PaymentMismatch(order.id, "amount")
        if (known_fee := await self._find_fee(payment)) is not None:
            return self._prepare_late_fee(order, payment, known_fee)
        if payment.amount.units > AMOUNT_MAX:
            raise PaymentMismatch(order.id, "amount")
        amount = await self._counted_amount(order, payment)
        paid, current = order.paid.units + amount.units, current_entitlement(order)
        remaining = remaining_cash(order) + amount.units
        entitlement = entitlement_for(order, remaining, self._offer, paid).raise_to(current)
        added = entitlement - current
        person, person_guard = await find_survivor(self._db, order.person)
        cause = f"{payment.gateway}/{payment.id}"
        share = await self._referral_share(order, entitlement.total, person, cause)
        now = self._clock.now_ms()
        receipt = {
            "gateway": payment.gateway,
            "external": payment.id,
            "id": ids.derive_id("pay", now, payment.gateway, payment.id),
            "order": order.id,
            "unit": amount.NAME,
            "amount": amount.units,
            "fee": payment.fee.units,
            "at": now,
        }
        change: dict[str, Any] = {
            "paid": paid,
            "bought": entitlement.bought.units,
            "bonus": entitlement.bonus.units,
        }
        if not entitlement.total.is_zero:
            change |= {"state": "credited"}
        elif order.state == "processing":  # the rest is waited for
            change |= {"state": "pending"}
        figures = {"paid": amount.units, "credits": added.total.units}
        # Less than a cent on top is nothing to be told of.
        is_worth_telling = notify and not (added.total.is_zero and order.state == "credited")
        notification = notification_row(
            self._clock,
            cause_id=f"paid/{cause}",
            person=person,
            kind=PAID,
            facts={"order": order.id, "credits": added.total.units, "paid": remaining},
        )
        return Submission(
            f"payment/{cause}",
            (
                *chart.receive_cash(payment.gateway, amount, payment.fee),
                *chart.credit_topup(person, added.bought, added.bonus),
                *share.entries,
            ),
            (
                Insert(schema.payment, receipt),
                order_update(order, {**change, **share.change}),
                order_event_row(self._clock, order.id, "paid", **figures, **share.figures),
                *((notification,) if is_worth_telling else ()),
                person_guard,
                *share.companions,
            ),
        )

    def _prepare_late_fee(
        self, order: Order, payment: Payment, known_fee: int
    ) -> Submission | None:
        """The fee of a payment that was credited before it was known; None where it was."""
        key = {"gateway": payment.gateway, "external": payment.id}
        if known_fee or not isinstance(payment.fee, NanoUsd) or payment.fee.is_zero:
            return None
        return Submission(
            f"payment/{payment.gateway}/{payment.id}/fee",
            (chart.book_late_fee(payment.gateway, payment.fee),),
            (
                Update(schema.payment, key, {"fee": payment.fee.units}, {"fee": 0}),
                order_event_row(self._clock, order.id, "fee known", fee=payment.fee.units),
            ),
        )

    async def _prepare_refund(self, id_: str, refund: Refund) -> Submission | None:
        order = await self.orders.get(id_)
        if type(refund.amount) is not type(order.amount):
            raise PaymentMismatch(order.id, "unit")
        recorded = await self._db.fetch(
            sa.select(schema.refund).where(
                schema.refund.c.gateway == refund.gateway,
                schema.refund.c.external == refund.id,
            )
        )
        if refund.failed:
            if not recorded or recorded[0].failed_at is not None:
                return None
            total = order.refunded.units - recorded[0].amount
            return await self._prepare_failed_refund(order, refund, total)
        if recorded:
            return None
        total = order.refunded.units + refund.amount.units
        if total > order.paid.units:
            raise PaymentMismatch(order.id, "amount")
        current, remaining = current_entitlement(order), remaining_cash(order) - refund.amount.units
        kept = entitlement_for(order, remaining, self._offer).cap_at(current)
        person, person_guard = await find_survivor(self._db, order.person)
        cause = f"{refund.gateway}/{refund.id}"
        share = await self._referral_share(order, kept.total, person, cause)
        now = self._clock.now_ms()
        row = {
            "gateway": refund.gateway,
            "external": refund.id,
            "id": ids.derive_id("rfd", now, refund.gateway, refund.id),
            "order": order.id,
            "amount": refund.amount.units,
            "at": now,
            "payment": refund.payment,
        }
        removed = current - kept
        disputed_order = order.id if order.dispute_state == "open" else ""
        change = {"refunded": total, "bought": kept.bought.units, "bonus": kept.bonus.units}
        figures = {"refunded": refund.amount.units, "credits": removed.total.units}
        facts: dict[str, str | int] = {"order": order.id, "credits": removed.total.units}
        if refund.claim_url:
            facts["claim"] = refund.claim_url
        notification = notification_row(
            self._clock,
            cause_id=f"refunded/{refund.gateway}/{refund.id}",
            person=person,
            kind=REFUNDED,
            facts=facts,
        )
        return Submission(
            f"refund/{refund.gateway}/{refund.id}",
            (
                chart.refund_cash(refund.gateway, refund.amount),
                *await self._void_cancellation(order.id),
                *chart.reverse_topup(
                    person, removed.bought, removed.bonus, disputed_order=disputed_order
                ),
                *share.entries,
            ),
            (
                Insert(schema.refund, row),
                order_update(order, {**change, **share.change}),
                order_event_row(self._clock, order.id, "refunded", **figures, **share.figures),
                notification,
                person_guard,
                *share.companions,
            ),
        )

    async def _prepare_failed_refund(self, order: Order, refund: Refund, total: int) -> Submission:
        amount = type(refund.amount)(order.refunded.units - total)
        current, remaining = current_entitlement(order), remaining_cash(order) + amount.units
        entitlement = entitlement_for(order, remaining, self._offer).raise_to(current)
        restored = entitlement - current
        person, person_guard = await find_survivor(self._db, order.person)
        cause = f"{refund.gateway}/{refund.id}/failed"
        share = await self._referral_share(order, entitlement.total, person, cause)
        key = {"gateway": refund.gateway, "external": refund.id}
        change = {
            "refunded": total,
            "bought": entitlement.bought.units,
            "bonus": entitlement.bonus.units,
        }
        return Submission(
            f"refund/{refund.gateway}/{refund.id}/failed",
            (
                *chart.receive_cash(refund.gateway, amount, type(amount)(0)),
                *(
                    chart.credit_disputed_order(order.id, restored.bought, restored.bonus)
                    if order.dispute_state == "open"
                    else chart.credit_topup(person, restored.bought, restored.bonus)
                ),
                *share.entries,
            ),
            (
                Update(
                    schema.refund, key, {"failed_at": self._clock.now_ms()}, {"failed_at": None}
                ),
                order_update(order, {**change, **share.change}),
                order_event_row(
                    self._clock,
                    order.id,
                    "refund failed",
                    credits=restored.total.units,
                    **share.figures,
                ),
                person_guard,
                *share.companions,
            ),
        )

    # --- helpers --------------------------------------------------------------------------------

    async def _notification(self, order: Order, kind: str) -> Insert:
        """A notification to the buyer about their order, of which no money is told."""
        person, _ = await find_survivor(self._db, order.person)
        facts: dict[str, str | int] = {"order": order.id, "credits": 0}
        return notification_row(
            self._clock, cause_id=f"{kind}/{order.id}", person=person, kind=kind, facts=facts
        )

    async def _payment_of_purchase(self, purchase: StorePurchase) -> Payment:
        """A purchase as the payment of its order."""
        assert self._get_person_id is not None, "a store sells"
        get_person_id = self._get_person_id
        order = await self.orders.claim_for_purchase(
            gateway=purchase.gateway,
            external_id=purchase.id,
            at_ms=purchase.at_ms,
            place=f"{purchase.platform}:{purchase.buyer}:",
            value=purchase.value,
            get_person_id=lambda: get_person_id(purchase.platform, purchase.buyer),
        )
        # What it costs now may not be what its order was about.
        amount = order.amount
        return Payment(
            purchase.gateway, purchase.id, order.id, amount, purchase.fee, checkout=purchase.id
        )

    async def _apply_dispute_part(self, order: Order, refund: Refund) -> Order:
        """The part of its sum that a dispute cost goes by the dispute's id; what it costs when it
        is decided again is another refund, in place of that one."""
        known = await self._db.fetch(select_dispute_refunds(refund.gateway, refund.dispute))
        standing = next((row for row in known if row.failed_at is None), None)
        if standing is not None and (refund.failed or standing.amount != refund.amount.units):
            undone = replace(refund, id=standing.external, failed=True)
            order = await self._submit_with_retries(
                lambda: self._prepare_refund(order.id, undone), order.id
            )
            standing = None
        if refund.failed or standing is not None:
            return order
        name = f"{refund.dispute}/{len(known)}" if known else refund.dispute
        given = replace(refund, id=name)
        return await self._submit_with_retries(
            lambda: self._prepare_refund(order.id, given), order.id
        )

    async def _submit_with_retries(
        self, prepare: Callable[[], Awaitable[Submission | None]], order_id: str
    ) -> Order:
        """Works it out on the order as it stands, and again when others changed it meanwhile."""
        for _ in range(_ATTEMPTS_MAX):
            submission = await prepare()
            if submission is None:
                break
            try:
                await self._ledger.submit(submission)
            except (
                CompanionRefused,
                HoldResolved,
                IdempotencyConflict,
                InsufficientFunds,
            ):
                continue
            break
        else:
            raise PaymentMismatch(order_id, "busy")
        order = await self.orders.get(order_id)
        self.orders.invalidate_offer(order.person)
        return order

    async def _void_cancellation(self, order_id: str) -> tuple[Entry, ...]:
        """What a cancellation of the order holds, back in its pockets: its refund takes it."""
        table = schema.cancellation.c
        asked = await self._db.fetch(
            sa.select(table.id).where(table.order == order_id, table.state == "asked")
        )
        names = [
            name
            for row in asked
            for name in await list_cancellation_holds(self._db, f"cancellation/{row.id}")
        ]
        return tuple(map(chart.void_cancellation, names))

    async def _referral_share(
        self, order: Order, total_given: Credits, payer: str, cause: str
    ) -> ReferralShare:
        return await compute_referral_share(
            self._db,
            self._clock,
            order,
            total_given=total_given,
            payer=payer,
            offer=self._offer,
            cause=cause,
        )

    async def _counted_amount(self, order: Order, payment: Payment) -> Cash:
        """What of a payment counts: all of it, or where it has parts of cents, the whole cents by
        which it raises the sum of those that were counted before."""
        if not payment.parts:
            return payment.amount
        table = schema.payment
        rows = await self._db.fetch(
            sa.select(table.c.external).where(
                table.c.gateway == payment.gateway, table.c.order == order.id
            )
        )
        counted = (payment.parts[row.external] for row in rows if row.external in payment.parts)
        sum_before = sum(counted, start=NanoUsd(0))
        return from_cents(to_cents(sum_before + payment.parts[payment.id]) - to_cents(sum_before))

    async def _find_fee(self, payment: Payment) -> int | None:
        """The fee that a payment was credited with; None where it wasn't credited."""
        table = schema.payment.c
        rows = await self._db.fetch(
            sa.select(table.fee).where(
                table.gateway == payment.gateway, table.external == payment.id
            )
        )
        return int(rows[0].fee) if rows else None


async def list_cancellation_holds(db: Database, submission: str) -> list[str]:
    """The names of the holds that the submission of a cancellation made, as far as they are there
    still."""
    name = schema.hold.c.name
    rows = await db.fetch(sa.select(name).where(name.like(f"{submission}/%")))
    return [row.name for row in rows]
