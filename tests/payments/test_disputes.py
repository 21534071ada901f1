"""Disputes beside refunds, other payments and each other; and that nothing told in any order is
worked out wrongly."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from core import chart
from core.db import schema
from core.db.writes import Update
from core.ledger.types import Move, Settle, Submission
from core.money import Credits, NanoUsd, parse_usd
from core.notification import OPERATORS
from payments.dispute_steps import DISPUTE_ENDED, DISPUTED
from payments.gateways.voucher import VoucherGateway
from payments.refunds import NothingToRefund
from payments.types import CardPaymentsPaused, Dispute, NoOpenDispute, Payment, Refund
from tests.payments.conftest import Shop
from tests.payments.disputes_support import USD, disputed, paid_twice, refunded
from tests.payments.order_services import OrderServices
from tests.support.size import size


async def test_one_of_two_payments_lost_leaves_what_the_other_bought(shop: Shop) -> None:
    person = await shop.person()
    order = await paid_twice(shop, person)
    await shop.crediting.apply_dispute(disputed("p1", "10", "open"))
    assert await shop.has(person) == {}, "what is left of the order is held"
    await shop.crediting.apply_dispute(disputed("p1", "10", "lost"))
    assert await shop.has(person) == {"bought": 1_000}
    assert await shop.stands("cash/sandbox", "disputed", "bad-debt", "sales") == [
        *(10 * USD, 0, 0, -10 * USD)
    ]
    await shop.crediting.apply_refund(refunded("p2", "10"))
    assert await shop.has(person) == {}
    assert (await shop.orders.get(order.id)).dispute_state == "lost"
    await shop.audited()


async def test_a_refund_that_fails_while_its_order_is_disputed_is_held_with_it(shop: Shop) -> None:
    person = await shop.person()
    order = await shop.order(person, parse_usd("10"), gateway="sandbox")
    await shop.crediting.credit_payment(
        Payment("sandbox", "p1", order.id, parse_usd("10"), parse_usd("0"))
    )
    await shop.crediting.apply_refund(refunded("p1", "10"))
    await shop.crediting.apply_dispute(disputed("p1", "10", "open"))
    await shop.crediting.apply_refund(replace(refunded("p1", "10"), failed=True))
    assert await shop.has(person) == {}, "nothing to be spent while it is disputed"
    await shop.crediting.apply_dispute(disputed("p1", "10", "lost"))
    assert await shop.has(person) == {}
    assert await shop.stands("cash/sandbox", "disputed", "bad-debt", "sales") == [0, 0, 0, 0]
    await shop.audited()


@pytest.mark.parametrize("state", ["won", "lost"])
@pytest.mark.parametrize("later", [0, 500])
async def test_what_running_asks_give_back_is_lost_with_its_order(
    shop: Shop, state: str, later: int
) -> None:
    person = await shop.person()
    order = await shop.order(person, parse_usd("10"), gateway="sandbox")
    await shop.crediting.credit_payment(
        Payment("sandbox", "p1", order.id, parse_usd("10"), parse_usd("0"))
    )
    hold = Move("hold", chart.pocket(person, "bought"), chart.spent("m"), Credits(1_000), True)
    await shop.ledger.submit(Submission("ask/1", (hold,)))
    await shop.crediting.apply_dispute(disputed("p1", "10", "open"))
    if later:
        shop.clock.advance(seconds=60)
        another = await shop.order(person, parse_usd("5"), gateway="btcpay")
        await shop.crediting.credit_payment(
            Payment("btcpay", "p2", another.id, parse_usd("5"), parse_usd("0"))
        )
    await shop.ledger.submit(Submission("ask/1/end", (Settle("s", "ask/1/hold", Credits(1)),)))
    await shop.crediting.apply_dispute(disputed("p1", "10", state))
    left = later + (999 if state == "won" else 0)
    assert await shop.has(person) == ({"bought": left} if left else {})
    bad_debt = 0 if state == "won" else USD // 100
    assert await shop.stands("disputed", "bad-debt") == [0, bad_debt]
    await shop.audited()


@pytest.mark.parametrize("ends", [("won", "lost"), ("lost", "won"), ("lost", "lost")])
async def test_two_disputes_of_one_order_are_two(shop: Shop, ends: tuple[str, str]) -> None:
    person = await shop.person()
    order = await paid_twice(shop, person)
    for number in (1, 2):
        await shop.crediting.apply_dispute(disputed(f"p{number}", "10", "open", f"dp_{number}"))
    assert await shop.stands("disputed") == [20 * USD]
    after = await shop.crediting.apply_dispute(disputed("p1", "10", ends[0], "dp_1"))
    assert after.dispute_state == "open", "the other one is to be decided still"
    assert await shop.has(person) == {}
    with pytest.raises(CardPaymentsPaused):
        await shop.order(person, parse_usd("10"))
    after = await shop.crediting.apply_dispute(disputed("p2", "10", ends[1], "dp_2"))
    won = ends.count("won")
    assert after.dispute_state == ends[1]
    assert await shop.has(person) == ({"bought": won * 1_000} if won else {})
    assert await shop.stands("disputed", "cash/sandbox") == [0, won * 10 * USD]
    assert order.paid == parse_usd("20")
    await shop.audited()


async def test_a_loss_that_nobody_had_heard_begin_counts(shop: Shop) -> None:
    person = await shop.person()
    order = await shop.pay(await shop.order(person, parse_usd("90")))
    await shop.spend(person, Credits(2_000))
    lost = Dispute("stripe", "dp_1", f"pi_{order.id}", parse_usd("90"), "lost")
    for _ in range(2):
        await shop.crediting.apply_dispute(lost)
    assert await shop.has(person) == {}
    assert await shop.stands("cash/stripe", "disputed", "bad-debt") == [0, 0, 20 * USD]
    await shop.audited()


@pytest.mark.parametrize("state", ["won", "lost"])
async def test_a_refund_while_it_is_disputed_takes_what_is_held(shop: Shop, state: str) -> None:
    person = await shop.person()
    order = await shop.pay(await shop.order(person, parse_usd("90"), gateway="sandbox"))
    payment = f"pi_{order.id}"
    await shop.crediting.apply_dispute(disputed(payment, "90", "open"))
    await shop.crediting.apply_refund(refunded(payment, "90"))
    assert await shop.has(person) == {}, "nothing is owed: it was held"
    await shop.crediting.apply_dispute(disputed(payment, "90", state))
    assert await shop.has(person) == {}
    cash = {"won": 0, "lost": -90 * USD}[state]
    assert await shop.stands("cash/sandbox", "disputed", "bad-debt") == [cash, 0, -cash]
    await shop.audited()


async def test_a_part_that_is_a_packs_price_gives_no_bonus(shop: Shop) -> None:
    """$95 less $5 leaves the price of a pack; nobody bought that pack."""
    person = await shop.person()
    order = await shop.pay(await shop.order(person, parse_usd("95"), gateway="sandbox"))
    await shop.crediting.apply_refund(refunded(f"pi_{order.id}", "5"))
    assert await shop.has(person) == {"bought": 9_000}
    await shop.audited()


async def test_a_payment_takes_nothing_though_its_sum_misses_a_bonus(shop: Shop) -> None:
    """$100 less $10 is worth the pack of $90; $5 more is worth less than that."""
    person = await shop.person()
    order = await shop.order(person, parse_usd("100"), gateway="sandbox")
    await shop.crediting.credit_payment(
        Payment("sandbox", "p1", order.id, parse_usd("100"), parse_usd("0"))
    )
    await shop.crediting.apply_refund(refunded("p1", "10"))
    assert await shop.has(person) == {"bought": 9_000, "gift": 1_000}
    more = Payment("sandbox", "p2", order.id, parse_usd("5"), parse_usd("0"), any_amount=True)
    await shop.crediting.credit_payment(more)
    assert await shop.has(person) == {"bought": 9_500, "gift": 1_000}
    await shop.audited()


async def test_who_became_part_of_another_can_not_pay_by_card_there_either(shop: Shop) -> None:
    survivor, part = await shop.person(), await shop.person()
    order = await shop.pay(await shop.order(part, parse_usd("10")))
    await shop.crediting.apply_dispute(
        Dispute("stripe", "dp_1", f"pi_{order.id}", parse_usd("10"), "open")
    )
    change = {"merged_into": survivor, "merged_at": shop.clock.now_ms()}
    await shop.ledger.record(Update(schema.person, {"id": part}, change))
    with pytest.raises(CardPaymentsPaused):
        await shop.order(survivor, parse_usd("10"))
    assert await shop.orders.get_card_pause_end(survivor) == 0


async def test_who_had_a_payment_taken_back_pays_by_card_no_more_for_a_while(shop: Shop) -> None:
    person = await shop.person()
    order = await shop.pay(await shop.order(person, parse_usd("10")))
    await shop.spend(person, Credits(1_000))
    lost = Dispute("stripe", "dp_1", f"pi_{order.id}", parse_usd("10"), "lost")
    await shop.crediting.apply_dispute(lost)
    with pytest.raises(CardPaymentsPaused) as refused:
        await shop.order(person, parse_usd("10"))
    assert refused.value.until == shop.clock.now_ms() + 120 * 86_400_000
    await shop.order(person, parse_usd("10"), gateway="btcpay")
    shop.clock.advance(days=121)
    await shop.order(person, parse_usd("10"))
    await shop.audited()


async def test_owners_hear_of_each_step_once(shop: Shop) -> None:
    person = await shop.person()
    order = await shop.pay(await shop.order(person, parse_usd("90")))
    for state in ("open", "open", "won", "won"):
        await shop.crediting.apply_dispute(
            Dispute("stripe", "dp_1", f"pi_{order.id}", parse_usd("90"), state)  # type: ignore[arg-type]
        )
    told = await shop.told(OPERATORS)
    assert sorted(kind for kind, _ in told) == [DISPUTE_ENDED, DISPUTED]
    assert {str(facts["order"]) for _, facts in told} == {order.id}


async def test_what_was_lost_can_not_be_given_back_too(shop: Shop) -> None:
    services = OrderServices(
        {"sandbox": VoucherGateway()},
        shop.orders,
        shop.crediting,
        db=shop.store,
        ledger=shop.ledger,
        clock=shop.clock,
    )
    order = await paid_twice(shop, await shop.person())
    await shop.crediting.apply_dispute(disputed("p2", "10", "lost"))
    order = await shop.orders.get(order.id)
    with pytest.raises(NothingToRefund):
        await services.refunds.refund_order(order, parse_usd("10.01"), cause="btn_1")
    assert await services.refunds._list_refundable_payments(order) == [("p1", 10 * USD)]
    with pytest.raises(NoOpenDispute):
        await services.disputes.accept_dispute("sandbox", "dp_1")
    with pytest.raises(NoOpenDispute):
        await services.disputes.get_dispute("sandbox", "dp_none")


async def test_any_order_of_payments_refunds_and_disputes_adds_up(shop: Shop) -> None:
    """Random news, each told once or twice: nothing fails, and what everyone has is what the ledger
    issued; when all cash is gone, so is all that it bought."""
    chance = random.Random(23)
    for _ in range(size(small=4, full=150)):
        inviter = await shop.person()
        person = await shop.friend(inviter)
        value = parse_usd(chance.choice(["10", "90", "95", "100", "105", "800"]))
        order = await shop.order(person, value, gateway="sandbox")
        payments: dict[str, int] = {}
        open_disputes: list[tuple[str, str, int]] = []
        gone: dict[str, int] = {}
        for step in range(chance.randint(3, 10)):
            act = chance.choice(["pay", "pay", "spend", "refund", "refund", "dispute", "end"])
            left = [id_ for id_, amount in payments.items() if gone.get(id_, 0) < amount]
            if act == "pay":
                id_ = f"{order.id}/{step}"
                payments[id_] = value.units if not payments else parse_usd("5").units
                paid = Payment(
                    "sandbox",
                    id_,
                    order.id,
                    NanoUsd(payments[id_]),
                    parse_usd("0"),
                    any_amount=True,
                )
                await shop.crediting.credit_payment(paid)
            elif act == "spend" and (have := (await shop.has(person)).get("bought")):
                await shop.spend(person, Credits(chance.randint(1, have)))
            elif act == "refund" and left:
                id_ = chance.choice(left)
                cents = (payments[id_] - gone.get(id_, 0)) // 10_000_000
                part = chance.randint(1, cents) * 10_000_000
                gone[id_] = gone.get(id_, 0) + part
                back = Refund("sandbox", f"re/{order.id}/{step}", id_, NanoUsd(part))
                for _ in range(chance.randint(1, 2)):
                    await shop.crediting.apply_refund(back)
                if chance.random() < 0.2:
                    gone[id_] -= part
                    await shop.crediting.apply_refund(replace(back, failed=True))
            elif act == "dispute" and left:
                id_ = chance.choice(left)
                amount = payments[id_] - gone.get(id_, 0)
                gone[id_] = payments[id_]
                open_disputes.append((f"dp/{order.id}/{step}", id_, amount))
                begun = Dispute("sandbox", *open_disputes[-1][:2], NanoUsd(amount), "open")
                await shop.crediting.apply_dispute(begun)
            elif act == "end" and open_disputes:
                name, id_, amount = open_disputes.pop(0)
                state = chance.choice(["won", "lost"])
                if state == "won":
                    gone[id_] -= amount
                ended = Dispute("sandbox", name, id_, NanoUsd(amount), state)  # type: ignore[arg-type]
                await shop.crediting.apply_dispute(ended)
            await shop.audited()
        for name, id_, amount in open_disputes:
            await shop.crediting.apply_dispute(
                Dispute("sandbox", name, id_, NanoUsd(amount), "lost")
            )
        for id_, amount in payments.items():
            if gone.get(id_, 0) < amount:
                rest = NanoUsd(amount - gone.get(id_, 0))
                await shop.crediting.apply_refund(Refund("sandbox", f"re/{id_}/all", id_, rest))
        after = await shop.orders.get(order.id)
        assert (after.bought, after.bonus, after.share) == (Credits(0), Credits(0), Credits(0))
        assert set(await shop.has(inviter)) <= {"owed"}
        await shop.audited()
