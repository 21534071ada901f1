"""Disputes that go on after they were decided: the books follow the gateway's last word."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from core import chart
from core.ledger.types import Move, Settle, Submission
from core.money import Credits, parse_usd
from core.notification import OPERATORS
from payments.dispute_steps import DISPUTE_ENDED, DISPUTE_REOPENED, DISPUTED
from payments.fulfillment import Fulfillment
from payments.gateways.base import Gateway
from payments.types import Dispute, Order, Payment
from tests.payments import paypal_support, stripe_support
from tests.payments.conftest import Shop
from tests.payments.disputes_support import USD, disputed, paid_twice, refunded
from tests.support.size import size

stripe_counter = stripe_support.counter
paypal_counter = paypal_support.counter

CENT = USD // 100


async def sold(shop: Shop, person: str, *, spent: int = 0, value: str = "10") -> Order:
    """An order with one payment, `p1`, of which so many Credits were spent."""
    order = await shop.order(person, parse_usd(value), gateway="sandbox")
    paid = Payment("sandbox", "p1", order.id, parse_usd(value), parse_usd("0"))
    order = await shop.crediting.credit_payment(paid)
    if spent:
        await shop.spend(person, Credits(spent))
    return order


STATES = ("open", "won", "lost")
#: All that a gateway may say, one after the other, in some words.
SEQUENCES = [
    words
    for length in range(1, size(small=4, full=6))
    for words in itertools.product(STATES, repeat=length)
    if words[0] != "won" and all(a != b for a, b in itertools.pairwise(words))
]


@pytest.mark.parametrize("spent", [0, 400])
async def test_only_the_last_word_counts(shop: Shop, spent: int) -> None:
    for number, words in enumerate(SEQUENCES):
        person = await shop.person()
        order = await shop.order(person, parse_usd("10"), gateway="sandbox")
        payment, dispute = f"p{number}", f"dp_{number}"
        paid = Payment("sandbox", payment, order.id, parse_usd("10"), parse_usd("0"))
        await shop.crediting.credit_payment(paid)
        if spent:
            await shop.spend(person, Credits(spent))
        before = await shop.stands("cash/sandbox", "disputed", "bad-debt", "sales")
        for word in words:
            for _ in range(2):
                after = await shop.crediting.apply_dispute(disputed(payment, "10", word, dispute))
        assert after.dispute_state == words[-1]
        moved = await shop.stands("cash/sandbox", "disputed", "bad-debt", "sales")
        told = dict(zip(("cash", "disputed", "bad-debt", "sales"), moved, strict=True))
        was = dict(zip(("cash", "disputed", "bad-debt", "sales"), before, strict=True))
        left = 1_000 - spent
        expected = {
            "open": ({}, {"cash": -1_000, "disputed": 1_000}),
            "won": ({"bought": left}, {}),
            "lost": ({}, {"cash": -1_000, "bad-debt": spent, "sales": left}),
        }[words[-1]]
        assert await shop.has(person) == expected[0], words
        changes = {name: told[name] - was[name] for name in told if told[name] != was[name]}
        cents = {name: change // CENT for name, change in changes.items()}
        assert cents == {name: change for name, change in expected[1].items() if change}, words
    await shop.audited()


async def test_an_inviter_has_their_share_again_when_what_was_lost_is_won(shop: Shop) -> None:
    inviter = await shop.person()
    person = await shop.friend(inviter)
    order = await sold(shop, person, value="90")
    share = await shop.has(inviter)
    assert share
    for word in ("open", "lost"):
        await shop.crediting.apply_dispute(disputed("p1", "90", word))
    assert await shop.has(inviter) == {}
    await shop.crediting.apply_dispute(disputed("p1", "90", "open"))
    assert await shop.has(inviter) == {}, "not before it is decided"
    await shop.crediting.apply_dispute(disputed("p1", "90", "won"))
    assert await shop.has(inviter) == share
    assert await shop.has(person) == {"bought": 9_000, "gift": 1_000}
    assert (await shop.orders.get(order.id)).lost == parse_usd("0")
    await shop.audited()


async def test_what_went_back_meanwhile_does_not_come_again(shop: Shop) -> None:
    """Lost after 400 of 1,000 were spent; given back by hand on top; then won: the payer has the
    money of the refund, so the 400 are owed as after any refund."""
    person = await shop.person()
    await sold(shop, person, spent=400)
    await shop.crediting.apply_dispute(disputed("p1", "10", "lost"))
    await shop.crediting.apply_refund(refunded("p1", "10"))
    assert await shop.has(person) == {}
    await shop.crediting.apply_dispute(disputed("p1", "10", "won"))
    assert await shop.has(person) == {"owed": 400}
    assert await shop.stands("cash/sandbox", "disputed", "bad-debt", "sales") == [0, 0, 0, 0]
    await shop.audited()


async def test_a_second_dispute_takes_nothing_of_other_orders(shop: Shop) -> None:
    person = await shop.person()
    await paid_twice(shop, person)
    other = await shop.order(person, parse_usd("30"), gateway="btcpay")
    paid = Payment("btcpay", "p3", other.id, parse_usd("30"), parse_usd("0"))
    await shop.crediting.credit_payment(paid)
    for number in (1, 2):
        await shop.crediting.apply_dispute(disputed(f"p{number}", "10", "open", f"dp_{number}"))
        assert await shop.has(person) == {"bought": 3_000}
    for number in (1, 2):
        await shop.crediting.apply_dispute(disputed(f"p{number}", "10", "lost", f"dp_{number}"))
    assert await shop.has(person) == {"bought": 3_000}
    await shop.audited()


async def test_what_another_dispute_gives_back_is_not_this_ones(shop: Shop) -> None:
    """Two orders are disputed and all of the second was spent: what the first one's end gives back
    came of no answer of the second's."""
    person = await shop.person()
    await sold(shop, person, spent=1_000)
    other = await shop.order(person, parse_usd("5"), gateway="btcpay")
    paid = Payment("btcpay", "p2", other.id, parse_usd("5"), parse_usd("0"))
    await shop.crediting.credit_payment(paid)
    await shop.crediting.apply_dispute(Dispute("btcpay", "dp_2", "p2", parse_usd("5"), "open"))
    await shop.crediting.apply_dispute(disputed("p1", "10", "open"))
    await shop.crediting.apply_dispute(Dispute("btcpay", "dp_2", "p2", parse_usd("5"), "won"))
    assert await shop.has(person) == {"bought": 500}
    await shop.crediting.apply_dispute(disputed("p1", "10", "lost"))
    assert await shop.has(person) == {"bought": 500}
    await shop.audited()


async def test_what_an_answer_gives_back_is_lost_once_though_it_is_reopened(shop: Shop) -> None:
    person = await shop.person()
    await sold(shop, person)
    hold = Move("hold", chart.pocket(person, "bought"), chart.spent("m"), Credits(600), True)
    await shop.ledger.submit(Submission("ask/1", (hold,)))
    await shop.crediting.apply_dispute(disputed("p1", "10", "open"))
    await shop.ledger.submit(Submission("ask/1/end", (Settle("s", "ask/1/hold", Credits(100)),)))
    for word in ("lost", "open", "lost", "won"):
        await shop.crediting.apply_dispute(disputed("p1", "10", word))
        left = {"bought": 900} if word == "won" else {}
        assert await shop.has(person) == left
    assert await shop.stands("cash/sandbox", "bad-debt") == [10 * USD, 0]
    await shop.audited()


@pytest.mark.parametrize("word", ["won", "lost"])
async def test_what_answers_give_back_is_held_while_it_runs(shop: Shop, word: str) -> None:
    """What was being written when it began is held as it comes back; what was bought since and
    what was earned is not touched."""
    person = await shop.person()
    order = await sold(shop, person)
    bought = chart.pocket(person, "bought")
    for number, held in ((1, 300), (2, 700)):
        hold = Move("hold", bought, chart.spent("m"), Credits(held), True)
        await shop.ledger.submit(Submission(f"ask/{number}", (hold,)))
    await shop.crediting.apply_dispute(disputed("p1", "10", "open"))
    shop.clock.advance(seconds=60)
    later = await shop.order(person, parse_usd("5"), gateway="btcpay")
    await shop.crediting.credit_payment(
        Payment("btcpay", "p2", later.id, parse_usd("5"), parse_usd("0"))
    )
    earned = Move("e", chart.issued("contribution"), chart.pocket(person, "earned"), Credits(70))
    await shop.ledger.submit(Submission("earns", (earned,)))
    jobs = shop.crediting.disputes
    await jobs.hold_returned_credits()
    assert await shop.has(person) == {"bought": 1_500, "earned": 70}, "it is being written still"
    await shop.ledger.submit(Submission("ask/1/end", (Settle("s", "ask/1/hold", Credits(10)),)))
    await asyncio.gather(*(jobs.hold_returned_credits() for _ in range(3)))
    held_code = chart.disputed_credits(order.id, "bought").code
    assert await shop.stands(held_code) == [-290]
    await shop.ledger.submit(Submission("ask/2/end", (Settle("s", "ask/2/hold", Credits(0)),)))
    await jobs.hold_returned_credits()
    assert await shop.stands(held_code) == [-990]
    assert await shop.has(person) == {"bought": 500, "earned": 70}
    await jobs.hold_returned_credits()
    await shop.crediting.apply_dispute(disputed("p1", "10", word))
    left = 1_490 if word == "won" else 500
    assert await shop.has(person) == {"bought": left, "earned": 70}
    assert await shop.stands("bad-debt") == [0 if word == "won" else 10 * CENT]
    history = [what for _, what, _ in await shop.orders.list_events(order.id)]
    assert history.count("held") == 2


class Judge:
    """A gateway that knows one dispute's present state; the rest is nobody's business here."""

    name = "sandbox"

    def __init__(self, *verdicts: str) -> None:
        self.verdicts, self.asked = list(verdicts), 0

    async def fetch_dispute(self, order: Order, dispute: Dispute) -> Dispute:
        self.asked += 1
        state = self.verdicts[0] if len(self.verdicts) == 1 else self.verdicts.pop(0)
        return Dispute("sandbox", dispute.id, dispute.payment, dispute.amount, state)  # type: ignore[arg-type]


def judged(shop: Shop, judge: Judge) -> Fulfillment:
    gateways: dict[str, Gateway] = {"sandbox": judge}  # type: ignore[dict-item]
    return Fulfillment(orders=shop.orders, ledger=shop.ledger, offer=shop.offer, gateways=gateways)


async def test_stale_words_reopen_nothing(shop: Shop) -> None:
    """An answer of the gateway from before the end comes late: the gateway is asked again."""
    person = await shop.person()
    await sold(shop, person)
    judge = Judge("won")
    crediting = judged(shop, judge)
    for word in ("open", "won", "open", "lost", "won", "open"):
        await crediting.apply_dispute(disputed("p1", "10", word))
    assert await shop.has(person) == {"bought": 1_000}
    assert judge.asked == 3
    kinds = [kind for kind, _ in await shop.told(OPERATORS)]
    assert sorted(kinds) == [DISPUTE_ENDED, DISPUTED]
    await shop.audited()


async def test_a_late_word_leads_to_the_last_one(shop: Shop) -> None:
    """What was lost is said to be open; it has been won by now."""
    person = await shop.person()
    await sold(shop, person)
    await shop.crediting.apply_dispute(disputed("p1", "10", "lost"))
    order = await judged(shop, Judge("won")).apply_dispute(disputed("p1", "10", "open"))
    assert order.dispute_state == "won"
    assert await shop.has(person) == {"bought": 1_000}
    await shop.audited()


async def test_who_is_overtaken_asks_again(shop: Shop) -> None:
    """Eight look at once, with whatever they heard; the gateway's last word stays."""
    person = await shop.person()
    await sold(shop, person)
    crediting = judged(shop, Judge("lost"))
    for word in ("open", "won"):
        await shop.crediting.apply_dispute(disputed("p1", "10", word))
    await asyncio.gather(
        *(crediting.apply_dispute(disputed("p1", "10", STATES[one % 3])) for one in range(9))
    )
    assert await shop.has(person) == {}
    assert await shop.stands("cash/sandbox", "disputed", "sales") == [0, 0, 0]
    await shop.audited()


async def test_owners_hear_of_each_turn(shop: Shop) -> None:
    person = await shop.person()
    await sold(shop, person)
    for word in ("open", "won", "open", "open", "lost", "lost", "won"):
        shop.clock.advance(seconds=1)
        await shop.crediting.apply_dispute(disputed("p1", "10", word))
    told = [(kind, facts["state"]) for kind, facts in await shop.told(OPERATORS)]
    assert told == [
        (DISPUTED, "open"),
        (DISPUTE_ENDED, "won"),
        (DISPUTE_REOPENED, "open"),
        (DISPUTE_ENDED, "lost"),
        (DISPUTE_REOPENED, "open"),
        (DISPUTE_ENDED, "won"),
    ]


# --- as gateways tell it ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "then", "last", "left", "cents"),
    [
        ("won", "needs_response", "lost", {}, -59),
        ("lost", "appeal_under_review", "won", {"bought": 1_000}, 941),
        ("lost", "appeal_needs_response", "lost", {}, -59),
        ("won", "under_review", "won", {"bought": 1_000}, 941),
    ],
)
async def test_stripe_tells_that_it_goes_on(
    stripe_counter: stripe_support.Counter,
    first: str,
    then: str,
    last: str,
    left: dict[str, int],
    cents: int,
) -> None:
    counter, stripe = stripe_counter, stripe_counter.stripe
    person = await counter.shop.person()
    order = await counter.buys(person, "10")
    intent = stripe.pay(order.external_id)
    await counter.hears(counter.completed(order))
    await counter.works()
    dispute = stripe.disputes[stripe.dispute(intent)]
    messages = []
    for status, kind in (
        ("needs_response", "created"),
        (first, "closed"),
        (then, "updated"),
        (last, "closed"),
    ):
        dispute["status"] = status
        messages.append(stripe.event(f"charge.dispute.{kind}", dispute))
        for _ in range(2):
            await counter.hears(messages[-1])
        await counter.works()
        if status == then:
            assert await counter.shop.has(person) == {}, "held again"
    for body in messages:  # told again as other messages, in another order
        await counter.hears(body.replace(b"evt_", b"evt_late_"))
    await counter.works()
    assert await counter.shop.has(person) == left
    assert (await counter.shop.stands("cash/stripe"))[0] // CENT == cents
    assert (await counter.again(order)).dispute_state == last
    await counter.shop.audited()


async def test_what_was_reopened_is_given_up_anew_at_stripe(
    stripe_counter: stripe_support.Counter,
) -> None:
    counter, stripe = stripe_counter, stripe_counter.stripe
    person = await counter.shop.person()
    order = await counter.buys(person, "10")
    intent = stripe.pay(order.external_id)
    await counter.hears(counter.completed(order))
    id_ = stripe.dispute(intent)
    await counter.hears(stripe.event("charge.dispute.created", stripe.disputes[id_]))
    await counter.works()
    counter.shop.clock.advance(seconds=60)
    await counter.works()
    await counter.disputes.accept_dispute("stripe", id_)
    stripe.disputes[id_]["status"] = "needs_response"
    await counter.hears(stripe.event("charge.dispute.updated", stripe.disputes[id_]))
    await counter.works()
    after = await counter.disputes.accept_dispute("stripe", id_)
    assert (after.dispute_state, stripe.disputes[id_]["status"]) == ("lost", "lost")
    await counter.shop.audited()


async def test_paypal_tells_that_it_goes_on(paypal_counter: paypal_support.Counter) -> None:
    counter, paypal = paypal_counter, paypal_counter.paypal
    person = await counter.shop.person()
    order, capture = await counter.sells(person, "10")
    case = paypal.dispute(capture["id"])
    await counter.hears("CUSTOMER.DISPUTE.CREATED", case)
    await counter.works()
    paypal.resolve(case["dispute_id"], "RESOLVED_SELLER_FAVOUR")
    await counter.hears("CUSTOMER.DISPUTE.RESOLVED", case)
    await counter.works()
    assert await counter.shop.has(person) == {"bought": 1_000}
    case["status"] = "UNDER_REVIEW"
    del case["dispute_outcome"]
    await counter.hears("CUSTOMER.DISPUTE.UPDATED", case)
    await counter.works()
    assert await counter.shop.has(person) == {}
    paypal.resolve(case["dispute_id"], "RESOLVED_BUYER_FAVOUR")
    back = paypal.give_back(capture["id"], "10.00")
    for _ in range(2):
        await counter.hears("CUSTOMER.DISPUTE.RESOLVED", case)
        await counter.hears("PAYMENT.CAPTURE.REVERSED", back)
    await counter.works()
    assert await counter.shop.has(person) == {}
    after = await counter.again(order)
    assert (after.dispute_state, after.refunded) == ("lost", parse_usd("0"))
    assert (await counter.shop.stands("cash/paypal"))[0] // CENT == -84
    await counter.shop.audited()


async def test_a_part_that_a_case_cost_is_open_again_with_it(
    paypal_counter: paypal_support.Counter,
) -> None:
    """Settled for $4 of $10; taken up again, and all of it lost: $10 are gone, not $14."""
    counter, paypal = paypal_counter, paypal_counter.paypal
    person = await counter.shop.person()
    order, capture = await counter.sells(person, "10")
    case = paypal.dispute(capture["id"])
    for outcome, part, left in (
        ("RESOLVED_BUYER_FAVOUR", "4.00", {"bought": 600}),
        ("RESOLVED_BUYER_FAVOUR", "3.00", {"bought": 700}),
        ("RESOLVED_BUYER_FAVOUR", "", {}),
    ):
        await counter.hears("CUSTOMER.DISPUTE.UPDATED", case)
        await counter.works()
        assert await counter.shop.has(person) == {}
        paypal.resolve(case["dispute_id"], outcome, refunded=part)
        for _ in range(2):
            await counter.hears("CUSTOMER.DISPUTE.RESOLVED", case)
        await counter.works()
        assert await counter.shop.has(person) == left
        case["status"] = "UNDER_REVIEW"
        outcome_told = case.pop("dispute_outcome")
    case |= {"status": "RESOLVED", "dispute_outcome": outcome_told}
    after = await counter.again(order)
    assert (after.dispute_state, after.refunded, after.lost) == (
        "lost",
        parse_usd("0"),
        parse_usd("10"),
    )
    assert (await counter.shop.stands("cash/paypal"))[0] // CENT == -84
    await counter.shop.audited()


async def test_what_a_case_cost_in_part_follows_its_last_decision(
    paypal_counter: paypal_support.Counter,
) -> None:
    """Each decision is heard of alone; nobody told us that it was taken up between them."""
    counter, paypal = paypal_counter, paypal_counter.paypal
    person = await counter.shop.person()
    order, capture = await counter.sells(person, "10")
    case = paypal.dispute(capture["id"])
    await counter.hears("CUSTOMER.DISPUTE.CREATED", case)
    await counter.works()
    for outcome, part, left in (
        ("RESOLVED_BUYER_FAVOUR", "4.00", 600),
        ("RESOLVED_BUYER_FAVOUR", "3.00", 700),
        ("RESOLVED_SELLER_FAVOUR", "", 1_000),
        ("RESOLVED_BUYER_FAVOUR", "3.00", 700),
    ):
        paypal.resolve(case["dispute_id"], outcome, refunded=part)
        for _ in range(2):
            await counter.hears("CUSTOMER.DISPUTE.RESOLVED", case)
        await counter.works()
        assert await counter.shop.has(person) == {"bought": left}
        cents = (await counter.shop.stands("cash/paypal"))[0] // CENT
        assert cents == left - 84
        assert (await counter.again(order)).refunded == parse_usd("0.01").multiply_by(1_000 - left)
    await counter.shop.audited()
