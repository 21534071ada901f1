"""What the fake Discord remembers: people, channels, messages, interactions; and its refusals."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

EPHEMERAL = 1 << 6
TEXT, DM, THREAD = 0, 1, 11
SLASH, COMPONENT, AUTOCOMPLETE, SUBMIT = 2, 3, 4, 5


class Refusal(Exception):
    """What the real server answers with an error."""

    def __init__(self, status: int, code: int, message: str = "refused", **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"code": code, "message": message, **more}


@dataclass(slots=True)
class User:
    """A person with an account."""

    id: int
    locale: str = "en-US"
    name: str = "ann"
    bot: bool = False
    #: Takes no direct messages from the bot.
    unreachable: bool = False

    def as_json(self) -> dict[str, Any]:
        return {
            "id": str(self.id),
            "username": self.name,
            "discriminator": "0",
            "global_name": self.name,
            "avatar": None,
            "bot": self.bot,
        }


@dataclass(slots=True)
class Message:
    """A message as it is seen now."""

    id: int
    channel: int
    author: User
    content: str
    components: list[dict[str, Any]] = field(default_factory=list)
    files: list[tuple[str, bytes]] = field(default_factory=list)
    #: Only this person sees it.
    only_for: int | None = None
    reply_to: int | None = None
    edits: int = 0
    #: Everything that it showed, oldest first.
    history: list[str] = field(default_factory=list)
    #: Made by an interaction, and answered with it.
    gone: bool = False

    @property
    def parts(self) -> list[dict[str, Any]]:
        return [each for row in self.components for each in row["components"]]

    @property
    def labels(self) -> list[str]:
        """What is written on its buttons and in its menus, in order."""
        return [label for label, _, _ in self.choices]

    @property
    def choices(self) -> list[tuple[str, str, str | None]]:
        """(label, custom id, value of an option)."""
        found: list[tuple[str, str, str | None]] = []
        for part in self.parts:
            if part.get("sku_id"):
                found.append(("", part["sku_id"], None))
            elif part["type"] == 2:
                found.append((part["label"], part.get("custom_id") or part["url"], None))
            else:
                found += [
                    (option["label"], part["custom_id"], option["value"])
                    for option in part["options"]
                ]
        return found


@dataclass(slots=True)
class Channel:
    """A text channel, a thread or a direct chat."""

    id: int
    type: int
    guild: int | None = None
    parent: int | None = None
    #: The person of a direct chat.
    person: int | None = None
    #: The bot is there, and may delete others' messages.
    bot_inside: bool = True
    bot_moderates: bool = False
    #: The status and code with which it refuses whatever is sent to it.
    refuses: tuple[int, int] | None = None
    #: What was ever said, oldest first; what was deleted is gone.
    messages: list[Message] = field(default_factory=list)

    def find(self, message: int) -> Message | None:
        return next((each for each in self.messages if each.id == message and not each.gone), None)

    def seen(self, viewer: int | None = None) -> list[Message]:
        """What somebody sees; without a viewer what everybody sees."""
        return [each for each in self.messages if not each.gone and each.only_for in (None, viewer)]


@dataclass(slots=True)
class Interaction:
    """One command, press or completion, and what became of it."""

    id: int
    token: str
    kind: int
    user: User
    channel: Channel
    made_at: float
    payload: dict[str, Any] = field(default_factory=dict)
    pressed: Message | None = None
    acknowledged: bool = False
    callbacks: list[int] = field(default_factory=list)
    #: Why it failed for its person: the callback that never came in time.
    ephemeral: bool = False
    thinking: bool = False
    original: Message | None = None
    followups: int = 0
    choices: list[dict[str, Any]] = field(default_factory=list)
    #: The dialog that it opened.
    modal: dict[str, Any] = field(default_factory=dict)

    @property
    def inputs(self) -> list[dict[str, Any]]:
        """What can be typed into the dialog."""
        return [each["component"] for each in self.modal["components"]]


def units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _invalid(what: str) -> Refusal:
    return Refusal(400, 50035, f"Invalid Form Body: {what}")


def checked_content(content: str | None) -> str:
    if units(content or "") > 2000:
        raise _invalid("content: Must be 2000 or fewer in length.")
    return content or ""


def checked_components(
    rows: list[dict[str, Any]] | None, skus: Collection[int] = ()
) -> list[dict[str, Any]]:
    """Refuses what the real one refuses of rows, buttons and menus; `skus` can be bought."""
    rows = rows or []
    ids: list[str] = []
    if len(rows) > 5:
        raise _invalid("components: at most 5 rows")
    for row in rows:
        parts = row.get("components", [])
        if row.get("type") != 1 or not 1 <= len(parts) <= 5:
            raise _invalid("components: 1 to 5 in a row")
        if len(parts) > 1 and any(part["type"] == 3 for part in parts):
            raise _invalid("components: a menu fills its row")
        for part in parts:
            if "custom_id" in part:
                ids.append(part["custom_id"])
            _check_part(part, skus)
    if len(set(ids)) != len(ids) or not all(1 <= len(each) <= 100 for each in ids):
        raise _invalid("custom_id: unique, 1 to 100")
    return rows


def _check_part(part: dict[str, Any], skus: Collection[int]) -> None:
    if part.get("style") == 6 or "sku_id" in part:
        if set(part) - {"id"} != {"type", "style", "disabled", "sku_id"} or part["style"] != 6:
            raise _invalid("a premium button has a sku_id and nothing else")
        if int(part["sku_id"]) not in skus:
            raise _invalid("sku_id: unknown")
        return
    if part["type"] == 2:
        if not 1 <= len(part["label"]) <= 80:
            raise _invalid("label: 1 to 80")
        leads = part.get("url") is not None
        if leads != (part["style"] == 5) or leads == (part.get("custom_id") is not None):
            raise _invalid("a link has a url and no custom_id, any other button the reverse")
        if leads and not part["url"].startswith(("http://", "https://", "discord://")):
            raise _invalid("url: scheme")
        return
    options = part["options"]
    values = [option["value"] for option in options]
    if part["type"] != 3 or not 1 <= len(options) <= 25 or len(set(values)) != len(values):
        raise _invalid("options: 1 to 25, different")
    if len(part.get("placeholder") or "") > 150:
        raise _invalid("placeholder: at most 150")
    for option in options:
        if not (1 <= len(option["label"]) <= 100 and 1 <= len(option["value"]) <= 100):
            raise _invalid("option: 1 to 100")


def checked_modal(modal: dict[str, Any]) -> dict[str, Any]:
    """Refuses what the real one refuses of a dialog."""
    parts = modal["components"]
    if not (1 <= len(modal["title"]) <= 45 and 1 <= len(modal["custom_id"]) <= 100):
        raise _invalid("modal: title 1 to 45, custom_id 1 to 100")
    if not 1 <= len(parts) <= 5:
        raise _invalid("components: 1 to 5")
    ids = [part["component"]["custom_id"] for part in parts]
    if len(set(ids)) != len(ids) or not all(1 <= len(each) <= 100 for each in ids):
        raise _invalid("custom_id: unique, 1 to 100")
    for part in parts:
        typed = part["component"]
        if part["type"] != 18 or not 1 <= len(part["label"]) <= 45:
            raise _invalid("label: 1 to 45")
        if len(part.get("description") or "") > 100 or len(typed.get("placeholder") or "") > 100:
            raise _invalid("description, placeholder: at most 100")
        if typed["type"] != 4 or typed.get("label") is not None:
            raise _invalid("a text input inside a label has no label")
        least, most = typed.get("min_length") or 0, typed.get("max_length") or 4000
        if not 0 <= least <= most <= 4000:
            raise _invalid("min_length, max_length: 0 to 4000")
    return modal


def checked_commands(commands: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Refuses what the real one refuses of slash commands."""
    of_messages = [command for command in commands if command["type"] == 3]
    for command in of_messages:
        names = (command["name"], *command["name_localizations"].values())
        if "description" in command or not all(1 <= len(name) <= 32 for name in names):
            raise _invalid("a message's command has a name of 1 to 32, and no description")
    if len(of_messages) > 15:
        raise _invalid("at most 15 commands of messages")
    _check_slash_commands([command for command in commands if command["type"] != 3])
    return commands


def _check_slash_commands(commands: list[dict[str, Any]]) -> None:
    names = [command["name"] for command in commands]
    if len(commands) > 100 or len(set(names)) != len(names):
        raise _invalid("at most 100 commands, different")
    for command in commands:
        _check_named(command)
        options = command.get("options", [])
        if len(options) > 25:
            raise _invalid("options: at most 25")
        required = [bool(option.get("required")) for option in options]
        if required != sorted(required, reverse=True):
            raise _invalid("options: required ones first")
        for option in options:
            _check_named(option)
            if len({each["name"] for each in options}) != len(options):
                raise _invalid("options: different names")
        if _weight(command) > 8000:
            raise _invalid("command: 8000 characters together")


def _check_named(named: dict[str, Any]) -> None:
    for name in (named["name"], *named.get("name_localizations", {}).values()):
        fine = all(each.isalnum() or each in "-_'" for each in name)
        if not (1 <= len(name) <= 32 and fine and name == name.lower()):
            raise _invalid(f"name: {name}")
    for text in (named["description"], *named.get("description_localizations", {}).values()):
        if not 1 <= len(text) <= 100:
            raise _invalid(f"description: {text}")
    for codes in (named.get("name_localizations", {}), named.get("description_localizations", {})):
        if not set(codes) <= {"zh-CN", "de", "fr", "ja", "en-US", "en-GB"}:
            raise _invalid("locale")


def _weight(command: dict[str, Any]) -> int:
    total = len(command["name"]) + len(command["description"])
    return total + sum(_weight(option) for option in command.get("options", []))


def pings(content: str, allowed: dict[str, Any] | None) -> bool:
    """Whether somebody would be pinged by this."""
    parse = (allowed or {"parse": ["users", "roles", "everyone"]}).get("parse", [])
    some = ("@everyone" in content or "@here" in content) and "everyone" in parse
    return some or ("<@" in content and bool(parse or (allowed or {}).get("users")))
