"""`creditbot init` at a keyboard, `check` that changes nothing, and the way from one to a service:
on Telegram, on Discord, on both."""

from __future__ import annotations

import asyncio
import base64
import re
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from dotenv import dotenv_values

from tests.peers.discord import TOKEN as DISCORD_TOKEN, FakeDiscord
from tests.peers.suppliers import Answer, FakeSupplier, Used
from tests.peers.telegram import TOKEN as TELEGRAM_TOKEN, FakeTelegram
from tests.system.commandline import PATIENCE_S, Place, place, press
from tests.system.peers import discord, telegram
from tests.system.terminals import Terminal, open_terminal

__all__ = ["discord", "place", "press", "telegram"]

KEY = "sk-canary-first-0000000001"
MASTER_KEY = base64.b64encode(bytes([7]) * 32).decode()
MODELS = ["gpt-6.1-sol", "gpt-6.1-terra"]
CONTACT = "help@example.org"
INIT, COLUMNS = [sys.executable, "-m", "bots.cli.main", "init"], 200
TELEGRAM, DISCORD = "Telegram bot token", "Discord bot token"


@pytest_asyncio.fixture
async def openai() -> AsyncIterator[FakeSupplier]:
    async with FakeSupplier("openai", models=MODELS) as supplier:
        supplier.allow(KEY)
        supplier.always(Answer("Because.", usage=Used(1_000, 500)))
        yield supplier


@pytest_asyncio.fixture
async def town(
    place: Place, telegram: FakeTelegram, discord: FakeDiscord, openai: FakeSupplier
) -> Place:
    """A place where platforms and a supplier are to be found, and nothing is set up yet."""
    place.settings = {
        "telegram_api_url": await telegram.start(),
        "discord_api_url": discord.api_url,
        "discord_gateway_url": discord.gateway_url,
        "supplier_openai_url": openai.url,
        "http_port": "0",
    }
    place.secrets = {TELEGRAM_TOKEN, DISCORD_TOKEN, KEY, MASTER_KEY}
    return place


def environment(place: Place) -> dict[str, str]:
    root = str(Path(__file__).parents[2])
    settings = {f"CREDITBOT_{name.upper()}": value for name, value in place.settings.items()}
    return {"PYTHONPATH": root, **settings}


def settings_of(file: Path) -> dict[str, str]:
    values = {name: value or "" for name, value in dotenv_values(file).items()}
    return {name.removeprefix("CREDITBOT_"): value for name, value in values.items()}


def contents(folder: Path) -> dict[str, bytes]:
    """Every file there is, byte for byte."""
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def answer_questions(terminal: Terminal, tokens: dict[str, str]) -> None:
    for question, token in tokens.items():
        terminal.until(question)
        terminal.type(f"{token}\n")
    terminal.until("Supplier of your first key [openai]: ")
    terminal.type("opnai\n")
    terminal.until("“opnai” is no supplier here.")
    terminal.until("[openai]: ")
    terminal.type("\n")
    terminal.until("OpenAI API key (hidden; Enter: later): ")
    terminal.type("hello\n")
    terminal.until("doesn't look like a key")
    terminal.until("Enter: later): ")
    terminal.type(f"{KEY}\n")
    terminal.until("that this key may cost: ")
    terminal.type("lots\n")
    terminal.until("dollars above zero")
    terminal.until("that this key may cost: ")
    terminal.type("50\n")
    terminal.until("Whom do people write to")
    terminal.type(f"{CONTACT}\n")


@pytest.mark.parametrize(
    ("on_telegram", "on_discord"), [(True, False), (False, True), (True, True)]
)
async def test_init_then_check_then_run(
    town: Place,
    telegram: FakeTelegram,
    discord: FakeDiscord,
    openai: FakeSupplier,
    on_telegram: bool,
    on_discord: bool,
) -> None:
    # At the keyboard it is OpenAI's own address: a key is looked at before it is taken.
    custom = town.settings.pop("supplier_openai_url")
    tokens = {
        TELEGRAM: TELEGRAM_TOKEN if on_telegram else "",
        DISCORD: DISCORD_TOKEN if on_discord else "",
    }
    with open_terminal(INIT, town.folder, environment(town), COLUMNS) as terminal:
        await asyncio.to_thread(answer_questions, terminal, tokens)
        assert await asyncio.to_thread(terminal.wait) == 0
        said = terminal.text
    told = settings_of(town.folder / ".env")
    assert told.pop("MASTER_KEYS")
    assert told == {
        **({"TELEGRAM_TOKEN": TELEGRAM_TOKEN} if on_telegram else {}),
        **({"DISCORD_TOKEN": DISCORD_TOKEN} if on_discord else {}),
        "SUPPLIER_OPENAI_KEY": KEY,
        "SUPPLIER_OPENAI_QUOTA": "50",
        "SUPPORT_CONTACT": CONTACT,
    }
    assert "Keep a copy of CREDITBOT_MASTER_KEYS" in said
    for step in ("creditbot check", "creditbot run", "Become its owner, once, within a day"):
        assert step in said
    assert ("creditbot discord sync" in said) is on_discord
    assert ("https://discord.com/oauth2/authorize?scope=bot" in said) is on_discord
    assert ("https://t.me/credit_test_bot?start=own_" in said) is on_telegram
    for secret in (TELEGRAM_TOKEN, DISCORD_TOKEN, KEY):
        assert secret not in said
    (code,) = set(re.findall(r"own_[\w-]{20,}", said))

    town.settings["supplier_openai_url"] = custom
    before = contents(town.folder)
    checked = await town.creditbot("check")
    assert contents(town.folder) == before
    assert "✗" not in checked.out
    line = "key openai …0001 in CREDITBOT_SUPPLIER_OPENAI_KEY, $50.00: lists 2 models"
    assert line in checked.out
    assert f"✓ support contact: {CONTACT}" in checked.out
    assert ("✓ Telegram: @credit_test_bot" in checked.out) is on_telegram
    assert ("✓ Discord: credit" in checked.out) is on_discord

    if on_discord:
        assert "commands are published" in (await town.creditbot("discord", "sync")).out
    service = await town.start("run")
    await service.said("creditbot runs")
    if on_telegram:
        ann = telegram.user(7)
        telegram.says(ann, f"/start {code}")
        await telegram.wait_for(
            lambda: any("You are the owner" in each.text for each in telegram.chat(7).bot_messages),
            PATIENCE_S,
        )
    else:
        ann = discord.user(7)
        channel = discord.dm(ann)
        discord.says(ann, f"/start {code}", channel=channel.id)
        await discord.seen(channel, "You are the owner", ann, PATIENCE_S)
    assert (await service.stopped()).code == 0
    # The database has the key now; it is told once.
    checked = await town.creditbot("check")
    assert "✗" not in checked.out
    assert checked.out.count("…0001") == 1
    assert (await town.creditbot("audit", "--json")).json["findings"] == []


async def test_enter_alone_leaves_out_and_asks_again(town: Place) -> None:
    del town.settings["supplier_openai_url"]
    with open_terminal(INIT, town.folder, environment(town), COLUMNS) as terminal:

        def answer() -> int:
            for question in (TELEGRAM, DISCORD):
                terminal.until(question)
                terminal.type("\n")
            terminal.until("needs Telegram, Discord or both")
            terminal.until(TELEGRAM)
            terminal.type("123:wrong-canary\n")
            terminal.until("refuses that token")
            terminal.until(TELEGRAM)
            terminal.type(f"{TELEGRAM_TOKEN}\n")
            terminal.until(DISCORD)
            terminal.type("\n")
            terminal.until("[openai]: ")
            terminal.type("\n")
            terminal.until("Enter: later): ")
            terminal.type("\n")
            terminal.until("No supplier key yet.")
            terminal.until("Whom do people write to")
            terminal.type("\n")
            return terminal.wait()

        assert await asyncio.to_thread(answer) == 0
        assert "Traceback" not in terminal.text
        assert "canary" not in terminal.text
    told = settings_of(town.folder / ".env")
    assert set(told) == {"MASTER_KEYS", "TELEGRAM_TOKEN"}
    checked = await town.creditbot("check", code=1)
    assert "✗ keys: none. Add one:" in checked.out


@pytest.mark.parametrize(
    ("how", "question"), [("\x03", TELEGRAM), ("\x03", "[openai]: "), ("\x04", "API key")]
)
async def test_ctrl_c_and_ctrl_d_leave_without_a_change(
    town: Place, how: str, question: str
) -> None:
    del town.settings["supplier_openai_url"]
    answers = {
        TELEGRAM: f"{TELEGRAM_TOKEN}\n",
        DISCORD: "\n",
        "[openai]: ": "\n",
        "API key": f"{KEY}\n",
        "may cost: ": "50\n",
    }
    with open_terminal(INIT, town.folder, environment(town), COLUMNS) as terminal:

        def answer() -> int:
            for asked, given in answers.items():
                terminal.until(asked)
                if asked == question:
                    break
                terminal.type(given)
            terminal.press(how, "Nothing was written.")
            return terminal.wait()

        assert await asyncio.to_thread(answer) == 130
        assert terminal.text.rstrip().endswith("Stopped. Nothing was written.")
        assert "Traceback" not in terminal.text
    assert list(town.folder.iterdir()) == []


async def test_a_pipe_answers_for_discord_too(town: Place) -> None:
    done = await town.creditbot("init", stdin=f"\n{DISCORD_TOKEN}\n")
    assert "Discord: credit" in done.out
    assert "a direct message to the bot, /start own_" in done.out
    assert settings_of(town.folder / ".env")["DISCORD_TOKEN"] == DISCORD_TOKEN
    (town.folder / ".env").unlink()
    said = await town.refused("init", stdin="\n\n")
    assert said.startswith("The service needs Telegram, Discord or both")
    (town.folder / "token").write_text(DISCORD_TOKEN)
    flags = ("--discord-token-file", "token", "--support-contact", CONTACT)
    await town.creditbot("init", *flags)
    assert settings_of(town.folder / ".env")["SUPPORT_CONTACT"] == CONTACT


async def test_check_looks_at_a_service_that_has_no_database_yet(town: Place) -> None:
    town.settings |= {
        "master_keys": MASTER_KEY,
        "telegram_token": TELEGRAM_TOKEN,
        "supplier_openai_key": KEY,
        "supplier_openai_quota": "5",
    }
    checked = await town.creditbot("check")
    assert "✓ database: not there yet; `creditbot run` makes it" in checked.out
    assert "✓ models that can be served now: 2" in checked.out
    assert list(town.folder.iterdir()) == []


async def test_check_tells_of_a_key_that_is_none(town: Place, openai: FakeSupplier) -> None:
    town.settings |= {"master_keys": MASTER_KEY, "telegram_token": TELEGRAM_TOKEN}
    town.settings |= {"supplier_openai_key": KEY, "supplier_openai_quota": "5"}
    openai.forbid(KEY)
    checked = await town.creditbot("check", code=1)
    line = "✗ key openai …0001 in CREDITBOT_SUPPLIER_OPENAI_KEY: its supplier refuses it"
    assert line in checked.out
    assert "✗ models that can be served now: 0" in checked.out


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("default_model", "gpt-99", "CREDITBOT_DEFAULT_MODEL can't be used: There is no model"),
        ("default_model", "claude", "CREDITBOT_DEFAULT_MODEL: no key serves Claude"),
        ("telegram_webhook_url", "https://bot.example/hook", "TELEGRAM_WEBHOOK_URL ends in /web"),
        ("telegram_webhook_secret", "two words", "CREDITBOT_TELEGRAM_WEBHOOK_SECRET is 1 to 256"),
        ("public_url", "http://bot.example", "CREDITBOT_PUBLIC_URL begins with https://"),
        ("supplier_anthropic_key", "hello", "CREDITBOT_SUPPLIER_ANTHROPIC_KEY doesn't look like"),
    ],
)
async def test_check_finds_what_is_wrong(town: Place, name: str, value: str, words: str) -> None:
    town.settings |= {"master_keys": MASTER_KEY, "telegram_token": TELEGRAM_TOKEN}
    town.settings |= {"supplier_openai_key": KEY, "supplier_openai_quota": "5"}
    town.settings |= {"supplier_anthropic_quota": "5", name: value}
    checked = await town.creditbot("check", code=1)
    assert [line for line in checked.out.splitlines() if line.startswith("✗")], checked.out
    assert words in checked.out
    assert list(town.folder.iterdir()) == []


async def test_check_leaves_a_database_as_it_is(town: Place, openai: FakeSupplier) -> None:
    """Also when it finds other models, and a key that its supplier refuses by now."""
    town.settings |= {"master_keys": MASTER_KEY, "telegram_token": TELEGRAM_TOKEN}
    await town.creditbot("migrate")
    await town.creditbot("keys", "add", "openai", "--budget", "5", stdin=KEY)
    with sqlite3.connect(town.database) as database:
        database.execute("UPDATE key SET models = '[]'")
    database.close()
    for is_allowed in (True, False):
        if not is_allowed:
            openai.forbid(KEY)
        before = contents(town.folder)
        checked = await town.creditbot("check", code=0 if is_allowed else 1)
        assert contents(town.folder) == before
        assert f"models that can be served now: {2 if is_allowed else 0}" in checked.out


async def test_check_leaves_what_a_crash_left(town: Place) -> None:
    """The log beside the database, which whoever closes it last would write into it."""
    town.settings |= {"master_keys": MASTER_KEY, "telegram_token": TELEGRAM_TOKEN}
    town.settings |= {"supplier_openai_key": KEY, "supplier_openai_quota": "5"}
    service = await town.start("run")
    await service.said("creditbot runs")
    await service.end()
    before = contents(town.folder)
    assert before["creditbot.db-wal"]
    checked = await town.creditbot("check")
    assert "✓ database: live" in checked.out
    after = contents(town.folder)
    index = "creditbot.db-shm"  # of the log: made anew by whoever reads it
    assert {**after, index: b""} == {**before, index: b""}
    assert (await town.creditbot("audit", "--json")).json["findings"] == []


async def test_the_restore_drill_as_the_page_has_it(town: Place) -> None:
    """In a folder of its own, with the master key alone."""
    town.settings |= {"master_keys": MASTER_KEY, "telegram_token": TELEGRAM_TOKEN}
    await town.creditbot("migrate")
    await town.creditbot("keys", "add", "openai", "--budget", "5", stdin=KEY)
    await town.creditbot("backup", "copy.db")
    town.settings = {"master_keys": MASTER_KEY, "database_url": "sqlite:///drill.db"}
    await town.creditbot("restore", "copy.db")
    assert "The ledger is exact." in (await town.creditbot("audit")).out
    checked = await town.creditbot("check", code=1)
    assert "✓ all 2 secrets can be opened" in checked.out
    assert "✓ master key opens the vault" in checked.out
    assert "✗ chat platform: none is set" in checked.out
    assert "User layer" in (await town.creditbot("report", "--days", "7d")).out
    # The wrong key is found out, not taken for a new one.
    other = base64.b64encode(bytes(32)).decode()
    checked = await town.creditbot("check", code=1, master_keys=other)
    assert "put it back into CREDITBOT_MASTER_KEYS" in checked.out
