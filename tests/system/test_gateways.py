"""PayPal and a BTCPay Server behind the whole service: from the card in the chat over HTTP and back
to the words in the chat, in both languages."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import aiohttp

from bots.chat.types import Card
from bots.commands.terms import PaymentTerms
from bots.http import HttpServer, ServerAddress, build_service_app
from bots.http_connections import HttpLimits
from core.clock import SystemClock
from core.money import Credits
from payments.gateways.btcpay.checkout import SIGNATURE_HEADER
from payments.webhooks import build_payment_routes
from tests.payments.gateway_clients import gateway_of
from tests.peers.btcpay import FakeBtcPay, signature
from tests.peers.paypal import FakePayPal
from tests.peers.paypal_webhooks import event, headers
from tests.support import service
from tests.support.service import Service
from tests.system.buying_support import Told, button, until


@dataclass
class Bazaar:
    """A service that sells over two gateways, and what they are on the other side."""

    tom: Service
    paypal: FakePayPal
    btcpay: FakeBtcPay
    told: Told
    browser: aiohttp.ClientSession
    url: str

    async def order(self, way: str, choice: str = "$10") -> str:
        """Chooses a pack and a way to pay; the order's id."""
        card = await self.tom.screen("/topup")
        ways = (await self.tom.presses(button(card, choice)))[0]
        assert isinstance(ways, Card)
        bought = (await self.tom.presses(button(ways, way)))[0]
        assert isinstance(bought, Card)
        assert bought.buttons[0][0].url.startswith("https://")
        found = re.search(r"ord_\w+", "\n".join(bought.lines))
        assert found is not None
        return found[0]

    async def external(self, order: str) -> str:
        return (await self.tom.app.services.payments.orders.get(order)).external_id

    async def sends(self, gateway: str, body: bytes, given: Mapping[str, str]) -> int:
        target = f"{self.url}/webhooks/{gateway}"
        async with self.browser.post(target, data=body, headers=given) as response:
            return response.status

    async def hears(self) -> Card:
        """The next notice, told in the chat."""

        async def told() -> bool:
            await self.tom.app.chat.notifications.deliver_due()
            return bool(self.told.cards)

        await until(told)
        return self.told.cards.pop(0)[1]


@contextlib.asynccontextmanager
async def bazaar(url: str) -> AsyncIterator[Bazaar]:
    async with FakePayPal() as paypal, FakeBtcPay() as btcpay:
        gateways = {
            "paypal": gateway_of("paypal", paypal.url),
            "btcpay": gateway_of("btcpay", btcpay.url),
        }
        async with (
            service.running(
                url,
                SystemClock(),
                welcome=0,
                gateways=gateways,
                terms=PaymentTerms(telegram_outside=True),
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
            told = Told()
            tom.app.chat.redelivery.register_notifier("telegram", told)
            try:
                yield Bazaar(tom, paypal, btcpay, told, browser, ours)
            finally:
                await server.stop()


async def test_paypal_by_message_and_by_coming_back(database_url: str) -> None:
    async with bazaar(database_url) as shop:
        order = await shop.order("PayPal")
        external = await shop.external(order)
        shop.paypal.approve(external)
        body = event("CHECKOUT.ORDER.APPROVED", shop.paypal.orders[external])
        shop.paypal.broken = True
        assert await shop.sends("paypal", body, headers(body)) == 503, "it must come again"
        shop.paypal.broken = False
        assert await shop.sends("paypal", body, {}) == 400
        assert await shop.sends("paypal", body, headers(body)) == 200
        assert (await shop.hears()).lines[0] == "1,000 Credits have arrived."
        # No message comes, but the payer does.
        order = await shop.order("PayPal")
        shop.paypal.approve(await shop.external(order))
        async with shop.browser.get(f"{shop.url}/paid?order={order}&token=5O1") as page:
            assert page.status == 200
            assert "Thank you" in await page.text()
        assert (await shop.hears()).title == "✅ Paid"
        assert await shop.tom.credits() == Credits(2_000)


async def test_whoever_leaves_has_nobody_asked(sqlite_url: str) -> None:
    async with bazaar(sqlite_url) as shop:
        order = await shop.order("PayPal")
        calls = len(shop.paypal.calls)
        async with shop.browser.get(f"{shop.url}/paid?order={order}&left=1") as page:
            assert "Nothing was paid" in await page.text()
        await shop.tom.app.services.payments.inbox.check_queued_orders()
        assert len(shop.paypal.calls) == calls


async def test_a_part_then_the_rest_then_given_back_by_a_link(database_url: str) -> None:
    async with bazaar(database_url) as shop:
        order = await shop.order("Cryptocurrency")
        external = await shop.external(order)

        async def tells() -> None:
            body = shop.btcpay.event("InvoicePaymentSettled", external)
            assert await shop.sends("btcpay", body, {SIGNATURE_HEADER: signature(body)}) == 200

        shop.btcpay.pay(external, "4")
        await tells()
        card = await shop.hears()
        assert card.title == "A part is paid"
        assert "$4.00 of $10.00" in card.lines[0]
        rest = card.buttons[0][0]
        assert (rest.label, rest.url) == ("Pay the rest", f"https://pay.example/i/{external}")
        assert await shop.tom.credits() == Credits(0)
        support = await shop.tom.screen("/paysupport")
        assert [row[1:3] for row in support.table] == [("$10.00", "partly paid")]
        shop.btcpay.pay(external)
        await tells()
        assert (await shop.hears()).lines[0] == "1,000 Credits have arrived."
        owner = shop.tom.someone("1")
        asked = await owner.screen(f"/refund {order} 3")
        await owner.presses(button(asked, "Yes"))
        card = await shop.hears()
        assert card.title == "Payment given back"
        assert card.lines[:2] == (
            "Open the link to say where your money should go.",
            "300 Credits were taken back with it.",
        )
        assert card.buttons[0][0].label == "Take your money back"
        assert card.buttons[0][0].url.startswith("https://pay.example/pull-payments/")
        assert await shop.tom.credits() == Credits(700)


async def test_a_part_that_is_given_back_takes_no_credits(sqlite_url: str) -> None:
    async with bazaar(sqlite_url) as shop:
        order = await shop.order("Cryptocurrency")
        external = await shop.external(order)
        for dollars, told in (("4", "$4.00 of $10.00"), ("1", "$2.00 of $10.00")):
            shop.btcpay.pay(external, dollars)
            body = shop.btcpay.event("InvoicePaymentSettled", external)
            await shop.sends("btcpay", body, {SIGNATURE_HEADER: signature(body)})
            assert told in (await shop.hears()).lines[0]
            owner = shop.tom.someone("1")
            asked = await owner.screen(f"/refund {order} {3 if dollars == '4' else 2}")
            await owner.presses(button(asked, "Yes"))
            card = await shop.hears()
            assert "Open the link" in card.lines[0]
            assert "taken back" not in "\n".join(card.lines), "no Credits had come"


async def test_what_paypal_refuses_is_said_to_the_owner(sqlite_url: str) -> None:
    async with bazaar(sqlite_url) as shop:
        order = await shop.order("PayPal")
        external = await shop.external(order)
        shop.paypal.approve(external)
        body = event("CHECKOUT.ORDER.APPROVED", shop.paypal.orders[external])
        await shop.sends("paypal", body, headers(body))
        await shop.hears()
        shop.paypal.dispute(next(iter(shop.paypal.captures)))
        owner = shop.tom.someone("1")
        asked = await owner.screen(f"/refund {order}")
        refused = (await owner.presses(button(asked, "Yes")))[0]
        assert isinstance(refused, Card)
        assert "TRANSACTION_DISPUTED" in "\n".join(refused.lines)
        assert await shop.tom.credits() == Credits(1_000)
        shop.paypal.broken = True
        card = await shop.tom.screen("/topup")
        ways = (await shop.tom.presses(button(card, "$10")))[0]
        assert isinstance(ways, Card)
        away = (await shop.tom.presses(button(ways, "PayPal")))[0]
        assert isinstance(away, Card)
        assert "another way to pay" in "\n".join(away.lines)


async def test_a_part_is_told_in_the_payers_language(sqlite_url: str) -> None:
    async with bazaar(sqlite_url) as shop:
        shop.tom.language = "zh-CN"
        order = await shop.order("加密货币")
        external = await shop.external(order)
        shop.btcpay.pay(external, "4")
        body = shop.btcpay.event("InvoicePaymentSettled", external)
        assert await shop.sends("btcpay", body, {SIGNATURE_HEADER: signature(body)}) == 200
        card = await shop.hears()
        assert card.title == "已付部分款项"
        assert card.buttons[0][0].label == "支付余款"
