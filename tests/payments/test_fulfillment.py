"""Orders and money: paid once, refunded in parts, disputed, before and after spending."""

from __future__ import annotations

import asyncio

import pytest

from core.db import schema
from core.db.writes import Update
from core.money import Credits, NanoUsd, Stars, parse_usd
from payments.types import (
    CardPaymentsPaused,
    Dispute,
    Order,
    Payment,
    PaymentMismatch,
    Refund,
    TooManyOrders,
    UnknownOrder,
)
from tests.payments.conftest import Shop

USD = 1_000_000_000


def refunded(order: Order, amount: str, id_: str = "re_1", *, failed: bool = False) -> Refund:
    return Refund(order.gateway, id_, f"pi_{order.id}", parse_usd(amount), failed)


def dispute(order: Order, state: str, id_: str = "dp_1") -> Dispute:
    assert isinstance(order.amount, NanoUsd)
    return Dispute(order.gateway, id_, f"pi_{order.id}", order.amount, state)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "bought", "gift"),
    [("10", 1_000, 0), ("90", 9_000, 1_000), ("800", 80_000, 20_000), ("99.99", 9_999, 0)],
)
async def test_what_was_paid_is_there_once(shop: Shop, value: str, bought: int, gift: int) -> None:
    person = await shop.person()
    order = await shop.order(person, parse_usd(value))
    paid = [await shop.pay(order, fee=parse_usd("0.59")) for _ in range(3)]
    assert {one.state for one in paid} == {"credited"}
    assert await shop.has(person) == {"bought": bought} | ({"gift": gift} if gift else {})
    cash, fees, sales = await shop.stands("cash/stripe", "gateway-fees", "sales")
    assert (cash, fees, sales) == (
        parse_usd(value).units - parse_usd("0.59").units,
        parse_usd("0.59").units,
        -parse_usd(value).units,
    )
    assert [what for _, what, _ in await shop.orders.list_events(order.id)] == ["created", "paid"]
    await shop.audited()


async def test_the_same_payment_told_by_many_at_once_counts_once(shop: Shop) -> None:
    person = await shop.person()
    order = await shop.order(person, parse_usd("100"))
    await asyncio.gather(*(shop.pay(order) for _ in range(20)))
    assert await shop.has(person) == {"bought": 10_000, "gift": 1_000}
    await shop.audited()


async def test_a_press_that_came_twice_is_one_order(shop: Shop) -> None:
    person = await shop.person()
    wanted = {
        "cause": "btn_1",
        "at_ms": shop.clock.now_ms(),
        "person": person,
        "place": "telegram:1:",
        "message": "5",
        "gateway": "stripe",
        "value": parse_usd("10"),
        "amount": parse_usd("10"),
        "lifetime_seconds": 60,
    }
    orders = await asyncio.gather(*(shop.orders.create_order(**wanted) for _ in range(5)))  # type: ignore[arg-type]
    assert len({order.id for order in orders}) == 1


async def test_a_payment_that_does_not_fit_gives_nothing(shop: Shop) -> None:
    person = await shop.person()
    order = await shop.order(person, parse_usd("10"))
    wrong = [
        (Payment("paypal", "x", order.id, parse_usd("10"), parse_usd("0")), "gateway"),
        (Payment("stripe", "x", order.id, Stars(10), Stars(0)), "unit"),
        (Payment("stripe", "x", order.id, parse_usd("9.99"), parse_usd("0")), "amount"),
        (Payment("stripe", "x", order.id, parse_usd("10.01"), parse_usd("0")), "amount"),
    ]
    for payment, why in wrong:
        with pytest.raises(PaymentMismatch) as refused:
            await shop.crediting.credit_payment(payment)
        assert refused.value.reason == why
    with pytest.raises(UnknownOrder):
        await shop.crediting.credit_payment(
            Payment("stripe", "x", "ord_none", parse_usd("10"), parse_usd("0"))
        )
    assert await shop.has(person) == {}
    await shop.audited()


async def test_under_over_and_late_on_a_chain(shop: Shop) -> None:
    person = await shop.person()
    order = await shop.order(person, parse_usd("90"), gateway="btcpay")

    async def arrives(amount: str, id_: str) -> None:
        paid = Payment("btcpay", id_, order.id, parse_usd(amount), parse_usd("0"), any_amount=True)
        await shop.crediting.credit_payment(paid)

    await arrives("50", "tx1")
    assert await shop.has(person) == {}
    assert await shop.orders.end_unpaid(await shop.orders.get(order.id), "expired")
    await arrives("40", "tx2")
    assert await shop.has(person) == {"bought": 9_000, "gift": 1_000}
    await arrives("5", "tx3")
    await arrives("5", "tx3")
    assert await shop.has(person) == {"bought": 9_500, "gift": 1_000}
    assert (await shop.stands("cash/btcpay"))[0] == 95 * USD
    await shop.audited()


async def test_two_transfers_at_once_both_count(shop: Shop) -> None:
    person = await shop.person()
    order = await shop.order(person, parse_usd("10"), gateway="btcpay")
    arriving = [
        Payment("btcpay", f"tx{number}", order.id, parse_usd("3"), parse_usd("0"), any_amount=True)
        for number in range(6)
    ]
    await asyncio.gather(*(shop.crediting.credit_payment(payment) for payment in arriving))
    assert await shop.has(person) == {"bought": 1_800}
    assert (await shop.orders.get(order.id)).paid == parse_usd("18")
    await shop.audited()


async def test_stars_have_an_account_of_their_own(shop: Shop) -> None:
    person = await shop.person()
    order = await shop.order(person, parse_usd("10"), gateway="stars", amount=Stars(770))
    await shop.pay(order, id_="charge_1")
    assert await shop.has(person) == {"bought": 1_000}
    assert await shop.stands("cash/stars", "sales/star", "sales") == [770, -770, 0]
    whole = Refund("stars", "charge_1", "charge_1", Stars(770))
    await shop.crediting.apply_refund(whole)
    await shop.crediting.apply_refund(whole)
    assert await shop.has(person) == {}
    assert (await shop.stands("cash/stars"))[0] == 0
    await shop.audited()


async def test_a_hundred_less_one_leaves_what_ninety_nine_buys(shop: Shop) -> None:
    person = await shop.person()
    order = await shop.pay(await shop.order(person, parse_usd("100")))
    for _ in range(3):
        after = await shop.crediting.apply_refund(refunded(order, "1"))
    assert (after.bought, after.bonus) == (Credits(9_900), Credits(0))
    assert await shop.has(person) == {"bought": 9_900}
    assert (await shop.stands("cash/stripe"))[0] == 99 * USD
    await shop.audited()


async def test_parts_twice_then_all_then_one_that_failed(shop: Shop) -> None:
    person = await shop.person()
    order = await shop.pay(await shop.order(person, parse_usd("90")))
    await shop.crediting.apply_refund(refunded(order, "10", "re_1"))
    assert await shop.has(person) == {"bought": 8_000}
    await shop.crediting.apply_refund(refunded(order, "30", "re_2"))
    assert await shop.has(person) == {"bought": 5_000}
    await shop.crediting.apply_refund(refunded(order, "50", "re_3"))
    assert await shop.has(person) == {}
    with pytest.raises(PaymentMismatch):
        await shop.crediting.apply_refund(refunded(order, "1", "re_4"))
    for _ in range(2):
        await shop.crediting.apply_refund(refunded(order, "50", "re_3", failed=True))
    assert await shop.has(person) == {"bought": 5_000}
    # A failure that nobody had heard the beginning of moves nothing.
    await shop.crediting.apply_refund(refunded(order, "50", "re_9", failed=True))
    assert (await shop.stands("cash/stripe"))[0] == 50 * USD
    await shop.audited()


async def test_what_was_spent_is_owed_and_the_next_payment_repays_it(shop: Shop) -> None:
    person = await shop.person()
    order = await shop.pay(await shop.order(person, parse_usd("100")))
    await shop.spend(person, Credits(4_000))
    await shop.spend(person, Credits(1_000), "gift")
    await shop.crediting.apply_refund(refunded(order, "100"))
    assert await shop.has(person) == {"owed": 5_000}
    await shop.audited()
    await shop.pay(await shop.order(person, parse_usd("90")))
    assert await shop.has(person) == {"bought": 5_000}
    await shop.audited()


async def test_a_dispute_won_gives_back_what_it_held(shop: Shop) -> None:
    person = await shop.person()
    order = await shop.pay(await shop.order(person, parse_usd("90")))
    await shop.spend(person, Credits(2_000))
    for _ in range(2):
        await shop.crediting.apply_dispute(dispute(order, "open"))
    assert await shop.has(person) == {}
    assert await shop.stands("cash/stripe", "disputed") == [0, 90 * USD]
    await shop.audited()
    with pytest.raises(CardPaymentsPaused):
        await shop.order(person, parse_usd("10"))
    await shop.order(person, parse_usd("10"), gateway="btcpay")
    for _ in range(2):
        await shop.crediting.apply_dispute(dispute(order, "won"))
    assert await shop.has(person) == {"bought": 7_000, "gift": 1_000}
    assert await shop.stands("cash/stripe", "disputed") == [90 * USD, 0]
    await shop.order(person, parse_usd("10"))
    await shop.audited()


@pytest.mark.parametrize(("spent", "bad_debt"), [(0, 0), (2_500, 25), (9_000, 90)])
async def test_a_dispute_lost_costs_what_was_spent(shop: Shop, spent: int, bad_debt: int) -> None:
    person = await shop.person()
    order = await shop.pay(await shop.order(person, parse_usd("90")))
    if spent:
        await shop.spend(person, Credits(spent))
    await shop.crediting.apply_dispute(dispute(order, "open"))
    for _ in range(2):
        await shop.crediting.apply_dispute(dispute(order, "lost"))
    assert await shop.has(person) == {}
    stands = await shop.stands("cash/stripe", "disputed", "bad-debt", "sales")
    assert stands == [0, 0, bad_debt * USD, -bad_debt * USD]
    await shop.audited()


@pytest.mark.parametrize(
    ("state", "has", "bad_debt"), [("won", {"bought": 6_000}, 0), ("lost", {}, 30)]
)
async def test_given_back_while_it_is_disputed(
    shop: Shop, state: str, has: dict[str, int], bad_debt: int
) -> None:
    person = await shop.person()
    order = await shop.pay(await shop.order(person, parse_usd("90")))
    await shop.spend(person, Credits(2_000))
    await shop.crediting.apply_dispute(dispute(order, "open"))
    await shop.crediting.apply_refund(refunded(order, "10"))
    assert await shop.has(person) == {}, "what is held is given back first"
    await shop.crediting.apply_dispute(dispute(order, state))
    assert await shop.has(person) == has
    stands = await shop.stands("disputed", "bad-debt", f"order/{order.id}/disputed-bought")
    assert stands == [0, bad_debt * USD, 0]
    await shop.audited()


async def test_a_dispute_that_ended_before_it_began_moves_nothing(shop: Shop) -> None:
    person = await shop.person()
    order = await shop.pay(await shop.order(person, parse_usd("10")))
    await shop.crediting.apply_dispute(dispute(order, "won"))
    assert await shop.has(person) == {"bought": 1_000}
    await shop.audited()


async def test_what_a_merged_person_bought_is_the_survivors(shop: Shop) -> None:
    part, survivor = await shop.person(), await shop.person()
    order = await shop.order(part, parse_usd("10"))
    change = {"merged_into": survivor, "merged_at": shop.clock.now_ms()}
    await shop.ledger.record(Update(schema.person, {"id": part}, change))
    order = await shop.pay(order)
    assert await shop.has(survivor) == {"bought": 1_000}
    await shop.crediting.apply_refund(refunded(order, "10"))
    assert await shop.has(survivor) == await shop.has(part) == {}
    await shop.audited()


async def test_so_many_open_orders_and_no_more(shop: Shop) -> None:
    person = await shop.person()
    for _ in range(10):
        order = await shop.order(person, parse_usd("10"))
    with pytest.raises(TooManyOrders):
        await shop.order(person, parse_usd("10"))
    await shop.pay(order)
    await shop.order(person, parse_usd("10"))
    shop.clock.advance(seconds=3_600)
    await shop.order(person, parse_usd("10"))
