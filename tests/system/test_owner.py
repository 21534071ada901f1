"""The owner's role: claimed once by a code, on Discord too, and never carried along by a link."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest_asyncio

from tests.peers.discord import FakeDiscord, plain
from tests.peers.telegram import FakeTelegram
from tests.system.discord_support import World, on_discord
from tests.system.world import World as Telegram, briefs_world


@pytest_asyncio.fixture
async def both(database_url: str) -> AsyncIterator[tuple[Telegram, World]]:
    """One service on both platforms."""
    telegram, discord = FakeTelegram(), FakeDiscord()
    await telegram.start()
    await discord.start()
    try:
        async with (
            briefs_world(database_url, telegram) as there,
            on_discord(there.service, discord) as here,
        ):
            yield there, here
    finally:
        await discord.stop()
        await telegram.stop()


async def test_the_first_owner_claims_on_discord_and_a_link_moves_no_role(
    both: tuple[Telegram, World],
) -> None:
    there, here = both
    discord, tom, tim = here.discord, here.discord.user(9), there.telegram.user(7)
    talk = discord.dm(tom).id
    code = await there.service.app.services.users.roles.create_operator_code()
    # Where others read it is refused, and not used up.
    discord.slash(tom, "/start", {"code": code}, discord.text)
    await here.next(discord.text, "in private", tom)
    discord.slash(tom, "/start", {"code": code})
    await here.next(talk, "You are the owner of this service now")
    await there.says(tim, f"/start {code}", "already used")
    discord.slash(tom, "/report")
    await here.next(talk, "System layer")
    # Two become one; each side keeps the role of its own id.
    discord.slash(tom, "/link")
    told = await here.next(talk, "/link ")
    found = re.search(r"/link ([A-Z2-9-]{14})", plain(told.content))
    assert found is not None
    card = await there.says(tim, f"/link {found[1]}", "Admin rights don't move")
    await there.presses(tim, card, "Yes, that's me", "Agreed here")
    card_there = await here.next(talk, "Link your account with telegram:7?")
    discord.presses(tom, card_there, "Yes, that's me")
    await here.next(talk, "Linked: /balance")
    await there.says(tim, "/report", "operator only")
    discord.slash(tom, "/report", {}, discord.text)
    await here.next(discord.text, "System layer", tom)
    # Parted again, the name that was an owner's still is.
    discord.slash(tom, "/unlink")
    sure = await here.next(talk, "Separate this platform")
    discord.presses(tom, sure, "Yes, separate")
    await here.next(talk, "This is a new account")
    discord.slash(tom, "/audit")
    await here.next(talk, "Audit: clean")
    await there.says(tim, "/audit", "operator only")
