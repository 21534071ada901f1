"""The brief's contribution (§§ 2, 7) from the key in the chat to the money at the bank, on each
platform, through the unmodified clients: every figure in the chat and in the ledger.

In small a hundred asks and $3; in full the brief's own 16,666 and $500.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import aiohttp
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from bots.commands.paying import Terms
from bots.sandbox import SandboxCheckout
from bots.web import Server, service_app
from core import chart
from core.store import schema
from core.units import Credits, usd
from payments import payment_routes
from payments.gateways.sandbox import Sandbox
from tests.core.earning.world import BRIEFS, THOUSAND, Market
from tests.size import size
from tests.system.chats import PLATFORMS, Chat, Town

ASKS = size(small=100, full=16_666)
DOLLARS = "500" if ASKS == 16_666 else "3"
#: The brief's 83,330, 8,333 and 74,997.
GROSS = ASKS * 5
FEE = GROSS // 10
NET = GROSS - FEE
#: Questions that are asked in the chat itself.
IN_CHAT = 3

KEY = "sk-proj-canary-bobs-own-key-T3BlbkFJ-0001"
HOLDER, IBAN, BANK = "Bob Miller", "GB33BUKB20201555555555", "HSBC, HBUKGB4B, UK"
OWNER, BOB, TOM, ANN = 1, 7, 8, 9
#: $99 is the most that brings no bonus: 9,900 Credits.
AT_ONCE = 9_900


@dataclass
class Fair:
    """The market, its chats, and a browser for its checkout."""

    market: Market
    town: Town
    browser: aiohttp.ClientSession

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
            await chat.hears(f"You have {had:,} Credits now.")

    async def asks(self, person: int, times: int) -> None:
        """A few in the chat, the others behind it."""
        self.market.service.openai.always(THOUSAND)
        chat = self.chat(person)
        for _ in range(IN_CHAT):
            await chat.says("ask", "1,000 tokens · 5 Credits · ", question="why " * 480)
            await chat.says("new", "A new conversation.")
        await self.market.asks(str(person), times - IN_CHAT)


@contextlib.asynccontextmanager
async def open_market(platform: str, url: str) -> AsyncIterator[Fair]:
    checkout = SandboxCheckout("sandbox-secret")
    gateway = Sandbox(url=await checkout.start(), secret=SecretStr("sandbox-secret"))
    sold = {
        "gateways": {"sandbox": gateway},
        "terms": Terms(telegram_outside=True),
        "policy": BRIEFS if DOLLARS == "500" else replace(BRIEFS, payout_least=Credits(100)),
        "welcome": 0,
        "keys": 0,
    }
    try:
        async with (
            PLATFORMS[platform](url, **sold) as town,
            aiohttp.ClientSession() as browser,
        ):
            shop = town.service.app.shop
            routes = payment_routes(shop.inbox, shop.gateways)
            server = Server(service_app(town.service.app.store, routes), "127.0.0.1", 0)
            gateway.reached_at(f"http://127.0.0.1:{await server.start()}")
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
    rounded = {74_997: "75,000", 450: "450"}[NET]
    assert f"Estimated value: {rounded} Credits (after 10 % fee)" in card.shown
    assert f"≈ {ASKS:,} requests" in card.shown
    assert "You can spend all of it at once." in card.shown
    assert "$" not in card.shown
    card = await bob.presses(card, "Contribute", "Thank you!")
    assert f"It is worth {NET:,} Credits to you" in card.shown
    (one,) = await there.market.service.app.earning.contributions.in_state("open")
    figures = (one.requests, one.credited.units, one.fee.units, one.quota)
    assert figures == (ASKS, NET, FEE, usd(DOLLARS))
    return one.key


async def withdrawn(there: Fair, amount: int, dollars: str) -> None:
    """From `/withdraw` to the owner's second tap and "It is paid"."""
    bob, owner = there.chat(BOB), there.chat(OWNER)
    card = await bob.says("withdraw", f"Withdrawable: {amount:,} Credits → {dollars}")
    card = await bob.presses(card, f"{amount:,} Credits by Bank transfer", "Where shall it go?")
    words = f"{amount:,} Credits become {dollars}, paid by Bank transfer to GB••••5555"
    card = await bob.types(card, words, holder=HOLDER, address=IBAN, bank=BANK)
    assert "within 3–5 business days" in card.shown
    await bob.presses(card, "Yes, withdraw", f"{dollars} will be paid to GB••••5555")
    assert await there.market.posted(chart.pocket(await person(there, BOB), "earned")) == [amount]

    card = await owner.says("payouts", dollars)
    card = await owner.presses(card, dollars, "Writes from")
    assert "Covered: yes" in card.shown
    card = await owner.presses(card, "Approve", f"Pay {dollars} ({amount:,} Credits)")
    card = await owner.presses(card, f"Yes, pay {dollars}", IBAN)
    assert HOLDER in card.shown
    assert not bob.sees("Paid out")
    await owner.presses(card, "It is paid", "paid since")
    await bob.hears("✅ Paid out")
    await bob.says("withdraw", "paid")
    (payout,) = await there.market.service.app.store.fetch(sa.select(schema.payout))
    assert (payout.state, payout.sealed) == ("paid", None)


async def person(there: Fair, name: int) -> str:
    return (await there.market.person(str(name))).id


async def books(there: Fair, key: str) -> dict[str, int]:
    """What every account stands at, credits less debits; people and the key by their names."""
    names = {await person(there, id_): name for name, id_ in PEOPLE.items()} | {key: "KEY"}
    account = schema.account.c
    rows = await there.market.service.app.store.fetch(
        sa.select(account.code, (account.credits_posted - account.debits_posted).label("stands"))
    )
    stand = {row.code: int(row.stands) for row in rows if row.stands}
    for id_, name in names.items():
        stand = {code.replace(id_, name): figure for code, figure in stand.items()}
    return stand


PEOPLE = {"bob": BOB, "tom": TOM, "ann": ANN}


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("platform", PLATFORMS)
async def test_the_briefs_contribution(platform: str, database_url: str) -> None:
    """$500 in, 16,666 paid asks, 74,997 earned, $674.97 withdrawn and paid."""
    async with open_market(platform, database_url) as there:
        key = await contributed(there)
        await there.buys(TOM, GROSS)
        await there.asks(TOM, ASKS)
        assert await there.market.has(str(BOB)) == {"earned": NET}
        await there.market.closes()
        await there.market.closes()
        ended = await there.chat(BOB).hears("has ended")
        assert "It is used up." in ended.shown
        assert f"It brought {NET:,} Credits." in ended.shown
        await withdrawn(there, NET, cash(NET))
        print(await books(there, key))


def cash(credits_: int) -> str:
    """At $0.009 a Credit, cents rounded down."""
    cents = credits_ * 9 // 10
    return f"${cents // 100:,}.{cents % 100:02}"
