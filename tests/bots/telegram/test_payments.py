"""Payments in the chat: asked and answered, told and kept, by polling and by push."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

from pydantic import SecretStr

from bots.chat.types import Card, IncomingMessage, Output, StarsInvoice
from bots.config.conflicts import WEBHOOK_PATH
from core.ledger.types import LedgerUnavailable
from payments.gateways.telegram_stars import PreCheckout, StarPaymentUpdate
from tests.bots.telegram.conftest import CONFIG, running
from tests.bots.telegram.scripted import ScriptedFront
from tests.bots.telegram.service_support import Served
from tests.peers.telegram import FakeTelegram
from tests.peers.telegram_chats import Message, User

BILL = StarsInvoice("ord_1", "1,000 Credits", "1,000 Credits to spend here", 770, "not taken")


@dataclass
class ScriptedTill:
    """A till that says what a test wrote down."""

    answer: str = ""
    #: So often it can't be kept.
    down: int = 0
    asked_for: list[tuple[PreCheckout, str]] = field(default_factory=list)
    kept: list[StarPaymentUpdate] = field(default_factory=list)
    #: Called when something was told: those who wait look again.
    changed: Callable[[], None] = lambda: None

    async def check_pre_checkout(self, asked: PreCheckout, language: str) -> str:
        self.asked_for.append((asked, language))
        return self.answer

    async def store_update(self, told: StarPaymentUpdate) -> None:
        self.changed()
        if self.down:
            self.down -= 1
            raise LedgerUnavailable
        self.kept.append(told)


async def billed(fake: FakeTelegram, front: ScriptedFront, user: User) -> Message:
    """An invoice below its card."""

    async def script(_: IncomingMessage) -> AsyncIterator[Output]:
        yield Card(title="An order", private=True, invoice=BILL)

    front.script = script
    fake.says(user, "/topup")
    await fake.wait_for(lambda: any(each.invoice for each in fake.chat(user.id).messages))
    card, invoice = fake.chat(user.id).bot_messages
    assert card.text == "An order"
    return invoice


async def test_an_invoice_is_asked_about_paid_and_given_back(
    fake: FakeTelegram, front: ScriptedFront
) -> None:
    till, ann = ScriptedTill(changed=fake.changed), fake.user(7, "zh-hans")
    async with running(fake, front, stars=till):
        invoice = await billed(fake, front, ann)
        assert invoice.invoice == {
            "title": BILL.title,
            "description": BILL.description,
            "payload": "ord_1",
            "currency": "XTR",
            "total_amount": 770,
            "start_parameter": "",
        }
        paid = fake.stars.pays(ann, invoice)
        await fake.wait_for(lambda: till.kept)
        assert till.asked_for == [(PreCheckout("7", "XTR", 770, "ord_1"), "zh-hans")]
        told = StarPaymentUpdate(paid.charge, "7", "XTR", 770, "ord_1")
        assert till.kept == [told]
        fake.stars.gives_back(paid.charge)
        await fake.wait_for(lambda: len(till.kept) == 2)
        assert till.kept[1] == replace(told, refunded=True)
        assert len(front.handled) == 1, "none of it is a message to anybody"


async def test_a_no_has_its_reason(fake: FakeTelegram, front: ScriptedFront) -> None:
    till, ann = ScriptedTill(answer="not now " * 50), fake.user(7)
    async with running(fake, front, stars=till):
        invoice = await billed(fake, front, ann)
        fake.stars.pays(ann, invoice)
        await fake.wait_for(lambda: fake.stars.outcome(ann))
        assert fake.stars.outcome(ann).startswith("not now not now")
        assert till.kept == []


async def test_an_answer_that_does_not_get_through_is_sent_again(
    fake: FakeTelegram, front: ScriptedFront
) -> None:
    till, ann = ScriptedTill(changed=fake.changed), fake.user(7)
    async with running(fake, front, stars=till):
        invoice = await billed(fake, front, ann)
        fake.fail_next("answerPreCheckoutQuery", 502, times=2)
        fake.stars.pays(ann, invoice)
        await fake.wait_for(lambda: fake.stars.outcome(ann) == "paid")
        # One that is too late isn't: Telegram has given it up.
        late = fake.stars.pays(ann, invoice)
        fake.stars.shift(11)
        await fake.wait_for(lambda: fake.called("answerPreCheckoutQuery")[3:])
        assert len(fake.called("answerPreCheckoutQuery")) == 4
        assert late.ok is None
        assert len(till.kept) <= 1


async def test_where_nothing_is_sold_nothing_can_be_paid(
    fake: FakeTelegram, front: ScriptedFront
) -> None:
    ann = fake.user(7)
    async with running(fake, front):
        fake.stars.pays(ann, await billed(fake, front, ann))
        await fake.wait_for(lambda: fake.stars.outcome(ann))
        assert "This invoice has expired. Nothing was charged." in fake.stars.outcome(ann)


async def test_by_push_it_is_acknowledged_only_once_it_is_kept(
    fake: FakeTelegram, front: ScriptedFront
) -> None:
    served, till, ann = Served(), ScriptedTill(down=3), fake.user(7)
    config = CONFIG.model_copy(
        update={"webhook_url": served.url + WEBHOOK_PATH, "webhook_secret": SecretStr("s3cret")}
    )
    till.changed = fake.changed
    async with running(fake, front, config, till) as telegram:
        server = await served(telegram)
        fake.stars.pays(ann, await billed(fake, front, ann))
        await fake.wait_for(lambda: till.kept)
        assert [told.payload for told in till.kept] == ["ord_1"]
        assert till.down == 0
    server.should_exit = True
    await served.task


async def test_by_polling_what_can_not_be_kept_is_fetched_again(
    fake: FakeTelegram, front: ScriptedFront
) -> None:
    till, ann = ScriptedTill(down=1, changed=fake.changed), fake.user(7)
    async with running(fake, front, stars=till):
        invoice = await billed(fake, front, ann)
        fake.stars.pays(ann, invoice)
        await fake.wait_for(lambda: till.kept)
        assert till.down == 0
        fake.says(ann, "still here?")
        await fake.wait_for(lambda: len(front.handled) == 2)
        assert [told.payload for told in till.kept] == ["ord_1"]


async def test_an_invoice_that_is_refused_is_said(fake: FakeTelegram, front: ScriptedFront) -> None:
    ann = fake.user(7)
    fake.fail_next("sendInvoice", 400)

    async def script(_: IncomingMessage) -> AsyncIterator[Output]:
        yield Card(title="An order", private=True, invoice=BILL)

    front.script = script
    async with running(fake, front):
        fake.says(ann, "/topup")
        await fake.seen(7, "not taken")
