"""What an operator sees of a person; see `users`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bots.chat.reply import Said, plain, say
from bots.commands.admin.limits import limit_lines
from bots.commands.text import in_credits
from core.admin.user_search import Dossier
from core.clock import as_datetime
from core.users.limits import Allowance

_POCKETS: Final = {
    "gift": say("Gifts"),
    "bought": say("Bought"),
    "earned": say("Earned"),
}


def card_lines(
    told: Dossier, *, roles: Sequence[str], tier: str, may: Allowance
) -> tuple[Said, ...]:
    """Who they are, what they have, what they did, what they may."""
    return (*_who(told, roles, tier), *_has(told), *_did(told), *limit_lines(may))


def _who(told: Dossier, roles: Sequence[str], tier: str) -> list[Said]:
    lines = [plain(told.person.id), say("Since {at}", at=as_datetime(told.person.created_at))]
    if told.erased_at:
        lines.append(say("Erased {at}", at=as_datetime(told.erased_at)))
    if len(told.names) > 1:
        lines.append(plain(", ".join(told.names)))
    if told.parts:
        lines.append(say("Joined from {count} accounts more", count=told.parts))
    lines += [say("Role: {role}", role=role) for role in sorted(roles)]
    if tier:
        lines.append(say("Tier: {tier}", tier=tier))
    if told.inviter:
        lines.append(say("Invited by {person}", person=told.inviter))
    if told.friends:
        lines.append(say("Invited {count}", count=told.friends))
    return lines


def _has(told: Dossier) -> list[Said]:
    lines = [
        say("{pocket}: {credits}", pocket=_POCKETS[name], credits=in_credits(amount))
        for name, amount in told.pockets.items()
    ]
    if told.held.units:
        lines.append(say("Reserved: {credits}", credits=in_credits(told.held)))
    if told.owed.units:
        lines.append(say("Owes: {credits}", credits=in_credits(told.owed)))
    return lines


def _did(told: Dossier) -> list[Said]:
    answers = (
        say(
            "Answers: {count}, {credits}, the last {at}",
            count=told.asks,
            credits=in_credits(told.spent),
            at=as_datetime(told.last_ask),
        )
        if told.asks
        else say("No answers yet")
    )
    return [
        answers,
        say("Orders: {count}", count=told.orders),
        *(plain(f"{one.id} · {one.state} · {one.credits.units:,}") for one in told.newest_orders),
        *(
            plain(f"{one.supplier} …{one.tail} · {one.state} · {one.credited.units:,}")
            for one in told.keys
        ),
        *(plain(f"{one.id} · {one.state} · {one.credits.units:,}") for one in told.newest_payouts),
    ]
