"""A token as its person sees it, and refusals about tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from core.errors import REPEATED_LENGTH_MAX, Refusal
from core.money import Credits

#: How many tokens of a person may live at once.
TOKENS_MAX: Final = 10
#: A token that is made may spend so much a UTC day, for so many days, unless its person says more.
DEFAULT_PER_DAY: Final = Credits(1_000)
LIFETIME_DAYS: Final = 90
#: The most that a token may be let spend a day.
PER_DAY_MAX: Final = Credits(1_000_000_000)
#: Nobody makes a token so soon after their chats were linked or parted.
PAUSE_HOURS: Final = 72
NAME_CHARS_MAX: Final = 40
#: A token may be kept to so many models and networks at most.
MODELS_MAX: Final = 50
NETWORKS_MAX: Final = 20

#: Kinds of notifications: a token's first use, its use from another network, half of a day's cap
#: used, and one that was found in a chat and revoked there.
API_FIRST_USED: Final = "api_token_used_first"
API_USED_ELSEWHERE: Final = "api_token_used_elsewhere"
API_HALF_SPENT: Final = "api_token_half_spent"
API_PASTE_FOUND: Final = "api_token_found"
#: And one that takes the place of the message in which a secret was shown, so many seconds later.
API_SHOWN_ONCE: Final = "api_token_shown"
SHOWN_SECONDS: Final = 600


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A token by which programs ask in a person's name; never its secret."""

    id: str
    person: str
    name: str
    #: Its first and last characters: `cbk_1a2b…wxyz`.
    label: str
    created_at: int
    expires_at: int
    last_used_at: int | None
    #: What it may spend in a UTC day.
    per_day: Credits
    #: Ids of the models, and networks, that it is for; empty: all.
    models: tuple[str, ...]
    networks: tuple[str, ...]


class InvalidToken(Refusal):
    """A secret that opens nothing: malformed, unknown, revoked or expired. Which of these isn't
    told to whoever has it."""

    code: ClassVar[str] = "invalid_token"


class NetworkNotAllowed(Refusal):
    """The token is kept to networks, and this address is in none of them."""

    code: ClassVar[str] = "network_not_allowed"


class UnknownToken(Refusal):
    """The person has no such token that still lives."""

    code: ClassVar[str] = "unknown_token"


class TooManyTokens(Refusal):
    """The person has as many live tokens as anybody may have."""

    code: ClassVar[str] = "too_many_tokens"

    def __init__(self) -> None:
        self.most = TOKENS_MAX


class TokensPaused(Refusal):
    """The person's chats have just been linked or parted: none is made `until` then
    (milliseconds)."""

    code: ClassVar[str] = "tokens_paused"

    def __init__(self, until: int) -> None:
        self.until = until


class BadTokenName(Refusal):
    """A token's name is empty or too long, or has signs that nobody sees."""

    code: ClassVar[str] = "bad_token_name"

    def __init__(self) -> None:
        self.most = NAME_CHARS_MAX


class BadNetwork(Refusal):
    """What was given is no address and no network like 192.0.2.0/24, or there are too many."""

    code: ClassVar[str] = "bad_network"

    def __init__(self, given: str) -> None:
        self.given, self.most = given[:REPEATED_LENGTH_MAX], NETWORKS_MAX
