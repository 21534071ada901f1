"""The text of a file that was asked about, through the unmodified clients: it goes along for an
hour, comes back while it is kept, and is found in no question."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy as sa

from core.asks.conversations import FILES_ALONG_SECONDS
from core.asks.file_repository import FILE_KEPT_SECONDS
from core.db import schema
from core.db.writes import Update
from core.money import Tokens
from tests.peers.telegram_chats import Message
from tests.support.documents import make_pdf
from tests.system import discord_support
from tests.system.canaries import columns, found
from tests.system.world import World, date_messages

_PAGES = ["The sky is blue.", "So is the sea."]
_TEXT = "sky.pdf:\n" + "\n\n".join(_PAGES)
_ASKED = f"what colour?\n\n{_TEXT}"
_MARKED = "what colour?\n\n[sky.pdf, 2 pages]"
_CLAUSE = "The party of the first part agrees with the party of the second part on this."
_WITHOUT = "Without the file"


@pytest.fixture
def world(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A chat in which no two messages are of one second: their asks are in their order."""
    return date_messages(world, monkeypatch)


def _sent(world: World | discord_support.World) -> list[str]:
    """What went to the model with the newest question."""
    return [one["content"] for one in world.service.openai.calls[-1].body["messages"]]


async def _age(world: World, seconds: int) -> None:
    """Lets so much time go by over what was asked so far."""
    ledger = world.service.app.services.base.ledger
    for table, times in (
        (schema.ask, ("created_at",)),
        (schema.attachment, ("created_at", "expires_at")),
    ):
        for row in await ledger.db.fetch(sa.select(table)):
            change: dict[str, Any] = {one: getattr(row, one) - seconds * 1000 for one in times}
            await ledger.record(Update(table, {"id": row.id}, change))


async def _ask_about_file(world: World) -> Message:
    telegram, ann = world.telegram, world.telegram.user(7)
    content = make_pdf(_PAGES)
    telegram.sends(ann, "document", content, caption="what colour?", file_name="sky.pdf")
    answer = await telegram.seen(7, "Goes along for an hour: ≈ 1 Credit a question")
    assert _sent(world) == [_ASKED]
    return answer


async def test_it_goes_along_in_its_place(world: World) -> None:
    ann = world.telegram.user(7)
    await _ask_about_file(world)
    await world.says(ann, "and the sea?", "Goes along: sky.pdf, 2 pages · ≈ 1 Credit a question")
    assert (_sent(world)[0], _sent(world)[-1]) == (_ASKED, "and the sea?")
    store = world.service.app.services.base.db
    assert not [name for name, value in await columns(store) if found(_PAGES, value)]
    export = await world.service.screen("/export")
    assert export.attachment is not None
    (kept,) = json.loads(export.attachment.content)["files"]
    assert (kept["name"], kept["text"]) == ("sky.pdf, 2 pages", _TEXT)


async def test_it_stays_where_the_history_is_left_out(world: World) -> None:
    ann = world.telegram.user(7)
    world.service.app.services.asks.conversations._max_history_tokens = Tokens(40)
    await _ask_about_file(world)
    for number in range(4):
        await world.says(ann, f"number {number}?", "Goes along: sky.pdf")
        assert _sent(world)[0] == _ASKED
    assert "number 0?" not in _sent(world)


async def test_without_the_file(world: World) -> None:
    ann = world.telegram.user(7)
    first = await _ask_about_file(world)
    await world.presses(ann, first, _WITHOUT, "goes without the file")
    after = await world.says(ann, "and the sea?", "◈")
    assert _sent(world)[0] == _MARKED
    assert "Goes along" not in after.text


async def test_after_the_hour_a_reply_brings_it_back_and_after_a_day_nothing(world: World) -> None:
    ann = world.telegram.user(7)
    first = await _ask_about_file(world)
    await _age(world, FILES_ALONG_SECONDS)
    await world.says(ann, "and the sea?", "◈")
    assert _sent(world)[0] == _MARKED
    await world.says(ann, "why so?", "Goes along: sky.pdf", reply_to=first)
    assert _sent(world)[0] == _ASKED
    await _age(world, FILE_KEPT_SECONDS)
    await world.service.app.services.asks.file_repository.delete_expired()
    await world.says(ann, "why is that?", "◈", reply_to=first)
    assert _sent(world)[0] == _MARKED
    await world.presses(ann, first, "Again", "What was in the file is kept for a day")
    assert _sent(world) == [_MARKED]


async def test_again_brings_it_back_as_often_as_it_is_pressed(world: World) -> None:
    ann = world.telegram.user(7)
    answer = await _ask_about_file(world)
    await _age(world, FILES_ALONG_SECONDS)
    for _ in range(2):
        answer = await world.presses(ann, answer, "Again", "Goes along for an hour")
        assert _sent(world) == [_ASKED]


async def test_new_and_erasure_leave_nothing(world: World) -> None:
    ann = world.telegram.user(7)
    first = await _ask_about_file(world)
    await world.says(ann, "/new", "New conversation")
    await world.says(ann, "and the sea?", "◈")
    assert _sent(world) == ["and the sea?"]
    services = world.service.app.services
    person = await world.service.person()
    key = await services.users.users.get_data_key(person)
    assert [one.text for one in await services.asks.file_repository.list_kept(person.id, key)] == [
        _TEXT
    ]
    await services.users.users.erase_history(person)
    person = await world.service.person()
    key = await services.users.users.get_data_key(person)
    assert await services.asks.file_repository.list_kept(person.id, key) == []
    await world.presses(ann, first, "Again", "no longer works")


async def test_on_discord(discord: discord_support.World) -> None:
    fake, ann = discord.discord, discord.discord.user(7)
    fake.sends(ann, make_pdf(_PAGES), name="sky.pdf", mime="x/y", text="what colour?")
    await discord.next(fake.dm(ann), "Goes along for an hour")
    fake.says(ann, "and the sea?")
    await discord.next(fake.dm(ann), "Goes along: sky.pdf")
    assert _sent(discord)[0] == _ASKED


async def test_it_stays_behind_where_the_model_has_no_room_for_both(world: World) -> None:
    telegram, ann = world.telegram, world.telegram.user(7)
    content = make_pdf(["\n".join([_CLAUSE] * 22)] * 40)
    telegram.sends(ann, "document", content, caption="who agrees?", file_name="c.pdf")
    card = await telegram.seen(7, "costs ≤ ")
    await world.presses(ann, card, "The first 20 pages", "Goes along for an hour")
    await world.says(ann, "and?", "Goes along: c.pdf, the first 20 of 40 pages")
    assert _CLAUSE in _sent(world)[0]
    after = await world.says(ann, "a b " * 900, "◈")
    assert _sent(world)[0] == "who agrees?\n\n[c.pdf, the first 20 of 40 pages]"
    assert "Goes along" not in after.text
