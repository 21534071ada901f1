"""The configuration of the Telegram front end: token, address, and how it gets its updates."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import SecretStr

#: Where Telegram's own servers are.
API_URL = "https://api.telegram.org"
WEBHOOK_PATH = "/webhooks/telegram"


@dataclass(frozen=True, slots=True)
class TelegramConfig:
    """The settings of the Telegram adapter. Without `webhook_url` the bot polls; with it a secret
    is needed.

    Raises ValueError for a webhook without its secret: nobody could tell forged updates.
    """

    token: SecretStr
    #: The address before `/bot<token>`.
    api_url: str = API_URL
    #: What Telegram is told to call; ends at `WEBHOOK_PATH` of this service.
    webhook_url: str = ""
    webhook_secret: SecretStr = field(default_factory=lambda: SecretStr(""))
    #: Least time between two messages or edits in one chat: Telegram allows about one a second,
    #: and 20 a minute in a group.
    private_interval_seconds: float = 1.0
    group_interval_seconds: float = 3.0
    #: How long running answers may take to end when the service stops.
    stop_seconds: float = 20.0
    #: How long a message near the size limit is held for the rest of a split paste.
    join_seconds: float = 1.0
    #: Long poll.
    poll_seconds: int = 20

    def __post_init__(self) -> None:
        if self.webhook_url and not self.webhook_secret.get_secret_value():
            raise ValueError("a webhook URL needs a webhook secret")

    @property
    def is_polling(self) -> bool:
        """Whether updates are fetched, not pushed."""
        return not self.webhook_url
