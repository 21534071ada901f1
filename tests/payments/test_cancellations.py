"""Withdrawing from a purchase: what is unused goes back, once, and nothing is owed afterwards."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa

from core import chart, ids
from core.db import schema
from core.money import Credits, NanoUsd, Stars, parse_usd
from payments.cancellations import (
    AUTOMATIC_MAX,
    CANCELLATION_ENDED,
    CANCELLATION_WAITS,
    Cancellation,
    CancellationPolicy,
    CancellationRefused,
    Cancellations,
)
from payments.offer import CENT
from payments.refunds import Refunds
from payments.types import Dispute, GatewayUnavailable, Order, UnknownOrder
from tests.payments.conftest import Shop
from tests.payments.ledger_support import others_change
from tests.payments.refunds_support import Lossy
from tests.support.size import size

TEN, NINETY = parse_usd("10"), parse_usd("90")


@dataclass
class Till:
    """A shop from whose orders buyers may withdraw."""

    shop: Shop
    gateway: Lossy
    service: Cancellations
    presses: int = 0

    async def buys(self, person: str, cash: NanoUsd = TEN) -> Order:
        return await self.shop.pay(await self.shop.order(person, cash, gateway="sandbox"))

    async def withdraws(self, order: Order, person: str) -> Cancellation:
        self.presses += 1
        cause = ids.derive_id("btn", self.shop.clock.now_ms(), str(self.presses))
        return await self.service.cancel_purchase(order.id, person, cause=cause)

    async def ends(self, person: str, **has: int) -> None:
        """Nothing is held or on its way, and the person has this."""
        assert await self.shop.has(person) == has
        assert not await self.shop.store.fetch(sa.select(schema.hold.c.name))
        await self.shop.audited()


def make_till(shop: Shop, policy: CancellationPolicy | None = None) -> Till:
    gateway = Lossy()
    refunds = Refunds(
        gateways={"sandbox": gateway},
        orders=shop.orders,
        fulfillment=shop.crediting,
        db=shop.store,
        clock=shop.clock,
    )
    service = Cancellations(
        orders=shop.orders,
        refunds=refunds,
        ledger=shop.ledger,
        policy=policy or CancellationPolicy(sellers={"skus": "https://seller.example"}),
    )
    return Till(shop, gateway, service)


@pytest.fixture
def till(shop: Shop) -> Till:
    return make_till(shop)


async def test_an_unused_purchase_goes_back_whole(till: Till) -> None:
    person = await till.shop.person()
    order = await till.buys(person, NINETY)
    assert await till.shop.has(person) == {"bought": 9_000, "gift": 1_000}
    plan = await till.service.plan_cancellation(order.id, person)
    assert (plan.cash, plan.used, plan.needs_operator) == (NINETY, Credits(0), False)
    done = await till.withdraws(order, person)
    assert (done.state, done.cash) == ("done", NINETY.units)
    assert till.gateway.back == 90
    await till.ends(person)


async def test_what_was_used_is_paid_as_the_offer_sells_so_much(till: Till) -> None:
    person = await till.shop.person()
    order = await till.buys(person, NINETY)
    await till.shop.spend(person, Credits(1_000), "gift")
    await till.shop.spend(person, Credits(500))
    done = await till.withdraws(order, person)
    assert done.cash == parse_usd("75").units, "1,500 Credits are $15"
    await till.ends(person)


async def test_later_purchases_and_earned_credits_are_untouched(till: Till) -> None:
    person = await till.shop.person()
    first = await till.buys(person)
    await till.shop.spend(person, Credits(400))
    await till.buys(person)
    plan = await till.service.plan_cancellation(first.id, person)
    assert plan.cash == TEN, "what is left is enough for all of it"
    await till.withdraws(first, person)
    await till.ends(person, bought=600)


async def test_a_lost_answer_is_found_by_the_job_and_nothing_can_be_used_meanwhile(
    till: Till,
) -> None:
    person = await till.shop.person()
    order = await till.buys(person)
    till.gateway.loses = [True, True]
    asked = await till.withdraws(order, person)
    assert asked.state == "asked"
    balances = await till.shop.ledger.read_balances(list(chart.pockets(person)))
    assert sum(balance.available for balance in balances.values()) == 0
    assert await till.service.finish_pending() == 0
    assert await till.service.finish_pending() == 1
    assert till.gateway.back == 10
    await till.ends(person)


async def test_the_gateways_own_message_may_be_first(till: Till) -> None:
    person = await till.shop.person()
    order = await till.buys(person)
    till.gateway.loses = [True]
    await till.withdraws(order, person)
    (told,) = till.gateway.given.values()
    await till.shop.crediting.handle(told)
    await till.shop.crediting.handle(told)
    assert await till.service.finish_pending() == 1
    await till.ends(person)


async def test_a_refused_refund_leaves_the_credits(till: Till) -> None:
    person = await till.shop.person()
    order = await till.buys(person)
    till.gateway.refuses = True
    assert (await till.withdraws(order, person)).state == "refused"
    assert [kind for kind, _ in await till.shop.told(person)][-1] == CANCELLATION_ENDED
    await till.ends(person, bought=1_000)


async def test_a_refusal_before_a_crash_is_not_taken_for_a_refund(till: Till) -> None:
    person = await till.shop.person()
    order = await till.buys(person)
    till.gateway.loses = [True]
    asked = await till.withdraws(order, person)
    till.gateway.given.clear()
    await till.shop.orders.record_event(order, "refund-refused", cause=asked.hold)
    assert await till.service.finish_pending() == 1
    assert (await till.service.get(asked.id)).state == "refused"
    await till.ends(person, bought=1_000)


async def test_five_presses_at_once_are_one_withdrawal(till: Till) -> None:
    person = await till.shop.person()
    order = await till.buys(person)
    results = await asyncio.gather(
        *(till.withdraws(order, person) for _ in range(5)), return_exceptions=True
    )
    assert sum(isinstance(one, Cancellation) for one in results) == 1
    assert till.gateway.back == 10
    await till.ends(person)


async def test_the_third_in_ninety_days_waits_for_an_operator(till: Till) -> None:
    person = await till.shop.person()
    for _ in range(AUTOMATIC_MAX):
        await till.withdraws(await till.buys(person), person)
    order = await till.buys(person)
    waiting = await till.withdraws(order, person)
    assert waiting.state == "waiting"
    assert (await till.shop.told("owners"))[-1] == (
        CANCELLATION_WAITS,
        {"cancellation": waiting.id},
    )
    await till.shop.spend(person, Credits(300))
    done = await till.service.approve(waiting.id)
    assert (done.state, done.cash) == ("done", parse_usd("7").units)
    assert (await till.service.approve(waiting.id)).state == "done"
    other = await till.withdraws(await till.buys(person), person)
    assert (await till.service.decline(other.id)).state == "refused"
    till.shop.clock.advance(days=91)
    assert (await till.withdraws(await till.buys(person), person)).state == "done"
    await till.ends(person, bought=1_000)


async def test_who_may_not_withdraw(till: Till) -> None:
    person, stranger = await till.shop.person(), await till.shop.person()
    order, late = await till.buys(person), await till.buys(person)
    with pytest.raises(UnknownOrder):
        await till.withdraws(order, stranger)

    async def reason(order: Order) -> str:
        with pytest.raises(CancellationRefused) as refused:
            await till.withdraws(order, person)
        return refused.value.reason

    assert await reason(await till.shop.order(person, TEN, gateway="sandbox")) == "unpaid"
    store = await till.shop.pay(await till.shop.order(person, TEN, gateway="skus"))
    assert await reason(store) == "elsewhere"
    dispute = Dispute("sandbox", "dp_1", f"pi_{order.id}", TEN, "open")
    await till.shop.crediting.apply_dispute(dispute)
    assert await reason(order) == "disputed"
    used = await till.buys(await till.shop.person())
    await till.shop.spend(used.person, Credits(1_000))
    with pytest.raises(CancellationRefused):
        await till.withdraws(used, used.person)
    till.shop.clock.advance(days=14)
    assert await reason(late) == "over"
    await till.shop.audited()


async def test_days_of_zero_offer_nothing(shop: Shop) -> None:
    till = make_till(shop, CancellationPolicy(days=0))
    person = await shop.person()
    order = await till.buys(person)
    assert not till.service.may_offer(order)
    with pytest.raises(CancellationRefused):
        await till.withdraws(order, person)


async def test_used_stars_wait_for_an_operator(till: Till) -> None:
    person = await till.shop.person()
    order = await till.shop.pay(
        await till.shop.order(person, TEN, gateway="sandbox", amount=Stars(770))
    )
    plan = await till.service.plan_cancellation(order.id, person)
    assert (plan.cash, plan.needs_operator) == (Stars(770), False)
    await till.shop.spend(person, Credits(1))
    plan = await till.service.plan_cancellation(order.id, person)
    assert (plan.cash, plan.needs_operator) == (Stars(770), True)


async def test_an_inviters_share_goes_back(till: Till) -> None:
    inviter = await till.shop.person()
    friend = await till.shop.friend(inviter)
    order = await till.buys(friend, NINETY)
    assert (await till.shop.has(inviter))["gift"] > 0
    await till.withdraws(order, friend)
    assert await till.shop.has(inviter) == {}
    await till.ends(friend)


@pytest.mark.parametrize("used", [1, 700, 2_000, 8_000])
async def test_of_a_pack_that_was_used_in_part_an_inviter_keeps_a_tenth_of_what_stays(
    till: Till, used: int
) -> None:
    """A pack of $90 gives 1,000 of its 10,000 Credits on top; what stays is sold at the free rate,
    and the inviter's share follows it, whether the bonus was used first or last."""
    inviter = await till.shop.person()
    friend = await till.shop.friend(inviter)
    order = await till.buys(friend, NINETY)
    assert await till.shop.has(inviter) == {"gift": 1_000}
    gift = min(used, 1_000)
    await till.shop.spend(friend, Credits(gift), "gift")
    if used > gift:
        await till.shop.spend(friend, Credits(used - gift))
    done = await till.withdraws(order, friend)
    assert done.cash == NINETY.units - used * CENT.units
    assert await till.shop.has(inviter) == ({"gift": used // 10} if used >= 10 else {})
    after = await till.shop.orders.get(order.id)
    assert after.bought + after.bonus == Credits(used)
    await till.ends(friend)


CASES = ("1", "7", "10", "25.50", "90", "95", "100", "150", "800")


async def test_nothing_is_owed_and_no_more_is_kept_than_was_used(till: Till) -> None:
    """Any part of each pocket may have been used."""
    random = Random(16)
    for _ in range(size(small=40, full=2_000)):
        person = await till.shop.person()
        order = await till.buys(person, parse_usd(random.choice(CASES)))
        has = await till.shop.has(person)
        parts: list[tuple[chart.Pocket, int]] = [
            (pocket, amount * random.choice((0, 0, 1, 30, 99, 100)) // 100)
            for pocket in ("gift", "bought")
            if (amount := has.get(pocket, 0))
        ]
        for pocket, amount in parts:
            if amount:
                await till.shop.spend(person, Credits(amount), pocket)
        used = Credits(sum(amount for _, amount in parts))
        kept = order.amount
        with suppress(CancellationRefused):  # nothing, or too little, is unused
            kept = NanoUsd(kept.units - (await till.withdraws(order, person)).cash)
        assert "owed" not in await till.shop.has(person)
        assert till.shop.offer.compute_entitlement(kept).total >= used
        assert kept.units <= used.units * CENT.units
    await till.shop.audited()


async def test_the_same_press_again_is_the_same_withdrawal(till: Till) -> None:
    person = await till.shop.person()
    order = await till.buys(person)
    first = await till.withdraws(order, person)
    till.presses -= 1
    assert await till.withdraws(order, person) == first
    assert till.gateway.back == 10
    await till.ends(person)


async def test_an_operator_gives_nothing_back_of_what_is_disputed(till: Till) -> None:
    person = await till.shop.person()
    for _ in range(AUTOMATIC_MAX):
        await till.withdraws(await till.buys(person), person)
    order = await till.buys(person)
    waiting = await till.withdraws(order, person)
    dispute = Dispute("sandbox", "dp_1", f"pi_{order.id}", TEN, "open")
    await till.shop.crediting.apply_dispute(dispute)
    with pytest.raises(CancellationRefused) as refused:
        await till.service.approve(waiting.id)
    assert refused.value.reason == "disputed"
    declined = await till.service.decline(waiting.id)
    assert (declined.state, await till.service.decline(waiting.id)) == ("refused", declined)
    with pytest.raises(CancellationRefused):
        await till.service.get("cnl_none")
    assert till.gateway.back == 10 * AUTOMATIC_MAX


async def test_what_others_keep_changing_is_not_withdrawn_from(till: Till) -> None:
    person = await till.shop.person()
    order = await till.buys(person)
    with (
        others_change("order", before="cancellation/"),
        pytest.raises(CancellationRefused) as refused,
    ):
        await till.withdraws(order, person)
    assert refused.value.reason == "before"
    await till.ends(person, bought=1_000)


async def test_one_that_can_not_be_ended_is_no_others_trouble(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = [await till.shop.person() for _ in range(2)]
    orders = [await till.buys(person) for person in people]
    till.gateway.loses = [True, True]
    for order, person in zip(orders, people, strict=True):
        assert (await till.withdraws(order, person)).state == "asked"
    refund_order, broken = Refunds.refund_order, orders[0].id

    async def refund(refunds: Refunds, order: Order, *given: Any, **more: Any) -> Order:
        if order.id == broken:
            raise ZeroDivisionError
        return await refund_order(refunds, order, *given, **more)

    with monkeypatch.context() as patched:
        patched.setattr(Refunds, "refund_order", refund)
        assert await till.service.finish_pending() == 1
    assert await till.service.finish_pending() == 1
    assert till.gateway.back == 20
    for person in people:
        await till.ends(person)


async def test_a_refund_of_before_is_found_out_first(till: Till) -> None:
    """An admin's refund whose answer was lost: the withdrawal waits for the job."""
    person = await till.shop.person()
    order = await till.buys(person)
    till.gateway.loses = [True]
    refunds = till.service._refunds
    with pytest.raises(GatewayUnavailable):
        await refunds.refund_order(order, parse_usd("4"), cause="btn_admin")
    asked = await till.withdraws(order, person)
    assert asked.state == "asked"
    assert till.gateway.back == 4
    await till.service.finish_pending()
    assert (await till.service.get(asked.id)).state != "asked"
    await till.shop.audited()
