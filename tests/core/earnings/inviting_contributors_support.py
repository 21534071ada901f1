"""What tests of inviting contributors share."""

from __future__ import annotations

from tests.bots.commands.commands_support import text_of
from tests.core.earnings.world import Market


async def comes(bobs: Market, name: str, inviter: str) -> None:
    """Somebody new, by a link."""
    invitations = bobs.service.app.services.users.referrals
    code = await invitations.get_or_create_code(await bobs.person(inviter))
    bobs.clock.advance(seconds=1)
    noted = await bobs.service.someone(name).screen(f"/start {code}")
    assert "invitation is noted" in text_of(noted)
