"""Orders: created before a gateway hears of them; their life, their history, what one gives for
what is left of its cash, and what the offer was for its buyer, with what their tier and a promotion
bring. Money is `payments.fulfillment`'s.

An order keeps what it was promised. A limited promotion has a place for it from then on, which is
free again when the order ends unpaid.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from core import ids
from core.clock import DAY_MS, Clock
from core.db import schema
from core.db.database import Store
from core.db.writes import Companion, Delete, Insert, Update
from core.earnings.types import DISPUTABLE_DAYS
from core.ledger.ledger import Ledger
from core.ledger.types import CompanionRefused, LedgerBusy
from core.money import Credits, NanoUsd
from core.pricing.deals import Deals
from core.pricing.promotions import Promotion, UsedUp
from core.users.service import lineage
from payments.offer import Given, Offer, offer_of
from payments.types import (
    UNITS,
    CardsStopped,
    Cash,
    Order,
    TooManyOrders,
    UnknownOrder,
)

#: Orders of one person that may wait to be paid.
OPEN_MAX = 10
#: Gateways through which a payer's bank can take money back.
DISPUTABLE = frozenset({"stripe", "paypal", "sandbox"})
#: Nobody pays by card for so long after they had a payment taken back.
_CARDS_STOP_MS = DISPUTABLE_DAYS * DAY_MS
#: A place among a limited promotion's uses is looked for so often, when others were faster.
_PLACE_TRIES = 20
#: An order of a voucher is paid by it at once.
_CODE_SECONDS = 3_600


class Orders:
    """The repository of orders: it creates them, moves them on, and finds them."""

    def __init__(
        self,
        *,
        store: Store,
        ledger: Ledger,
        clock: Clock,
        offer: Offer,
        promises: Promises | None = None,
    ) -> None:
        """`offer` is everyone's, `personal_offers` tell what it is for one buyer."""
        self._store, self._ledger, self._clock, self.offer = store, ledger, clock, offer
        self._promises = promises

    async def offer_to(self, person: str) -> Offer:
        """What somebody is offered now."""
        return (await self._promised(person)).offer

    def changed(self, person: str) -> None:
        """An order of theirs was paid or given back."""
        if self._promises is not None:
            self._promises.changed(person)

    # --- an order's beginning -------------------------------------------------------------------

    async def create(
        self,
        *,
        cause: str,
        at_ms: int,
        person: str,
        place: str,
        message: str,
        gateway: str,
        value: NanoUsd,
        amount: Cash,
        seconds: int,
    ) -> Order:
        """A new order, to be paid within so many seconds; the same cause (a button) gives the same
        one. `message` shows it in its place; `value` is what the offer counts, `amount` what is to
        be paid. Raises `BadAmount`, `TooManyOrders`, `CardPaymentsPaused`."""
        self.offer.check(value)
        id_ = ids.derived("ord", at_ms, cause)
        known = await self._rows(schema.order.c.id == id_)
        if known:
            return known[0]
        await self._may_begin(person, gateway)
        row = self._row(id_, person, place, message, gateway, value, amount, seconds)
        created = event(self._clock, id_, "created", gateway=gateway, amount=amount.units)
        with suppress(CompanionRefused):  # the same button press, delivered to two processes
            await self._keep(row, created)
        return await self.get(id_)

    async def of_code(
        self,
        *,
        code: str,
        person: str,
        place: str,
        gateway: str,
        value: NanoUsd,
        used: Companion,
    ) -> Order:
        """The order of a voucher, one, whoever was first. `voucher_use` sees to that, and is
        written with it. Raises `UnknownOrder` when it may not be used."""
        id_ = ids.new("ord", self._clock.now_ms())
        row = self._row(id_, person, place, "", gateway, value, value, _CODE_SECONDS)
        row |= {"external": code, "state": "pending"}
        created = event(self._clock, id_, "created", gateway=gateway, amount=value.units)
        with suppress(CompanionRefused):  # somebody was faster
            await self._keep(row, created, used)
        return await self.by_external(gateway, code)

    def _row(
        self,
        id_: str,
        person: str,
        place: str,
        message: str,
        gateway: str,
        value: NanoUsd,
        amount: Cash,
        seconds: int,
    ) -> dict[str, Any]:
        now = self._clock.now_ms()
        return {
            "id": id_,
            "person": person,
            "place": place,
            "shown_in": message,
            "gateway": gateway,
            "external": None,
            "url": "",
            "unit": amount.NAME,
            "amount": amount.units,
            "value": value.units,
            "state": "created",
            "paid": 0,
            "refunded": 0,
            "lost": 0,
            "bought": 0,
            "bonus": 0,
            "offer": "",
            "referral": None,
            "share": 0,
            "dispute": None,
            "dispute_state": "",
            "created_at": now,
            "expires_at": now + seconds * 1_000,
        }

    async def claimed(
        self,
        *,
        gateway: str,
        external: str,
        at_ms: int,
        place: str,
        value: NanoUsd,
        person: Callable[[], Awaitable[str]],
    ) -> Order:
        """The order that a purchase in a platform's own store pays: the one that is its already,
        else the newest open one of that value from that place, else one made for `get_person_id`.
        One purchase never has two orders, nor one order two purchases."""
        while True:
            with suppress(UnknownOrder):
                return await self.by_external(gateway, external)
            table = schema.order.c
            waiting = await self._rows(
                table.gateway == gateway,
                table.place == place,
                table.value == value.units,
                table.state.in_(("created", "pending")),
                table.external.is_(None),
            )
            with suppress(CompanionRefused):  # another purchase, or process, was first
                if waiting:
                    change, expected = {"external": external}, {"external": None}
                    await self._ledger.record(
                        Update(schema.order, {"id": waiting[0].id}, change, expected),
                        event(self._clock, waiting[0].id, "claimed"),
                    )
                else:
                    id_ = ids.derived("ord", at_ms, gateway, external)
                    row = self._row(id_, await person(), place, "", gateway, value, value, 0)
                    await self._keep(
                        row | {"external": external},
                        event(self._clock, id_, "created", gateway=gateway, amount=value.units),
                    )

    async def _keep(self, row: dict[str, Any], *also: Companion) -> None:
        """Writes a new order with what its buyer is promised; raises `CompanionRefused`."""
        used_up: set[str] = set()
        for _ in range(_PLACE_TRIES):
            promise = await self._promised(row["person"], used_up)
            order = Insert(schema.order, row | {"offer": promise.offer.text()})
            if promise.promotion is None or self._promises is None:
                await self._ledger.record(order, *also)
                return None
            try:
                async with self._promises.kept(promise, row["person"], row["id"]) as use:
                    return await self._ledger.record(order, *also, *use)
            except UsedUp:
                used_up.add(promise.promotion.id)
            except CompanionRefused as refused:
                if refused.table != schema.promotion_use.name:
                    raise
        raise LedgerBusy

    async def _promised(self, person: str, without: Collection[str] = ()) -> Promise:
        if self._promises is None:
            return Promise(self.offer)
        return await self._promises.to(person, without=without)

    async def begun(self, order: Order, *, external: str, url: str) -> Order:
        """The gateway knows it, by the id `external_id` if it gives one now: waits to be paid."""
        change = {"external": external or None, "url": url, "state": "pending"}
        with suppress(CompanionRefused):  # paid already, or begun at the same time elsewhere
            await self._ledger.record(
                Update(schema.order, {"id": order.id}, change, {"state": "created"}),
                event(self._clock, order.id, "pending"),
            )
        return await self.get(order.id)

    async def ended(self, order: Order, state: str) -> bool:
        """Nobody pays it any more (`expired` or `failed`); a payment that comes later counts all
        the same. False when it isn't open."""
        less, rows = await given_up(self._store, order)
        change, expected = {"state": state, **less}, {"state": ("created", "pending")}
        try:
            await self._ledger.record(
                Update(schema.order, {"id": order.id}, change, expected),
                event(self._clock, order.id, state),
                *rows,
            )
        except CompanionRefused:
            return False
        return True

    async def noted(self, order: Order, what: str, **facts: int | str) -> None:
        """A line of its history that changes nothing of it."""
        await self._ledger.record(event(self._clock, order.id, what, **facts))

    # --- reading --------------------------------------------------------------------------------

    async def get(self, order: str) -> Order:
        """By our id; raises `UnknownOrder`."""
        found = await self._rows(schema.order.c.id == order)
        if not found:
            raise UnknownOrder(order)
        return found[0]

    async def by_external(self, gateway: str, external: str) -> Order:
        """By the gateway's id of its checkout; raises `UnknownOrder`."""
        table = schema.order.c
        found = await self._rows(table.gateway == gateway, table.external == external)
        if not found:
            raise UnknownOrder(external)
        return found[0]

    async def by_payment(self, gateway: str, external: str) -> Order:
        """By the gateway's id of a payment; raises `UnknownOrder`."""
        table = schema.payment
        rows = await self._store.fetch(
            sa.select(table.c.order).where(table.c.gateway == gateway, table.c.external == external)
        )
        if not rows:
            raise UnknownOrder(external)
        return await self.get(rows[0].order)

    async def of(self, people: Sequence[str], most: int) -> list[Order]:
        """The newest orders of these people."""
        return await self._rows(schema.order.c.person.in_(people), most=most)

    async def open(self, gateway: str, most: int, *, since_ms: int = 0) -> list[Order]:
        """Orders of a gateway that wait to be paid, made since then."""
        table = schema.order.c
        return await self._rows(
            table.gateway == gateway,
            table.state.in_(("created", "pending")),
            table.created_at >= since_ms,
            most=most,
        )

    async def cards_stop(self, person: str) -> int | None:
        """Until when this person pays by other ways than by card (ms UTC): 0 while a payment of
        theirs is being disputed, later when a bank took one back for good; None: they needn't."""
        order, dispute = schema.order, schema.dispute
        since = self._clock.now_ms() - _CARDS_STOP_MS
        rows = await self._store.fetch(
            sa.select(dispute.c.state, dispute.c.ended_at)
            .select_from(dispute.join(order, order.c.id == dispute.c.order))
            .where(
                order.c.person.in_(await lineage(self._store, person)),
                sa.or_(
                    dispute.c.state == "open",
                    sa.and_(dispute.c.state == "lost", dispute.c.ended_at > since),
                ),
            )
        )
        if any(row.state == "open" for row in rows):
            return 0
        ends = [int(row.ended_at) + _CARDS_STOP_MS for row in rows]
        return max(ends, default=None)

    async def history(self, order: str) -> list[tuple[int, str, dict[str, Any]]]:
        """What happened to it: when (ms UTC), what, with which figures."""
        table = schema.order_event
        rows = await self._store.fetch(
            sa.select(table).where(table.c.order == order).order_by(table.c.id)
        )
        return [(row.at, row.what, json.loads(row.facts)) for row in rows]

    # --- helpers --------------------------------------------------------------------------------

    async def _may_begin(self, person: str, gateway: str) -> None:
        table = schema.order.c
        rows = await self._rows(
            table.person == person,
            table.state.in_(("created", "pending")),
            table.expires_at > self._clock.now_ms(),
            most=OPEN_MAX,
        )
        if len(rows) >= OPEN_MAX:
            raise TooManyOrders(len(rows))
        if gateway in DISPUTABLE and (until := await self.cards_stop(person)) is not None:
            raise CardsStopped(until)

    async def _rows(self, *where: sa.ColumnElement[bool], most: int = 1) -> list[Order]:
        table = schema.order
        rows = await self._store.fetch(
            sa.select(table).where(*where).order_by(table.c.id.desc()).limit(most)
        )
        return [_order(row) for row in rows]


def _order(row: sa.Row[Any]) -> Order:
    unit = UNITS[row.unit]
    return Order(
        id=row.id,
        person=row.person,
        place=row.place,
        shown_in=row.shown_in,
        gateway=row.gateway,
        external=row.external or "",
        url=row.url,
        amount=unit(row.amount),
        value=NanoUsd(row.value),
        state=row.state,
        paid=unit(row.paid),
        refunded=unit(row.refunded),
        lost=unit(row.lost),
        bought=Credits(row.bought),
        bonus=Credits(row.bonus),
        offer=offer_of(row.offer) if row.offer else None,
        referral=row.referral or "",
        share=Credits(row.share),
        dispute=row.dispute or "",
        dispute_state=row.dispute_state,
        created_at=row.created_at,
        expires_at=row.expires_at,
    )


def event(clock: Clock, order: str, what: str, **facts: int | str) -> Insert:
    """A line of an order's history, for the submission that makes it true."""
    now = clock.now_ms()
    row = {
        "id": ids.new("oev", now),
        "order": order,
        "at": now,
        "what": what,
        "facts": json.dumps(facts, sort_keys=True),
    }
    return Insert(schema.order_event, row)


def standing(order: Order) -> Given:
    """What is given for an order as it stands."""
    return Given(order.bought, order.bonus)


def left(order: Order) -> int:
    """What of its cash was neither given back nor lost, in its unit."""
    return order.paid.units - order.refunded.units - order.lost.units


def given_for(order: Order, paid: int, offer: Offer) -> Given:
    """What is given for an order of which so much is paid and left. Nothing until it is paid in
    full; what is paid above is worth the free rate. `offer` counts for orders that kept none."""
    paid = max(0, paid)
    if order.state != "credited" and paid < order.amount.units:
        return Given(Credits(0), Credits(0))
    offer = order.offer or offer
    value = NanoUsd(order.value.units * min(paid, order.amount.units) // order.amount.units)
    given = offer.given(value)
    surplus = paid - order.amount.units
    if surplus > 0:
        more = offer.free(NanoUsd(order.value.units * surplus // order.amount.units))
        return Given(given.bought + more.bought, given.bonus + more.bonus)
    return given


def changed(order: Order, change: dict[str, Any]) -> Update:
    """The order's new figures, while nobody else has changed it since it was read."""
    expected = {
        "state": order.state,
        "paid": order.paid.units,
        "refunded": order.refunded.units,
        "lost": order.lost.units,
        "bought": order.bought.units,
        "bonus": order.bonus.units,
        "share": order.share.units,
        "dispute": order.dispute or None,
        "dispute_state": order.dispute_state,
    }
    return Update(schema.order, {"id": order.id}, change, expected)


@dataclass(frozen=True, slots=True)
class Promise:
    """A personal offer is the offer for one person, and the promotion in it, if any."""

    offer: Offer
    promotion: Promotion | None = None


class Promises:
    """The service that works out what each person is offered."""

    def __init__(self, offer: Offer, deals: Deals) -> None:
        """`offer` is what everyone is offered at least."""
        self._offer, self._deals = offer, deals

    async def to(self, person: str, *, without: Collection[str] = ()) -> Promise:
        """What they are offered now; `without` some promotions, by id."""
        await self._deals.know(person)
        bonus = self._deals.bonus(person, without=without)
        promotion = bonus.promotion
        offer = replace(
            self._offer,
            tier=bonus.tier,
            tier_percent=bonus.tier_percent,
            promotion="" if promotion is None else promotion.id,
            promotion_percent=0 if promotion is None else promotion.percent,
        )
        return Promise(offer, promotion)

    def kept(
        self, promise: Promise, person: str, order: str
    ) -> AbstractAsyncContextManager[tuple[Companion, ...]]:
        """Reserves the personal offer's place in a limited promotion while an order is written;
        gives the rows that belong to the order's submission."""
        return self._deals.promotions.use(promise.promotion, person, order)

    def changed(self, person: str) -> None:
        """Their tier may be another one now."""
        self._deals.forget(person)


async def given_up(store: Store, order: Order) -> tuple[dict[str, str], tuple[Companion, ...]]:
    """What of an order's row changes when it ends unpaid, and what goes with it: somebody else may
    have the place that it had in a limited promotion."""
    if order.offer is None or not order.offer.promotion:
        return {}, ()
    table = schema.promotion_use
    if not await store.fetch(sa.select(table.c.cause).where(table.c.cause == order.id)):
        return {}, ()
    less = replace(order.offer, promotion="", promotion_percent=0)
    return {"offer": less.text()}, (Delete(table, {"cause": order.id}),)
