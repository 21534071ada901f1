"""What the fake Telegram remembers: people, chats and what is seen in them; and its refusals."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


class Refusal(Exception):
    """What the real server would answer with `ok: false`."""

    def __init__(self, status: int, description: str, **parameters: int) -> None:
        super().__init__(description)
        self.status = status
        self.description = description
        self.parameters = parameters


@dataclass(slots=True)
class User:
    """A person with an account."""

    id: int
    language: str = "en"
    name: str = "Ann"
    #: Has blocked the bot, or never opened a chat with it.
    unreachable: bool = False

    def as_json(self) -> dict[str, Any]:
        user = {"id": self.id, "is_bot": False, "first_name": self.name}
        return user | ({"language_code": self.language} if self.language else {})


@dataclass(slots=True)
class Message:
    """A message as it is seen now."""

    id: int
    chat: int
    #: A person's id; 0 is the bot.
    sender: int
    text: str
    entities: list[dict[str, Any]] = field(default_factory=list)
    #: Rows of (label, callback data or URL).
    buttons: list[list[tuple[str, str]]] = field(default_factory=list)
    thread: int | None = None
    reply_to: int | None = None
    file: tuple[str, bytes] | None = None
    #: What can be paid, with its payload, which the payer doesn't see.
    invoice: dict[str, Any] = field(default_factory=dict)
    edits: int = 0
    #: It was sent without a sound.
    silent: bool = False

    @property
    def labels(self) -> list[str]:
        """What is written on its buttons, in order."""
        return [label for row in self.buttons for label, _ in row]

    def part(self, entity: dict[str, Any]) -> str:
        """The text that an entity covers."""
        units = self.text.encode("utf-16-le")
        start, length = entity["offset"], entity["length"]
        return units[2 * start : 2 * (start + length)].decode("utf-16-le")


@dataclass(slots=True)
class Chat:
    """A private chat (its id is the person's), a group or a forum."""

    id: int
    type: str
    title: str = ""
    forum: bool = False
    #: What is seen now, oldest first.
    messages: list[Message] = field(default_factory=list)
    #: The preview that is seen now, private chats only.
    draft: str = ""
    drafts: list[str] = field(default_factory=list)
    drafts_refused: bool = False
    #: The status and description with which it refuses whatever is sent to it.
    refuses: tuple[int, str] | None = None
    #: The supergroup that it became.
    moved_to: int | None = None
    #: How many messages it counted, where it counts its own.
    own_count: int | None = None

    @property
    def private(self) -> bool:
        return self.type == "private"

    @property
    def bot_messages(self) -> list[Message]:
        """Only the bot's."""
        return [message for message in self.messages if message.sender == 0]

    @property
    def last(self) -> Message:
        """The bot's newest message; there must be one."""
        return self.bot_messages[-1]

    def find(self, message: int) -> Message | None:
        return next((each for each in self.messages if each.id == message), None)

    def as_json(self) -> dict[str, Any]:
        chat: dict[str, Any] = {"id": self.id, "type": self.type}
        if self.private:
            return chat | {"first_name": "Ann"}
        return chat | {"title": self.title} | ({"is_forum": True} if self.forum else {})


def utf16(text: str) -> int:
    """Length as Telegram counts it."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def checked_text(text: str, *, least: int = 1) -> str:
    """The text, trimmed as the server does; refuses what is empty or too long."""
    trimmed = text.strip()
    if least and not trimmed:
        raise Refusal(400, "Bad Request: message text is empty")
    if utf16(trimmed) > 4096:
        raise Refusal(400, "Bad Request: message is too long")
    return text


def checked_entities(entities: list[dict[str, Any]], text: str) -> list[dict[str, Any]]:
    """Refuses entities that the real server drops or refuses: a sender should make none such."""
    if len(entities) > 100:
        raise Refusal(400, "Bad Request: too many entities")
    units = text.encode("utf-16-le")
    for entity in entities:
        start, length = entity["offset"], entity["length"]
        if start < 0 or length <= 0 or start + length > len(units) // 2:
            raise Refusal(400, "Bad Request: can't parse entities: entity is out of range")
        try:
            units[2 * start : 2 * (start + length)].decode("utf-16-le")
        except UnicodeDecodeError:
            raise Refusal(400, "Bad Request: can't parse entities: half a character") from None
    return entities


def checked_buttons(markup: dict[str, Any] | None) -> list[list[tuple[str, str]]]:
    """The keyboard as rows of (label, data); refuses data that is empty or over 64 bytes."""
    rows = []
    for row in (markup or {}).get("inline_keyboard", []):
        cells = []
        for button in row:
            if "copy_text" in button:
                copied = button["copy_text"]["text"]
                if not 1 <= len(copied) <= 256 or set(button) != {"text", "copy_text"}:
                    raise Refusal(400, "Bad Request: BUTTON_COPY_TEXT_INVALID")
                cells.append((button["text"], copied))
                continue
            data = button.get("callback_data", "")
            if "url" not in button and not 1 <= len(data.encode()) <= 64:
                raise Refusal(400, "Bad Request: BUTTON_DATA_INVALID")
            cells.append((button["text"], button.get("url") or data))
        rows.append(cells)
    return rows
