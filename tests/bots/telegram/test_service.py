"""How the front end stands towards Telegram: menus, the webhook, and its token."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr

from bots.chat.types import BotAddress, Button, Card, IncomingMessage, Output, TelegramUnavailable
from bots.config.conflicts import WEBHOOK_PATH
from bots.config.settings import TelegramConfig
from bots.telegram import menus
from bots.telegram.adapter import TelegramAdapter, fetch_bot_address
from core.clock import SystemClock
from tests.bots.telegram.conftest import CONFIG, running
from tests.bots.telegram.scripted import ScriptedFront
from tests.bots.telegram.service_support import Served
from tests.peers.telegram import TOKEN, FakeTelegram


async def test_menus_and_descriptions_are_told_per_language_and_scope_once(
    fake: FakeTelegram, front: ScriptedFront
) -> None:
    fake.user(7)
    front.languages = ("en", "zh-CN")
    async with running(fake, front) as telegram:
        assert telegram._menu_task is not None
        await telegram._menu_task
        private, group, admin, missing = (
            '{"type": "all_private_chats"}',
            '{"type": "all_group_chats"}',
            '{"chat_id": 7, "type": "chat"}',
            '{"chat_id": 404, "type": "chat"}',
        )
        assert fake.commands[private, "zh"] == [{"command": "ask", "description": "提问 (private)"}]
        assert fake.commands[private, ""] == fake.commands[private, "en"]
        assert fake.commands[group, "en"][0]["description"] == "Ask (group)"
        assert [each["command"] for each in fake.commands[admin, "zh"]] == ["ask", "report"]
        assert (missing, "en") not in fake.commands, "an admin without a chat is passed over"
        assert fake.texts["description", "zh"] == "about in zh-CN"
        assert fake.texts["short_description", ""] == "short in en"
        fake.calls.clear()
        await menus.update_menus(telegram._app.bot, front)
        sets = [each for each in fake.calls if each.method.startswith("setMy")]
        assert {each.status for each in sets} <= {400}, "nothing that is so already is set again"


async def test_updates_by_webhook(fake: FakeTelegram, front: ScriptedFront) -> None:
    served = Served()
    secret = "s3cret_for_tests"
    config = CONFIG.model_copy(
        update={"webhook_url": served.url + WEBHOOK_PATH, "webhook_secret": SecretStr(secret)}
    )
    async with running(fake, front, config) as telegram:
        server = await served(telegram)
        kinds = ["message", "edited_message", "callback_query", "pre_checkout_query"]
        assert fake.webhook["allowed_updates"] == kinds
        fake.says(fake.user(7), "by push")
        await fake.seen(7, "echo: by push")
        fake.presses(fake.users[7], await _with_button(fake, front), "Next")
        await fake.seen(7, "pressed btn_1")
        assert fake.called("getUpdates") == []
        await _strangers(served.url + WEBHOOK_PATH, secret)
        assert len(front.handled) == 2
    async with aiohttp.ClientSession() as session:
        late = {"update_id": 9, "message": {}}
        headers = {"X-Telegram-Bot-Api-Secret-Token": secret}
        async with session.post(served.url + WEBHOOK_PATH, json=late, headers=headers) as answer:
            assert answer.status == 503, "not taken while stopped: Telegram sends it again"
    server.should_exit = True
    await served.task


async def _with_button(fake: FakeTelegram, front: ScriptedFront) -> Any:
    async def script(_: IncomingMessage) -> AsyncIterator[Output]:
        yield Card(lines=("card",), buttons=((Button("btn_1", "Next"),),))

    front.script = script
    fake.says(fake.users[7], "/card")
    return await fake.seen(7, "card")


async def _strangers(url: str, secret: str) -> None:
    """What must not pass: no secret, a wrong one, too much, not an update."""
    right = {"X-Telegram-Bot-Api-Secret-Token": secret}
    update = {"update_id": 1, "message": {"text": "forged"}}
    cases: list[tuple[dict[str, str], dict[str, Any], int]] = [
        ({}, {"json": update}, 403),
        ({"X-Telegram-Bot-Api-Secret-Token": secret + "x"}, {"json": update}, 403),
        (right, {"data": b"x" * 1_000_001}, 413),
        (right, {"data": b"not json"}, 400),
        (right, {"data": b"[" * 100_000}, 400),
        (right, {"json": {"message": {}}}, 400),
        (right, {"json": {"update_id": 1, "message": {"text": "no chat"}}}, 200),
    ]
    async with aiohttp.ClientSession() as session:
        for headers, body, status in cases:
            async with session.post(url, headers=headers, **body) as answer:
                assert answer.status == status, (headers, status)


async def test_a_webhook_that_is_refused_is_said_and_leaves_nothing_open(
    fake: FakeTelegram, front: ScriptedFront
) -> None:
    url = await fake.start()
    fake.fail_next("setWebhook", 400, description="Bad Request: bad webhook: https needed")
    config = CONFIG.model_copy(
        update={
            "api_url": url,
            "webhook_url": "http://bot.example/x",
            "webhook_secret": SecretStr("s"),
        }
    )
    telegram = TelegramAdapter(config, front, SystemClock())
    with pytest.raises(TelegramUnavailable) as refused:
        await telegram.start()
    assert (refused.value.token_refused, refused.value.reason) == (
        False,
        "Bad webhook: https needed",
    )
    assert not telegram._app.running


def test_a_webhook_needs_its_secret(front: ScriptedFront) -> None:
    with pytest.raises(ValueError, match="needs a webhook secret"):
        TelegramConfig(token=SecretStr(TOKEN), webhook_url="https://bot.example/webhooks/telegram")
    assert TelegramAdapter(CONFIG, front, SystemClock()).build_routes() == []


async def test_a_wrong_token_is_refused_without_being_said(
    fake: FakeTelegram, front: ScriptedFront, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url = await fake.start()
    wrong = "123456:AAwrong_wrong_wrong_wrong_wrong_wrong_1"
    config = CONFIG.model_copy(update={"token": SecretStr(wrong), "api_url": url})
    telegram = TelegramAdapter(config, front, SystemClock())
    with pytest.raises(TelegramUnavailable) as refused:
        await telegram.start()
    assert refused.value.token_refused
    assert refused.value.__cause__ is None
    assert wrong not in caplog.text + repr(config) + str(refused.value)
    await telegram.stop()


async def test_who_a_token_is(fake: FakeTelegram) -> None:
    config = CONFIG.model_copy(update={"api_url": await fake.start() + "/"})
    address = BotAddress("@credit_test_bot", "https://t.me/credit_test_bot")
    assert await fetch_bot_address(config) == address
    fake.has_topics = True
    assert await fetch_bot_address(config) == replace(address, has_topics=True)
    for odd in ("1:AAwrong", "", " ", "1:AA aa", "1:AAä", "1:AA\n"):
        wrong = config.model_copy(update={"token": SecretStr(odd)})
        with pytest.raises(TelegramUnavailable) as refused:
            await fetch_bot_address(wrong)
        assert refused.value.token_refused or odd == "1:AA\n"
    nowhere = config.model_copy(update={"api_url": "http://127.0.0.1:1"})
    with pytest.raises(TelegramUnavailable) as refused:
        await fetch_bot_address(nowhere)
    assert not refused.value.token_refused


async def test_the_token_is_in_no_log(
    fake: FakeTelegram,
    front: ScriptedFront,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bots.render.throttle._BACKOFF_SECONDS", 0.02)
    caplog.set_level(logging.DEBUG)
    async with running(fake, front):
        fake.fail_next("getUpdates", 500)
        fake.fail_next("sendMessage", 429, retry_after=1)
        fake.fail_next("sendMessage", 500)
        fake.says(fake.user(7), "hi")
        await fake.seen(7, "echo: hi")
    assert caplog.text
    assert TOKEN not in caplog.text
