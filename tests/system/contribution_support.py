"""What tests of contribution share."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import aiohttp
import sqlalchemy as sa
from pydantic import SecretStr

from bots.commands.terms import PaymentTerms
from bots.http import HttpServer, ServerAddress, build_service_app
from bots.http_connections import HttpLimits
from bots.sandbox.payment_service import SandboxPaymentService
from core import chart
from core.db import schema
from core.money import Credits, parse_usd
from payments.gateways.sandbox import SandboxGateway
from payments.webhooks import build_payment_routes
from tests.core.earnings.world import BRIEFS, THOUSAND, Market
from tests.support.size import size
from tests.system.chats import PLATFORMS, Chat, Town

ASKS = size(small=102, full=16_666)


DOLLARS, NET_ROUNDED = ("500", "75,000") if ASKS == 16_666 else ("3.08", "459")


#: The brief's 83,330, 8,333 and 74,997.
GROSS = ASKS * 5


FEE = GROSS // 10


NET = GROSS - FEE


#: Questions that are asked in the chat itself.
IN_CHAT = size(small=3, full=100)


KEY = "sk-proj-canary-bobs-own-key-T3BlbkFJ-0001"


HOLDER, IBAN, BANK = "Bob Miller", "GB33BUKB20201555555555", "HSBC, HBUKGB4B, UK"


OWNER, BOB, TOM, ANN = 1, 7, 8, 9


#: $99 is the most that brings no bonus: 9,900 Credits.
AT_ONCE = 9_900


#: What the sandbox's checkout keeps of a payment: 2.9 % and 30 cents.
FEE_PER_MILLE, FEE_CENTS = 29, 30


@dataclass
class Fair:
    """The market, its chats, and a browser for its checkout."""

    market: Market
    town: Town
    browser: aiohttp.ClientSession
    #: What the checkout kept, in cents.
    kept: int = 0

    def chat(self, person: int) -> Chat:
        return self.town.chat(person)

    async def buys(self, person: int, amount: int) -> None:
        """Credits without a bonus, paid for at the sandbox's checkout."""
        chat, had = self.chat(person), 0
        while had < amount:
            part = min(AT_ONCE, amount - had)
            dollars = f"{part // 100}.{part % 100:02}"
            card = await chat.says("topup", f"${dollars}", amount=dollars)
            card = await chat.presses(card, f"${dollars}", "Order ord_")
            async with self.browser.post(
                card.link(f"${dollars}") + "/pay", allow_redirects=False
            ) as paid:
                assert paid.status == 303
            had += part
            self.kept += part * FEE_PER_MILLE // 1_000 + FEE_CENTS
            await self.tells()
            await chat.hears(f"You have {had:,} Credits now.")

    async def grants(self, person: int, amount: int) -> None:
        """A gift of the owner's."""
        await self.chat(person).says("balance", "0 Credits")
        who, owner = f"{self.town.platform}:{person}", self.chat(OWNER)
        card = await owner.says("grant", "Give", user=who, credits=str(amount), reason="a prize")
        await owner.presses(card, f"Yes, give {amount:,} Credits", f"{amount:,} Credits")

    async def tells(self) -> None:
        """The chore that tells what happened."""
        await self.market.service.app.chat.notifications.deliver_due()

    async def asks(self, person: int, times: int) -> None:
        """A few in the chat, the others behind it."""
        self.market.service.openai.always(THOUSAND)
        chat = self.chat(person)
        for _ in range(min(IN_CHAT, times)):
            await chat.says("ask", "1,000 tokens · 5 Credits · ", question="why " * 480)
            await chat.says("new", "New conversation.")
        await self.market.asks(str(person), max(0, times - IN_CHAT))


@contextlib.asynccontextmanager
async def open_market(platform: str, url: str, least: int = 0) -> AsyncIterator[Fair]:
    """With `least`, so little is paid out."""
    checkout = SandboxPaymentService("sandbox-secret")
    gateway = SandboxGateway(url=await checkout.start(), secret=SecretStr("sandbox-secret"))
    sold = {
        "gateways": {"sandbox": gateway},
        "terms": PaymentTerms(telegram_outside=True),
        "policy": replace(BRIEFS, payout_least=Credits(least)) if least else BRIEFS,
        "welcome": 0,
        "keys": 0,
    }
    try:
        async with (
            PLATFORMS[platform](url, **sold) as town,
            aiohttp.ClientSession() as browser,
        ):
            shop = town.service.app.services.payments
            routes = build_payment_routes(shop.inbox, shop.gateways)
            server = HttpServer(
                build_service_app(town.service.app.chat.readiness, routes),
                ServerAddress("127.0.0.1", 0),
                HttpLimits(),
            )
            gateway.set_public_url(f"http://127.0.0.1:{await server.start()}")
            market = Market(town.service, town.service.clock, platform)
            try:
                yield Fair(market, town, browser)
            finally:
                await server.stop()
    finally:
        await checkout.stop()


async def contributed(there: Fair) -> str:
    """Bob's key in the chat, its card, the tap; the key's id."""
    openai, bob = there.market.service.openai, there.chat(BOB)
    openai.allow(KEY)
    openai.balances[KEY], openai.organisations[KEY] = DOLLARS, "org-bob"
    card = await bob.says("contribute", "Contribute your API key", supplier="openai")
    card = await bob.types(card, "Verified!", key=KEY)
    assert not bob.sees(KEY), "on Telegram the message was deleted, on Discord there was none"
    assert f"Estimated value: {NET_ROUNDED} Credits (after 10 % fee)" in card.shown
    assert f"≈ {ASKS:,} requests" in card.shown
    assert "You can spend all of it at once." in card.shown
    assert "$" not in card.shown
    card = await bob.presses(card, "Contribute", "Thank you!")
    assert f"It earns you {NET:,} Credits" in card.shown
    (one,) = await there.market.service.app.services.earnings.contributions.list_in_state("open")
    figures = (one.requests, one.credited.units, one.fee.units, one.quota)
    assert figures == (ASKS, NET, FEE, parse_usd(DOLLARS))
    return one.key


async def withdrawn(there: Fair, amount: int, dollars: str) -> None:
    """From `/withdraw` to the owner's second tap and "It is paid"."""
    bob, owner = there.chat(BOB), there.chat(OWNER)
    card = await bob.says("withdraw", f"Withdrawable: {amount:,} Credits → {dollars}")
    card = await bob.presses(
        card, f"{amount:,} Credits by Bank transfer", "Where should it be sent?"
    )
    words = f"{amount:,} Credits become {dollars}, paid by Bank transfer to GB••••5555"
    card = await bob.types(card, words, holder=HOLDER, address=IBAN, bank=BANK)
    assert "within 3–5 business days" in card.shown
    await bob.presses(card, "Yes, withdraw", f"{dollars} will be paid to GB••••5555")
    assert await there.market.posted(chart.pocket(await person(there, BOB), "earned")) == [amount]

    card = await owner.says("payouts", dollars)
    card = await owner.presses(card, dollars, "Also known as")
    assert "Covered: yes" in card.shown
    card = await owner.presses(card, "Approve", f"Pay {dollars} ({amount:,} Credits)")
    card = await owner.presses(card, f"Yes, pay {dollars}", "approved since")
    assert IBAN not in card.shown, "not before he can't take it back any more"
    card = await owner.presses(card, "I pay it now", f"Pay {dollars} to GB••••5555 by hand now?")
    card = await owner.presses(card, f"Yes, I pay {dollars}", IBAN)
    assert HOLDER in card.shown
    card = await owner.presses(card, "It is paid", f"Has {dollars} been paid to GB••••5555?")
    assert not bob.sees("Paid out")
    await owner.presses(card, "Yes, they are paid", "paid since")
    await there.tells()
    await bob.hears("✅ Paid out")
    await bob.says("withdraw", "paid")
    (payout,) = await there.market.service.app.services.base.db.fetch(sa.select(schema.payout))
    assert (payout.state, payout.sealed) == ("paid", None)


async def person(there: Fair, name: int) -> str:
    return (await there.market.person(str(name))).id


def cents(amount: int) -> int:
    """Cash for Credits at $0.009 each, cents rounded down."""
    return amount * 9 // 10


def shown(amount: int) -> str:
    """The same as people read it."""
    whole, rest = divmod(cents(amount), 100)
    return f"${whole:,}.{rest:02}"
