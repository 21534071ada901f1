"""Which updates reach the front, and how cards and presses work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from bots.chat.types import Attachment, Button, ButtonPress, Card, IncomingMessage, Output
from bots.config.settings import TelegramTiming
from bots.telegram.adapter import TelegramAdapter
from core.clock import SystemClock
from tests.bots.telegram.conftest import CONFIG, running
from tests.bots.telegram.scripted import ScriptedFront
from tests.peers.telegram import BOT_ID, FakeTelegram


async def texts_after(fake: FakeTelegram, front: ScriptedFront, *, chat: int) -> list[str]:
    """What reached the front, once a last command of the same chat has."""
    fake.says(fake.users[7], "/last", chat=chat)
    await fake.wait_for(lambda: front.handled and front.handled[-1].text == "/last")
    return [each.text for each in front.handled[:-1]]


async def test_in_private_everything_people_say_counts(
    fake: FakeTelegram, front: ScriptedFront, telegram: TelegramAdapter
) -> None:
    ann = fake.user(7, "zh-hans")
    message = fake.says(ann, "hi @credit_test_bot")
    fake.says(ann, "", photo=[{"file_id": "f", "file_unique_id": "u", "width": 1, "height": 1}])
    fake.says(ann, "/ask@credit_test_bot why")
    fake.says(ann, "/ask@other_bot why")
    fake.update("edited_message", fake.updates[-1]["message"] | {"edit_date": 1, "text": "edited"})
    told = await texts_after(fake, front, chat=7)
    assert told == ["hi @credit_test_bot", "", "/ask why", "edited"]
    assert [one.is_edit for one in front.handled[:4]] == [False, False, False, True]
    first = front.handled[0]
    assert (first.message, first.sender.id, first.sender.language) == (str(message), "7", "zh-hans")
    assert first.place.code == "telegram:7:"
    assert first.place.private
    assert first.at_ms % 1000 == 0
    assert abs(first.at_ms - SystemClock().now_ms()) < 60_000


async def test_in_groups_only_commands_mentions_and_replies(
    fake: FakeTelegram, front: ScriptedFront, telegram: TelegramAdapter
) -> None:
    ann = fake.user(7)
    group = fake.group(-5)
    fake.says(ann, "/first", chat=-5)
    ours = await fake.seen(-5, "echo: /first")
    front.handled.clear()
    fake.says(ann, "just talking", chat=-5)
    fake.says(ann, "💎 @credit_test_bot, why is the sky blue?", chat=-5)
    fake.says(ann, "@credit_test_bot  why?", chat=-5)
    fake.says(ann, "@credit_test_bot2 not us", chat=-5)
    fake.says(ann, "／余额", chat=-5)
    fake.says(ann, "/ask@CREDIT_test_bot why", chat=-5)
    fake.says(ann, "/ask@other_bot why", chat=-5)
    fake.says(ann, "go on", chat=-5, reply_to=ours)
    fake.says(ann, "to ann", chat=-5, reply_to=group.messages[0])
    fake.says(ann, "/anonymous", chat=-5, sender_chat=group.as_json())
    channel = {"id": -9, "type": "channel", "title": "C"}
    fake.says(ann, "/channel", chat=-5, sender_chat=channel)
    robot: dict[str, Any] = {"from": ann.as_json() | {"is_bot": True}}
    fake.says(ann, "/robot", chat=-5, **robot)
    fake.update("channel_post", {"message_id": 5, "date": 1, "chat": channel, "text": "/post"})
    assert await texts_after(fake, front, chat=-5) == [
        "💎 , why is the sky blue?",
        "why?",
        "／余额",
        "/ask why",
        "go on",
        "/anonymous",
        "/channel",
    ]
    assert [each.is_anonymous for each in front.handled[4:7]] == [False, True, True]
    assert {each.place.code for each in front.handled} == {"telegram:-5:"}
    assert not front.handled[0].place.private


#: Updates that the library stumbles over, or that are nothing at all.
UNREADABLE: dict[str, dict[str, Any]] = {
    "a poll of an older server": {
        "message": {
            "message_id": 1,
            "date": 1,
            "chat": {"id": -5, "type": "group", "title": "G"},
            "poll": {"id": "1", "question": "?", "options": [{"text": "a"}]},
        }
    },
    "a date beyond all time": {
        "message": {"message_id": 1, "date": 10**18, "chat": {"id": 7, "type": "private"}}
    },
    "a string for an object": {"message": "hello"},
    "a list for an object": {"callback_query": []},
    "a chat without a kind": {"message": {"message_id": 1, "date": 1, "chat": {"id": 7}}},
    "a press on nothing": {
        "callback_query": {
            "id": "1",
            "from": {"id": 7, "is_bot": False, "first_name": "A"},
            "chat_instance": "1",
            "data": "x",
            "message": {"message_id": "many", "date": 0, "chat": {"id": 7, "type": "private"}},
        }
    },
    "a message without a number": {
        "message": {
            "message_id": {"canary": 1},
            "date": 1,
            "chat": {"id": 7, "type": "private"},
            "from": {"id": 7, "is_bot": False, "first_name": "A"},
            "text": "/balance canary",
        }
    },
    "a group that moved to nowhere": {
        "message": {
            "message_id": 1,
            "date": 1,
            "chat": {"id": -5, "type": "group", "title": "G"},
            "migrate_to_chat_id": [],
        }
    },
    "a question whether to pay of nobody": {"pre_checkout_query": {"id": "1"}},
    "a question whether to pay for what is no order": {
        "pre_checkout_query": {
            "id": "1",
            "from": {"id": 7, "is_bot": False, "first_name": "A"},
            "currency": "XTR",
            "total_amount": 5,
            "invoice_payload": [[]],
        }
    },
}
CANARY = "is sk-proj-canary-of-ann-000000000001 a good key?"


@pytest.mark.parametrize("update", UNREADABLE.values(), ids=UNREADABLE)
async def test_what_can_not_be_read_holds_up_nobody_and_is_not_logged(
    fake: FakeTelegram,
    front: ScriptedFront,
    telegram: TelegramAdapter,
    update: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    ann = fake.user(7)
    fake.says(ann, CANARY)
    ((kind, content),) = update.items()
    fake.update(kind, content)
    fake.says(ann, "and after?")
    await fake.seen(7, "echo: and after?")
    polls = len(fake.called("getUpdates"))
    fake.says(ann, "/again")  # a command is held for no company
    await fake.seen(7, "echo: /again")
    assert len(fake.called("getUpdates")) - polls <= 3, "it isn't fetched again for ever"
    assert [each.text for each in front.handled] == [CANARY, "and after?", "/again"]
    assert "canary" not in caplog.text
    # It is acknowledged, so that a restart doesn't fetch it either.
    await fake.wait_for(lambda: not fake.updates)


FORWARDS: dict[str, dict[str, Any]] = {
    "of a person": {
        "forward_origin": {
            "type": "user",
            "date": 1,
            "sender_user": {"id": 8, "is_bot": False, "first_name": "Bob"},
        }
    },
    "of somebody hidden": {
        "forward_origin": {"type": "hidden_user", "date": 1, "sender_user_name": "Bob"}
    },
    "of a channel": {
        "forward_origin": {
            "type": "channel",
            "date": 1,
            "chat": {"id": -9, "type": "channel", "title": "C"},
            "message_id": 5,
        }
    },
    "by another bot": {"via_bot": {"id": 99, "is_bot": True, "first_name": "Other"}},
    "edited later": {"edit_date": 5},
}


@pytest.mark.parametrize("fields", FORWARDS.values(), ids=FORWARDS)
async def test_others_words_are_told_from_ones_own(
    fake: FakeTelegram, front: ScriptedFront, telegram: TelegramAdapter, fields: dict[str, Any]
) -> None:
    ann = fake.user(7)
    fake.group(-5)
    fake.says(ann, "/role telegram:666 admin", **fields)
    fake.says(ann, "/role telegram:666 admin")
    assert await texts_after(fake, front, chat=7) == ["/role telegram:666 admin"] * 2
    assert [each.is_own for each in front.handled[:2]] == [False, True]
    front.handled.clear()
    # In a group nobody asks by them.
    fake.says(ann, "/ask why", chat=-5, **fields)
    fake.says(ann, "@credit_test_bot why", chat=-5, **fields)
    assert await texts_after(fake, front, chat=-5) == []


async def test_a_caption_and_a_reply_are_ones_own(
    fake: FakeTelegram, front: ScriptedFront, telegram: TelegramAdapter
) -> None:
    ann = fake.user(7)
    fake.says(ann, "/first")
    ours = await fake.seen(7, "echo: /first")
    front.handled.clear()
    fake.sends(ann, "document", b"x", caption="/help", mime_type="text/plain")
    fake.says(ann, "/balance", reply_to=ours)
    assert await texts_after(fake, front, chat=7) == ["/help", "/balance"]
    assert all(each.is_own for each in front.handled)


async def test_a_topic_created_by_the_bot_is_not_a_reply_to_it(
    fake: FakeTelegram, front: ScriptedFront, telegram: TelegramAdapter
) -> None:
    ann = fake.user(7)
    fake.group(-5, forum=True)
    bot = {"id": BOT_ID, "is_bot": True, "first_name": "Credit"}
    created = {
        "message_id": 3,
        "date": 1,
        "chat": fake.chat(-5).as_json(),
        "from": bot,
        "forum_topic_created": {"name": "T", "icon_color": 1},
    }
    fake.says(ann, "just talking", chat=-5, thread=3, reply_to_message=created)
    assert await texts_after(fake, front, chat=-5) == []


async def test_an_update_delivered_twice_is_answered_once(
    fake: FakeTelegram, front: ScriptedFront, telegram: TelegramAdapter
) -> None:
    fake.says(fake.user(7), "hi")
    fake.again(fake.updates[-1])
    fake.says(fake.users[7], "bye")
    await fake.seen(7, "echo: bye")
    assert [each.text for each in front.handled] == ["hi", "hi", "bye"]
    assert front.handled[0] == front.handled[1]
    assert [each.text for each in fake.chat(7).bot_messages] == ["echo: hi", "echo: bye"]


async def test_a_paste_that_the_app_split_is_one_message(
    fake: FakeTelegram, front: ScriptedFront, telegram: TelegramAdapter
) -> None:
    ann = fake.user(7)
    fake.group(-5)
    first = fake.says(ann, "/ask " + "a" * 4000, chat=-5)
    fake.says(ann, "b" * 4000, chat=-5)
    fake.says(ann, "the end", chat=-5)
    await fake.wait_for(lambda: front.handled)
    (whole,) = front.handled
    assert whole.text == f"/ask {'a' * 4000}\n{'b' * 4000}\nthe end"
    assert whole.message == str(first)


async def test_a_part_that_is_held_is_answered_when_the_service_stops(
    fake: FakeTelegram, front: ScriptedFront
) -> None:
    ann = fake.user(7)
    timing = TelegramTiming(join_seconds=3600)
    async with running(fake, front, CONFIG.model_copy(update={"timing": timing})):
        fake.says(ann, "a" * 4000)
        fake.says(fake.user(8), "hi")
        await fake.seen(8, "echo: hi")
        assert [each.text for each in front.handled] == ["hi"]
    assert fake.chat(7).last.text.startswith("echo: aaa")


async def test_a_slow_answer_holds_nobody_else(
    fake: FakeTelegram, front: ScriptedFront, telegram: TelegramAdapter
) -> None:
    gate = asyncio.Event()

    async def script(incoming: IncomingMessage) -> AsyncIterator[Output]:
        if incoming.text == "slow":
            await gate.wait()
        yield Card(lines=(f"done: {incoming.text}",))

    front.script = script
    for person in range(40, 60):
        fake.says(fake.user(person), "slow")
    fake.says(fake.user(7), "quick")
    await fake.seen(7, "done: quick")
    gate.set()
    await fake.seen(59, "done: slow")


async def test_a_failing_command_says_nothing_of_the_prompt_in_the_log(
    fake: FakeTelegram,
    front: ScriptedFront,
    telegram: TelegramAdapter,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def script(incoming: IncomingMessage) -> AsyncIterator[Output]:
        if incoming.text == "my secret prompt":
            raise ValueError(f"cannot handle {incoming.text}")
        yield Card(lines=("fine",))

    front.script = script
    fake.says(fake.user(7), "my secret prompt")
    fake.says(fake.users[7], "other")
    await fake.seen(7, "fine")
    await fake.wait_for(lambda: fake.called("sendMessage"))
    assert "an update failed: ValueError at" in caplog.text
    assert "secret" not in caplog.text


async def test_a_card_shows_title_table_buttons_and_file(
    fake: FakeTelegram, front: ScriptedFront, telegram: TelegramAdapter
) -> None:
    async def script(_: IncomingMessage) -> AsyncIterator[Output]:
        yield Card(
            title="Recent usage",
            lines=("Spent today: 150 Credits", "@someone <b>*x*</b>"),
            table=(("10:23", "GPT-4", "8 Cr"), ("10:30", "Llama", "12 Cr")),
            buttons=((Button("btn_1", "More"), Button("btn_2", "Top up")),),
        )
        yield Card(lines=("Your data",), attachment=Attachment("export.json", b"{}"), buttons=())

    front.script = script
    fake.says(fake.user(7), "/usage")
    await fake.wait_for(lambda: len(fake.chat(7).bot_messages) == 3)
    card, line, file = fake.chat(7).bot_messages
    assert card.text == (
        "Recent usage\n\n10:23  GPT-4  8 Cr\n10:30  Llama  12 Cr\n\n"
        "Spent today: 150 Credits\n@someone <b>*x*</b>"
    )
    assert [(each["type"], card.part(each)[:12]) for each in card.entities] == [
        ("bold", "Recent usage"),
        ("pre", "10:23  GPT-4"),
        ("code", "@someone"),
    ]
    assert card.buttons == [[("More", "btn_1"), ("Top up", "btn_2")]]
    assert line.text == "Your data"
    assert file.file == ("export.json", b"{}")


async def test_a_press_replaces_the_card_and_the_spinner_stops(
    fake: FakeTelegram, front: ScriptedFront, telegram: TelegramAdapter
) -> None:
    async def script(_: IncomingMessage) -> AsyncIterator[Output]:
        yield Card(lines=("first",), buttons=((Button("btn_1", "Next"),),))

    async def pressed(press: ButtonPress) -> AsyncIterator[Output]:
        yield Card(lines=("second",), buttons=((Button("btn_1", "Next"),),), replace=True)
        yield Card(lines=("after",))

    front.script, front.on_press = script, pressed
    ann = fake.user(7, "zh-hans")
    fake.says(ann, "/models")
    card = await fake.seen(7, "first")
    fake.presses(ann, card, "Next")
    await fake.seen(7, "after")
    assert [each.text for each in fake.chat(7).bot_messages] == ["second", "after"]
    assert fake.chat(7).bot_messages[0] is card
    fake.presses(ann, card, "Next")  # the same again: "not modified" is no failure
    await fake.wait_for(lambda: len(fake.chat(7).bot_messages) == 3)
    assert [each.text for each in fake.chat(7).bot_messages] == ["second", "after", "after"]
    await fake.wait_for(lambda: len(fake.called("answerCallbackQuery")) == 2)
    (press, _) = front.pressed
    assert (press.place.code, press.sender.id, press.sender.language) == (
        "telegram:7:",
        "7",
        "zh-hans",
    )
    fake.chat(7).messages.clear()
    fake.presses(ann, card, "Next")
    await fake.seen(7, "second")


@pytest.mark.slow
async def test_thirty_commands_in_a_group_are_answered_at_the_groups_pace(
    fake: FakeTelegram, front: ScriptedFront
) -> None:
    timing = CONFIG.timing.model_copy(update={"group_interval_seconds": 0.1})
    async with running(fake, front, CONFIG.model_copy(update={"timing": timing})):
        fake.user(7)
        group = fake.group(-5)
        fake.limits[-5] = (20, 1.0)
        for number in range(30):
            fake.says(fake.users[7], f"/balance {number}", chat=-5)
        await fake.wait_for(lambda: len(group.bot_messages) == 30)
    assert 429 not in {call.status for call in fake.calls}
    texts = {each.text for each in group.bot_messages}
    assert texts == {f"echo: /balance {number}" for number in range(30)}


async def test_what_there_is_no_room_for_comes_again(
    fake: FakeTelegram, front: ScriptedFront, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bots.chat.update_intake.HELD_BYTES_MAX", 1)
    held = asyncio.Event()

    async def script(incoming: IncomingMessage) -> AsyncIterator[Output]:
        await held.wait()
        yield Card(lines=(incoming.text,))

    front.script = script
    async with running(fake, front):
        ann = fake.user(7)
        fake.group(-5)
        fake.says(ann, "/first", chat=-5)
        await fake.wait_for(lambda: front.handled)
        for number in range(3):
            fake.says(ann, f"/more {number}", chat=-5)
        await fake.wait_for(lambda: fake.called("getUpdates").count("getUpdates") >= 3)
        assert len(front.handled) == 1
        held.set()
        await fake.wait_for(lambda: len(fake.chats[-5].bot_messages) == 4)


async def test_a_file_for_which_a_chat_has_no_room_is_said(
    fake: FakeTelegram, front: ScriptedFront
) -> None:
    async def script(_: IncomingMessage) -> AsyncIterator[Output]:
        file = Attachment("all.csv", b"x" * 2_500_000)
        yield Card(lines=("all",), attachment=file, postponed_note="again in a minute")

    front.script = script
    timing = CONFIG.timing.model_copy(update={"private_interval_seconds": 0.5})
    async with running(fake, front, CONFIG.model_copy(update={"timing": timing})):
        fake.user(7)
        for number in range(4):
            fake.says(fake.users[7], f"/export {number}")
        await fake.wait_for(lambda: len(fake.chats[7].bot_messages) == 5)
    shown = [each.text or each.file[0] for each in fake.chats[7].bot_messages]
    assert sorted(shown) == ["again in a minute"] * 3 + ["all", "all.csv"]


async def test_a_private_card_of_a_group_goes_to_the_person(
    fake: FakeTelegram, front: ScriptedFront, telegram: TelegramAdapter
) -> None:
    async def script(_: IncomingMessage) -> AsyncIterator[Output]:
        yield Card(
            lines=("12,450 Credits",),
            private=True,
            public_note="Sent to you in private.",
            unreachable_note="Write to me first.",
        )

    front.script = script
    group = fake.group(-5)
    fake.says(fake.user(7), "/balance", chat=-5)
    await fake.seen(7, "12,450 Credits")
    note = await fake.seen(-5, "Sent to you in private.")
    fake.says(fake.user(8, unreachable=True), "/balance", chat=-5)
    hint = await fake.seen(-5, "Write to me first.")
    assert hint.buttons == [[("@credit_test_bot", "https://t.me/credit_test_bot")]]
    assert group.bot_messages == [note, hint]


async def test_a_message_with_a_pasted_key_is_deleted_where_that_is_allowed(
    fake: FakeTelegram, front: ScriptedFront, telegram: TelegramAdapter
) -> None:
    async def script(_: IncomingMessage) -> AsyncIterator[Output]:
        yield Card(lines=("Revoke that key.",), erase_incoming=True)

    front.script = script
    fake.says(fake.user(7), "sk-proj-…")
    await fake.seen(7, "Revoke that key.")
    assert [each.sender for each in fake.chat(7).messages] == [0]
    fake.group(-5)
    fake.says(fake.users[7], "/ask sk-proj-…", chat=-5)
    await fake.seen(-5, "Revoke that key.")
    assert [each.sender for each in fake.chat(-5).messages] == [7, 0]


async def test_a_notice_goes_to_the_persons_private_chat(
    fake: FakeTelegram, front: ScriptedFront, telegram: TelegramAdapter
) -> None:
    fake.user(7)
    await telegram.notify_person("7", Card(title="Paid", lines=("1,000 Credits",), private=True))
    assert fake.chat(7).last.text == "Paid\n\n1,000 Credits"


async def test_a_deep_link_brings_friends(telegram: TelegramAdapter) -> None:
    assert telegram.build_invitation_link("ref_ABC") == "https://t.me/credit_test_bot?start=ref_ABC"


async def test_a_card_that_leads_to_a_page_becomes_what_came_of_it(
    fake: FakeTelegram, front: ScriptedFront, telegram: TelegramAdapter
) -> None:
    """An order's card: its button is a link; once it is paid the same message says so."""
    pay = Card(lines=("an order",), buttons=((Button("", "Pay", "https://pay.example/1"),),))

    async def script(_: IncomingMessage) -> AsyncIterator[Output]:
        yield pay

    front.script = script
    fake.says(fake.user(7), "/topup")
    card = await fake.seen(7, "an order")
    assert card.buttons == [[("Pay", "https://pay.example/1")]]
    paid = Card(title="Paid", private=True)
    await telegram.notify_person("7", paid, replace_message=str(card.id))
    assert (card.text, card.buttons) == ("Paid", [])
    assert len(fake.chat(7).bot_messages) == 1
    # One that can't be changed any more: it is said anew.
    fake.fail_next("editMessageText", 400, description="Bad Request: message can't be edited")
    await telegram.notify_person("7", replace(paid, title="Paid too"), replace_message=str(card.id))
    assert [each.text for each in fake.chat(7).bot_messages] == ["Paid", "Paid too"]


async def test_a_group_that_moved_is_followed(
    fake: FakeTelegram, front: ScriptedFront, telegram: TelegramAdapter
) -> None:
    fake.group(-5)
    fake.group(-1005)
    fake.fail_next("sendMessage", 400, description="Bad Request: group chat was upgraded")
    fake._failures["sendMessage"][0].parameters = {"migrate_to_chat_id": -1005}
    fake.says(fake.user(7), "/hi", chat=-5)
    await fake.seen(-1005, "echo: /hi")
    fake.says(fake.users[7], "/more", chat=-5)
    await fake.seen(-1005, "echo: /more")
