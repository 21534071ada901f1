"""Telegram's updates → `IncomingMessage` and `ButtonPress`, and which updates are for the bot at
all.

In groups that is a command for this bot, a mention of it, or a reply to it. Whoever speaks as a
channel or as an anonymous admin is nobody whom a Credit could belong to, and is told so.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from telegram import (
    Animation,
    Audio as AudioFile,
    CallbackQuery,
    Document,
    Message,
    MessageEntity,
    PhotoSize,
    Update,
    Video,
    VideoNote,
    Voice,
)
from telegram.constants import ChatType, MessageType
from telegram.error import TelegramError

from bots.chat.attachments import (
    AttachmentKind,
    QuotedText,
    SentAttachment,
    is_picture_file,
)
from bots.chat.audio import AudioAttachment, DownloadFailed
from bots.chat.types import ButtonPress, IncomingMessage, Place, Sender
from core.clock import as_ms

_log = logging.getLogger(__name__)

#: A command as typed: also with the full-width slash, and in any script.
_COMMAND = re.compile(r"[/／](?P<name>\w+)(?:@(?P<bot>\w+))?(?=\s|$)")


@dataclass(frozen=True, slots=True)
class BotIdentity:
    """The bot's own identity, as Telegram names it."""

    id: int
    username: str
    #: Whether private chats with it have topics, which its operator switches on at BotFather.
    has_topics: bool = False


def is_in_private_topic(message: Message) -> bool:
    """Whether it stands in a topic of a private chat, by its own word."""
    return message.chat.type == ChatType.PRIVATE and bool(message.is_topic_message)


def check_ids(update: Update) -> None:
    """Raises `ValueError` for an update whose ids are none: the library takes whatever there is."""
    query = update.callback_query
    if query is not None and not (type(query.from_user.id) is int and isinstance(query.id, str)):
        raise ValueError("a press of nobody")
    for message in (update.message, update.edited_message, query.message if query else None):
        if message is None:
            continue
        ids = [message.message_id, message.chat.id]
        if isinstance(message, Message):
            user, replied = message.from_user, message.reply_to_message
            more = (message.migrate_to_chat_id, message.migrate_from_chat_id)
            ids += [each for each in (message.message_thread_id, *more) if each is not None]
            ids += [] if user is None else [user.id]
            ids += [] if replied is None else [replied.message_id]
        if any(type(each) is not int for each in ids):
            raise ValueError("a message that is nowhere")


def read_message(
    update: Update, bot: BotIdentity, *, is_awaited: bool = False
) -> IncomingMessage | None:
    """The message if it is for the bot; `is_awaited` when it may be the rest of a split paste."""
    message = update.message
    if message is None or not _is_from_somebody(message):
        return None
    is_own = _is_own(message)
    if not (is_own or message.chat.type == ChatType.PRIVATE):
        return None  # nobody asks by what others said elsewhere
    return _read_words(message, bot, is_own=is_own, is_awaited=is_awaited)


def read_edit(update: Update, bot: BotIdentity) -> IncomingMessage | None:
    """A message for the bot that its sender edited, as it is now; None for all others."""
    message = update.edited_message
    if message is None or message.edit_date is None or not _is_from_somebody(message):
        return None
    if message.sender_chat is not None or not _is_written_by_sender(message):
        return None
    read = _read_words(message, bot, is_own=False, is_awaited=False)
    return None if read is None else replace(read, is_edit=True, may_fill_form=False)


def _read_words(
    message: Message, bot: BotIdentity, *, is_own: bool, is_awaited: bool
) -> IncomingMessage | None:
    private = message.chat.type == ChatType.PRIVATE
    text = message.text or message.caption or ""
    audio, attachments = find_audio(message), find_attachments(message)
    addressed = _get_addressed_text(message, text, bot, private=private)
    has_content = bool(text) or audio is not None or bool(attachments)
    is_for_us = addressed is not None and has_content
    is_part = is_awaited and audio is None and bool(text or attachments)
    if not (is_for_us or is_part):
        return None  # someone joined, a title changed, …
    quotes, quoted_attachments = _find_quotes(message, bot)
    return IncomingMessage(
        place=get_place(message, bot),
        sender=get_sender(message),
        message=str(message.message_id),
        at_ms=as_ms(message.date),
        text=text if addressed is None else addressed,
        is_own=is_own,
        audio=audio,
        attachments=(*attachments, *quoted_attachments),
        replies_to=_replied_message_id(message),
        quotes=quotes,
        is_anonymous=message.sender_chat is not None,
        is_part=not is_for_us,
        album=message.media_group_id or "",
        may_fill_form=private and audio is None and not attachments,
    )


def _replied_message_id(message: Message) -> str:
    replied = message.reply_to_message
    return str(replied.message_id) if replied is not None else ""


def get_place(message: Message, bot: BotIdentity) -> Place:
    """Where a message stands: a topic is a place of its own, in private where the bot has topics
    there."""
    is_in_topic = message.is_topic_message and (bot.has_topics or not is_in_private_topic(message))
    thread = message.message_thread_id if is_in_topic else None
    return Place(
        "telegram",
        str(message.chat.id),
        str(thread) if thread is not None else "",
        private=message.chat.type == ChatType.PRIVATE,
    )


def get_sender(message: Message) -> Sender:
    """Whose message it is; only for messages of a person."""
    user = message.from_user
    assert user is not None
    return Sender(str(user.id), user.language_code or "")


def read_press(query: CallbackQuery, bot: BotIdentity) -> ButtonPress | None:
    """A press of one of the bot's buttons; None for presses that name no button or no message."""
    message = query.message
    if message is None or not query.data or query.from_user.is_bot:
        return None
    # One that is too old to be told more of than its chat has no date; the library may make a
    # message of it all the same.
    is_told = isinstance(message, Message) and as_ms(message.date) > 0
    if isinstance(message, Message):
        place = get_place(message, bot)
    else:
        private = message.chat.type == ChatType.PRIVATE
        place = Place("telegram", str(message.chat.id), private=private)
    user = query.from_user
    return ButtonPress(
        place,
        Sender(str(user.id), user.language_code or ""),
        query.data,
        str(message.message_id),
        id=query.id,
        may_be_in_thread=not is_told,
    )


@dataclass(frozen=True, slots=True)
class ChatMove:
    """A group became a supergroup, which has another id."""

    was: int
    chat: int


def read_move(update: Update) -> ChatMove | None:
    """A group's move to another id: it is told in the old chat and in the new one."""
    message = update.message
    if message is None:
        return None
    if message.migrate_to_chat_id is not None:
        return ChatMove(message.chat.id, message.migrate_to_chat_id)
    if message.migrate_from_chat_id is not None:
        return ChatMove(message.migrate_from_chat_id, message.chat.id)
    return None


def _is_from_somebody(message: Message) -> bool:
    """Whether a person wrote it, if only in the name of a group or a channel: whose it is can't be
    told then."""
    user = message.from_user
    is_written_as_chat = message.sender_chat is not None and not message.is_automatic_forward
    if is_written_as_chat and (message.text or "").startswith("/"):
        _log.info("refused: a command of a chat, not of a person, in %s", message.chat.id)
    return (
        user is not None
        and (is_written_as_chat or (message.sender_chat is None and not user.is_bot))
        and message.chat.type in (ChatType.PRIVATE, ChatType.GROUP, ChatType.SUPERGROUP)
    )


def _is_own(message: Message) -> bool:
    """Whether the sender wrote the words themselves, here and now."""
    return message.edit_date is None and _is_written_by_sender(message)


def _is_written_by_sender(message: Message) -> bool:
    return (
        message.forward_origin is None
        and message.via_bot is None
        and not message.is_automatic_forward
    )


def _get_addressed_text(
    message: Message, text: str, bot: BotIdentity, *, private: bool
) -> str | None:
    """The text without the bot's name if it is addressed to the bot, else None."""
    command = _COMMAND.match(text)
    if command is not None:
        named_bot = command["bot"]
        if named_bot is None:
            return text
        if named_bot.lower() != bot.username.lower():
            return None
        return text[: command.end("name")] + text[command.end() :]
    if private:
        return text
    stripped = _without_mention(message, text, bot)
    if stripped is not None:
        return stripped
    replied = message.reply_to_message
    # The first message of a topic counts as replied to by every message in it.
    to_us = (
        replied is not None
        and replied.forum_topic_created is None
        and replied.from_user is not None
        and replied.from_user.id == bot.id
    )
    return text if to_us else None


def _without_mention(message: Message, text: str, bot: BotIdentity) -> str | None:
    if not text:
        return None
    kinds: list[str | None] = [MessageEntity.MENTION, MessageEntity.TEXT_MENTION]
    named = message.parse_entities(kinds) if message.text else message.parse_caption_entities(kinds)
    units = text.encode("utf-16-le")
    mentions = [
        entity
        for entity, name in named.items()
        if name.lower() == f"@{bot.username.lower()}"
        or (entity.user is not None and entity.user.id == bot.id)
    ]
    if not mentions:
        return None
    for entity in sorted(mentions, key=lambda each: -each.offset):
        units = units[: 2 * entity.offset] + units[2 * (entity.offset + entity.length) :]
    stripped = units.decode("utf-16-le")
    return re.sub(r"^[\s,:，：]+|\s+$", "", stripped)


def _find_quotes(
    message: Message, bot: BotIdentity
) -> tuple[tuple[QuotedText, ...], tuple[SentAttachment, ...]]:
    """The words that a message replies to, those that were quoted if any were, else the whole
    message, and what that carries."""
    if message.quote is not None and message.quote.text.strip():
        return (QuotedText("quote", message.quote.text),), ()
    if message.reply_to_story is not None:
        return (), (SentAttachment("story", is_from_reply=True),)
    if message.external_reply is not None:  # to a message of another chat, which isn't shown
        return (), (SentAttachment("hidden", is_from_reply=True),)
    replied = message.reply_to_message
    # The first message of a topic counts as replied to by every message in it.
    if replied is None or replied.forum_topic_created is not None:
        return (), ()
    text = replied.text or replied.caption or ""
    quotes = (QuotedText("reply", text),) if text.strip() else ()
    is_ours = replied.from_user is not None and replied.from_user.id == bot.id
    if is_ours:
        return quotes, ()
    audio = find_audio(replied)
    heard = () if audio is None else (SentAttachment("audio", audio.name),)
    attachments = (*heard, *find_attachments(replied))
    return quotes, tuple(replace(one, is_from_reply=True) for one in attachments)


_KINDS: Final[tuple[AttachmentKind, ...]] = (
    *("checklist", "contact", "dice", "location", "poll", "sticker", "story"),
)


def find_attachments(message: Message) -> tuple[SentAttachment, ...]:
    """What a message carries beside words and audio."""
    if find_audio(message) is not None:
        return ()
    if message.photo:
        largest = max(message.photo, key=lambda one: one.width * one.height)
        return (_make_attachment("picture", largest),)
    files: tuple[tuple[AttachmentKind, Animation | Video | Document | None], ...] = (
        ("animation", message.animation),  # which comes as a document, too
        ("video", message.video),
        ("file", message.document),
    )
    for kind, file in files:
        if file is not None:
            return (_make_attachment(kind, file),)
    named = next((kind for kind in _KINDS if getattr(message, kind) is not None), None)
    more = message.effective_attachment or message.giveaway or message.giveaway_winners
    if named is None and (more or _is_unknown(message)):
        named = "other"
    return () if named is None else (SentAttachment(named),)


def _is_unknown(message: Message) -> bool:
    """Whether it holds something of a kind that is newer than the library, and nothing else."""
    if any(getattr(message, kind.value, None) for kind in MessageType):
        return False
    return any(isinstance(one, dict | list) for one in message.api_kwargs.values())


def _make_attachment(
    kind: AttachmentKind, file: PhotoSize | Animation | Video | Document
) -> SentAttachment:
    name = "" if isinstance(file, PhotoSize) else file.file_name or ""
    mime = "" if isinstance(file, PhotoSize) else file.mime_type or ""
    if kind == "file" and is_picture_file(name, mime):
        kind = "picture"
    return SentAttachment(kind, name, mime, file.file_size or 0, _make_fetch(file))


def find_audio(message: Message) -> AudioAttachment | None:
    """The audio that a message carries."""
    if (voice := message.voice) is not None:
        return _make_audio(voice, voice.duration, voice.mime_type or "audio/ogg")
    if (note := message.video_note) is not None:
        return _make_audio(note, note.duration, "video/mp4")
    if (song := message.audio) is not None:
        return _make_audio(song, song.duration, song.mime_type or "", song.file_name or "")
    document = message.document
    if document is not None and (document.mime_type or "").startswith("audio/"):
        return _make_audio(document, None, document.mime_type or "", document.file_name or "")
    return None


def _make_audio(
    file: Voice | VideoNote | AudioFile | Document,
    duration: int | timedelta | None,
    mime: str,
    name: str = "",
) -> AudioAttachment:
    if isinstance(duration, timedelta):
        duration = math.ceil(duration.total_seconds())
    return AudioAttachment(duration, file.file_size or 0, mime, name, _make_fetch(file))


def _make_fetch(
    file: Voice | VideoNote | AudioFile | Document | PhotoSize | Animation | Video,
) -> Callable[[], Awaitable[bytes]]:
    async def fetch() -> bytes:
        try:
            found = await file.get_file()
            return bytes(await found.download_as_bytearray())
        except TelegramError:
            # Its message may quote the file's address, which holds the token.
            raise DownloadFailed from None

    return fetch
