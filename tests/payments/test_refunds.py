"""Giving back once, whatever becomes of the gateway's answer."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from core.money import parse_usd
from payments.refunds import EarlierRefund, NothingToRefund, Refunds
from payments.types import GatewayUnavailable, Order, RefundDeclined
from tests.payments.conftest import Shop
from tests.payments.disputes_support import paid_twice
from tests.payments.refunds_support import Lossy

TEN = parse_usd("10")


@dataclass
class Till:
    """A shop with an order of $10 that was paid twice."""

    shop: Shop
    gateway: Lossy
    refunds: Refunds
    person: str
    order: Order

    async def gives(self, dollars: str, cause: str) -> Order:
        order = await self.shop.orders.get(self.order.id)
        return await self.refunds.refund_order(order, parse_usd(dollars), cause=cause)


@pytest.fixture
async def till(shop: Shop) -> Till:
    gateway = Lossy()
    refunds = Refunds(
        gateways={"sandbox": gateway},
        orders=shop.orders,
        fulfillment=shop.crediting,
        db=shop.store,
        clock=shop.clock,
    )
    person = await shop.person()
    return Till(shop, gateway, refunds, person, await paid_twice(shop, person))


async def test_the_same_press_again_over_two_payments_gives_back_once(till: Till) -> None:
    till.gateway.loses = [False, True]
    with pytest.raises(GatewayUnavailable):
        await till.gives("15", "btn_1")
    after = await till.gives("15", "btn_1")
    assert after.refunded == parse_usd("15")
    await till.gives("15", "btn_1")
    assert till.gateway.back == 15
    assert await till.shop.has(till.person) == {"bought": 500}
    await till.shop.audited()


async def test_after_a_lost_answer_the_next_press_finds_out_and_gives_no_more(till: Till) -> None:
    till.gateway.loses = [True]
    with pytest.raises(GatewayUnavailable):
        await till.gives("5", "btn_1")
    assert await till.shop.has(till.person) == {"bought": 2_000}, "nobody knows yet"
    with pytest.raises(EarlierRefund) as told:
        await till.gives("5", "btn_2")
    assert told.value.refunded == parse_usd("5")
    assert till.gateway.back == 5
    assert await till.shop.has(till.person) == {"bought": 1_500}
    await till.gives("5", "btn_3")
    assert till.gateway.back == 10
    await till.shop.audited()


async def test_after_a_day_a_gateway_is_only_asked_what_it_gave(till: Till) -> None:
    till.gateway.loses = [True]
    with pytest.raises(GatewayUnavailable):
        await till.gives("5", "btn_1")
    till.shop.clock.advance(days=2)
    till.gateway.forgets = True
    with pytest.raises(EarlierRefund):
        await till.gives("5", "btn_2")
    assert till.gateway.back == 5
    assert await till.shop.has(till.person) == {"bought": 1_500}
    await till.shop.audited()


async def test_what_was_refused_is_no_earlier_refund(till: Till) -> None:
    till.gateway.refuses = True
    with pytest.raises(RefundDeclined):
        await till.gives("5", "btn_1")
    till.gateway.refuses = False
    await till.gives("20", "btn_2")
    assert till.gateway.back == 20
    with pytest.raises(NothingToRefund):
        await till.gives("0.01", "btn_3")
    history = [what for _, what, _ in await till.shop.orders.list_events(till.order.id)]
    assert history.count("refund-asked") == 2
    assert await till.shop.has(till.person) == {}
    await till.shop.audited()


async def test_nobody_gives_back_through_a_gateway_that_is_off(till: Till) -> None:
    other = await till.shop.pay(
        await till.shop.order(till.person, parse_usd("10"), gateway="stripe")
    )
    with pytest.raises(GatewayUnavailable):
        await till.refunds.refund_order(other, parse_usd("5"), cause="btn_1")
    await till.refunds.finish_requests(other, before_ms=till.shop.clock.now_ms())
    events = [what for _, what, _ in await till.shop.orders.list_events(other.id)]
    assert "refund-asked" not in events
    assert await till.shop.has(till.person) == {"bought": 3_000}
