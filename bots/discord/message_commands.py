"""What Discord offers in a message's own menu: *Ask about this*, which opens a dialog for the
question, and *Transcribe this*, which writes down the audio in it.

The message that a dialog is about is remembered here, not in the books: a dialog is open for
minutes, and what it is about is another person's words.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, final

import discord
from cachetools import TTLCache

from bots.chat.attachments import QuotedText, SentAttachment
from bots.chat.i18n import LANGUAGES, find_nearest_language, render
from bots.chat.reply import Phrase, say
from bots.chat.types import Card, Form, FormSubmission, IncomingMessage, InputField
from bots.discord.inbound import (
    describe_quoted,
    find_audio,
    find_place,
    get_sender,
    make_way_back,
    snowflake_to_ms,
)

#: Discord's number for commands in a message's menu.
MESSAGE_COMMAND: Final = 3
ASK_ABOUT: Final = say("Ask about this")
TRANSCRIBE: Final = say("Transcribe this")
_QUESTION_LABEL: Final = say("What do you want to know?")
_NO_AUDIO: Final = say("There is no voice message or audio file in that message.")
_ASK_COMMAND: Final = "ask"
_FIELD: Final = "question"
_QUESTION_MAX: Final = 4_000
_FORM_PREFIX: Final = "about-"
#: A dialog that is open longer is asked for again.
_REMEMBERED_SECONDS: Final = 900.0
_REMEMBERED_MAX: Final = 2_000


def build_message_definitions() -> list[dict[str, Any]]:
    """Both commands as Discord takes them, in all languages."""
    first, *others = LANGUAGES
    return [
        {
            "type": MESSAGE_COMMAND,
            "name": render(phrase, first),
            "name_localizations": {language: render(phrase, language) for language in others},
            "contexts": [0, 1, 2],
            "integration_types": [0, 1],
        }
        for phrase in (ASK_ABOUT, TRANSCRIBE)
    ]


@dataclass(frozen=True, slots=True)
class _AskedAbout:
    """The message that an open dialog is about: its words, and what it carries."""

    person: int
    quotes: tuple[QuotedText, ...]
    attachments: tuple[SentAttachment, ...]


@final
class MessageCommands:
    """The commands of messages' menus, and the messages that open dialogs are about."""

    def __init__(self) -> None:
        self._asked_about: TTLCache[str, _AskedAbout] = TTLCache(
            maxsize=_REMEMBERED_MAX, ttl=_REMEMBERED_SECONDS
        )

    def open_question(
        self, interaction: discord.Interaction, bot_user: discord.ClientUser
    ) -> Form | None:
        """The dialog for a question about a message; None for any other command."""
        message = _find_message(interaction, ASK_ABOUT)
        if message is None:
            return None
        quotes, attachments = describe_quoted(message, bot_user)
        form = f"{_FORM_PREFIX}{interaction.id}"
        self._asked_about[form] = _AskedAbout(interaction.user.id, quotes, attachments)
        language = find_nearest_language(interaction.locale.value)
        label = render(_QUESTION_LABEL, language)
        field = InputField(_FIELD, label, most=_QUESTION_MAX, hidden=False)
        return Form(form, render(ASK_ABOUT, language), (field,))

    def read_question(
        self, interaction: discord.Interaction, submission: FormSubmission
    ) -> IncomingMessage | None:
        """What was asked in such a dialog; None for other dialogs, and for one of which nothing is
        remembered."""
        about = self._asked_about.get(submission.form)
        if about is None or about.person != interaction.user.id:
            return None
        del self._asked_about[submission.form]
        return replace(
            _start_message(interaction, submission),
            options={_FIELD: submission.values[_FIELD].get_secret_value()},
            quotes=about.quotes,
            attachments=about.attachments,
        )


def is_message_command(interaction: discord.Interaction) -> bool:
    """Whether it came from a message's own menu."""
    data: Any = interaction.data or {}
    return bool(data.get("type") == MESSAGE_COMMAND)


def read_transcription(interaction: discord.Interaction) -> IncomingMessage | Card | None:
    """The audio of a message to be written down, or why there is none; None for any other
    command."""
    message, place = _find_message(interaction, TRANSCRIBE), find_place(interaction)
    if message is None or place is None:
        return None
    audio = find_audio(message)
    if audio is None:
        language = find_nearest_language(interaction.locale.value)
        return Card(lines=(render(_NO_AUDIO, language),), aside=True)
    return IncomingMessage(
        place=place,
        sender=get_sender(interaction),
        message=str(interaction.id),
        at_ms=snowflake_to_ms(interaction.id),
        text="",
        command=_ASK_COMMAND,
        audio=audio,
        way_back=make_way_back(interaction),
    )


def _start_message(interaction: discord.Interaction, submission: FormSubmission) -> IncomingMessage:
    return IncomingMessage(
        place=submission.place,
        sender=submission.sender,
        message=submission.message,
        at_ms=snowflake_to_ms(interaction.id),
        text="",
        command=_ASK_COMMAND,
        way_back=make_way_back(interaction),
    )


def _find_message(interaction: discord.Interaction, command: Phrase) -> discord.Message | None:
    """The message whose menu was opened; None for another command."""
    data: Any = interaction.data or {}
    if data.get("type") != MESSAGE_COMMAND or data.get("name") != command.text:
        return None
    told = data.get("resolved", {}).get("messages", {}).get(str(data.get("target_id")))
    channel: Any = interaction.channel
    if told is None or channel is None:
        return None
    # As the library itself makes them: it has no public way.
    return discord.Message(state=interaction._state, channel=channel, data=told)  # noqa: SLF001
