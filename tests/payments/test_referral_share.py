"""What inviters have of their friends' orders: in step with payments, refunds and disputes."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from core.db import schema
from core.db.writes import Update
from core.earnings.audit import audit_earnings
from core.money import Credits, NanoUsd, Stars, parse_usd
from payments.offer import Offer
from payments.orders import Orders
from payments.payment_reader import PaymentReader
from payments.referral_share import FRIEND_BOUGHT, FRIEND_REFUNDED
from payments.types import Dispute, Order, Payment, Refund
from tests.payments.conftest import Shop


def refunded(order: Order, amount: str, id_: str = "re_1", *, failed: bool = False) -> Refund:
    return Refund(order.gateway, id_, f"pi_{order.id}", parse_usd(amount), failed)


def dispute(order: Order, state: str) -> Dispute:
    assert isinstance(order.amount, NanoUsd)
    return Dispute(order.gateway, "dp_1", f"pi_{order.id}", order.amount, state)  # type: ignore[arg-type]


async def merged(shop: Shop, part: str, into: str) -> None:
    change = {"merged_into": into, "merged_at": shop.clock.now_ms()}
    await shop.ledger.record(Update(schema.person, {"id": part}, change))


@pytest.mark.parametrize(
    ("value", "share"), [("10", 100), ("90", 1_000), ("800", 10_000), ("100", 1_100), ("1", 10)]
)
async def test_a_tenth_of_all_that_a_top_up_gives_on_top(
    shop: Shop, value: str, share: int
) -> None:
    ann = await shop.person()
    bob = await shop.friend(ann)
    order = await shop.order(bob, parse_usd(value))
    for _ in range(3):
        await shop.pay(order)
    assert await shop.has(ann) == {"gift": share}
    given = shop.offer.compute_entitlement(parse_usd(value))
    assert sum((await shop.has(bob)).values()) == given.total.units, "nothing is taken from it"
    assert await shop.told(ann) == [(FRIEND_BOUGHT, {"credits": share})]
    after = await shop.orders.get(order.id)
    assert (after.referral, after.share) == (bob, Credits(share))
    history = await shop.orders.list_events(order.id)
    assert history[-1][2]["inviter"] == share
    await shop.audited()


async def test_who_came_by_nobody_earns_nobody_anything(shop: Shop) -> None:
    ann, bob = await shop.person(), await shop.person()
    await shop.pay(await shop.order(bob, parse_usd("90")))
    assert await shop.has(ann) == {}
    await shop.audited()


async def test_a_chain_earns_each_inviter_their_own_friends_alone(shop: Shop) -> None:
    ann = await shop.person()
    bob = await shop.friend(ann)
    cid = await shop.friend(bob)
    await shop.pay(await shop.order(cid, parse_usd("90")))
    assert await shop.has(bob) == {"gift": 1_000}
    assert await shop.has(ann) == {}
    await shop.audited()


async def test_a_refund_takes_its_part_back_and_one_that_failed_gives_it_again(shop: Shop) -> None:
    ann = await shop.person()
    bob = await shop.friend(ann)
    order = await shop.pay(await shop.order(bob, parse_usd("100")))
    await shop.crediting.apply_refund(refunded(order, "1"))
    assert await shop.has(ann) == {"gift": 990}, "a tenth of 9,900"
    await shop.crediting.apply_refund(refunded(order, "99", "re_2"))
    assert await shop.has(ann) == {}
    assert await shop.has(bob) == {}
    await shop.audited()
    for _ in range(2):
        await shop.crediting.apply_refund(refunded(order, "99", "re_2", failed=True))
    assert await shop.has(ann) == {"gift": 990}
    kinds = sorted(kind for kind, _ in await shop.told(ann))
    assert kinds == [FRIEND_BOUGHT] * 2 + [FRIEND_REFUNDED] * 2
    await shop.audited()


async def test_what_an_inviter_has_spent_of_it_is_owed(shop: Shop) -> None:
    ann = await shop.person()
    bob = await shop.friend(ann)
    order = await shop.pay(await shop.order(bob, parse_usd("90")))
    await shop.spend(ann, Credits(700), "gift")
    await shop.crediting.apply_refund(refunded(order, "90"))
    assert await shop.has(ann) == {"owed": 700}
    await shop.pay(await shop.order(ann, parse_usd("10")))
    assert await shop.has(ann) == {"bought": 300}
    await shop.audited()


async def test_what_else_an_inviter_has_pays_it_at_once(shop: Shop) -> None:
    ann = await shop.person()
    bob = await shop.friend(ann)
    order = await shop.pay(await shop.order(bob, parse_usd("90")))
    await shop.pay(await shop.order(ann, parse_usd("10")))
    await shop.spend(ann, Credits(1_000), "gift")
    await shop.crediting.apply_refund(refunded(order, "40"))
    assert await shop.has(ann) == {"bought": 500}, "half of it stands: 5,000 of 10,000"
    await shop.audited()


@pytest.mark.parametrize("spent", [0, 4_000, 9_000])
async def test_a_dispute_touches_the_inviter_only_when_it_is_lost(shop: Shop, spent: int) -> None:
    ann = await shop.person()
    bob = await shop.friend(ann)
    order = await shop.pay(await shop.order(bob, parse_usd("90")))
    if spent:
        await shop.spend(bob, Credits(spent))
    await shop.crediting.apply_dispute(dispute(order, "open"))
    assert await shop.has(ann) == {"gift": 1_000}
    for _ in range(2):
        await shop.crediting.apply_dispute(dispute(order, "lost"))
    assert await shop.has(ann) == {}, "also for what was spent: nobody paid for that"
    await shop.audited()


async def test_a_dispute_won_leaves_the_inviter_what_they_have(shop: Shop) -> None:
    ann = await shop.person()
    bob = await shop.friend(ann)
    order = await shop.pay(await shop.order(bob, parse_usd("90")))
    await shop.crediting.apply_dispute(dispute(order, "open"))
    await shop.crediting.apply_dispute(dispute(order, "won"))
    assert await shop.has(ann) == {"gift": 1_000}
    await shop.audited()


async def test_stars_and_transfers_in_parts_count_once_they_give(shop: Shop) -> None:
    ann = await shop.person()
    bob = await shop.friend(ann)
    stars = await shop.order(bob, parse_usd("10"), gateway="stars", amount=Stars(770))
    await shop.pay(stars, id_="charge_1")
    assert await shop.has(ann) == {"gift": 100}
    chain = await shop.order(bob, parse_usd("10"), gateway="btcpay")
    for number, amount in enumerate(("4", "6", "5")):
        paid = Payment(
            "btcpay", f"tx{number}", chain.id, parse_usd(amount), parse_usd("0"), any_amount=True
        )
        await shop.crediting.credit_payment(paid)
    assert await shop.has(ann) == {"gift": 100 + 150}
    await shop.audited()


async def test_it_is_the_survivors_whoever_became_a_part_of_whom(shop: Shop) -> None:
    old = await shop.person()
    shop.clock.advance(seconds=1)
    ann = await shop.person()
    bob = await shop.friend(ann)
    order = await shop.order(bob, parse_usd("90"))
    await merged(shop, ann, old)
    order = await shop.pay(order)
    assert await shop.has(old) == {"gift": 1_000}
    await shop.crediting.apply_refund(refunded(order, "90"))
    assert await shop.has(old) == await shop.has(ann) == {}
    await shop.audited()


async def test_an_order_counts_to_whom_it_counted_first(shop: Shop) -> None:
    ann, old = await shop.person(), await shop.person()
    bob = await shop.friend(ann)
    before = await shop.pay(await shop.order(bob, parse_usd("90")))
    later = await shop.order(bob, parse_usd("90"))
    # The friend becomes a part of somebody older, whom nobody invited.
    await merged(shop, bob, old)
    await shop.pay(later)
    assert await shop.has(ann) == {"gift": 1_000}, "the later one is the survivor's"
    await shop.crediting.apply_refund(refunded(before, "90"))
    assert await shop.has(ann) == {}
    await shop.audited()


async def test_an_order_keeps_the_offer_that_it_was_made_under(shop: Shop) -> None:
    ann = await shop.person()
    bob = await shop.friend(ann)
    waiting = await shop.order(bob, parse_usd("90"))
    order = await shop.pay(await shop.order(bob, parse_usd("90")))
    other = Offer(packs=(), bonus_percent=0, inviter_percent=1)
    shop.orders = Orders(ledger=shop.ledger, offer=other)
    await shop.pay(waiting)
    assert await shop.has(bob) == {"bought": 18_000, "gift": 2_000}
    assert await shop.has(ann) == {"gift": 2_000}
    await shop.crediting.apply_refund(refunded(order, "45"))
    assert await shop.has(ann) == {"gift": 1_450}, "a tenth of what $45 bought then"
    later = await shop.pay(await shop.order(bob, parse_usd("90")))
    assert (later.bought, later.bonus, later.share) == (Credits(9_000), Credits(0), Credits(90))
    assert later.offer == replace(
        other, min_amount=later.offer.min_amount, max_amount=later.offer.max_amount
    )  # type: ignore[union-attr]
    await shop.audited()


async def test_friends_who_pay_at_once_and_twice_count_once_each(shop: Shop) -> None:
    ann = await shop.person()
    friends = [await shop.friend(ann) for _ in range(4)]
    orders = [await shop.order(friend, parse_usd("10")) for friend in friends for _ in range(3)]
    await asyncio.gather(*(shop.pay(order) for order in orders * 2))
    assert await shop.has(ann) == {"gift": 12 * 100}
    refunds = [refunded(order, "10", f"re_{order.id}") for order in orders]
    await asyncio.gather(*(shop.crediting.apply_refund(one) for one in refunds * 2))
    assert await shop.has(ann) == {}
    await shop.audited()


async def test_the_audit_sees_what_was_changed_by_hand(shop: Shop) -> None:
    ann = await shop.person()
    bob = await shop.friend(ann)
    order = await shop.pay(await shop.order(bob, parse_usd("90")))
    assert await audit_earnings(shop.store, PaymentReader(shop.store)) == []
    altered = Update(schema.order, {"id": order.id}, {"share": 999})
    await shop.ledger.record(altered)
    (finding,) = await audit_earnings(shop.store, PaymentReader(shop.store))
    assert (bob in finding, "1000" in finding, "999" in finding) == (True, True, True)
    earned = Update(schema.referral, {"person": bob}, {"earned": 999})
    await shop.ledger.record(earned)
    (finding,) = await audit_earnings(shop.store, PaymentReader(shop.store))
    assert finding == "referrals earned 999 Credits, the ledger issued 1000"
