"""What is said of tokens: refusals, and what is told without having been asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from bots.chat.reply import Phrase, say
from core.api_tokens.types import (
    API_FIRST_USED,
    API_HALF_SPENT,
    API_PASTE_FOUND,
    API_SHOWN_ONCE,
    API_USED_ELSEWHERE,
    BadNetwork,
    BadTokenName,
    TokensPaused,
    TooManyTokens,
    UnknownToken,
)
from core.clock import as_datetime
from core.jobs.notifications import Notification

#: Kinds of notifications about tokens.
API_KINDS: Final = (
    *(API_FIRST_USED, API_USED_ELSEWHERE, API_HALF_SPENT),
    *(API_PASTE_FOUND, API_SHOWN_ONCE),
)


def _explain_pause(refusal: TokensPaused) -> Phrase:
    return say(
        "Your chats were linked or parted just now: tokens can be made again from {time} on.",
        time=as_datetime(refusal.until),
    )


#: Refusals about tokens, as `bots.commands.errors` has those of everything.
TOKEN_SENTENCES: Final[Mapping[type, Phrase | Callable[[Any], Phrase]]] = {
    UnknownToken: say("That token has ended. /api lists those that work."),
    TooManyTokens: say(
        "You have {most} tokens, as many as anybody may. Nothing was made. Revoke one first: /api"
    ),
    TokensPaused: _explain_pause,
    BadTokenName: say(
        "A name has 1 to {most} characters that can be seen, and is no secret. Nothing was changed."
    ),
    BadNetwork: say(
        "“{given}” is no address and no network like 192.0.2.0/24, or one too many: at most {most}."
        " Nothing was changed."
    ),
}


def compose_api_notification(notification: Notification) -> tuple[Phrase, tuple[Phrase, ...]]:
    """What became of a token, as its person reads it."""
    facts = notification.facts
    name, label = str(facts["name"]), str(facts["label"])
    if notification.kind == API_PASTE_FOUND:
        return say("🔑 Your API token was found in a chat"), (
            say("{name} ({label}) was revoked. Make a new one: /api", name=name, label=label),
        )
    if notification.kind == API_SHOWN_ONCE:
        return say("Your token: {name}", name=name), (
            say(
                "{label} isn't shown any more. If you haven't kept it, revoke it: /api", label=label
            ),
        )
    if notification.kind == API_HALF_SPENT:
        return say("🔑 Half of a day's cap is used"), (
            say("{name} ({label}): the rest is there until 0:00 UTC.", name=name, label=label),
            say("Change its cap or revoke it: /api"),
        )
    told = (
        say("{name} ({label}) was used for the first time.", name=name, label=label)
        if notification.kind == API_FIRST_USED
        else say(
            "{name} ({label}) was used from a network for the first time.", name=name, label=label
        )
    )
    return say("🔑 Your API token is used"), (told, say("If that wasn't you, revoke it: /api"))
