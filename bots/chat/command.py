"""What a command is: declared once as data, written once for every platform."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Final, Self, TypedDict, TypeVar, Unpack

from pydantic import SecretStr

from bots.chat.attachments import QuotedText, SentAttachment
from bots.chat.audio import AudioAttachment
from bots.chat.reply import FormRequest, Phrase, Reply, ReplyStream
from bots.chat.types import Place
from core import ids
from core.admin_log import ActCause
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
    #: See `IncomingMessage`.
    is_own: bool = True
    #: What was written beside what is to be heard.
    text: str = ""
    #: What came with it to be heard.
    audio: AudioAttachment | None = None
    #: What else came with it, and others' words that it is about; see `IncomingMessage`.
    attachments: tuple[SentAttachment, ...] = ()
    quotes: tuple[QuotedText, ...] = ()
    #: A pressed button's id and what it was made with.
    button: str = ""
    data: Mapping[str, str | int] = field(default_factory=dict)
    #: What was typed into a form, by its fields' names.
    entered: Mapping[str, SecretStr] = field(default_factory=dict)
    #: Their role, if any; `is_admin` is true of the roles owner and admin.
    role: Role | None = None

    @property
    def ask_id(self) -> str:
        """The id of the ask that the message makes: the same however often it is delivered."""
        place = self.place
        return ids.derive_id("ask", self.at_ms, place.platform, place.chat, self.message)

    @property
    def cause(self) -> ActCause | None:
        """What makes an act happen once however often its message is delivered; None for buttons,
        which are used up."""
        if self.button:
            return None
        return ActCause(self.at_ms, f"{self.place.code}/{self.message}")

    @property
    def private_place(self) -> Place:
        """The private chat of whoever asks, where nobody else reads."""
        return self.place if self.place.private else Place(self.place.platform, self.sender)


#: A command answers with a card, cards one after another, a form, an ask that runs, or nothing when
#: the effect shows. It takes the request and, where it declares any, its arguments.
Handler = Callable[..., Awaitable[Reply | ReplyStream | FormRequest | AskRun | None]]
_Method = TypeVar("_Method", bound=Handler)


@dataclass(frozen=True, slots=True)
class Option:
    """An option is an argument that a platform asks for by name (Discord's slash commands)."""

    name: str
    description: Phrase
    required: bool = False
    #: What its values are completed from: models, suppliers.
    completion: str = ""
    #: Whether it is a file: that comes as an attachment, and the field stays empty.
    is_file: bool = False


def argument(
    description: Phrase,
    *usage: Phrase,
    required: bool = False,
    completion: str = "",
    is_file: bool = False,
) -> str:
    """Declares a field of `Arguments`; empty unless given. `usage` is what `/help` writes in its
    place, once for each way to write it."""
    info = _ArgumentInfo(description, usage, required, completion, is_file)
    declared: str = field(default="", metadata={_INFO: info})
    return declared


@dataclass(frozen=True, slots=True)
class _ArgumentInfo:
    description: Phrase
    usage: tuple[Phrase, ...]
    required: bool
    completion: str
    is_file: bool


_INFO: Final = "argument"


@dataclass(frozen=True, slots=True)
class Arguments:
    """What follows a command: fields in the order in which they are written in a message.

    Everything that platforms show of a command's arguments comes from the fields: the options of
    slash commands with their completion, and the line of `/help`. Texts and options fill the same
    fields, so that a command never knows where it was written.
    """

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Words in their order; the last field takes the rest. What is too little stays empty: the
        command says what it lacks."""
        names = [each.name for each in fields(cls)]
        if not names:
            return cls()
        return cls(**dict(zip(names, text.strip().split(maxsplit=len(names) - 1), strict=False)))

    @classmethod
    def from_options(cls, options: Mapping[str, str]) -> Self:
        """By the options' names; others are ignored."""
        names = {each.name for each in fields(cls)}
        given = {name.replace("-", "_"): value.strip() for name, value in options.items()}
        return cls(**{name: value for name, value in given.items() if name in names})

    @classmethod
    def list_options(cls) -> tuple[Option, ...]:
        """Each field as an option, required ones first: platforms want it so. Where one is a file,
        which may come without a word, none is required: the command says what it lacks."""
        infos = sorted(cls._list_infos(), key=lambda one: not one[1].required)
        may_be_wordless = any(info.is_file for _, info in infos)
        return tuple(
            Option(
                name.replace("_", "-"),
                info.description,
                info.required and not may_be_wordless,
                info.completion,
                info.is_file,
            )
            for name, info in infos
        )

    @classmethod
    def describe_usage(cls, command: str) -> Phrase:
        """`/command required [optional]`."""
        words: dict[str, Phrase] = {}
        text = f"/{command}"
        for _, info in cls._list_infos():
            for phrase in info.usage:
                name = f"word{len(words)}"
                words[name] = phrase
                text += f" {{{name}}}" if info.required else f" [{{{name}}}]"
        return Phrase(text, words)

    @classmethod
    def _list_infos(cls) -> list[tuple[str, _ArgumentInfo]]:
        return [(each.name, each.metadata[_INFO]) for each in fields(cls)]

    @property
    def words(self) -> list[str]:
        """All that was given, in the order of the fields."""
        return [word for each in fields(self) for word in getattr(self, each.name).split()]


class _ActionTraits(TypedDict, total=False):
    admin_only: bool
    support_allowed: bool
    owner_only: bool
    is_ask: bool
    pausable: PausableFeature | None


class _CommandTraits(_ActionTraits, total=False):
    details: tuple[Phrase, ...]
    allowed_in_groups: bool
    is_private: bool
    opens_form: bool


@dataclass(frozen=True, slots=True)
class Action:
    """An action is what a button does; it is authorised again at every press."""

    name: str
    handler: Handler
    #: Only for the operator's admins; `support_allowed`: for those too who only read; `owner_only`:
    #: only for the role owner.
    admin_only: bool = False
    support_allowed: bool = False
    owner_only: bool = False
    #: Its answer is an ask: it waits its turn in the conversation's queue.
    is_ask: bool = False
    #: What the operator may have paused, for everyone but admins.
    pausable: PausableFeature | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Command(Action):
    """A command is what a person types behind a slash, declared once for every platform."""

    #: Its name in words, on menus of buttons; as a bare word in private it runs the command.
    title: Phrase
    #: What it does, for `/help` and the platforms' menus.
    description: Phrase
    arguments: type[Arguments] = Arguments
    #: Each way to write it, a line each, where `/help` of it alone needs more than the arguments.
    details: tuple[Phrase, ...] = ()
    #: Offered in groups too; there, `private` replies go to the person alone.
    allowed_in_groups: bool = False
    #: Its reply is `private` (so is whatever is for admins, or not for groups).
    is_private: bool = False
    #: It may answer with a form: what is written right behind it waits until it has.
    opens_form: bool = False

    @property
    def usage(self) -> Phrase:
        """How it is written."""
        return self.arguments.describe_usage(self.name)


def command(
    name: str,
    *,
    title: Phrase,
    description: Phrase,
    arguments: type[Arguments] = Arguments,
    **traits: Unpack[_CommandTraits],
) -> Callable[[_Method], _Method]:
    """Declares a method as the command of that name: called with the request, and with `arguments`
    where they are given here."""

    def make(handler: Handler) -> Command:
        return Command(
            name, handler, title=title, description=description, arguments=arguments, **traits
        )

    return _declare(make)


def action(name: str, **traits: Unpack[_ActionTraits]) -> Callable[[_Method], _Method]:
    """Declares a method as what buttons of that name do: called with the request."""
    return _declare(lambda handler: Action(name, handler, **traits))


_DECLARED: Final = "_declared_entries"


def _declare(make: Callable[[Handler], Action]) -> Callable[[_Method], _Method]:
    def keep(method: _Method) -> _Method:
        setattr(method, _DECLARED, (*getattr(method, _DECLARED, ()), make))
        return method

    return keep


def list_entries(source: object) -> Iterator[Action]:
    """The commands and actions that an object's methods are declared to be."""
    for name, method in vars(type(source)).items():
        for make in getattr(method, _DECLARED, ()):
            yield make(getattr(source, name))


def is_allowed(entry: Action, role: Role | None) -> bool:
    """Whether somebody of that role may do it."""
    if entry.owner_only:
        return role == "owner"
    if entry.admin_only:
        return role in {"owner", "admin"} or (entry.support_allowed and role == "support")
    return True
