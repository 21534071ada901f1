"""Buying with Stars: the whole service, the unmodified client, a Bot API on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from pydantic import SecretStr

from bots import platform_payments
from bots.commands.terms import PaymentTerms
from bots.sandbox.payment_service import SandboxPaymentService
from core.clock import SystemClock
from core.money import Credits
from payments.gateways import telegram_stars as stars_module
from payments.gateways.base import Gateway
from payments.gateways.sandbox import SandboxGateway
from tests.payments import inchat
from tests.peers.telegram import FakeTelegram
from tests.peers.telegram_chats import Message, User
from tests.system.world import PATIENCE_S, World, briefs_world, words

SPOKEN = {"en": "en", "zh-hans": "zh-CN"}


@contextlib.asynccontextmanager
async def selling(
    url: str, telegram: FakeTelegram, others: dict[str, Gateway] | None = None
) -> AsyncIterator[World]:
    """The brief's world, which sells for Stars, and by `others` too."""
    gateway = inchat.stars(telegram.url, SystemClock())
    async with briefs_world(
        url,
        telegram,
        welcome=0,
        gateways={"stars": gateway, **(others or {})},
        terms=PaymentTerms(telegram_outside=bool(others)),
    ) as world:
        yield world


@pytest_asyncio.fixture
async def world(database_url: str, telegram: FakeTelegram) -> AsyncIterator[World]:
    async with selling(database_url, telegram) as world:
        yield world


async def order(world: World, person: User, pack: str = "Pro") -> tuple[Message, Message]:
    """Somebody chooses a pack; the order's card and its invoice."""
    say = words_of(person)
    card = await world.says(person, "/topup", say("Top up"))
    chat = world.telegram.chat(person.id)
    known = len(chat.messages)
    world.telegram.presses(person, card, pack)
    await world.telegram.wait_for(lambda: len(chat.messages) > known, PATIENCE_S)
    invoice = chat.last
    assert invoice.invoice
    return card, invoice


def words_of(person: User):  # type: ignore[no-untyped-def]
    return lambda text, **values: words(text, SPOKEN[person.language], **values)


@pytest.mark.parametrize("language", SPOKEN)
async def test_a_pack_is_paid_in_the_chat_and_its_card_says_so(
    sqlite_url: str, telegram: FakeTelegram, language: str
) -> None:
    async with selling(sqlite_url, telegram) as world:
        ann = telegram.user(7, language)
        say = words_of(ann)
        card = await world.says(ann, "/topup", say("Top up"))
        assert "6,924 ⭐" in card.text
        assert "$90" not in card.text
        assert any("61,539 ⭐" in label for label in card.labels)
        card, invoice = await order(world, ann)
        assert card.labels == [words("📋 Copy", SPOKEN[language])]
        assert (
            say(
                "{credits} for {cash}",
                credits=say("{amount} Credits", amount=Credits(10_000)),
                cash="6,924 ⭐",
            )
            in card.text
        )
        assert invoice.invoice["title"] == say("{amount} Credits", amount=Credits(10_000))
        assert invoice.invoice["total_amount"] == 6_924
        telegram.stars.pays(ann, invoice)
        await telegram.wait_for(lambda: say("✅ Paid") in card.text, PATIENCE_S)
        assert await world.of(ann).credits() == Credits(10_000)
        support = await world.says(ann, "/paysupport", "6,924 ⭐")
        assert say("paid") in support.text
        # It can't be paid once more, and who doesn't pay has paid nothing.
        telegram.stars.pays(ann, invoice)
        await telegram.wait_for(lambda: telegram.stars.outcome(ann), PATIENCE_S)
        assert telegram.stars.outcome(ann) == say(
            "This order is paid already. Nothing was charged. /topup makes a new one."
        )
        assert telegram.stars.balance == 6_924


async def test_a_free_amount(world: World) -> None:
    ann = world.telegram.user(7)
    card = await world.says(ann, "/topup", "Another amount")
    assert "$1.00 is 77 ⭐ here." in card.text
    card = await world.says(ann, "/topup 25", "1,924 ⭐ buys 2,500 Credits.")
    world.telegram.presses(ann, card, "1,924 ⭐")
    chat = world.telegram.chat(7)
    await world.telegram.wait_for(lambda: chat.last.invoice, PATIENCE_S)
    world.telegram.stars.pays(ann, chat.last)
    await world.telegram.seen(7, "2,500 Credits have arrived.", seconds=PATIENCE_S)


async def test_from_a_group_it_goes_on_in_private(world: World) -> None:
    ann, group = world.telegram.user(7), world.telegram.group(-5)
    world.telegram.says(ann, "/topup", chat=-5)
    await world.telegram.seen(-5, "in private", seconds=PATIENCE_S)
    card = await world.telegram.seen(7, "Top up", seconds=PATIENCE_S)
    world.telegram.presses(ann, card, "Starter")
    await world.telegram.wait_for(lambda: world.telegram.chat(7).last.invoice, PATIENCE_S)
    assert not any(message.invoice for message in group.messages)


async def test_who_may_not_pay_reads_why_in_their_language(world: World) -> None:
    telegram = world.telegram
    ann, bob = telegram.user(7), telegram.user(8, "zh-hans")
    _, invoice = await order(world, ann)
    await world.says(bob, "/balance", words("💎 My Balance", "zh-CN"))

    async def told(person: User, **changes: object) -> str:
        telegram.stars.pays(person, invoice, **changes)
        await telegram.wait_for(lambda: telegram.stars.outcome(person), PATIENCE_S)
        return telegram.stars.outcome(person)

    assert await told(bob) == words(
        "This invoice is somebody else's. Nothing was charged. /topup makes your own.", "zh-CN"
    )
    # The language that they chose goes before their app's.
    card = await world.says(bob, "/language", words("Language", "zh-CN"))
    await world.presses(bob, card, "English", "I'll write in English from now on.")
    assert "somebody else's" in await told(bob)
    assert "out of date" in await told(ann, total_amount=1)
    assert "out of date" in await told(ann, currency="USD")
    assert "has expired" in await told(ann, payload="ord_none")
    assert await told(ann) == "paid"


async def test_an_old_invoice_is_not_paid(sqlite_url: str, telegram: FakeTelegram) -> None:
    ann = telegram.user(7)
    async with selling(sqlite_url, telegram) as world:
        _, invoice = await order(world, ann)
        shop = world.service.app.services.payments
        assert await shop.orders.end_unpaid(
            await shop.orders.get(invoice.invoice["payload"]), "expired"
        )
    # A process that never saw it looks it up.
    async with selling(sqlite_url, telegram):
        telegram.stars.pays(ann, invoice)
        await telegram.wait_for(lambda: telegram.stars.outcome(ann), PATIENCE_S)
        assert "has expired" in telegram.stars.outcome(ann)


async def test_an_order_of_before_a_restart_can_be_paid(
    database_url: str, telegram: FakeTelegram
) -> None:
    ann = telegram.user(7)
    async with selling(database_url, telegram) as world:
        card, invoice = await order(world, ann)
    async with selling(database_url, telegram) as world:
        telegram.stars.pays(ann, invoice)
        await telegram.wait_for(lambda: "✅ Paid" in card.text, PATIENCE_S)
        assert await world.of(ann).credits() == Credits(10_000)


async def test_a_question_is_answered_at_once_while_the_database_stands_still(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    telegram, app = world.telegram, world.service.app
    ann = telegram.user(7)
    card, invoice = await order(world, ann)
    # Another process's order, which nobody here has in mind.
    _, unknown = await order(world, ann, "Starter")
    app.services.payments.gateways["stars"]._open_orders.pop(unknown.invoice["payload"])  # type: ignore[attr-defined]
    monkeypatch.setattr(stars_module, "_LOOK_SECONDS", 0.1)
    monkeypatch.setattr(platform_payments, "_LANGUAGE_SECONDS", 0.1)
    released = threading.Event()
    readers = [
        asyncio.create_task(app.services.base.db.read_snapshot(lambda _: released.wait(60)))
        for _ in range(8)
    ]
    writer = asyncio.create_task(stuck(world, released))
    await asyncio.sleep(0)
    try:
        telegram.stars.pays(ann, unknown)
        await telegram.wait_for(lambda: telegram.stars.outcome(ann), PATIENCE_S)
        assert "can't be read right now" in telegram.stars.outcome(ann)
        telegram.stars.pays(ann, invoice)
        await telegram.wait_for(lambda: telegram.stars.outcome(ann) == "paid", PATIENCE_S)
        assert not released.is_set()
    finally:
        released.set()
        await asyncio.gather(*readers, writer)
    await telegram.wait_for(lambda: "✅ Paid" in card.text, PATIENCE_S)


async def stuck(world: World, released: threading.Event) -> None:
    """The ledger's writer is busy until then."""
    ledger = world.service.app.services.base.ledger
    writer = ledger._writer
    assert writer is not None
    run = writer._write_batch

    def slow(jobs):  # type: ignore[no-untyped-def]
        released.wait(60)
        return run(jobs)

    writer._write_batch = slow  # type: ignore[method-assign]
    await asyncio.to_thread(released.wait, 60)
    writer._write_batch = run  # type: ignore[method-assign]


async def test_what_no_update_told_arrives_all_the_same(world: World) -> None:
    telegram = world.telegram
    ann = telegram.user(7)
    card, invoice = await order(world, ann)
    telegram.stars.pays(ann, invoice, told=False)
    await telegram.wait_for(lambda: telegram.stars.outcome(ann) == "paid", PATIENCE_S)
    assert await world.service.app.services.payments.reconciliation.reconcile_orders() == 1
    await telegram.wait_for(lambda: "✅ Paid" in card.text, PATIENCE_S)
    assert await world.of(ann).credits() == Credits(10_000)


async def test_an_invoice_that_telegram_refuses(world: World) -> None:
    ann = world.telegram.user(7)
    world.telegram.fail_next("sendInvoice", 400, description="Bad Request: STARS_INVOICE_INVALID")
    card = await world.says(ann, "/topup", "Top up")
    world.telegram.presses(ann, card, "Enterprise")
    await world.telegram.seen(7, "Telegram doesn't take this invoice.", seconds=PATIENCE_S)


async def test_the_owner_gives_back_the_whole_of_it(world: World) -> None:
    telegram = world.telegram
    ann, owner = telegram.user(7), telegram.user(1)
    _, invoice = await order(world, ann)
    telegram.stars.pays(ann, invoice)
    await telegram.seen(7, "✅ Paid", seconds=PATIENCE_S)
    id_ = invoice.invoice["payload"]
    await world.says(owner, f"/payment {id_}", "6,924 ⭐")
    await world.says(owner, f"/refund {id_} 10", "by whole payments only")
    card = await world.says(owner, f"/refund {id_}", "Give back 6,924 ⭐")
    await world.presses(owner, card, "Yes", "Given back: 6,924 ⭐")
    await telegram.seen(7, "Payment given back", seconds=PATIENCE_S)
    assert await world.of(ann).credits() == Credits(0)
    assert telegram.stars.balance == 0


async def test_with_other_checkouts_stars_come_first(
    sqlite_url: str, telegram: FakeTelegram
) -> None:
    checkout = SandboxPaymentService("secret")
    sandbox = SandboxGateway(url=await checkout.start(), secret=SecretStr("secret"))
    try:
        async with selling(sqlite_url, telegram, {"sandbox": sandbox}) as world:
            ann = telegram.user(7)
            card = await world.says(ann, "/topup", "$90.00")
            await world.presses(ann, card, "Pro", "How would you like to pay?")
            assert card.labels == ["Telegram Stars", "Sandbox checkout"]
            telegram.presses(ann, card, "Telegram Stars")
            await telegram.wait_for(lambda: telegram.chat(7).last.invoice, PATIENCE_S)
    finally:
        await checkout.stop()
