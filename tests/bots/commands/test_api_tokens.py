"""`/api` as a person meets it: a token is made, shown once, bounded and ended, and its secret is
nowhere else."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from bots.chat.types import Card, FormCard, Place
from core.api_tokens.secret_form import SCANNER_PATTERN, generate_secret
from core.api_tokens.service import ApiTokens
from core.api_tokens.types import ApiToken, InvalidToken
from core.money import Credits
from tests.bots.commands.admin.broadcast_support import Chats
from tests.bots.commands.commands_support import button, text_of
from tests.support import service
from tests.support.databases import TestClock
from tests.support.service import Service
from tests.system import canaries
from tests.system.canaries import Everything, columns, logs

__all__ = ["logs"]

HOME = "192.0.2.7"


@pytest.fixture
async def tom(sqlite_url: str, clock: TestClock) -> AsyncIterator[Service]:
    async with service.running(sqlite_url, clock, api=True) as made:
        yield made


def tokens_of(tom: Service) -> ApiTokens:
    return tom.app.services.api.tokens


async def press(tom: Service, card: Card, label: str) -> Card:
    shown = (await tom.presses(button(card, label)))[-1]
    assert isinstance(shown, Card), shown
    return shown


async def make(tom: Service) -> tuple[Card, str]:
    """The card that shows a new token, and its secret."""
    about = await press(tom, await tom.screen("/api"), "Make a token")
    assert "1,000 Credits" in text_of(about)
    shown = await press(tom, about, "Make it")
    (secret,) = set(re.findall(SCANNER_PATTERN, text_of(shown)))
    return shown, secret


async def fill(tom: Service, card: Card, label: str, typed: str) -> Card:
    """What comes of a form behind a button."""
    assert isinstance((await tom.presses(button(card, label)))[-1], FormCard)
    shown = (await tom.says(typed))[-1]
    assert isinstance(shown, Card), shown
    return shown


async def get_only_token(tom: Service) -> ApiToken:
    (token,) = await tokens_of(tom).list_tokens((await tom.person()).id)
    return token


async def test_a_token_is_made_by_two_taps_and_shown_once(tom: Service) -> None:
    shown, secret = await make(tom)
    assert shown.private
    assert "http://127.0.0.1:8090" in text_of(shown)
    assert secret in {one.copy for row in shown.buttons for one in row}
    token = await tokens_of(tom).authenticate(secret, HOME)
    assert token.person == (await tom.person()).id
    saved = await press(tom, shown, "Saved")
    listed = await tom.screen("/api")
    for card in (saved, listed):
        assert secret not in text_of(card)
        assert token.label in text_of(card)
    # Each tap that makes one counts once.
    again = await tom.presses(button(shown, "Saved"))
    assert "no longer works" in text_of(*again)


async def test_after_ten_minutes_a_secret_leaves_the_chat(tom: Service, clock: TestClock) -> None:
    chats = Chats()
    tom.app.chat.redelivery.register_notifier("telegram", chats)
    about = await press(tom, await tom.screen("/api"), "Make a token")
    await tom.presses(button(about, "Make it"), message="77")
    saved, _ = await make(tom)
    await press(tom, saved, "Saved")
    clock.advance(seconds=599)
    await tom.app.chat.notifications.deliver_due()
    assert chats.shown == []
    clock.advance(seconds=1)
    await tom.app.chat.notifications.deliver_due()
    ((who, message, line),) = chats.replaced
    assert (who, message) == ("7", "77")
    assert "isn't shown any more" in line
    assert re.search(SCANNER_PATTERN, text_of(*[card for _, card in chats.shown])) is None


async def test_make_it_works_once(tom: Service) -> None:
    about = await press(tom, await tom.screen("/api"), "Make a token")
    await press(tom, about, "Make it")
    assert "no longer works" in text_of(*await tom.presses(button(about, "Make it")))
    await get_only_token(tom)


async def test_a_token_is_bounded_by_its_card(tom: Service) -> None:
    await make(tom)
    card = await press(tom, await tom.screen("/api"), "token 1")
    card = await fill(tom, card, "Rename", "my server")
    assert card.title == "my server"
    card = await press(tom, card, "10,000 a day")
    assert (await get_only_token(tom)).per_day == Credits(10_000)
    card = await fill(tom, card, "Another cap", "2,500")
    assert "2,500 Credits" in text_of(card)
    card = await fill(tom, card, "Models", "GPT-4")
    card = await fill(tom, card, "Networks", "192.0.2.7/24, 2001:db8::/32")
    assert "192.0.2.0/24" in text_of(card)
    token = await get_only_token(tom)
    assert (token.name, token.per_day, token.models) == ("my server", Credits(2_500), ("gpt-4",))
    assert token.networks == ("192.0.2.0/24", "2001:db8::/32")
    card = await fill(tom, card, "Models", "all")
    await fill(tom, card, "Networks", "ALL")
    token = await get_only_token(tom)
    assert (token.models, token.networks) == ((), ())


@pytest.mark.parametrize(
    ("label", "typed", "told"),
    [
        ("Another cap", "0", "must be from 1"),
        ("Another cap", "-5", "must be from 1"),
        ("Another cap", "much", "isn't a whole number"),
        ("Another cap", "1000000001", "must be from 1"),
        ("Models", "gpt-4, no-such-model", "no-such-model"),
        ("Models", ",".join(["gpt-4"] * 51), "At most 50 models"),
        ("Networks", "everywhere", "“everywhere” is no address"),
        ("Rename", "{secret}", "looks like a secret key"),
        ("Models", "gpt-4, {secret}", "looks like a secret key"),
        ("Networks", "{secret}", "looks like a secret key"),
    ],
)
async def test_what_can_not_be_changes_nothing(
    tom: Service, label: str, typed: str, told: str
) -> None:
    _, secret = await make(tom)
    before = await get_only_token(tom)
    card = await press(tom, await tom.screen("/api"), "token 1")
    said = text_of(await fill(tom, card, label, typed.format(secret=secret)))
    assert told in said
    assert secret not in said
    assert await get_only_token(tom) == before


async def test_it_is_revoked_by_a_second_tap(tom: Service) -> None:
    _, secret = await make(tom)
    sure = await press(tom, await press(tom, await tom.screen("/api"), "token 1"), "Revoke")
    await tokens_of(tom).authenticate(secret, HOME)
    assert "token 1 is revoked" in text_of(await press(tom, sure, "Yes, revoke it"))
    with pytest.raises(InvalidToken):
        await tokens_of(tom).authenticate(secret, HOME)


async def test_nobody_presses_for_somebody_else(tom: Service) -> None:
    shown, _ = await make(tom)
    other = tom.someone("8")
    assert "somebody else" in text_of(*await other.presses(button(shown, "Saved")))
    assert "token 1" not in text_of(await other.screen("/api"))


async def test_in_a_group_nothing_is_shown(tom: Service) -> None:
    await make(tom)
    group = replace(tom, place=Place("telegram", "-100", private=False))
    told = text_of(*await group.says("/api"))
    assert "in private" in told
    assert "cbk_" not in told


async def test_without_the_api_there_is_no_command(sqlite_url: str, clock: TestClock) -> None:
    async with service.running(sqlite_url, clock) as tom:
        assert "There is no command /api" in text_of(await tom.screen("/api"))
        # A token of before is a secret all the same.
        warned = await tom.screen(f"is it {generate_secret()}?")
        assert "looks like a secret key" in text_of(warned)
        assert warned.erase_incoming


async def test_linking_ends_tokens_and_none_is_made_for_a_while(
    tom: Service, clock: TestClock
) -> None:
    _, secret = await make(tom)
    clock.advance(seconds=5)
    tim = replace(tom, place=Place("discord", "9"), sender="9")
    code = re.search(r"/link ([A-Z2-9-]{14})", text_of(await tom.screen("/link")))
    assert code is not None
    await press(tim, await tim.screen(f"/link {code[1]}"), "Yes")
    assert await tokens_of(tom).authenticate(secret, HOME)
    # Here that counts at once.
    await press(tom, await tom.screen("/link"), "Yes")
    with pytest.raises(InvalidToken):
        await tokens_of(tom).authenticate(secret, HOME)
    for chat in (tom, tim):
        about = await press(chat, await chat.screen("/api"), "Make a token")
        assert "can be made again from" in text_of(await press(chat, about, "Make it"))
    clock.advance(days=3)
    _, secret = await make(tom)
    assert await tokens_of(tom).authenticate(secret, HOME)
    # So does parting, on both sides.
    await press(tim, await tim.screen("/unlink"), "Yes")
    with pytest.raises(InvalidToken):
        await tokens_of(tom).authenticate(secret, HOME)
    for chat in (tom, tim):
        about = await press(chat, await chat.screen("/api"), "Make a token")
        assert "can be made again from" in text_of(await press(chat, about, "Make it"))


async def test_what_becomes_of_a_token_is_told(tom: Service, clock: TestClock) -> None:
    chats = Chats()
    tom.app.chat.redelivery.register_notifier("telegram", chats)
    _, secret = await make(tom)
    token = await tokens_of(tom).authenticate(secret, HOME)
    for address in (HOME, "198.51.100.1"):
        await tokens_of(tom).record_use(token, address)
        clock.advance(seconds=1)
    await tom.app.chat.notifications.deliver_due()
    told = [text_of(card) for _, card in chats.shown]
    assert [who for who, _ in chats.shown] == ["7", "7"]
    assert any("used for the first time" in one for one in told)
    assert any("from a network for the first time" in one for one in told)
    assert all(token.label in one and HOME not in one for one in told)


async def test_whoever_pastes_a_token_can_end_it(tom: Service) -> None:
    chats = Chats()
    tom.app.chat.redelivery.register_notifier("telegram", chats)
    _, secret = await make(tom)
    calls = len(tom.openai.calls)
    finder = tom.someone("8")
    warned = await finder.screen(f"look what I found: {secret}, whose is it?")
    assert warned.erase_incoming
    assert len(tom.openai.calls) == calls
    assert "Revoked" in text_of(await press(finder, warned, "Revoke it"))
    with pytest.raises(InvalidToken):
        await tokens_of(tom).authenticate(secret, HOME)
    await tom.app.chat.notifications.deliver_due()
    ((who, card),) = chats.shown
    assert who == "7"
    assert "found in a chat" in text_of(card)
    # One that opens nothing has no button.
    assert warned.buttons
    assert not (await finder.screen(secret)).buttons
    assert not (await finder.screen(generate_secret())).buttons


async def test_an_export_lists_tokens_and_an_erasure_leaves_no_name(tom: Service) -> None:
    _, secret = await make(tom)
    card = await press(tom, await tom.screen("/api"), "token 1")
    await fill(tom, card, "Rename", "canary-name")
    exported = await tom.screen("/export")
    assert exported.attachment is not None
    (listed,) = json.loads(exported.attachment.content)["api_tokens"]
    assert (listed["name"], listed["revoked"]) == ("canary-name", None)
    assert secret not in exported.attachment.content.decode()
    sure = await press(tom, await tom.screen("/privacy"), "Erase everything")
    assert "is erased" in text_of(await press(tom, sure, "Yes, erase everything"))
    store = tom.app.services.base.db
    labels = {name for name, value in await columns(store) if listed["token"].encode() in value}
    assert labels == set()
    names = {name for name, value in await columns(store) if b"canary-name" in value}
    assert "api_token.name" not in names


async def test_a_secret_is_in_no_table_no_log_no_notice(
    tom: Service, clock: TestClock, logs: Everything
) -> None:
    shown, secret = await make(tom)
    token = await tokens_of(tom).authenticate(secret, HOME)
    for address in (HOME, "198.51.100.1"):
        await tokens_of(tom).record_use(token, address)
    await tom.screen(f"/ask gpt-4 what is {secret}")
    await tom.screen(secret)
    card = await press(tom, await tom.screen("/api"), "token 1")
    await fill(tom, card, "Rename", secret)
    await fill(tom, card, "Models", f"gpt-4, {secret}")
    await fill(tom, card, "Networks", secret)
    await press(tom, shown, "Saved")
    random = secret[8:-6]
    for looked_for in (secret, random):
        stored = [name async for name in _find_in_columns(tom, looked_for)]
        assert stored == []
        assert canaries.found([looked_for], "\n".join(logs.lines)) == []
    assert secret not in repr(token)


async def _find_in_columns(tom: Service, looked_for: str) -> AsyncIterator[str]:
    for name, value in await columns(tom.app.services.base.db):
        if canaries.found([looked_for], value):
            yield name
