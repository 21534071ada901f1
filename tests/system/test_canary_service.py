"""Canaries in a whole service of its own process, at its most talkative: what it and every command
of the operator's say, write and keep holds no secret and nobody's words."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest
import sqlalchemy as sa

from core.clock import SystemClock
from core.db import schema
from core.db.database import Database
from tests.peers.suppliers import Answer, Drop, FakeSupplier, Refuse, Script
from tests.peers.telegram import FakeTelegram
from tests.peers.telegram_chats import Chat
from tests.support.size import size
from tests.system.commandline import PATIENCE_S, Place, place, press

__all__ = ["place", "press"]

TOKEN = "123456:AAcanary-telegram-token-0123456789abc"
MASTER_KEY = base64.b64encode(b"canary-master-key-of-32-bytes...").decode()
SET_KEY = "sk-canary-of-the-settings-0001"
ADDED_KEY = "sk-canary-from-standard-input-2"
CHAT_KEY = "sk-canary-typed-into-a-prompt-3"
PASTED_KEY = "sk-proj-canarypasted0123456789canarypasted"
PASSWORD = "canary-database-password"
QUESTION, ANSWER, FAULT = "canary-question", "canary-answer", "canary-supplier-words"
SECRETS = {
    TOKEN,
    TOKEN.partition(":")[2],
    MASTER_KEY,
    SET_KEY,
    ADDED_KEY,
    CHAT_KEY,
    PASTED_KEY,
    PASSWORD,
}
OWNER = 60
WORDS = {QUESTION, ANSWER, FAULT}

#: How a supplier may fail, before the first token and after it; each quotes what it was sent.
FAILURES: tuple[Script, ...] = (
    Refuse(400, code="invalid_value", message=f"{FAULT} {QUESTION} {SET_KEY}"),
    Refuse(400, code="context_length_exceeded", message=f"{FAULT} {QUESTION}"),
    Refuse(429, code="rate_limit_exceeded", message=f"{FAULT} {SET_KEY}", retry_after="0"),
    Refuse(500, body=f"<html>{FAULT} {SET_KEY}</html>".encode()),
    Refuse(302, headers={"Location": f"http://127.0.0.1:1/{SET_KEY}"}, body=FAULT.encode()),
    Drop(),
    Answer(chunks=(ANSWER, FAULT), breaks_after=1),
    Answer(chunks=(ANSWER, FAULT), fails_after=1),
)


async def _talk(telegram: FakeTelegram, openai: FakeSupplier) -> None:
    """Everything happens once, each in a chat with somebody new."""
    openai.always(Answer(ANSWER))
    for number, script in enumerate((Answer(ANSWER), *FAILURES)):
        person = telegram.user(70 + number)
        telegram.says(person, "/model mine")
        await telegram.seen(70 + number, "answers you from now on")
        openai.script(script)
        if number == 1:
            telegram.fail_next("sendMessage", 500, description=f"{ANSWER} {TOKEN}")
        telegram.says(person, f"/ask {QUESTION} {number}")
    talks = [telegram.chat(70 + number) for number in range(len(FAILURES) + 1)]
    await telegram.wait_for(lambda: all(map(_ended, talks)), PATIENCE_S)
    telegram.says(telegram.users[70], f"here: {PASTED_KEY}")
    await telegram.seen(70, "looks like a secret key")
    owner = telegram.user(OWNER)
    for key, told in ((CHAT_KEY, "Added OpenAI"), (CHAT_KEY, "in the pool already")):
        telegram.says(owner, "/pool add openai 5")
        telegram.says(owner, key)
        await telegram.seen(OWNER, told, seconds=PATIENCE_S)
    telegram.says(telegram.users[70], "/export")
    await telegram.wait_for(lambda: any(each.file for each in telegram.chat(70).messages))


def _ended(chat: Chat) -> bool:
    """An answer has its footer; what is refused tells that nothing was charged."""
    return any("◈" in each.text or "charged" in each.text for each in chat.bot_messages)


@pytest.fixture(params=["postgresql", "sqlite"][: size(small=1, full=2)])
def database(request: pytest.FixtureRequest) -> str:
    """A PostgreSQL's address with a password in it, or nothing for the usual file."""
    if request.param == "sqlite":
        return ""
    url: str = request.getfixturevalue("postgres_url")
    # The server asks nobody for a password; that it is never said is ours to keep.
    with_password = re.sub(r"^postgresql://(\w*)(:[^@/]*)?@?", rf"postgresql://\1:{PASSWORD}@", url)
    assert PASSWORD in with_password
    return with_password


async def test_a_talkative_service_and_its_operator_say_no_secret(
    place: Place, database: str
) -> None:
    telegram = FakeTelegram(token=TOKEN)
    place.secrets = {*SECRETS, *WORDS}
    async with FakeSupplier("openai", models=["mine"]) as openai:
        openai.allow(SET_KEY, ADDED_KEY, CHAT_KEY)
        try:
            place.settings = {
                "telegram_api_url": await telegram.start(),
                "telegram_token": TOKEN,
                "supplier_openai_url": openai.url,
                "supplier_openai_key": SET_KEY,
                "supplier_openai_quota": "50",
                "master_keys": MASTER_KEY,
                "admins": f"telegram:{OWNER}",
                "log_level": "debug",
                "http_port": "0",
            }
            if database:
                place.settings["database_url"] = database
            await place.creditbot("migrate")
            await place.creditbot("keys", "add", "openai", "--budget", "5", stdin=ADDED_KEY)
            service = await place.start("run")
            await service.said("creditbot runs")
            await _talk(telegram, openai)
            await place.creditbot("check")
            await _operate(place)
            done = await service.stopped()
            assert done.code == 0
            assert '"level": "debug"' in done.err, "it was not talkative"
        finally:
            await telegram.stop()
    for call in openai.calls:
        assert call.headers.pop("Authorization") == f"Bearer {call.key}"
        assert "canary" not in str(call.headers) + call.path
        assert not any(secret in str(call.body) for secret in SECRETS)
    await _columns_are_clean(place)
    told = "".join(each.text for chat in telegram.chats.values() for each in chat.bot_messages)
    assert not [secret for secret in (*SECRETS, FAULT) if secret in told]


async def _operate(place: Place) -> None:
    """Every command that shows or writes something; what they say is looked at by `Place`."""
    for command in (
        ("keys", "list"),
        ("audit", "--json"),
        ("report", "--json"),
        ("report",),
        ("export", "--format", "csv"),
        ("export", "--format", "beancount"),
    ):
        await place.creditbot(*command)
    wrong = {**place.settings, "master_keys": base64.b64encode(bytes(32)).decode()}
    await place.refused("keys", "list", **wrong)
    await place.refused("run", **{**place.settings, "http_port": "many"})
    if place.database.exists():
        await place.creditbot("backup", "copy.db")
        for file in place.folder.iterdir():
            _clean(file.name, file.read_bytes())


def _clean(where: str, content: bytes) -> None:
    for canary in (*SECRETS, *WORDS):
        for form in (canary.encode(), base64.b64encode(canary.encode()).rstrip(b"=")):
            assert form not in content, f"{canary} is in {where}"


async def _columns_are_clean(place: Place) -> None:
    url = place.settings.get("database_url", f"sqlite:///{Path(place.database)}")
    store = await Database.open(url, kind=None, clock=SystemClock())
    try:
        rows = 0
        for table in schema.metadata.sorted_tables:
            for row in await store.fetch(sa.select(table)):
                rows += 1
                for name, value in row._mapping.items():
                    content = value if isinstance(value, bytes) else str(value).encode()
                    _clean(f"{table.name}.{name}", content)
        assert rows > 100
    finally:
        await store.close()
