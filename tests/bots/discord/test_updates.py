"""Which interactions and messages reach the front, and how cards, presses and menus work."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from bots.chat.types import Attachment, Button, ButtonPress, Card, IncomingMessage, Output, Place
from bots.discord.adapter import DiscordAdapter
from bots.discord.client import DiscordClient, DiscordUnavailable, fetch_bot_address
from core.clock import SystemClock
from tests.bots.discord.conftest import CONFIG, running
from tests.bots.discord.scripted import DiscordFront
from tests.peers.discord import BOT_ID, FakeDiscord, plain
from tests.peers.discord_world import Message


def button(number: int) -> Button:
    return Button(f"btn_{number}", f"Model {number}")


def showing(*screens: Card, front: DiscordFront) -> None:
    async def script(_: IncomingMessage) -> AsyncIterator[Output]:
        for screen in screens:
            yield screen

    front.script = script


async def last(fake: FakeDiscord, front: DiscordFront, channel: int) -> list[IncomingMessage]:
    """What reached the front, once a last command of the same channel has."""
    fake.slash(fake.users[7], "/ask", {"question": "last"}, channel)
    await fake.wait_for(lambda: front.handled and front.handled[-1].options == {"question": "last"})
    return front.handled[:-1]


async def test_options_reach_the_command_by_name(
    fake: FakeDiscord, front: DiscordFront, discord: DiscordAdapter
) -> None:
    ann = fake.user(7)
    fake.slash(ann, "/ask", {"question": "why  so?", "model": "gpt-4"})
    fake.slash(ann, "/stop")
    fake.slash(ann, "/nobody-knows-this")
    handled = await last(fake, front, fake.dm(ann).id)
    assert [(each.command, each.options, each.text) for each in handled] == [
        ("ask", {"question": "why  so?", "model": "gpt-4"}, ""),
        ("stop", {}, ""),
    ]
    # A direct chat is the person's own place, by their own id.
    assert {each.place for each in handled} == {Place("discord", "7")}


async def test_mentions_replies_and_direct_messages_are_for_the_bot_nothing_else_is(
    fake: FakeDiscord, front: DiscordFront, discord: DiscordAdapter
) -> None:
    ann, robot = fake.user(7), fake.user(9)
    robot.bot = True
    bystander = fake.says(ann, "just talking", channel=fake.text)
    first = fake.says(ann, ", why?", channel=fake.text, mention=True)
    ours = await fake.seen(fake.text, "why?")
    assert ours.reply_to == first.id
    fake.says(ann, "go on", channel=fake.text, reply_to=ours)
    fake.says(ann, "to myself", channel=fake.text, reply_to=bystander)
    fake.says(ann, f"tell me <@!{BOT_ID}>", channel=fake.text)
    fake.says(robot, "robots talk", channel=fake.text, mention=True)
    fake.says(ann, "hooked", channel=fake.text, mention=True, webhook_id="5")
    fake.says(ann, "pinned", channel=fake.text, mention=True, type=6)
    fake.says(ann, "/balance", channel=fake.text, mention=True)
    fake.says(ann, "in private")
    fake.says(ann, "")
    fake.says(robot, "robots in private")
    # Company may come for what is said in private: it is held for a moment.
    await fake.wait_for(lambda: any(each.place.private for each in front.handled))
    handled = await last(fake, front, fake.text)
    assert [each.text for each in handled] == ["why?", "go on", "/balance", "in private"]
    assert [each.place.code for each in handled] == [f"discord:{fake.text}:"] * 3 + ["discord:7:"]
    assert [each.place.private for each in handled] == [False, False, False, True]
    assert handled[0].message == str(first.id)
    assert abs(handled[0].at_ms - SystemClock().now_ms()) < 60_000


async def test_a_thread_is_a_place_of_its_own(fake: FakeDiscord, front: DiscordFront) -> None:
    thread = fake.add_channel(fake.guild, parent=fake.text)
    async with running(fake, front):
        ann = fake.user(7)
        fake.slash(ann, "/ask", {"question": "slash"}, thread)
        fake.says(ann, "mention", channel=thread, mention=True)
        await fake.seen(thread, "mention")
        await fake.seen(thread, "slash")
    assert {each.place.code for each in front.handled} == {f"discord:{fake.text}:{thread}"}


async def test_the_same_interaction_twice_is_shown_once(
    fake: FakeDiscord, front: DiscordFront, discord: DiscordAdapter
) -> None:
    ann = fake.user(7)
    asked = fake.slash(ann, "/ask", {"question": "why?"}, fake.text)
    fake.again(asked)
    shown = await fake.seen(fake.text, "why?")
    await last(fake, front, fake.text)
    await fake.seen(fake.text, "last")
    assert fake.messages(fake.text)[0] is shown
    assert len(fake.messages(fake.text)) == 2
    assert front.handled[0] == front.handled[1]
    pressed = fake.presses(ann, await _with_button(fake, front), "Model 1")
    fake.again(pressed)
    await last(fake, front, fake.text)
    assert [each.button for each in front.pressed] == ["btn_1"]


async def _with_button(fake: FakeDiscord, front: DiscordFront) -> Message:
    showing(Card(lines=("press",), buttons=((button(1),),)), front=front)
    fake.slash(fake.users[7], "/ask", {"question": "buttons"}, fake.text)
    return await fake.seen(fake.text, "press")


async def test_a_command_with_nothing_to_show_leaves_nothing(
    fake: FakeDiscord, front: DiscordFront, discord: DiscordAdapter
) -> None:
    showing(front=front)
    asked = fake.slash(fake.user(7), "/stop", {}, fake.text)
    await fake.wait_for(lambda: fake.called("DELETE /webhooks"))
    assert not asked.thinking
    assert fake.messages(fake.text) == []


async def test_what_is_private_or_a_refusal_is_for_its_reader_alone(
    fake: FakeDiscord, front: DiscordFront, discord: DiscordAdapter
) -> None:
    ann, bob = fake.user(7), fake.user(8)
    showing(Card(lines=("1,000 Credits",), private=True, public_note="written"), front=front)
    for command in ("/balance", "/report"):
        asked = fake.slash(ann, command, {}, fake.text)
        await fake.wait_for(lambda asked=asked: asked.original)
        assert asked.ephemeral, "said when it was deferred: nobody else sees it think"
    # Deferred for all, since an answer is: what is private after all comes in its stead.
    showing(Card(lines=("You need 9 Credits",), aside=True), front=front)
    # However often the removal is put off, nothing is shown to all.
    fake.fail_next("DELETE /webhooks", 429, retry_after=0.01, times=7)
    fake.slash(ann, "/ask", {"question": "why?"}, fake.text)
    await fake.seen(fake.text, "need 9", ann)
    assert len(fake.messages(fake.text, ann)) == 3
    assert fake.messages(fake.text, bob) == []
    assert fake.called("POST /channels") == []
    # In private nothing needs to be hidden.
    asked = fake.slash(ann, "/balance")
    await fake.wait_for(lambda: asked.original)
    assert not asked.ephemeral


async def test_a_private_card_for_a_mention_goes_to_the_direct_chat(
    fake: FakeDiscord, front: DiscordFront, discord: DiscordAdapter
) -> None:
    ann, shut = fake.user(7), fake.user(8, unreachable=True)
    showing(
        Card(lines=("1,000 Credits",), private=True, public_note="sent", unreachable_note="shut"),
        front=front,
    )
    fake.says(ann, "/balance", channel=fake.text, mention=True)
    await fake.seen(fake.dm(ann), "1,000")
    await fake.seen(fake.text, "sent")
    fake.says(shut, "/balance", channel=fake.text, mention=True)
    await fake.seen(fake.text, "shut")
    assert not any("1,000" in each.content for each in fake.messages(fake.text))


async def test_a_button_for_one_reader_is_pressed_in_their_own_place(
    fake: FakeDiscord, front: DiscordFront, discord: DiscordAdapter
) -> None:
    ann = fake.user(7)
    card = Card(lines=("card",), buttons=((button(1),),), private=True)
    showing(card, front=front)
    fake.slash(ann, "/balance", {}, fake.text)
    shown = await fake.seen(fake.text, "card", ann)
    fake.presses(ann, shown, "Model 1")
    await fake.wait_for(lambda: "pressed" in shown.content)
    assert plain(shown.content) == "pressed btn_1"
    assert shown.labels == []

    async def more(press: ButtonPress) -> AsyncIterator[Output]:
        yield Card(lines=("more",))

    showing(card, front=front)
    front.on_press = more
    fake.slash(ann, "/balance", {}, fake.text)
    fake.presses(ann, await fake.seen(fake.text, "card", ann), "Model 1")
    await fake.seen(fake.text, "more", ann)
    assert fake.messages(fake.text) == [], "what follows is for them alone too"
    assert {each.place for each in front.pressed} == {Place("discord", "7")}


async def test_many_choices_become_menus_and_a_selection_is_a_press(
    fake: FakeDiscord, front: DiscordFront, discord: DiscordAdapter
) -> None:
    ann = fake.user(7)
    pairs = tuple((button(n), button(n + 1)) for n in range(0, 60, 2))
    back = (Button("btn_back", "‹ Back"),)
    showing(Card(lines=("many",), buttons=(*pairs, back)), front=front)
    fake.slash(ann, "/ask", {"question": "models"}, fake.text)
    many = await fake.seen(fake.text, "many")
    assert len(many.components) == 4
    assert many.labels == [f"Model {n}" for n in range(60)] + ["‹ Back"]
    fake.selects(ann, many, "Model 42")
    await fake.wait_for(lambda: "btn" in many.content)
    assert front.pressed[-1].button == "btn_42"
    # Up to 25 stay buttons, five in a row.
    showing(Card(lines=("some",), buttons=(*pairs[:11], back)), front=front)
    fake.slash(ann, "/ask", {"question": "models"}, fake.text)
    some = await fake.seen(fake.text, "some")
    assert [len(row["components"]) for row in some.components] == [5, 5, 5, 5, 3]
    fake.presses(ann, some, "‹ Back")
    await fake.wait_for(lambda: front.pressed[-1].button == "btn_back")
    assert list(discord._client.persistent_views) == [], "nothing waits in memory for a press"


async def test_completions_come_with_labels_that_fit(
    fake: FakeDiscord, front: DiscordFront, discord: DiscordAdapter
) -> None:
    asked = fake.autocomplete(fake.user(7, "zh-CN"), "/ask", "model", "gp", fake.text)
    await fake.wait_for(lambda: asked.choices)
    assert len(asked.choices) == 25
    assert asked.choices[0]["value"] == "gp-0"
    assert asked.choices[0]["name"].startswith("zh-CN 0 x")
    free = fake.autocomplete(fake.users[7], "/ask", "question", "gp", fake.text)
    await fake.wait_for(lambda: free.acknowledged)
    assert free.choices == []
    assert front.handled == []


async def test_old_buttons_work_after_a_restart(fake: FakeDiscord, front: DiscordFront) -> None:
    ann = fake.user(7)
    async with running(fake, front):
        shown = await _with_button(fake, front)
    async with running(fake, front):
        fake.presses(ann, shown, "Model 1")
        await fake.wait_for(lambda: "pressed" in shown.content)
    assert len(fake.gateway.identified) == 2


async def test_a_message_that_holds_a_secret_is_deleted_where_that_is_allowed(
    fake: FakeDiscord, front: DiscordFront
) -> None:
    watched = fake.add_channel(fake.guild, moderates=True)
    showing(Card(lines=("a key was there",), erase_incoming=True), front=front)
    async with running(fake, front):
        ann = fake.user(7)
        for channel, deleted in ((watched, True), (fake.text, False), (None, False)):
            said = fake.says(ann, "sk-secret", channel=channel, mention=channel is not None)
            where = fake.dm(ann) if channel is None else fake.channels[channel]
            await fake.seen(where, "a key was there")
            assert said.gone == deleted
        asked = fake.slash(ann, "/ask", {"question": "sk-secret"}, fake.text)
        await fake.seen(fake.text, "a key was there", ann)
        assert asked.original is None, "what was public is gone; only they are told"


async def test_cards_have_titles_tables_and_files(
    fake: FakeDiscord, front: DiscordFront, discord: DiscordAdapter
) -> None:
    showing(
        Card(
            title="Usage *",
            table=(("GPT 4", "8 Cr"), ("Claude", "12 Cr")),
            lines=("a_line", "x" * 2500),
            attachment=Attachment("all.json", b"{}"),
            buttons=((button(1),),),
        ),
        front=front,
    )
    fake.slash(fake.user(7), "/ask", {"question": "card"}, fake.text)
    await fake.wait_for(lambda: len(fake.messages(fake.text)) == 2)
    first, end = fake.messages(fake.text)
    assert first.content.startswith(
        "**Usage \\***\n\n```\nGPT 4   8 Cr\nClaude  12 Cr\n```\n\na\\_line"
    )
    assert (first.labels, end.labels) == ([], ["Model 1"])
    assert end.files == [("all.json", b"{}")]


async def test_one_interactions_bug_is_no_others_and_logs_say_no_secret(
    fake: FakeDiscord,
    front: DiscordFront,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken(incoming: IncomingMessage) -> AsyncIterator[Output]:
        raise RuntimeError(f"quotes {incoming.options}")
        yield

    caplog.set_level(logging.DEBUG)
    async with running(fake, front):
        front.script = broken
        asked = fake.slash(fake.user(7), "/ask", {"question": "secretquestion"}, fake.text)
        await fake.wait_for(lambda: fake.called("DELETE /webhooks") or asked.original)
        front.script = DiscordFront().script
        fake.fail_next("PATCH /webhooks", 429, retry_after=0.01)
        fake.slash(fake.users[7], "/ask", {"question": "fine"}, fake.text)
        await fake.seen(fake.text, "fine")
    assert "an update failed: RuntimeError at test_updates.py" in caplog.text
    for secret in (fake.token, asked.token, "secretquestion"):
        assert secret not in caplog.text


async def test_what_the_library_logs_is_masked(
    fake: FakeDiscord, front: DiscordFront, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(fake, front):
        for name in ("discord.http", "discord.webhook.async_", "discord.client"):
            address = "https://discord.example/api/v10/webhooks/42/aW50ZXJhY3Rpb24/messages"
            failure = RuntimeError(f"quotes {fake.token}")
            logger = logging.getLogger(name)
            logger.error("%s failed with %s", address, fake.token, exc_info=failure)
    assert caplog.text.count("/webhooks/42/<token>/messages failed with <token> (RuntimeErr") == 3
    assert fake.token not in caplog.text
    assert "aW50ZXJhY3Rpb24" not in caplog.text


async def test_a_token_that_is_refused_is_told_and_not_quoted(
    fake: FakeDiscord, front: DiscordFront, caplog: pytest.LogCaptureFixture
) -> None:
    here = CONFIG.model_copy(update={"api_url": fake.api_url, "gateway_url": fake.gateway_url})
    wrong = here.model_copy(update={"token": SecretStr("MTIz.wrong.token_of_nobody")})
    bot = await fetch_bot_address(here)
    assert bot.name == "credit"
    assert bot.url.startswith("https://discord.com/oauth2/authorize?")
    with pytest.raises(DiscordUnavailable) as refused:
        await fetch_bot_address(wrong)
    assert refused.value.token_refused
    with pytest.raises(DiscordUnavailable) as refused:
        await DiscordAdapter(wrong, front, SystemClock()).start()
    assert refused.value.token_refused
    assert "token_of_nobody" not in caplog.text + str(refused.value)


async def test_a_gateway_that_refuses_is_told(
    fake: FakeDiscord, front: DiscordFront, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(socket: web.WebSocketResponse, _: object) -> None:
        await socket.close(code=4014)

    monkeypatch.setattr(fake.gateway, "_identify", refuse)
    with pytest.raises(DiscordUnavailable) as refused:
        async with running(fake, front, CONFIG.model_copy(update={"shards": ((), 1)})):
            pass
    assert not refused.value.token_refused


async def test_each_process_serves_its_shards(
    fake: FakeDiscord, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def at_once(*_: object, **__: object) -> None:
        """The library identifies one shard in five seconds."""

    monkeypatch.setattr(DiscordClient, "before_identify_hook", at_once)
    guilds = {(guild >> 22) % 4: guild for guild in (fake.add_guild() for _ in range(1))}
    while set(guilds) != {0, 1, 2, 3}:
        await asyncio.sleep(0.001)  # ids are made of milliseconds
        guild = fake.add_guild()
        guilds[(guild >> 22) % 4] = guild
    channels = {shard: fake.add_channel(guild) for shard, guild in guilds.items()}
    fronts = DiscordFront(), DiscordFront()
    for front in fronts:
        front.changed = fake.changed
    ann = fake.user(7)
    async with (
        running(fake, fronts[0], CONFIG.model_copy(update={"shards": ((0, 1), 4)})),
        running(fake, fronts[1], CONFIG.model_copy(update={"shards": ((2, 3), 4)})),
    ):
        await fake.wait_for(lambda: len(fake.gateway.identified) == 4)
        for channel in channels.values():
            fake.slash(ann, "/ask", {"question": "why?"}, channel)
            await fake.seen(channel, "why?")
        fake.says(ann, "in private")
        await fake.seen(fake.dm(ann), "in private")
    assert sorted(each["shard"] for each in fake.gateway.identified) == [[n, 4] for n in range(4)]
    places = [{each.place.chat for each in front.handled} for front in fronts]
    assert places == [
        {str(channels[0]), str(channels[1]), "7"},
        {str(channels[2]), str(channels[3])},
    ]


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("MESSAGE_CREATE", {"id": "many"}),
        ("MESSAGE_CREATE", {}),
        ("INTERACTION_CREATE", {"id": "1", "type": 2, "token": "canary-token"}),
        ("ENTITLEMENT_CREATE", {"id": []}),
        ("GUILD_CREATE", {"id": "x"}),
        ("THREAD_CREATE", {"id": "1"}),
        ("MOON_LANDING", {"at": 1}),
    ],
)
async def test_an_event_that_can_not_be_read_ends_nothing(
    fake: FakeDiscord,
    front: DiscordFront,
    discord: DiscordAdapter,
    kind: str,
    data: dict[str, Any],
) -> None:
    ann = fake.user(7)
    fake.tell(kind, data)
    fake.says(ann, "still here?")
    await fake.wait_for(lambda: [each.text for each in front.handled] == ["still here?"])
    assert discord._connection_task is not None
    assert not discord._connection_task.done()


@pytest.mark.slow
async def test_a_channel_with_much_to_send_is_one_turn_ahead_of_another(
    fake: FakeDiscord, front: DiscordFront, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bots.discord.client._BURST", 1.0)
    monkeypatch.setattr("bots.discord.client._PER_SECOND", 10.0)
    ann, bob = fake.user(7), fake.user(8)
    busy, calm = fake.add_channel(fake.guild), fake.add_channel(fake.guild)
    async with running(fake, front):
        for number in range(20):
            fake.says(ann, f"flood {number}", channel=busy, mention=True)
        await fake.seen(busy, "flood")
        fake.says(bob, "me too", channel=calm, mention=True)
        await fake.seen(calm, "me too")
        assert len(fake.messages(busy)) < 15, "most of the flood waits still"
        await fake.wait_for(lambda: len(fake.messages(busy)) == 20)


async def test_where_too_much_comes_in_nothing_is_dropped_without_a_word(
    fake: FakeDiscord, front: DiscordFront, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bots.discord.adapter._CONCURRENT_UPDATES_MAX", 1)
    ann, bob, held = fake.user(7), fake.user(8, "zh-CN"), asyncio.Event()

    async def script(incoming: IncomingMessage) -> AsyncIterator[Output]:
        await held.wait()
        yield Card(lines=(incoming.text or incoming.command,))

    front.script = script
    async with running(fake, front) as discord:
        fake.says(ann, "first", channel=fake.text, mention=True)
        await fake.wait_for(lambda: front.handled)
        fake.says(ann, "second", channel=fake.text, mention=True)
        fake.slash(bob, "/ask", {"question": "third"}, fake.text)
        await fake.seen(fake.text, "Please send it again in a minute")
        told = await fake.seen(fake.text, "请一分钟后再发一次", bob)
        assert told.only_for == bob.id
        assert discord.refused_count == 2
        held.set()
        await fake.seen(fake.text, "first")
    assert [each.text for each in front.handled] == ["first"]
