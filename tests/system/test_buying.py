"""Buying, from the card in the chat to the page of the checkout and back: the sandbox's gateway,
over HTTP, as the demo wires it.
"""

from __future__ import annotations

import io
import time
from dataclasses import replace

import pytest

from bots.chat.types import Card, Place
from core import chart
from core.db import schema
from core.db.writes import Update
from core.ledger.types import Submission
from core.money import Credits
from payments.gateways.sandbox import sign_message
from tests.peers.suppliers import Answer as Says, Used
from tests.support import config
from tests.system.buying_support import button, market, until


async def test_a_pack_is_paid_and_the_chat_says_so(database_url: str) -> None:
    async with market(database_url) as shop:
        assert "Top up" in str((await shop.tom.screen("/balance")).buttons)
        order, url = await shop.order("Pro")
        page = await shop.page(url)
        assert "$90.00" in page
        assert "sandbox" in page
        assert await shop.press(url, "pay") == 303
        card = await shop.hears()
        assert card.title == "✅ Paid"
        assert card.lines == (
            "10,000 Credits have arrived.",
            "You have 10,000 Credits now.",
            f"Order {order}",
        )
        assert await shop.tom.credits() == Credits(10_000)
        assert await shop.press(url, "pay") == 409, "what is paid can't be paid by that button"
        support = await shop.tom.screen("/paysupport")
        assert [row[1:3] for row in support.table] == [("$90.00", "paid")]
        assert "help@bot.example" in "\n".join(support.lines)
        shop.tom.openai.script(Says("It is."))
        await shop.tom.answer("/ask gpt-4 why?")


async def test_the_card_itself_becomes_paid(database_url: str) -> None:
    async with market(database_url) as shop:
        card = await shop.tom.screen("/topup 25")
        bought = (await shop.tom.presses(button(card, "$25"), message="4711"))[0]
        assert isinstance(bought, Card)
        await shop.press(bought.buttons[0][0].url, "pay")
        sender, _, instead = await shop.noticed()
        assert (sender, instead) == ("7", "4711")


async def test_declined_then_paid_after_all_then_twice(database_url: str) -> None:
    async with market(database_url) as shop:
        order, url = await shop.order("Starter")
        await shop.press(url, "decline")

        async def declined() -> bool:
            return (await shop.tom.app.services.payments.orders.get(order)).state == "failed"

        await until(declined)
        assert await shop.tom.credits() == Credits(0)
        told = await shop.hears()
        assert told.title == "Your payment didn't arrive"
        assert "so no Credits were given. To try again: /topup." in told.lines[0]
        await shop.press(url, "pay")
        assert "1,000 Credits have arrived." in (await shop.hears()).lines
        _, url = await shop.order("Starter")
        await shop.press(url, "twice")
        await shop.hears()
        await shop.hears()
        assert await shop.tom.credits() == Credits(3_000), "whoever pays twice has paid twice"


async def test_given_back_when_it_was_spent_is_owed_and_stops_asks(database_url: str) -> None:
    async with market(database_url) as shop:
        _, url = await shop.order("Starter")
        await shop.press(url, "pay")
        await shop.hears()
        shop.tom.openai.script(Says("word " * 500, usage=Used(1_000, 500)))
        await shop.tom.answer("/ask gpt-4 " + "why " * 600)
        await shop.press(url, "refund")
        assert (await shop.hears()).title == "Payment given back"
        refused = await shop.tom.screen("/ask gpt-4 why?")
        assert "You owe" in "\n".join(refused.lines)
        assert len(shop.tom.openai.calls) == 1
        # What comes back meanwhile (a hold that is released) repays, and then asks go on.
        person = await shop.tom.person()
        back = chart.give_gift(person.id, "code", Credits(5))
        await shop.tom.app.services.base.ledger.submit(Submission("back", (back,)))
        assert await shop.tom.credits() == Credits(5)
        assert "You owe" in "\n".join((await shop.tom.screen("/ask gpt-4 why?")).lines)
        assert await shop.tom.credits() == Credits(0)
        _, url = await shop.order("Starter")
        await shop.press(url, "pay")
        await shop.hears()
        shop.tom.openai.script(Says("It is."))
        await shop.tom.answer("/ask gpt-4 why?")


async def test_disputed_and_lost(database_url: str) -> None:
    async with market(database_url) as shop:
        _, url = await shop.order("Pro")
        await shop.press(url, "pay")
        await shop.hears()
        await shop.press(url, "dispute")

        async def taken() -> bool:
            return await shop.tom.credits() == Credits(0)

        await until(taken)
        card = await shop.tom.screen("/topup")
        stopped = (await shop.tom.presses(button(card, "Starter")))[0]
        assert isinstance(stopped, Card)
        assert "disputed" in "\n".join(stopped.lines)
        support = await shop.tom.screen("/paysupport")
        assert [row[1:3] for row in support.table] == [("$90.00", "disputed")]
        assert "Withdraw" not in str(support.buttons), "somebody else decides now"
        await shop.press(url, "lose")
        assert "The payer wins" not in await shop.page(url)

        async def lost() -> bool:
            support = await shop.tom.screen("/paysupport")
            return support.table[0][2] == "taken back by your bank"

        await until(lost)


async def test_an_admin_looks_and_gives_back_by_a_second_tap(database_url: str) -> None:
    async with market(database_url) as shop:
        order, url = await shop.order("Pro")
        await shop.press(url, "pay")
        await shop.hears()
        owner = shop.tom.someone("1")
        shown = await owner.screen(f"/payment {order}")
        assert [row[1:] for row in shown.table] == [
            (
                "ordered",
                "$90.00, agreed to use at once, 14 days to withdraw, Sandbox checkout",
            ),
            ("checkout opened", ""),
            ("paid", "10,000 Credits, $90.00"),
        ]
        await owner.screen("/language zh-CN")
        chinese = await owner.screen(f"/payment {order}")
        assert [row[1:] for row in chinese.table][1:] == [
            ("已打开付款页", ""),
            ("已付款", "10,000 积分、$90.00"),
        ]
        await owner.screen("/language en")
        asked = await owner.screen(f"/refund {order} 40")
        assert "$40.00" in "\n".join(asked.lines)
        assert await shop.tom.credits() == Credits(10_000), "nothing before the second tap"
        for _ in range(2):
            await owner.presses(button(asked, "Yes"))
        assert await shop.tom.credits() == Credits(5_000)
        assert "can be given back" in "\n".join((await owner.screen(f"/refund {order} 60")).lines)
        assert "No order" in "\n".join((await owner.screen("/refund ord_none")).lines)
        refused = await shop.tom.screen(f"/refund {order}")
        assert "operator only" in "\n".join(refused.lines)


async def test_a_buyer_withdraws_by_two_taps(database_url: str) -> None:
    async with market(database_url) as shop:
        card = await shop.tom.screen("/topup")
        order_card = (await shop.tom.presses(button(card, "Pro")))[0]
        assert isinstance(order_card, Card)
        assert "For 14 days you can withdraw" in "\n".join(order_card.lines)
        await shop.press(order_card.buttons[0][0].url, "pay")
        paid = await shop.hears()
        shop.tom.openai.script(Says("word " * 500, usage=Used(1_000, 500)))
        answer = await shop.tom.answer("/ask gpt-4 " + "why " * 600)
        used = 10_000 - (await shop.tom.credits()).units
        assert f"{used} Credits" in answer.footer
        asked = (await shop.tom.presses(button(paid, "Withdraw from this purchase")))[0]
        assert isinstance(asked, Card)
        back = f"${90 - used / 100:.2f}"
        plan = f"{back} go back. {10_000 - used:,} Credits are taken back with it; the {used}"
        assert asked.lines == (f"{plan} Credits that you used stay paid.",)
        assert (await shop.tom.credits()).units == 10_000 - used, "nothing before the second tap"
        for _ in range(2):
            done = (await shop.tom.presses(button(asked, "Confirm withdrawal")))[0]
            assert isinstance(done, Card)
        assert await shop.tom.credits() == Credits(0)
        told = await shop.hears()
        assert told.title == "Payment given back"
        support = await shop.tom.screen("/paysupport")
        assert f"{back} given back" in "\n".join(support.lines)
        again = (await shop.tom.presses(button(paid, "Withdraw from this purchase")))[0]
        assert isinstance(again, Card)
        assert "Nothing of that purchase is unused" in "\n".join(again.lines)


@pytest.mark.parametrize("language", ["en", "zh-CN"])
async def test_the_page_loses_messages_and_leads_to_withdrawing(
    database_url: str, language: str
) -> None:
    """What the buyer reads on the page, in both languages; what was lost is found by asking."""
    is_english = language == "en"
    async with market(database_url) as shop:
        buyer = shop.tom if is_english else shop.tom.someone("8", "zh-CN")
        payments = shop.tom.app.services.payments
        order, url = await replace(shop, tom=buyer).order("Pro")

        async def reads(*english: str, chinese: tuple[str, ...]) -> None:
            page = await shop.page(url)
            assert [part for part in (english if is_english else chinese) if part not in page] == []
            assert f'<html lang="{language}">' in page

        async def loses(act: str) -> None:
            assert await shop.press(url, "lose-message") == 303
            assert await shop.press(url, "lose-message") == 409
            await reads(
                "The next message to the shop will be lost.", chinese=("下一条通知将会丢失",)
            )
            assert await shop.press(url, act) == 303

        await reads(
            "Nothing is paid yet.", "Lose the next message", chinese=("尚未付款", "丢失下一条通知")
        )
        await shop.press(url, "lose-message")
        await shop.press(url, "keep-message")
        await loses("pay")
        await reads(
            "It is paid.", "that were lost: 1", chinese=("已付款。", "已丢失的商家通知：1 条")
        )
        assert await payments.inbox.process_due() == 0
        assert await buyer.credits() == Credits(0)
        due = Update(schema.order, {"id": order}, {"check_at": shop.tom.clock.now_ms()})
        await shop.tom.app.services.base.ledger.record(due)
        await payments.reconciliation.reconcile_orders()
        assert await buyer.credits() == Credits(10_000)
        assert (await shop.noticed_by(buyer.sender)).title in {"✅ Paid", "✅ 已付款"}

        await loses("dispute")
        await payments.reconciliation.reconcile_everything()
        assert await buyer.credits() == Credits(0)
        await loses("win")
        await payments.reconciliation.reconcile_everything()
        assert await buyer.credits() == Credits(10_000)
        await reads(
            "the shop keeps the money", "that were lost: 3", chinese=("款项归商家", "通知：3 条")
        )
        assert await shop.press(url, "withdraw") == 409, "a dispute was about it"
        assert await shop.tom.findings() == []


@pytest.mark.parametrize("language", ["en", "zh-CN"])
async def test_the_page_says_where_one_withdraws(sqlite_url: str, language: str) -> None:
    label = "Withdraw from this purchase" if language == "en" else "撤回这笔购买"
    async with market(sqlite_url) as shop:
        buyer = shop.tom if language == "en" else shop.tom.someone("8", "zh-CN")
        _, url = await replace(shop, tom=buyer).order("Pro")
        assert label not in await shop.page(url), "not before it is paid"
        await shop.press(url, "pay")
        await shop.noticed_by(buyer.sender)
        assert label in await shop.page(url)
        assert await shop.press(url, "withdraw") == 303
        page = await shop.page(url)
        assert "/paysupport" in page
        assert f"“{label}”" in page, "the button's own words"
        asked = (await buyer.presses(button(await buyer.screen("/paysupport"), label)))[0]
        assert isinstance(asked, Card)
        await buyer.presses(button(asked, "Confirm" if language == "en" else "确认撤回"))
        page = await shop.page(url)
        assert ("All of it was given back." if language == "en" else "已全部退款。") in page
        assert await buyer.credits() == Credits(0)


async def test_the_acknowledgement_is_in_the_buyers_language(sqlite_url: str) -> None:
    async with market(sqlite_url) as shop:
        await shop.tom.screen("/language zh-CN")
        order, url = await shop.order("Starter")
        await shop.press(url, "pay")
        paid = await shop.hears()
        asked = (await shop.tom.presses(button(paid, "撤回这笔购买")))[0]
        assert isinstance(asked, Card)
        done = (await shop.tom.presses(button(asked, "确认撤回")))[0]
        assert isinstance(done, Card)
        assert done.title == "已收到您的撤回"
        assert order in done.lines[0]
        assert "1,000 积分" in done.lines[0]


async def test_a_receipt_names_its_seller(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seller = {"seller_name": "Example <Ltd>", "seller_tax": "VAT GB123"}
    monkeypatch.setattr(config, "OPERATOR", seller)
    async with market(sqlite_url) as shop:
        order, url = await shop.order("Starter")
        await shop.press(url, "pay")
        paid = await shop.hears()
        given = (await shop.tom.presses(button(paid, "Receipt")))[0]
        assert isinstance(given, Card)
        assert given.attachment is not None
        page = given.attachment.content.decode()
        assert "Example &lt;Ltd&gt;" in page
        assert all(part in page for part in ("VAT GB123", order, "1,000 Credits", "$10.00"))
        support = await shop.tom.screen("/paysupport")
        assert "Receipt" in str(support.buttons)
        stranger = shop.tom.someone("8")
        await stranger.screen("/balance")
        refused = (await stranger.presses(button(paid, "Receipt")))[0]
        assert not (isinstance(refused, Card) and refused.attachment)


async def test_an_owner_decides_about_a_buyers_third(sqlite_url: str) -> None:
    async with market(sqlite_url) as shop:
        owner_told = shop.tom.someone("1")
        for turn in range(3):
            _, url = await shop.order("Starter")
            await shop.press(url, "pay")
            paid = await shop.noticed_by("7")
            asked = (await shop.tom.presses(button(paid, "Withdraw from")))[0]
            assert isinstance(asked, Card)
            assert ("operator looks at this" in "\n".join(asked.lines)) == (turn == 2)
            await shop.tom.presses(button(asked, "Confirm"))
            if turn < 2:
                await shop.noticed_by("7")
        assert await shop.tom.credits() == Credits(1_000)
        waits = await shop.noticed_by("1")
        for _ in range(2):
            decided = (await owner_told.presses(button(waits, "Give back $10.00")))[0]
            assert isinstance(decided, Card)
        assert await shop.tom.credits() == Credits(0)


async def test_forged_or_oversized_messages_are_refused(database_url: str) -> None:
    async with market(database_url) as shop:
        target = f"{shop.url}/webhooks/sandbox"
        for body, headers, status in (
            (b"{}", {}, 400),
            (b'{"id":"evt_1","checkout":"x"}', {"sandbox-signature": "t=1,v1=00"}, 400),
            (
                b'{"id":"evt_1","checkout":"x"}',
                {"sandbox-signature": sign_message("of another", b"{}", int(time.time()))},
                400,
            ),
            (b"x" * (1 << 20) + b"x", {}, 413),
        ):
            async with shop.browser.post(
                target, data=io.BytesIO(body), headers=headers
            ) as response:
                assert response.status == status
        async with shop.browser.post(f"{shop.url}/webhooks/stripe", data=b"{}") as response:
            assert response.status == 404, "no route without its secret"


async def test_telegram_leads_nowhere_outside_unless_allowed(sqlite_url: str) -> None:
    async with market(sqlite_url, outside=False) as shop:
        assert "/link" in "\n".join((await shop.tom.screen("/topup")).lines)
        elsewhere = shop.tom.someone("7")
        elsewhere.place = Place("console", "7")
        assert "$10.00" in str((await elsewhere.screen("/topup")).table)


@pytest.mark.parametrize(
    "text", ["/topup abc", "/topup -5", "/topup 0.5", "/topup 20000", "/topup 1.234"]
)
async def test_odd_amounts_get_a_sentence(sqlite_url: str, text: str) -> None:
    async with market(sqlite_url) as shop:
        assert "Nothing was ordered" in "\n".join((await shop.tom.screen(text)).lines)
