"""What tests of buying share."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import aiohttp
from pydantic import SecretStr

from bots.chat.types import Card, UndeliveredAnswer
from bots.commands.terms import PaymentTerms
from bots.http import HttpServer, ServerAddress, build_service_app
from bots.http_connections import HttpLimits
from bots.sandbox.payment_service import SandboxPaymentService
from core.clock import SystemClock
from payments.gateways.sandbox import SandboxGateway
from payments.webhooks import build_payment_routes
from tests.support import service
from tests.support.service import Service

SECRET = "sandbox-secret-canary"


@dataclass
class Told:
    """A front end that notes what it is to tell."""

    cards: list[tuple[str, Card, str]] = field(default_factory=list)

    async def deliver_answer(self, undelivered: UndeliveredAnswer) -> str:
        raise AssertionError(undelivered)

    async def notify_person(self, sender: str, card: Card, *, replace_message: str = "") -> None:
        self.cards.append((sender, card, replace_message))

    def build_invitation_link(self, code: str) -> str:
        return f"https://t.me/credit_test_bot?start={code}"


@dataclass
class Market:
    """A service that sells, a buyer's browser, and what is told."""

    tom: Service
    told: Told
    browser: aiohttp.ClientSession
    url: str

    async def page(self, url: str) -> str:
        async with self.browser.get(url) as response:
            return await response.text()

    async def press(self, url: str, act: str) -> int:
        async with self.browser.post(f"{url}/{act}", allow_redirects=False) as response:
            return response.status

    async def order(self, choice: str = "Pro") -> tuple[str, str]:
        """Chooses a pack; the order's id and where it is paid."""
        card = await self.tom.screen("/topup")
        bought = (await self.tom.presses(button(card, choice)))[0]
        assert isinstance(bought, Card)
        assert bought.replace
        assert bought.private
        pay = bought.buttons[0][0]
        order = re.search(r"ord_\w+", "\n".join(bought.lines))
        assert order is not None
        return order[0], pay.url

    async def hears(self) -> Card:
        """The next notice, told in the chat."""
        return (await self.noticed())[1]

    async def noticed(self) -> tuple[str, Card, str]:
        """To whom, what, and in which message's place."""

        async def told() -> bool:
            await self.tom.app.chat.notifications.deliver_due()
            return bool(self.told.cards)

        await until(told)
        return self.told.cards.pop(0)

    async def noticed_by(self, sender: str) -> Card:
        """The next notice to that one; others' stay."""

        async def told() -> bool:
            await self.tom.app.chat.notifications.deliver_due()
            return any(each[0] == sender for each in self.told.cards)

        await until(told)
        found = next(each for each in self.told.cards if each[0] == sender)
        self.told.cards.remove(found)
        return found[1]


def button(screen: Card, label: str) -> str:
    for row in screen.buttons:
        for each in row:
            if label in each.label:
                return each.id
    raise AssertionError(screen.buttons)


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    """Waits for what another task brings about; at most a minute."""
    for _ in range(3_000):
        if await true():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it never came about")


@contextlib.asynccontextmanager
async def market(url: str, *, outside: bool = True, welcome: int = 0) -> AsyncIterator[Market]:
    checkout = SandboxPaymentService(SECRET)
    gateway = SandboxGateway(url=await checkout.start(), secret=SecretStr(SECRET))
    terms = PaymentTerms(support="help@bot.example", telegram_outside=outside)
    try:
        async with (
            service.running(
                url, SystemClock(), welcome=welcome, gateways={"sandbox": gateway}, terms=terms
            ) as tom,
            aiohttp.ClientSession() as browser,
        ):
            shop = tom.app.services.payments
            routes = build_payment_routes(shop.inbox, shop.gateways)
            server = HttpServer(
                build_service_app(tom.app.chat.readiness, routes),
                ServerAddress("127.0.0.1", 0),
                HttpLimits(),
            )
            ours = f"http://127.0.0.1:{await server.start()}"
            gateway.set_public_url(ours)
            told = Told()
            tom.app.chat.redelivery.register_notifier("telegram", told)
            try:
                yield Market(tom, told, browser, ours)
            finally:
                await server.stop()
    finally:
        await checkout.stop()
