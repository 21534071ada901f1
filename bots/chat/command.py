"""What a command is: declared once as data, written once for every platform."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from pydantic import SecretStr

from bots.chat.reply import FormRequest, Phrase, Reply, ReplyStream
from bots.chat.types import AudioAttachment, Place
from core.asks.run import AskRun
from core.users.limits import PausableFeature
from core.users.roles import Role
from core.users.types import Person


@dataclass(frozen=True, slots=True)
class Request:
    """A request says which person wants what, and in which place."""

    person: Person
    place: Place
    #: The person's id on the platform.
    sender: str
    is_admin: bool
    #: The message that asks for it, or that carries the pressed button.
    message: str
    #: When it was sent, in milliseconds UTC.
    at_ms: int
    #: The message that it is a reply to; empty if none.
    replies_to: str = ""
    #: A secret of the adapter's, to deliver an answer by when this process is gone.
    way_back: str = field(default="", repr=False)
    #: What follows the command's name, or the whole text of a bare question.
    text: str = ""
    #: What came with it to be heard.
    audio: AudioAttachment | None = None
    #: A pressed button's id and what it was made with.
    button: str = ""
    data: Mapping[str, str | int] = field(default_factory=dict)
    #: What was typed into a form, by its fields' names.
    entered: Mapping[str, SecretStr] = field(default_factory=dict)
    #: Their role, if any; `is_admin` is true of the roles owner and admin.
    role: Role | None = None

    @property
    def private_place(self) -> Place:
        """The private chat of whoever asks, where nobody else reads."""
        return self.place if self.place.private else Place(self.place.platform, self.sender)


#: A command answers with a card, cards one after another, a form, an ask that runs, or nothing when
#: the effect shows.
Handler = Callable[[Request], Awaitable[Reply | ReplyStream | FormRequest | AskRun | None]]


@dataclass(frozen=True, slots=True)
class Option:
    """An option is an argument that a platform asks for by name (Discord's slash commands)."""

    name: str
    description: Phrase
    required: bool = False
    #: `model`: completed to what can be asked now, with its price.
    completion: str = ""
    #: In a message it comes before the others, though platforms list it after required ones.
    comes_first: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """A command is what a person types behind a slash, declared once for every platform."""

    name: str
    #: Its name in words, on menus of buttons; as a bare word in private it runs the command.
    title: Phrase
    #: What it does, for `/help` and the platforms' menus.
    description: Phrase
    handler: Handler
    #: How its arguments are written, for `/help`; None if it takes none.
    usage: Phrase | None = None
    #: The same arguments by name.
    options: tuple[Option, ...] = ()
    #: Only for the operator's admins; `support_allowed`: for those too who only read; `owner_only`:
    #: only for the role owner.
    admin_only: bool = False
    support_allowed: bool = False
    owner_only: bool = False
    #: Offered in groups too; there, `private` replies go to the person alone.
    allowed_in_groups: bool = False
    #: Its reply is `private` (so is whatever is for admins, or not for groups).
    is_private: bool = False
    #: Its answer is an ask: it waits its turn in the conversation's queue.
    is_ask: bool = False
    #: What the operator may have paused, for everyone but admins.
    pausable: PausableFeature | None = None
    #: It may answer with a form: what is written right behind it waits until it has.
    opens_form: bool = False


@dataclass(frozen=True, slots=True)
class Action:
    """An action is what a button does; it is authorised again at every press."""

    name: str
    handler: Handler
    #: As of a command.
    admin_only: bool = False
    support_allowed: bool = False
    owner_only: bool = False
    is_ask: bool = False
    pausable: PausableFeature | None = None


def is_allowed(entry: Command | Action, role: Role | None) -> bool:
    """Whether somebody of that role may do it."""
    if entry.owner_only:
        return role == "owner"
    if entry.admin_only:
        return role in {"owner", "admin"} or (entry.support_allowed and role == "support")
    return True


@dataclass(frozen=True, slots=True)
class CommandGroup:
    """A group holds the commands and actions of one subject, built by a function that takes what
    they need."""

    commands: tuple[Command, ...] = ()
    actions: tuple[Action, ...] = ()
