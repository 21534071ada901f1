"""Disputes given up at Stripe, and messages of which nothing comes: owners hear of both."""

from __future__ import annotations

import pytest

from core.money import parse_usd
from core.notification import OPERATORS
from payments.dispute_steps import DISPUTE_ENDED, DISPUTED
from payments.disputes import DISPUTE_FEE
from payments.mismatches import UNPROCESSED
from payments.payment_warnings import PAYMENT_WARNED
from payments.types import GatewayUnavailable, NoOpenDispute
from tests.payments.stripe_support import Counter, counter

__all__ = ["counter"]


async def test_a_dispute_is_given_up_once_at_stripe(counter: Counter) -> None:
    person, stripe = await counter.shop.person(), counter.stripe
    order = await counter.buys(person, "90")
    intent = stripe.pay(order.external_id)
    await counter.hears(counter.completed(order))
    dispute = stripe.dispute(intent)
    await counter.hears(stripe.event("charge.dispute.created", stripe.disputes[dispute]))
    await counter.works()
    counter.shop.clock.advance(seconds=60)
    await counter.works()
    told = await counter.disputes.get_dispute("stripe", dispute)
    due = stripe.disputes[dispute]["evidence_details"]["due_by"]
    assert (told.state, told.reason, told.due_at) == ("open", "fraudulent", due * 1_000)
    stripe.broken = True
    with pytest.raises(GatewayUnavailable):
        await counter.disputes.accept_dispute("stripe", dispute)
    assert (await counter.disputes.get_dispute("stripe", dispute)).state == "open"
    stripe.broken = False
    after = await counter.disputes.accept_dispute("stripe", dispute)
    assert (after.dispute_state, stripe.disputes[dispute]["status"]) == ("lost", "lost")
    with pytest.raises(NoOpenDispute):
        await counter.disputes.accept_dispute("stripe", dispute)
    await counter.hears(stripe.event("charge.dispute.closed", stripe.disputes[dispute]))
    await counter.works()
    closes = [path for _, path, _ in stripe.calls if path.endswith("/close")]
    assert len(closes) == 1
    assert await counter.shop.has(person) == {}
    assert await counter.shop.stands("disputed", "bad-debt") == [0, 0]
    await counter.shop.audited()


async def test_what_stripe_decided_meanwhile_is_what_comes_of_accepting(counter: Counter) -> None:
    person, stripe = await counter.shop.person(), counter.stripe
    order = await counter.buys(person, "90")
    intent = stripe.pay(order.external_id)
    await counter.hears(counter.completed(order))
    await counter.works()
    dispute = stripe.dispute(intent)
    await counter.hears(stripe.event("charge.dispute.created", stripe.disputes[dispute]))
    await counter.works()
    stripe.disputes[dispute]["status"] = "won"
    after = await counter.disputes.accept_dispute("stripe", dispute)
    assert after.dispute_state == "won"
    assert await counter.shop.has(person) == {"bought": 9_000, "gift": 1_000}
    await counter.shop.audited()


async def test_owners_hear_once_of_a_message_of_which_nothing_comes(counter: Counter) -> None:
    stripe = counter.stripe
    order = await counter.buys(await counter.shop.person(), "10")
    stripe.pay(order.external_id)
    # The session says another sum than the order.
    stripe.sessions[order.external_id]["amount_total"] = 999
    body = counter.completed(order)
    for _ in range(3):
        await counter.hears(body)
        await counter.works()
    # A refund of an order that a database of today doesn't have is looked at for hours, then given
    # up; one of something that another shop sold on this account is none of ours.
    for number, metadata in enumerate(({"order": f"ord_{'0' * 26}"}, {}, {"order": "shop-7"})):
        intent = {"id": f"pi_other{number}", "object": "payment_intent", "metadata": metadata}
        stripe.intents[str(intent["id"])] = intent
        refund = stripe.refund(str(intent["id"]), 100)
        await counter.hears(stripe.event("refund.created", stripe.refunds[refund]))
    for _ in range(14):
        await counter.works()
        counter.shop.clock.advance(seconds=6 * 3_600)
    told = await counter.shop.told(OPERATORS)
    assert sorted((kind, facts["verdict"]) for kind, facts in told) == [
        (UNPROCESSED, "payment_refused/amount"),
        (UNPROCESSED, "unknown_order"),
    ]
    assert told[0][1]["order"] == order.id


CENT = parse_usd("0.01").units


async def disputed(counter: Counter) -> tuple[str, str]:
    """Somebody who paid $10 disputes that; who, and the dispute, of which nobody has heard."""
    person = await counter.shop.person()
    order = await counter.buys(person, "10")
    intent = counter.stripe.pay(order.external_id)
    await counter.hears(counter.completed(order))
    return person, counter.stripe.dispute(intent)


async def told(counter: Counter, dispute: str, kind: str, status: str = "") -> None:
    """Stripe tells of it, twice."""
    about = counter.stripe.disputes[dispute]
    if status:
        about["status"] = status
    for _ in range(2):
        await counter.hears(counter.stripe.event(f"charge.dispute.{kind}", about))
    await counter.works()
    counter.shop.clock.advance(seconds=60)
    await counter.works()


async def cents(counter: Counter) -> list[int]:
    """At Stripe, and what gateways kept."""
    return [one // CENT for one in await counter.shop.stands("cash/stripe", "gateway-fees")]


async def test_what_stripe_takes_for_a_dispute_is_a_fee(counter: Counter) -> None:
    _, id_ = await disputed(counter)
    counter.stripe.moves(id_, -1_000, fee=1_500)
    await told(counter, id_, "created")
    assert await cents(counter) == [-59 - 1_500, 59 + 1_500]
    await told(counter, id_, "closed", "lost")
    assert await cents(counter) == [-59 - 1_500, 59 + 1_500]
    fees = {kind: facts["fee"] for kind, facts in await counter.shop.told(OPERATORS)}
    assert fees == {DISPUTED: 1_500 * CENT, DISPUTE_ENDED: 1_500 * CENT}
    await counter.shop.audited()


@pytest.mark.parametrize(("returned", "kept"), [(0, 1_500), (-1_500, 0)])
async def test_a_fee_that_is_told_late_or_given_back_is_booked(
    counter: Counter, returned: int, kept: int
) -> None:
    person, id_ = await disputed(counter)
    await told(counter, id_, "created")
    assert await cents(counter) == [-59, 59]
    counter.stripe.moves(id_, -1_000, fee=1_500)
    await told(counter, id_, "funds_withdrawn")
    assert await cents(counter) == [-59 - 1_500, 59 + 1_500]
    await told(counter, id_, "closed", "won")
    counter.stripe.moves(id_, 1_000, fee=returned)
    await told(counter, id_, "funds_reinstated")
    assert await cents(counter) == [941 - kept, 59 + kept]
    assert await counter.shop.has(person) == {"bought": 1_000}
    kinds = [kind for kind, _ in await counter.shop.told(OPERATORS)]
    assert sorted(kinds) == sorted(
        [DISPUTED, DISPUTE_FEE, DISPUTE_ENDED, *([DISPUTE_FEE] if returned else [])]
    )
    await counter.shop.audited()


async def test_each_turn_may_cost_its_fee(counter: Counter) -> None:
    _, id_ = await disputed(counter)
    counter.stripe.moves(id_, -1_000, fee=1_500)
    await told(counter, id_, "created")
    counter.stripe.moves(id_, 1_000, fee=-1_500)
    await told(counter, id_, "closed", "won")
    assert await cents(counter) == [941, 59]
    counter.stripe.moves(id_, -1_000, fee=1_500)
    await told(counter, id_, "updated", "needs_response")
    await told(counter, id_, "closed", "lost")
    assert await cents(counter) == [-59 - 1_500, 59 + 1_500]
    await counter.shop.audited()


async def test_a_fee_in_another_currency_is_its_share_of_what_was_disputed(
    counter: Counter,
) -> None:
    _, id_ = await disputed(counter)
    counter.stripe.moves(id_, 0, fee=1_380, currency="eur")
    await told(counter, id_, "created")
    assert await cents(counter) == [-59, 59], "nothing tells yet what a euro is"
    counter.stripe.moves(id_, -920, fee=0, currency="eur")
    await told(counter, id_, "funds_withdrawn")
    assert await cents(counter) == [-59 - 1_500, 59 + 1_500]
    await counter.shop.audited()


async def test_a_dispute_that_was_over_before_it_was_heard_of_costs_its_fee(
    counter: Counter,
) -> None:
    person, id_ = await disputed(counter)
    counter.stripe.moves(id_, -1_000, fee=1_500)
    counter.stripe.moves(id_, 1_000)
    await told(counter, id_, "closed", "won")
    assert await cents(counter) == [941 - 1_500, 59 + 1_500]
    assert await counter.shop.has(person) == {"bought": 1_000}
    await counter.shop.audited()


async def test_owners_hear_once_that_a_payment_may_be_fraud(counter: Counter) -> None:
    person, stripe = await counter.shop.person(), counter.stripe
    order = await counter.buys(person, "10")
    intent = stripe.pay(order.external_id)
    warning = stripe.warnings[stripe.warn(intent)]
    # Told before its payment, twice, and again when something changed; another shop's never.
    for kind in ("created", "created", "updated"):
        await counter.hears(stripe.event(f"radar.early_fraud_warning.{kind}", warning))
    stripe.intents["pi_other"] = {"id": "pi_other", "object": "payment_intent", "metadata": {}}
    other = stripe.warnings[stripe.warn("pi_other")]
    await counter.hears(stripe.event("radar.early_fraud_warning.created", other))
    await counter.works()
    assert await counter.shop.told(OPERATORS) == []
    await counter.hears(counter.completed(order))
    await counter.works()
    counter.shop.clock.advance(seconds=60)
    await counter.works()
    ((kind, facts),) = await counter.shop.told(OPERATORS)
    assert kind == PAYMENT_WARNED
    assert (facts["order"], facts["reason"]) == (order.id, "made_with_stolen_card")
    assert await counter.shop.has(person) == {"bought": 1_000}, "nothing is moved"
    assert set((await counter.webhooks()).values()) == {""}


async def test_what_was_given_back_already_is_no_warning(counter: Counter) -> None:
    order = await counter.buys(await counter.shop.person(), "10")
    intent = counter.stripe.pay(order.external_id)
    await counter.hears(counter.completed(order))
    warning = counter.stripe.warnings[counter.stripe.warn(intent, actionable=False)]
    await counter.hears(counter.stripe.event("radar.early_fraud_warning.updated", warning))
    await counter.works()
    assert await counter.shop.told(OPERATORS) == []


async def test_a_dispute_that_nobody_was_told_is_given_up_is_not_by_itself(
    counter: Counter,
) -> None:
    """Whoever asked was told that Stripe doesn't answer: they decide again."""
    person, stripe = await counter.shop.person(), counter.stripe
    order = await counter.buys(person, "10")
    intent = stripe.pay(order.external_id)
    await counter.hears(counter.completed(order))
    dispute = stripe.dispute(intent)
    await counter.hears(stripe.event("charge.dispute.created", stripe.disputes[dispute]))
    await counter.works()
    stripe.broken = True
    with pytest.raises(GatewayUnavailable):
        await counter.disputes.accept_dispute("stripe", dispute)
    stripe.broken = False
    for _ in range(3):
        counter.shop.clock.advance(seconds=3_600)
        await counter.reconciliation.reconcile_orders()
    assert stripe.disputes[dispute]["status"] == "needs_response"
    assert not [path for _, path, _ in stripe.calls if path.endswith("/close")]
    await counter.shop.audited()
