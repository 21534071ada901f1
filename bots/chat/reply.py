"""What a command may answer, before anyone has chosen a language or a platform.

A `Phrase` is a sentence of the catalogue with its values; `bots.chat.i18n` renders it in the
reader's language, and the dispatcher turns a `Reply` into a `Card` for the adapters.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from core.money import Credits, Seconds, Stars, Tokens


@dataclass(frozen=True, slots=True)
class Phrase:
    """A phrase is a sentence to be translated: its English text, which is its key in the
    catalogues, and its values. Where it depends on a number it has a text for one, too."""

    text: str
    values: Mapping[str, Value] = field(default_factory=dict)
    text_of_one: str = ""
    number: int = 0


#: What a sentence may name.
Value = str | int | Credits | Tokens | Seconds | datetime | Phrase


def say(text: str, **values: Value) -> Phrase:
    """A sentence to be said in the reader's language; `text` is collected for translation."""
    return Phrase(text, values)


def say_count(one: str, many: str, count: int, /, **values: Value) -> Phrase:
    """A sentence with a number in it, `{count}`: as it is for one, and for any other number; both
    are collected for translation."""
    return Phrase(many, {**values, "count": count}, text_of_one=one, number=count)


def plain(text: str) -> Phrase:
    """Text that is no language's: a model's name, an id, a number."""
    return Phrase("{text}", {"text": text})


@dataclass(frozen=True, slots=True)
class Choice:
    """A choice becomes a button: it names the action that a press runs, with its arguments. The
    server keeps both."""

    label: Phrase
    action: str
    data: Mapping[str, str | int] = field(default_factory=dict)
    #: Whether a second press says "already done".
    once: bool = False
    #: Leads there instead: nothing is pressed that we hear of.
    url: str = ""
    #: Buys this in the platform's own store instead; the platform itself writes what is on it.
    sku: str = ""
    #: Puts this on the reader's clipboard instead, where the platform can; elsewhere it isn't
    #: shown.
    copy: str = ""
    #: Seconds until it is too old to be pressed; None for as long as buttons usually last.
    lifetime_seconds: int | None = None


def make_copy_choice(text: str) -> Choice:
    """A button that copies an id or a code which is to be typed or told elsewhere."""
    return Choice(say("📋 Copy"), "", copy=text)


@dataclass(frozen=True, slots=True)
class ReplyFile:
    """A file that a reply hands over, with its name and its bytes."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Invoice:
    """An invoice in Stars that the chat itself shows, in a message of its own below the card."""

    #: What it carries, for us: the order's id.
    payload: str
    title: Phrase
    description: Phrase
    stars: Stars
    #: Said where the platform doesn't take it.
    refused_text: Phrase


@dataclass(frozen=True, slots=True)
class FormField:
    """A field of a form: the name by which the form's action finds its value, and its label."""

    name: str
    label: Phrase
    #: An example, or where to find it.
    hint: Phrase | None = None
    #: How many characters it takes.
    min_length: int = 1
    max_length: int = 400
    #: Not to be seen while it is typed, where a platform can hide it.
    hidden: bool = True


@dataclass(frozen=True, slots=True)
class FormRequest:
    """A request for a form, which asks in private for what nobody else may see: a key, bank
    details. Never an argument.

    It becomes a dialog where the platform has one, hidden input in a terminal, else the person's
    next message, deleted at once. What is typed goes to `action`, once, as `Request.entered`.
    """

    title: Phrase
    lines: tuple[Phrase, ...]
    #: One to five.
    fields: tuple[FormField, ...]
    action: str
    #: What goes with it to the action; the server keeps it.
    data: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply is a card before translation: a title, lines, a table, rows of buttons, a file, an
    invoice."""

    lines: tuple[Phrase, ...] = ()
    title: Phrase | None = None
    #: Rows of cells; columns are aligned where the platform can.
    table: tuple[tuple[Phrase, ...], ...] = ()
    choices: tuple[tuple[Choice, ...], ...] = ()
    file: ReplyFile | None = None
    #: Goes below; only with `private`, where the platform has Stars.
    invoice: Invoice | None = None
    #: Only for the asker: never shown in a group.
    private: bool = False
    #: Takes the place of the message whose button was pressed.
    replace: bool = False
    #: A step on the way: what comes next takes its place.
    passing: bool = False
    #: Written in this language, not in the one that the person had when they asked.
    language: str = ""


@dataclass(frozen=True, slots=True)
class ReplyStream:
    """A reply that takes its time: its replies say one after another how far it is, the last one
    what came of it."""

    replies: AsyncGenerator[Reply, None]
