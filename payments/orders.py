"""Orders: created before a gateway hears of them; their life, their history, what one gives for
what is left of its cash, and what the offer was for its buyer, with what their tier and a promotion
bring. Money is `payments.fulfillment`'s.

An order keeps what it was promised. A limited promotion has a place for it from then on, which is
free again when the order ends unpaid.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from core import ids
from core.clock import DAY_MS, Clock
from core.db import schema
from core.db.database import Database
from core.db.writes import Companion, Insert, Update
from core.earnings.types import DISPUTABLE_DAYS
from core.ledger.ledger import Ledger
from core.ledger.types import CompanionRefused, LedgerBusy
from core.money import Credits, NanoUsd
from core.pricing.deals import Deals
from core.pricing.promotions import Promotion, PromotionUsedUp, release_use
from core.users.service import list_merged_ids
from payments.offer import Entitlement, Offer, parse_offer
from payments.types import (
    UNITS,
    CardPaymentsPaused,
    Cash,
    Order,
    TooManyOrders,
    UnknownOrder,
)

#: Orders of one person that may wait to be paid.
OPEN_ORDERS_MAX = 10
#: Younger orders are left to the webhooks.
FIRST_CHECK_MS = 60_000
#: Gateways through which a payer's bank can take money back.
DISPUTABLE_GATEWAYS = frozenset({"stripe", "paypal", "sandbox"})
#: Nobody pays by card for so long after they had a payment taken back.
_CARD_PAUSE_MS = DISPUTABLE_DAYS * DAY_MS
#: A place among a limited promotion's uses is looked for so often, when others were faster.
_PROMOTION_ATTEMPTS_MAX = 20
ORDER_ID_PATTERN = re.compile(r"ord_[0-9a-z]{26}")
#: States of orders that nobody has paid yet.
_WAITING_STATES = ("created", "pending")
#: An order of a voucher is paid by it at once.
_VOUCHER_ORDER_SECONDS = 3_600


class Orders:
    """The repository of orders: it creates them, moves them on, and finds them."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        offer: Offer,
        personal_offers: PersonalOffers | None = None,
        derive_tag: Callable[[str], int] | None = None,
    ) -> None:
        """`offer` is everyone's, `personal_offers` tell what it is for one buyer; `derive_tag`
        makes the end of an order's id of its beginning, by a key of this database's."""
        self._db, self._ledger, self._clock, self.offer = ledger.db, ledger, ledger.clock, offer
        self._personal_offers, self._derive_tag = personal_offers, derive_tag

    async def get_offer(self, person: str) -> Offer:
        """What somebody is offered now."""
        return (await self._get_personal_offer(person)).offer

    def invalidate_offer(self, person: str) -> None:
        """An order of theirs was paid or given back."""
        if self._personal_offers is not None:
            self._personal_offers.invalidate(person)

    # --- an order's beginning -------------------------------------------------------------------

    async def create_order(
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
        lifetime_seconds: int,
        consent: str = "",
    ) -> Order:
        """A new order, to be paid within so many seconds; the same cause (a button) gives the same
        one. `message` shows it in its place; `value` is what the offer counts, `amount` what is to
        be paid, `consent` what its buyer agreed to, for the order's history. Raises `BadAmount`,
        `TooManyOrders`, `CardPaymentsPaused`."""
        self.offer.validate_amount(value)
        id_ = self._tag(ids.derive_id("ord", at_ms, cause))
        existing = await self._list_orders(schema.order.c.id == id_)
        if existing:
            return existing[0]
        await self._check_may_order(person, gateway)
        row = self._new_row(id_, person, place, message, gateway, value, amount, lifetime_seconds)
        agreed = {"consent": consent} if consent else {}
        created_event = order_event_row(
            self._clock, id_, "created", gateway=gateway, amount=amount.units, **agreed
        )
        with suppress(CompanionRefused):  # the same button press, delivered to two processes
            await self._insert_order(row, created_event)
        return await self.get(id_)

    async def recreate_order(
        self,
        id_: str,
        *,
        person: str,
        place: str,
        gateway: str,
        value: NanoUsd,
        amount: Cash,
        checkout: str = "",
    ) -> None:
        """An order that isn't here any more, or never was, for a payment that is; `checkout`: the
        gateway's id of the one it was paid by, where that is known. Raises `CompanionRefused` where
        it is there."""
        row = self._new_row(id_, person, place, "", gateway, value, amount, 0)
        await self._insert_order(
            row | {"external": checkout or None},
            order_event_row(self._clock, id_, "recreated", gateway=gateway, amount=amount.units),
        )

    def is_own_id(self, id_: str) -> bool:
        """Whether an order's id was made with this database's key."""
        if self._derive_tag is None or not ORDER_ID_PATTERN.fullmatch(id_):
            return False
        return self._tag(id_) == id_

    def _tag(self, id_: str) -> str:
        if self._derive_tag is None:
            return id_
        return ids.tag_id(id_, self._derive_tag(id_[: -ids.TAG_CHARS]))

    async def create_voucher_order(
        self,
        *,
        code: str,
        person: str,
        place: str,
        gateway: str,
        value: NanoUsd,
        voucher_use: Companion,
    ) -> Order:
        """The order of a voucher, one, whoever was first. `voucher_use` sees to that, and is
        written with it. Raises `UnknownOrder` when it may not be used."""
        id_ = ids.new_id("ord", self._clock.now_ms())
        row = self._new_row(id_, person, place, "", gateway, value, value, _VOUCHER_ORDER_SECONDS)
        row |= {"external": code, "state": "pending"}
        created_event = order_event_row(
            self._clock, id_, "created", gateway=gateway, amount=value.units
        )
        with suppress(CompanionRefused):  # somebody was faster
            await self._insert_order(row, created_event, voucher_use)
        return await self.get_by_checkout(gateway, code)

    def _new_row(
        self,
        id_: str,
        person: str,
        place: str,
        message: str,
        gateway: str,
        value: NanoUsd,
        amount: Cash,
        lifetime_seconds: int,
    ) -> dict[str, Any]:
        now = self._clock.now_ms()
        return {
            "id": id_,
            "person": person,
            "place": place,
            "shown_in": message,
            "gateway": gateway,
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
            "share": 0,
            "dispute_state": "",
            "created_at": now,
            "expires_at": now + lifetime_seconds * 1_000,
            "check_at": now + FIRST_CHECK_MS,
        }

    async def claim_for_purchase(
        self,
        *,
        gateway: str,
        external_id: str,
        at_ms: int,
        place: str,
        value: NanoUsd,
        get_person_id: Callable[[], Awaitable[str]],
    ) -> Order:
        """The order that a purchase in a platform's own store pays: the one that is its already,
        else the newest open one of that value from that place, else one made for `get_person_id`.
        One purchase never has two orders, nor one order two purchases."""
        while True:
            with suppress(UnknownOrder):
                return await self.get_by_checkout(gateway, external_id)
            table = schema.order.c
            waiting = await self._list_orders(
                table.gateway == gateway,
                table.place == place,
                table.value == value.units,
                table.state.in_(_WAITING_STATES),
                table.external.is_(None),
            )
            with suppress(CompanionRefused):  # another purchase, or process, was first
                if waiting:
                    change, expected = {"external": external_id}, {"external": None}
                    await self._ledger.record(
                        Update(schema.order, {"id": waiting[0].id}, change, expected),
                        order_event_row(self._clock, waiting[0].id, "claimed"),
                    )
                else:
                    id_ = ids.derive_id("ord", at_ms, gateway, external_id)
                    row = self._new_row(
                        id_, await get_person_id(), place, "", gateway, value, value, 0
                    )
                    await self._insert_order(
                        row | {"external": external_id},
                        order_event_row(
                            self._clock, id_, "created", gateway=gateway, amount=value.units
                        ),
                    )

    async def _insert_order(self, row: dict[str, Any], *also: Companion) -> None:
        """Writes a new order with what its buyer is promised; raises `CompanionRefused`."""
        used_up: set[str] = set()
        for _ in range(_PROMOTION_ATTEMPTS_MAX):
            personal = await self._get_personal_offer(row["person"], used_up)
            order = Insert(schema.order, row | {"offer": personal.offer.to_json()})
            if personal.promotion is None or self._personal_offers is None:
                await self._ledger.record(order, *also)
                return None
            try:
                async with self._personal_offers.reserve_promotion(
                    personal, row["person"], row["id"]
                ) as use:
                    return await self._ledger.record(order, *also, *use)
            except PromotionUsedUp:
                used_up.add(personal.promotion.id)
            except CompanionRefused as refused:
                if refused.table != schema.promotion_use.name:
                    raise
        raise LedgerBusy

    async def _get_personal_offer(
        self, person: str, without: Collection[str] = ()
    ) -> PersonalOffer:
        if self._personal_offers is None:
            return PersonalOffer(self.offer)
        return await self._personal_offers.for_user(person, without=without)

    async def mark_pending(self, order: Order, *, external_id: str, url: str) -> Order:
        """The gateway knows it, by the id `external_id` if it gives one now: waits to be paid."""
        change = {"external": external_id or None, "url": url, "state": "pending"}
        with suppress(CompanionRefused):  # paid already, or begun at the same time elsewhere
            await self._ledger.record(
                Update(schema.order, {"id": order.id}, change, {"state": "created"}),
                order_event_row(self._clock, order.id, "pending"),
            )
        return await self.get(order.id)

    async def end_unpaid(self, order: Order, state: str, *also: Companion) -> bool:
        """Nobody pays it any more (`expired` or `failed`); a payment that comes later counts all
        the same. False when it has ended already, and then `also` isn't written."""
        offer_change, companions = await release_promotion(self._db, order)
        change = {"state": state, **offer_change}
        expected = {"state": (*_WAITING_STATES, "processing")}
        return await self._ledger.try_record(
            Update(schema.order, {"id": order.id}, change, expected),
            order_event_row(self._clock, order.id, state),
            *companions,
            *also,
        )

    async def mark_processing(self, order: Order, *also: Companion) -> bool:
        """Its money is on its way. False when that was known, or it has come; then `also` isn't
        written."""
        if order.state in {"processing", "credited"}:
            return False
        return await self._ledger.try_record(
            Update(
                schema.order,
                {"id": order.id},
                {"state": "processing", "check_at": self._clock.now_ms() + FIRST_CHECK_MS},
                {"state": order.state},
            ),
            order_event_row(self._clock, order.id, "on its way"),
            *also,
        )

    async def record_event(
        self, order: Order, what: str, *also: Companion, **facts: int | str
    ) -> None:
        """A line of its history that changes nothing of it."""
        await self._ledger.record(order_event_row(self._clock, order.id, what, **facts), *also)

    async def record_intent(self, order: Order, what: str, **facts: int | str) -> None:
        """A line of its history, written before a gateway hears of it; the order is looked at soon,
        in case that nobody lives to write its end."""
        due = self._clock.now_ms() + FIRST_CHECK_MS
        await self._ledger.record(
            Update(schema.order, {"id": order.id}, {"check_at": due}),
            order_event_row(self._clock, order.id, what, **facts),
        )

    # --- reading --------------------------------------------------------------------------------

    async def get(self, order_id: str) -> Order:
        """By our id; raises `UnknownOrder`."""
        found = await self._list_orders(schema.order.c.id == order_id)
        if not found:
            raise UnknownOrder(order_id)
        return found[0]

    async def get_of_person(self, order_id: str, person: str) -> Order:
        """By our id, an order of this person's or of somebody who was merged into them; raises
        `UnknownOrder`."""
        order = await self.get(order_id)
        if order.person not in await list_merged_ids(self._db, person):
            raise UnknownOrder(order_id)
        return order

    async def get_by_checkout(self, gateway: str, external_id: str) -> Order:
        """By the gateway's id of its checkout; raises `UnknownOrder`."""
        table = schema.order.c
        found = await self._list_orders(table.gateway == gateway, table.external == external_id)
        if not found:
            raise UnknownOrder(external_id)
        return found[0]

    async def get_by_payment(self, gateway: str, payment_id: str) -> Order:
        """By the gateway's id of a payment; raises `UnknownOrder`."""
        table = schema.payment
        rows = await self._db.fetch(
            sa.select(table.c.order).where(
                table.c.gateway == gateway, table.c.external == payment_id
            )
        )
        if not rows:
            raise UnknownOrder(payment_id)
        return await self.get(rows[0].order)

    async def list_for_people(self, person_ids: Sequence[str], limit: int) -> list[Order]:
        """The newest orders of these people."""
        return await self._list_orders(schema.order.c.person.in_(person_ids), limit=limit)

    async def list_open(self, gateway: str, limit: int, *, since_ms: int = 0) -> list[Order]:
        """Orders of a gateway that wait to be paid, made since then."""
        table = schema.order.c
        return await self._list_orders(
            table.gateway == gateway,
            table.state.in_(_WAITING_STATES),
            table.created_at >= since_ms,
            limit=limit,
        )

    async def list_without_fee(self, gateway: str, limit: int, *, since_ms: int) -> list[Order]:
        """Orders of a gateway that were paid since then, without its fee being told."""
        paid, table = schema.payment.c, schema.order.c
        unknown = sa.select(paid.order).where(
            paid.gateway == gateway, paid.fee == 0, paid.at >= since_ms
        )
        return await self._list_orders(table.id.in_(unknown), limit=limit)

    async def get_card_pause_end(self, person: str) -> int | None:
        """Until when this person pays by other ways than by card (ms UTC): 0 while a payment of
        theirs is being disputed, later when a bank took one back for good; None: they needn't."""
        order, dispute = schema.order, schema.dispute
        since = self._clock.now_ms() - _CARD_PAUSE_MS
        rows = await self._db.fetch(
            sa.select(dispute.c.state, dispute.c.ended_at)
            .select_from(dispute.join(order, order.c.id == dispute.c.order))
            .where(
                order.c.person.in_(await list_merged_ids(self._db, person)),
                sa.or_(
                    dispute.c.state == "open",
                    sa.and_(dispute.c.state == "lost", dispute.c.ended_at > since),
                ),
            )
        )
        if any(row.state == "open" for row in rows):
            return 0
        ends = [int(row.ended_at) + _CARD_PAUSE_MS for row in rows]
        return max(ends, default=None)

    async def list_events(self, order_id: str) -> list[tuple[int, str, dict[str, Any]]]:
        """What happened to it: when (ms UTC), what, with which figures."""
        table = schema.order_event
        rows = await self._db.fetch(
            sa.select(table).where(table.c.order == order_id).order_by(table.c.id)
        )
        return [(row.at, row.what, json.loads(row.facts)) for row in rows]

    # --- helpers --------------------------------------------------------------------------------

    async def _check_may_order(self, person: str, gateway: str) -> None:
        table = schema.order.c
        rows = await self._list_orders(
            table.person == person,
            table.state.in_(_WAITING_STATES),
            table.expires_at > self._clock.now_ms(),
            limit=OPEN_ORDERS_MAX,
        )
        if len(rows) >= OPEN_ORDERS_MAX:
            raise TooManyOrders(len(rows))
        if (
            gateway in DISPUTABLE_GATEWAYS
            and (until := await self.get_card_pause_end(person)) is not None
        ):
            raise CardPaymentsPaused(until)

    async def _list_orders(self, *where: sa.ColumnElement[bool], limit: int = 1) -> list[Order]:
        table = schema.order
        rows = await self._db.fetch(
            sa.select(table).where(*where).order_by(table.c.id.desc()).limit(limit)
        )
        return [_order_from_row(row) for row in rows]


def _order_from_row(row: sa.Row[Any]) -> Order:
    unit = UNITS[row.unit]
    return Order(
        id=row.id,
        person=row.person,
        place=row.place,
        shown_in=row.shown_in,
        gateway=row.gateway,
        external_id=row.external or "",
        url=row.url,
        amount=unit(row.amount),
        value=NanoUsd(row.value),
        state=row.state,
        paid=unit(row.paid),
        refunded=unit(row.refunded),
        lost=unit(row.lost),
        bought=Credits(row.bought),
        bonus=Credits(row.bonus),
        offer=parse_offer(row.offer) if row.offer else None,
        referral=row.referral or "",
        share=Credits(row.share),
        dispute=row.dispute or "",
        dispute_state=row.dispute_state,
        created_at=row.created_at,
        expires_at=row.expires_at,
    )


def order_event_row(clock: Clock, order_id: str, what: str, **facts: int | str) -> Insert:
    """A line of an order's history, for the submission that makes it true."""
    now = clock.now_ms()
    row = {
        "id": ids.new_id("oev", now),
        "order": order_id,
        "at": now,
        "what": what,
        "facts": json.dumps(facts, sort_keys=True),
    }
    return Insert(schema.order_event, row)


def current_entitlement(order: Order) -> Entitlement:
    """What is given for an order as it stands."""
    return Entitlement(order.bought, order.bonus)


def remaining_cash(order: Order) -> int:
    """What of its cash was neither given back nor lost, in its unit."""
    return order.paid.units - order.refunded.units - order.lost.units


def entitlement_for(
    order: Order, paid: int, offer: Offer, total_paid: int | None = None
) -> Entitlement:
    """What is given for an order of which so much is paid and left. Nothing until it was paid in
    full, also in parts of which some went back (`total_paid`, if more than is left); what is paid
    above is worth the free rate. `offer` counts for orders that kept none."""
    paid = max(0, paid)
    total_paid = paid if total_paid is None else total_paid
    if order.state != "credited" and total_paid < order.amount.units:
        return Entitlement(Credits(0), Credits(0))
    offer = order.offer or offer
    value = NanoUsd(order.value.units * min(paid, order.amount.units) // order.amount.units)
    entitlement = offer.compute_entitlement(value)
    surplus = paid - order.amount.units
    if surplus > 0:
        extra = offer.compute_entitlement_without_pack(
            NanoUsd(order.value.units * surplus // order.amount.units)
        )
        return Entitlement(entitlement.bought + extra.bought, entitlement.bonus + extra.bonus)
    return entitlement


def order_update(order: Order, change: dict[str, Any]) -> Update:
    """The order's new figures, while nobody else has changed it since it was read. Money moved: its
    gateway is asked about it soon, for what it says of that is compared with the books, and how a
    dispute ends may be told by nothing that moves."""
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
    return Update(schema.order, {"id": order.id}, {"check_at": 0, **change}, expected)


@dataclass(frozen=True, slots=True)
class PersonalOffer:
    """A personal offer is the offer for one person, and the promotion in it, if any."""

    offer: Offer
    promotion: Promotion | None = None


class PersonalOffers:
    """The service that works out what each person is offered."""

    def __init__(self, offer: Offer, deals: Deals) -> None:
        """`offer` is what everyone is offered at least."""
        self._offer, self._deals = offer, deals

    async def for_user(self, person: str, *, without: Collection[str] = ()) -> PersonalOffer:
        """What they are offered now; `without` some promotions, by id."""
        await self._deals.load_person(person)
        bonus = self._deals.find_bonus(person, without=without)
        promotion = bonus.promotion
        offer = replace(
            self._offer,
            tier=bonus.tier,
            tier_percent=bonus.tier_percent,
            promotion="" if promotion is None else promotion.id,
            promotion_percent=0 if promotion is None else promotion.percent,
        )
        return PersonalOffer(offer, promotion)

    def reserve_promotion(
        self, personal: PersonalOffer, person: str, order: str
    ) -> AbstractAsyncContextManager[tuple[Companion, ...]]:
        """Reserves the personal offer's place in a limited promotion while an order is written;
        gives the rows that belong to the order's submission."""
        return self._deals.promotions.reserve_use(personal.promotion, person, order)

    def invalidate(self, person: str) -> None:
        """Their tier may be another one now."""
        self._deals.forget_person(person)


async def release_promotion(
    db: Database, order: Order
) -> tuple[dict[str, str], tuple[Companion, ...]]:
    """What of an order's row changes when it ends unpaid, and what goes with it: somebody else may
    have the place that it had in a limited promotion."""
    if order.offer is None or not order.offer.promotion:
        return {}, ()
    table = schema.promotion_use
    if not await db.fetch(sa.select(table.c.cause).where(table.c.cause == order.id)):
        return {}, ()
    without_promotion = replace(order.offer, promotion="", promotion_percent=0)
    return {"offer": without_promotion.to_json()}, (release_use(order.id),)
