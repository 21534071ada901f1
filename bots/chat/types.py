"""What passes between the dispatcher and the adapters: dumb values, already in the reader's words.

An adapter turns its platform's updates into `IncomingMessage` and `ButtonPress`, and shows `Card`,
`AnswerProgress` and `Answer` as well as its platform can. It knows no business.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, Self, cast, runtime_checkable

from pydantic import SecretStr

from bots.chat.attachments import QuotedText, SentAttachment
from bots.chat.audio import AudioAttachment
from core.errors import Refusal

Platform = Literal["telegram", "discord", "console"]


class PlatformUnavailable(Refusal):
    """A platform does not take the bot's token, or does not answer."""

    def __init__(self, *, token_refused: bool) -> None:
        self.token_refused = token_refused
        super().__init__()


class TelegramUnavailable(PlatformUnavailable):
    """Telegram could not be started: the token or the webhook is not taken, or nobody answers."""

    code = "telegram_unavailable"

    def __init__(self, *, token_refused: bool, reason: str = "") -> None:
        super().__init__(token_refused=token_refused)
        #: What Telegram said of the webhook; empty when it said nothing.
        self.reason = reason


@dataclass(frozen=True, slots=True)
class BotAddress:
    """A bot as its platform knows it: its name, and the address that leads people to it."""

    name: str
    url: str
    #: Whether private chats with it have topics.
    has_topics: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """A place is where a message stands: a chat of a platform, and the thread or topic inside
    it."""

    platform: Platform
    chat: str
    thread: str = ""
    #: Nobody but the person and the bot reads here.
    private: bool = True

    @property
    def code(self) -> str:
        """`<platform>:<chat>:<thread>`, as stored."""
        return f"{self.platform}:{self.chat}:{self.thread}"

    @classmethod
    def from_code(cls, code: str) -> Self:
        """The place of a stored code."""
        platform, chat, thread = code.split(":", 2)
        return cls(cast("Platform", platform), chat, thread)


@dataclass(frozen=True, slots=True)
class Sender:
    """The sender of a message, by the platform's own id; `language` as the platform names it, may
    be empty."""

    id: str
    language: str = ""


@dataclass(frozen=True, slots=True)
class IncomingMessage:
    """A message that was sent to the bot. In groups adapters pass on commands, mentions and replies
    only."""

    place: Place
    sender: Sender
    #: The platform's message id: the same when the update is delivered again.
    message: str
    #: When the platform says it was sent, in milliseconds UTC: the same on redelivery.
    at_ms: int
    #: Without the bot's mention.
    text: str
    #: Whether the words are the sender's own, written here and now. What is forwarded, or was sent
    #: by means of another bot, is a question at most: no command, no answer to a form.
    is_own: bool = True
    #: What platforms take apart themselves: a command's name, and its arguments by name.
    command: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    #: What came with it to be heard.
    audio: AudioAttachment | None = None
    #: What else came with it.
    attachments: tuple[SentAttachment, ...] = ()
    #: The message that it is a reply to, whoever's that is; empty if none.
    replies_to: str = ""
    #: Others' words that it is about, as far as they can be read.
    quotes: tuple[QuotedText, ...] = ()
    #: Its sender can't be told: an anonymous admin, or somebody who writes as a channel.
    is_anonymous: bool = False
    #: Nobody named the bot in it: it is for the bot only as a part of what came before.
    is_part: bool = False
    #: It was sent before: it says anew what it said then.
    is_edit: bool = False
    #: What several messages share that were sent as one album; empty if it is none.
    album: str = ""
    #: It came when the rest of its album had already been passed on.
    is_late: bool = False
    #: The messages of which it was joined, after the first.
    more: tuple[str, ...] = ()
    #: Where forms have no dialog: a form that waits here is filled in by the next message.
    may_fill_form: bool = False
    #: For the adapter itself, to deliver an answer by when this process is gone; a secret.
    way_back: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class ButtonPress:
    """A press of a button. `button` is the opaque id that the bot gave out."""

    place: Place
    sender: Sender
    button: str
    #: The message that carries the button.
    message: str
    #: The platform's id of the press: the same when it is delivered again; empty if it has none.
    id: str = ""
    #: Its chat is told, but not whether it is in a thread of it.
    may_be_in_thread: bool = False
    #: A secret of the adapter's, as in `IncomingMessage`.
    way_back: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Button:
    """A button has an opaque id and a label; with `url` it leads there and the bot hears nothing,
    with `sku` it buys that in the platform's own store, with `copy` it puts that on the clipboard
    (where a platform can't, the button isn't shown)."""

    id: str
    label: str
    url: str = ""
    sku: str = ""
    copy: str = ""


ButtonRows = tuple[tuple[Button, ...], ...]


def without_copies(rows: ButtonRows) -> ButtonRows:
    """The buttons of a platform that has no clipboard."""
    kept = (tuple(button for button in row if not button.copy) for row in rows)
    return tuple(filter(None, kept))


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that a card hands over, with its name and its bytes."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class StarsInvoice:
    """An invoice in Stars in its reader's words, shown in a message of its own below its card
    (`bots.chat.reply.Invoice`)."""

    payload: str
    title: str
    description: str
    stars: int
    refused_text: str


@dataclass(frozen=True, slots=True)
class Card:
    """A card is what a reader sees in answer to a command: plain text only, never markup."""

    title: str = ""
    lines: tuple[str, ...] = ()
    table: tuple[tuple[str, ...], ...] = ()
    buttons: ButtonRows = ()
    attachment: Attachment | None = None
    invoice: StarsInvoice | None = None
    #: Only for the asker: in a group it goes to them in private, and the group hears that it did.
    private: bool = False
    #: What the group reads when a private card went to its asker, and when it could not go: they
    #: must open a private chat with the bot first (a link to it is added).
    public_note: str = ""
    unreachable_note: str = ""
    #: Takes the place of the message whose button was pressed.
    replace: bool = False
    #: A step on the way: the next card takes its place.
    passing: bool = False
    #: Delete the incoming message (it holds a secret), where the platform allows.
    erase_incoming: bool = False
    #: Takes the place of the lines when it could not be deleted.
    kept_note: str = ""
    #: Takes the place of everything when too much waits for this chat that is as large as its file.
    postponed_note: str = ""
    #: A refusal: where the platform can tell the asker alone in the same place, it does.
    aside: bool = False

    def postpone(self) -> Card:
        """What is shown where its file can't wait with the others of its chat."""
        return Card(
            lines=(self.postponed_note,) if self.postponed_note else self.lines,
            private=self.private,
            public_note=self.public_note,
            unreachable_note=self.unreachable_note,
            replace=self.replace,
        )


@dataclass(frozen=True, slots=True)
class AnswerProgress:
    """An answer so far: its newest text replaces what was shown. `text` is the model's Markdown."""

    ask: str
    text: str
    buttons: ButtonRows = ()
    #: Shown in front, e.g. what was left out of the history.
    note: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, which is always delivered; `footer` (model, tokens, Credits) is a piece of
    its own."""

    ask: str
    text: str
    footer: str
    buttons: ButtonRows = ()
    note: str = ""
    #: What is said in front of it when it can only be shown to the asker in private.
    elsewhere_note: str = ""

    def for_elsewhere(self) -> Answer:
        """The answer as it is shown in private when its place refuses it: its buttons belong to
        that place."""
        note = "\n\n".join(filter(None, (self.elsewhere_note, self.note)))
        return replace(self, note=note, buttons=())


@dataclass(frozen=True, slots=True)
class InputField:
    """A field of a form in its reader's words: its name, its label and how long its value may be,
    in characters."""

    name: str
    label: str
    hint: str = ""
    least: int = 1
    most: int = 400
    #: Not to be seen while it is typed.
    hidden: bool = True


@dataclass(frozen=True, slots=True)
class Form:
    """A form is what a person is asked to fill in; its id is opaque."""

    id: str
    title: str
    fields: tuple[InputField, ...]


@dataclass(frozen=True, slots=True)
class FormCard:
    """A card that asks somebody in private to fill in a form, as the platform can
    (`bots.chat.reply`)."""

    form: Form
    lines: tuple[str, ...]
    #: What is written on the button that opens it, where there are dialogs.
    open_label: str
    #: How to answer where the next message is the answer.
    instructions: str
    cancel: Button
    public_note: str = ""
    unreachable_note: str = ""

    def to_card(self, open_button: str = "") -> Card:
        """As a card: with a button `open_button` for the dialog, or for an answer by message."""
        buttons = (Button(open_button, self.open_label),) if open_button else ()
        return Card(
            title=self.form.title,
            lines=self.lines if open_button else (*self.lines, self.instructions),
            buttons=((*buttons, self.cancel),),
            private=True,
            public_note=self.public_note,
            unreachable_note=self.unreachable_note,
        )


@dataclass(frozen=True, slots=True)
class FormSubmission:
    """A form as somebody filled it in. `message` is the same when it is delivered again."""

    place: Place
    sender: Sender
    form: str
    message: str
    #: By the fields' names; may hold anything that can be typed.
    values: Mapping[str, SecretStr]


Output = Card | AnswerProgress | Answer | FormCard


@dataclass(frozen=True, slots=True)
class MenuOption:
    """An argument of a command, where a platform asks for it by name. In a message the values
    follow the command with spaces between: one that `comes_first`, then the others in their
    order."""

    name: str
    description: str
    required: bool = False
    #: What its value can be completed to, for `ChatHandler.suggest_completions`; empty for free
    #: text.
    completion: str = ""
    comes_first: bool = False
    #: Its value is a file, which comes as an attachment of the message.
    is_file: bool = False


@dataclass(frozen=True, slots=True)
class MenuItem:
    """A command in a platform's menu: its name without the slash, its description in one
    language."""

    name: str
    description: str
    #: Its name in words of that language.
    title: str = ""
    options: tuple[MenuOption, ...] = ()
    admin_only: bool = False
    #: Works in groups too.
    allowed_in_groups: bool = False
    #: What it shows is the asker's own: a platform that must say so beforehand shows it to them
    #: alone.
    is_private: bool = False


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A suggestion completes an option: it has a value, and a label that is shown for it."""

    value: str
    label: str


class UpdateJudge(Protocol):
    """A judge says which updates may be written down before they are worked
    (`bots.chat.update_policy`)."""

    def may_open_form(self, read: IncomingMessage | ButtonPress) -> bool:
        """Whether what its sender writes next may be the answer to a form."""
        ...

    async def may_be_stored(
        self, read: IncomingMessage | ButtonPress, content: Mapping[str, Any]
    ) -> bool:
        """Whether it may be written as it came: it holds no secret and answers no form."""
        ...


class ChatHandler(Protocol):
    """The chat handler is the command layer as adapters see it."""

    def handle_message(self, incoming: IncomingMessage) -> AsyncIterator[Output]:
        """What to show for a message; the same message again shows nothing twice."""
        ...

    def handle_press(self, press: ButtonPress) -> AsyncIterator[Output]:
        """What to show for a button."""
        ...

    async def find_pressed_place(self, press: ButtonPress) -> Place:
        """Where a button was pressed of which only the chat is told: the topic of the message with
        the button, which is the one that it was made for."""
        ...

    async def get_form(self, press: ButtonPress) -> Form | Card:
        """The form that a button press opens as a dialog, or a card that says why it doesn't;
        quick, nothing is shown."""
        ...

    def submit_form(self, submission: FormSubmission) -> AsyncIterator[Output]:
        """What to show for a form filled in; the same again does and shows nothing twice."""
        ...

    async def mark_delivered(self, ask: str, place: Place, messages: Sequence[str]) -> None:
        """Tells that an answer's final text is in the chat, in these messages; `place` is where it
        was asked."""
        ...

    async def mark_undelivered(self, ask: str) -> None:
        """Tells that an answer was refused for good wherever it may be shown, and that nothing of
        it was accepted: it is given back in full, once, and isn't shown later."""
        ...

    async def mark_started(self, ask: str, message: str) -> None:
        """Tells which message will show an answer, so that it can be edited after a restart."""
        ...

    def list_languages(self) -> Sequence[str]:
        """The languages of the menus, the default first: `en`, `zh-CN`."""
        ...

    def build_menu(
        self, language: str, scope: Literal["private", "group", "admin"]
    ) -> list[MenuItem]:
        """The commands to offer, in order."""
        ...

    def suggest_completions(self, completion: str, typed: str, language: str) -> list[Suggestion]:
        """Completions for an option, the best first, 25 at most; never waits for anything."""
        ...

    def describe_bot(self, language: str) -> tuple[str, str]:
        """The bot's description (≤ 512 characters) and short description (≤ 120)."""
        ...

    def list_admins(self, platform: Platform) -> Sequence[str]:
        """The admins' own ids on a platform, for the scope of their menus."""
        ...


@dataclass(frozen=True, slots=True)
class UndeliveredAnswer:
    """An answer that was saved but never seen in the chat: it is shown once, by whichever process
    has the lease."""

    ask: str
    place: Place
    #: The message that asked, and the one that began to show the answer (empty if none).
    asked_in: str
    shown_in: str
    answer: Answer
    #: As it came with the question.
    way_back: str = field(default="", repr=False)
    #: The asker's own id on the platform; empty when they have none there any more.
    asker: str = ""
    #: What was asked.
    asked: str = field(default="", repr=False)


class Notifier(Protocol):
    """A notifier is what an adapter offers to jobs and commands: it writes to people unasked."""

    async def deliver_answer(self, undelivered: UndeliveredAnswer) -> Sequence[str]:
        """Shows a saved answer where it was asked, else to its asker in private, tells the handler
        what came of it, and gives its messages' ids; raises when the platform refuses."""
        ...

    async def notify_person(self, sender: str, card: Card, *, replace_message: str = "") -> None:
        """Sends a card to a person in private, by the platform's own id; in the place of the
        message `replace_message` of that chat, where that can still be changed."""
        ...

    def build_invitation_link(self, code: str) -> str:
        """A link by which somebody new comes to the bot: one that says `/start` with the code by
        itself, or one without it where the platform has no such links; empty if there is none."""
        ...


@runtime_checkable
class NameLookup(Protocol):
    """An adapter that can say how people call themselves on its platform."""

    async def find_name(self, sender: str) -> str:
        """`Ann Lee (@ann)`, by the platform's own id; empty where it isn't told. Raises when the
        platform refuses."""
        ...
