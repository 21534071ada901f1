"""Inviting, redeeming and disputing, as everyone meets them in chat: friends, buyers, the owner."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from bots.chat.types import Card, Place
from core.clock import SystemClock
from core.db import schema
from core.db.writes import Update
from core.money import Credits, parse_usd
from payments.types import PaymentWarning
from tests.bots.commands.commands_support import text_of
from tests.peers.suppliers import Answer as Says, Used
from tests.support import service
from tests.support.service import Service
from tests.system.buying_support import Market, button, market

CODE = re.compile(r"ref_[A-Z2-9]{12}")
QUESTION = "a-question-canary"


async def pays(shop: Market, who: Service, choice: str) -> tuple[str, str]:
    """Buys a pack; the order's id and its page."""
    buyer = replace(shop, tom=who)
    order, url = await buyer.order(choice)
    assert await buyer.press(url, "pay") == 303
    card = await buyer.noticed_by(who.sender)
    assert card.title in {"✅ Paid", "✅ 已付款"}
    return order, url


async def audited(shop: Market) -> None:
    assert await shop.tom.findings() == []


async def test_a_friend_comes_by_a_link_tops_up_and_gives_back(database_url: str) -> None:
    async with market(database_url) as shop:
        await shop.tom.screen("/start")
        other = shop.tom.someone("9", "zh-CN")
        card = await shop.tom.screen("/refer")
        assert card.private
        assert "https://t.me/credit_test_bot?start=ref_" in text_of(card)
        code = CODE.search(text_of(card))
        assert code is not None
        ((copied,),) = card.buttons
        assert copied.copy == f"https://t.me/credit_test_bot?start={code[0]}"
        friend = shop.tom.someone("8", "zh-CN")
        noted = await friend.screen(f"/start {code[0]}")
        assert "已记下好友的邀请" in text_of(noted)
        assert "已记下好友的邀请" in text_of(await friend.screen(f"/start {code[0]}"))
        _, url = await pays(shop, friend, "Pro")
        told = await shop.noticed_by("7")
        assert told.title == "🎁 A friend topped up"
        assert told.lines == (
            "1,000 Credits are yours for your invitation.",
            "You have 1,000 Credits now.",
        )
        shown = text_of(await shop.tom.screen("/refer"))
        assert "Friends who joined: 1. Topped up: 1. You earned 1,000 Credits." in shown
        await audited(shop)
        await shop.press(url, "half")
        assert "550 Credits were taken back with it." in (await shop.noticed_by("7")).lines
        assert await shop.tom.credits() == Credits(450)
        await audited(shop)
        # Who has been here before is invited by nobody: by their own code, or after an order.
        await replace(shop, tom=other).order("Starter")
        for old, said in (
            (shop.tom, "Invitations are for new people only"),
            (other, "该邀请在此无效"),
        ):
            assert said in text_of(await old.screen(f"/start {code[0]}"))


async def test_on_discord_the_code_is_typed(sqlite_url: str) -> None:
    class Elsewhere:
        def build_invitation_link(self, code: str) -> str:
            del code
            return "https://discord.com/oauth2/authorize?client_id=42"

    async with market(sqlite_url) as shop:
        shop.tom.app.chat.redelivery.register_notifier("discord", Elsewhere())
        told = text_of(await shop.tom.screen("/refer"))
        code = CODE.search(told)
        assert code is not None
        assert f"client_id=42, then there: /start code:{code[0]}" in told
        friend = replace(shop.tom, place=Place("discord", "9"), sender="9")
        assert "invitation is noted" in text_of(await friend.screen(f"/start {code[0]}"))


async def test_where_nothing_is_sold_nobody_is_invited(sqlite_url: str) -> None:
    async with service.running(sqlite_url, SystemClock()) as tom:
        for command in ("/refer", "/topup", "/paysupport"):
            assert "There is no command" in text_of(await tom.screen(command))
        assert "invitation" not in text_of(await tom.screen("/start ref_AAAAAAAAAAAA"))
        codes = tom.app.services.payments.vouchers
        made = codes.generate_vouchers(parse_usd("90"), 1, None)
        await codes.save_codes(made)
    async with service.running(sqlite_url, SystemClock()) as tom:
        assert "There is no command /topup" in text_of(await tom.screen("/topup"))
        assert "10,000 Credits have arrived." in text_of(
            await tom.screen(f"/redeem {made[0].text}")
        )
        assert "Receipt pay_" in text_of(await tom.screen("/paysupport"))


async def test_a_code_is_redeemed_and_given_back(database_url: str) -> None:
    async with market(database_url) as shop:
        codes = shop.tom.app.services.payments.vouchers
        made = codes.generate_vouchers(parse_usd("90"), 2, None)
        await codes.save_codes(made)
        assert "Write the code behind" in text_of(await shop.tom.screen("/redeem"))
        assert "no such code" in text_of(await shop.tom.screen("/redeem AAAA-BBBB-CCCC-DDDD"))
        card = await shop.tom.screen(f"/redeem {made[0].text}")
        assert card.title == "✅ Paid"
        assert card.lines[:2] == ("10,000 Credits have arrived.", "You have 10,000 Credits now.")
        order = card.lines[2].removeprefix("Order ")
        other = shop.tom.someone("8", "zh-CN")
        assert "已被使用" in text_of(await other.screen(f"/redeem {made[0].text}"))
        owner = shop.tom.someone("1")
        asked = await owner.screen(f"/refund {order} 45")
        assert "give the money back there yourself" in text_of(asked)
        await owner.presses(button(asked, "Yes"))
        assert await shop.tom.credits() == Credits(4_500)
        support = text_of(await shop.tom.screen("/paysupport"))
        for receipt in (r"Receipt pay_\w+: \$90.00\n", r"Receipt rfd_\w+: \$45.00 given back"):
            assert re.search(receipt, support)
        await audited(shop)


async def disputed(shop: Market) -> tuple[str, str, Card]:
    """Tom buys, asks something and disputes; order, page, and what the owner is told."""
    order, url = await pays(shop, shop.tom, "Pro")
    shop.tom.openai.script(Says("canary " * 500, usage=Used(1_000, 500)))
    await shop.tom.answer(f"/ask gpt-4 {QUESTION} " + "why " * 600)
    await shop.press(url, "dispute")
    return order, url, await shop.noticed_by("1")


async def test_the_owner_reads_the_evidence_and_accepts(database_url: str) -> None:
    async with market(database_url) as shop:
        order, url, card = await disputed(shop)
        assert card.title == "⚠️ A payment is disputed"
        assert f"takes back $90.00 of order {order}" in text_of(card)
        owner = shop.tom.someone("1")
        evidence = (await owner.presses(button(card, "Evidence")))[0]
        assert isinstance(evidence, Card)
        assert evidence.attachment is not None
        assert evidence.attachment.name == f"evidence-{order}.txt"
        text = evidence.attachment.content.decode()
        assert "canary" not in text, "no word of what was asked or answered"
        for part in (order, "gpt-4", "1,000 tokens in, 500 out", "8 Credits", "$90.00", "pay_"):
            assert part in text
        said = json.loads(text.partition("THE SAME AS JSON\n")[2])
        assert said["delivered"][0]["credits"] == 8
        assert said["delivered"][0]["delivered_at"] is not None
        assert "not money" in said["terms"]
        report = text_of(await owner.screen("/report"))
        assert "Disputed now: 1, $90.00" in report
        # Nobody else presses it, and nothing happens before the second tap.
        stranger = text_of(*await shop.tom.presses(button(card, "Accept")))
        assert "somebody else" in stranger
        asked = (await owner.presses(button(card, "Accept")))[0]
        assert isinstance(asked, Card)
        assert f"$90.00 of order {order} go back to the payer for good" in text_of(asked)
        assert (await shop.tom.app.services.payments.orders.get(order)).dispute_state == "open"
        for _ in range(2):
            await owner.presses(button(asked, "Yes, give up $90.00"))
        assert (await shop.tom.app.services.payments.orders.get(order)).dispute_state == "lost"
        ended = await shop.noticed_by("1")
        assert ended.title == "A dispute is decided"
        assert "Lost: $90.00" in text_of(ended)
        assert "The payer wins" not in await shop.page(url)
        report = text_of(await owner.screen("/report"))
        # 8 Credits were spent as gift: all that was bought is there to go back.
        assert "Disputed now" not in report
        assert "Lost by disputes" not in report
        assert "decided already" in text_of(*await owner.presses(button(card, "Accept")))
        await audited(shop)


async def test_the_owner_hears_that_it_was_won(database_url: str) -> None:
    async with market(database_url) as shop:
        order, url, card = await disputed(shop)
        await shop.press(url, "win")
        ended = text_of(await shop.noticed_by("1"))
        assert f"Won: $90.00 of order {order} is there again" in ended
        assert await shop.tom.credits() == Credits(10_000 - 8)
        owner = shop.tom.someone("1")
        assert "decided already" in text_of(*await owner.presses(button(card, "Accept")))
        await audited(shop)


@pytest.mark.parametrize("language", ["en", "zh-CN"])
async def test_the_buyer_reads_what_is_held_each_time_it_goes_on(
    sqlite_url: str, language: str
) -> None:
    is_english = language == "en"
    async with market(sqlite_url) as shop:
        buyer = shop.tom if is_english else shop.tom.someone("8", "zh-CN")
        order, url = await pays(shop, buyer, "Pro")

        async def reads(*parts: str, told: bool = True) -> None:
            card = await shop.noticed_by(buyer.sender) if told else await buyer.screen("/balance")
            text = text_of(card)
            assert [part for part in parts if part not in text] == []

        held = "10,000 Credits of that payment" if is_english else "该笔付款的 10,000 积分已冻结"
        less = "10,000 Credits more are held" if is_english else "另有 10,000 积分已冻结"
        await shop.press(url, "dispute")
        await reads(held, order)
        await reads(less, order, told=False)
        await shop.press(url, "lose")
        await reads("were held went with it" if is_english else "已一并收回")
        label = "Reopen the dispute" if is_english else "重新开启争议"
        assert label in await shop.page(url)
        await shop.press(url, "reopen")
        await reads(held, "goes on" if is_english else "仍在继续")
        await reads(less, told=False)
        await shop.press(url, "win")
        await reads("are yours again" if is_english else "已归还给您")
        assert order not in text_of(await buyer.screen("/balance"))
        assert await buyer.credits() == Credits(10_000)
        owner_read = [(await shop.noticed_by("1")).title for _ in range(4)]
        assert sorted(owner_read) == [
            "A dispute is decided",
            "A dispute is decided",
            "⚠️ A decided dispute goes on",
            "⚠️ A payment is disputed",
        ]
        await audited(shop)


async def test_the_owner_gives_back_what_may_be_fraud(sqlite_url: str) -> None:
    async with market(sqlite_url) as shop:
        order, _ = await pays(shop, shop.tom, "Pro")
        payments, owner = shop.tom.app.services.payments, shop.tom.someone("1")
        paid = (await payments.order_search.list_receipts([await payments.orders.get(order)]))[0]
        warning = PaymentWarning("sandbox", "issfr_1", paid.external_id, reason="lost_card")
        for _ in range(2):
            await payments.inbox._fulfillment.handle(warning)
        card = await shop.noticed_by("1")
        assert card.title == "⚠️ A payment may be fraud"
        assert f"they didn't pay $90.00 of order {order} (lost_card)" in text_of(card)
        asked = (await owner.presses(button(card, "Give it back")))[0]
        assert isinstance(asked, Card)
        assert await shop.tom.credits() == Credits(10_000), "not before the second tap"
        await owner.presses(button(asked, "Yes, give back $90.00"))
        assert await shop.tom.credits() == Credits(0)
        again = text_of(*await owner.presses(button(card, "Give it back")))
        assert "Only $0.00 of that order can be given back" in again
        await audited(shop)


async def test_every_movement_is_found_by_each_of_its_ids(database_url: str) -> None:
    async with market(database_url) as shop:
        order, url = await pays(shop, shop.tom, "Pro")
        await shop.press(url, "half")
        await shop.noticed_by("7")
        payments, owner = shop.tom.app.services.payments, shop.tom.someone("1")
        found = await payments.orders.get(order)
        receipts = await payments.order_search.list_receipts([found])
        assert [(one.id[:4], one.is_refund) for one in receipts] == [
            ("pay_", False),
            ("rfd_", True),
        ]
        ids = [
            order,
            found.external_id,
            *(id_ for one in receipts for id_ in (one.id, one.external_id)),
        ]
        for id_ in ids:
            assert (await owner.screen(f"/payment {id_}")).title == order
        assert "is called “pay_none”" in text_of(await owner.screen("/payment pay_none"))
        assert "Write it like this" in text_of(await owner.screen("/payment"))
        await shop.press(url, "dispute")
        card = await shop.noticed_by("1")
        assert "Evidence" in text_of(card)
        (dispute,) = await payments.disputes.list_disputes(order)
        shown = await owner.screen(f"/payment {dispute.id}")
        assert shown.title == order
        assert f"Dispute {dispute.id}: $45.00, not decided yet" in text_of(shown)
        assert "Accept" in text_of(shown)
        warned = await owner.screen(f"/refund {order}")
        assert "may cost it twice" in text_of(warned)


async def test_a_message_of_which_nothing_comes_is_told_to_the_owner(sqlite_url: str) -> None:
    async with market(sqlite_url) as shop:
        order, url = await shop.order("Pro")
        # The order waits for another checkout: whatever this one tells doesn't fit.
        elsewhere = Update(schema.order, {"id": order}, {"external": "sbx_other"})
        await shop.tom.app.services.base.ledger.record(elsewhere)
        await shop.press(url, "pay")
        card = await shop.noticed_by("1")
        assert card.title == "⚠️ A payment's message needs you"
        assert "payment_refused/checkout" in text_of(card)
        assert f"Order {order}: /payment shows it." in text_of(card)
        assert await shop.tom.credits() == Credits(0)
