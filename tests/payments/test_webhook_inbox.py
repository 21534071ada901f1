"""The inbox: messages that nobody can work out, others who work them out too, old ones, large ones;
and an inbox that goes on whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest
import pytest_asyncio
from starlette.applications import Starlette

from core.db.writes import Companion
from core.ledger.ledger import Ledger
from core.money import Stars, parse_usd
from core.notification import OPERATORS
from payments import webhooks
from payments.gateways.voucher import VOUCHER_GATEWAY, VoucherGateway
from payments.mismatches import UNPROCESSED
from payments.types import Dispute, GatewayUnavailable, PaymentMismatch, Refund
from payments.webhooks import BODY_BYTES_MAX, RETENTION_DAYS, WebhookInbox, build_payment_routes
from tests.payments.ledger_support import others_change
from tests.payments.stripe_support import Counter, counter
from tests.peers.stripe import signature

__all__ = ["counter"]


async def sell(counter: Counter) -> tuple[str, bytes]:
    """A person whose order is paid, and the message that says so."""
    person = await counter.shop.person()
    order = await counter.buys(person, "10")
    counter.stripe.pay(order.external_id)
    return person, counter.completed(order)


async def test_a_message_is_worked_out_by_one_of_two(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    person, body = await sell(counter)
    await counter.hears(body)
    claim, processed = Ledger.try_record, []

    async def claim_late(ledger: Ledger, *companions: Companion) -> bool:
        """Another process was a moment faster."""
        monkeypatch.setattr(Ledger, "try_record", claim)
        processed.append(await counter.inbox.process_due())
        return await claim(ledger, *companions)

    monkeypatch.setattr(Ledger, "try_record", claim_late)
    assert await counter.inbox.process_due() == 1
    assert processed == [1]
    assert counter.inbox.counts["taken"] == 1
    assert await counter.shop.has(person) == {"bought": 1_000}
    assert set((await counter.webhooks()).values()) == {""}


async def test_messages_are_kept_for_their_days_and_no_longer(counter: Counter) -> None:
    _, body = await sell(counter)
    await counter.hears(body)
    await counter.works()
    counter.shop.clock.advance(days=RETENTION_DAYS)
    await counter.inbox.delete_old_messages()
    assert len(await counter.webhooks()) == 1
    counter.shop.clock.advance(seconds=1)
    await counter.inbox.delete_old_messages()
    assert await counter.webhooks() == {}


async def test_a_message_of_another_shape_is_put_aside_and_told_once(counter: Counter) -> None:
    person, body = await sell(counter)
    await counter.hears(counter.stripe.event("checkout.session.completed", {"object": "session"}))
    await counter.hears(body)
    for _ in range(13):
        await counter.works()
        counter.shop.clock.advance(seconds=7 * 3_600)
    assert sorted((await counter.webhooks()).values()) == ["", "failed"]
    assert [kind for kind, _ in await counter.shop.told(OPERATORS)] == [UNPROCESSED]
    assert await counter.shop.has(person) == {"bought": 1_000}


async def test_an_order_that_others_keep_changing_is_tried_again(counter: Counter) -> None:
    person, body = await sell(counter)
    await counter.hears(body)
    with others_change("order", before="payment/"):
        await counter.works()
    assert await counter.shop.has(person) == {}
    assert await counter.shop.told(OPERATORS) == [], "it is no last word"
    counter.shop.clock.advance(seconds=60)
    await counter.works()
    assert await counter.shop.has(person) == {"bought": 1_000}
    await counter.shop.audited()


async def test_a_dispute_that_others_keep_changing_is_tried_again(counter: Counter) -> None:
    person, body = await sell(counter)
    await counter.hears(body)
    await counter.works()
    stripe = counter.stripe
    dispute = stripe.disputes[stripe.dispute(next(iter(stripe.intents)))]
    await counter.hears(stripe.event("charge.dispute.created", dispute))
    with others_change("order", before="dispute/"):
        await counter.works()
    assert await counter.shop.has(person) == {"bought": 1_000}
    counter.shop.clock.advance(seconds=60)
    await counter.works()
    assert await counter.shop.has(person) == {}
    await counter.shop.audited()


async def test_who_comes_back_is_remembered_for_few_orders_at_a_time(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "_BATCH_SIZE", 2)
    person = await counter.shop.person()
    orders = [await counter.buys(person, "10") for _ in range(3)]
    asked = len(counter.stripe.calls)
    for order in orders:
        counter.inbox.queue_order_check(order.id)
        await counter.inbox.check_queued_orders()
    assert len(counter.inbox._checked_at) == 1
    assert len(counter.stripe.calls) == asked + 3


@pytest_asyncio.fixture
async def rounds(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[[], Awaitable[int]]]:
    """What each round of the inbox came to, as it does; the first one fails."""
    done: asyncio.Queue[int] = asyncio.Queue()
    process, failures = counter.inbox.process_due, [RuntimeError("a bug")]

    async def process_due() -> int:
        if failures:
            done.put_nowait(-1)
            raise failures.pop()
        number = await process()
        done.put_nowait(number)
        return number

    monkeypatch.setattr(counter.inbox, "process_due", process_due)
    monkeypatch.setattr(webhooks, "_BATCH_SIZE", 2)
    await counter.inbox.start()
    yield lambda: asyncio.wait_for(done.get(), 60)
    await counter.inbox.stop()


async def test_a_round_that_fails_is_not_the_last_and_many_messages_are_one_round_after_another(
    counter: Counter, rounds: Callable[[], Awaitable[int]], caplog: pytest.LogCaptureFixture
) -> None:
    counter.inbox._arrival.set()
    assert await rounds() == -1
    bodies = [(await sell(counter))[1] for _ in range(3)]
    for body in bodies:
        await counter.hears(body)
    total = 0
    while total < 3:
        total += await rounds()
    assert [one for one in caplog.messages if "could not be worked through" in one]
    assert counter.inbox.counts["taken"] == 3


async def test_an_inbox_that_never_started_stops(counter: Counter) -> None:
    await counter.inbox.stop()
    await counter.inbox.start()
    await counter.inbox.stop()


async def test_a_route_refuses_what_is_too_large_and_what_nobody_sends(counter: Counter) -> None:
    gateways = {counter.gateway.name: counter.gateway, VOUCHER_GATEWAY: VoucherGateway()}
    inbox = WebhookInbox(
        gateways=gateways,
        fulfillment=counter.shop.crediting,
        ledger=counter.shop.ledger,
        vault=counter.inbox._vault,
    )
    app = Starlette(routes=build_payment_routes(inbox, gateways))
    transport = httpx.ASGITransport(app=app)
    _, body = await sell(counter)
    async with httpx.AsyncClient(transport=transport, base_url="https://bot.example") as sender:

        async def post(path: str, body: bytes) -> int:
            headers = {"stripe-signature": signature(body)}
            answer = await sender.post(f"/webhooks/{path}", content=body, headers=headers)
            return answer.status_code

        assert await post("stripe", b" " * (BODY_BYTES_MAX + 1)) == 413
        assert await post(VOUCHER_GATEWAY, body) == 400
        assert await counter.webhooks() == {}
        assert await post("stripe", body) == 200
    assert len(await counter.webhooks()) == 1


async def test_nothing_is_bought_by_a_voucher_that_is_not_there(counter: Counter) -> None:
    gateway = VoucherGateway()
    assert gateway.quote_amount(parse_usd("10")) is None
    order = await counter.buys(await counter.shop.person(), "10")
    with pytest.raises(GatewayUnavailable):
        await gateway.create_checkout(order, "1,000 Credits", "en")
    assert await gateway.parse_events(b"{}") == ()


async def test_a_refund_in_another_unit_is_told_and_moves_nothing(counter: Counter) -> None:
    person, body = await sell(counter)
    await counter.hears(body)
    await counter.works()
    (payment,) = counter.stripe.intents
    with pytest.raises(PaymentMismatch) as refused:
        await counter.shop.crediting.apply_refund(Refund("stripe", "re_1", payment, Stars(5)))
    assert refused.value.reason == "unit"
    with pytest.raises(PaymentMismatch) as refused:
        await counter.shop.crediting.apply_dispute(
            Dispute("stripe", "dp_1", payment, Stars(5), "open")
        )
    assert refused.value.reason == "unit"
    assert await counter.shop.has(person) == {"bought": 1_000}
    await counter.shop.audited()
