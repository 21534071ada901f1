"""Discord's interactions and messages → `IncomingMessage` and `ButtonPress`, and which are for the
bot at all.

A direct chat, and what one person alone sees in a server, is one place: the person's own. So a
button that was shown to them alone is theirs wherever it is pressed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Final, cast

import discord
from pydantic import SecretStr

from bots.chat.attachments import (
    AttachmentKind,
    QuotedText,
    SentAttachment,
    is_picture_file,
)
from bots.chat.audio import AudioAttachment, DownloadFailed
from bots.chat.types import ButtonPress, FormSubmission, IncomingMessage, MenuItem, Place, Sender
from bots.discord.components import FORM_PREFIX

_DISCORD_EPOCH_MS: Final = 1_420_070_400_000
#: Discord's number for options that are files.
_ATTACHMENT_OPTION: Final = 11
_MESSAGE_TYPES: Final = (discord.MessageType.default, discord.MessageType.reply)


def snowflake_to_ms(snowflake: int) -> int:
    """When this id was made, in milliseconds UTC."""
    return (snowflake >> 22) + _DISCORD_EPOCH_MS


def is_in_private(interaction: discord.Interaction) -> bool:
    """Whether it came from the direct chat of a person with the bot (not of two people)."""
    return interaction.context.dm_channel


def is_ephemeral(interaction: discord.Interaction) -> bool:
    """Whether the pressed message is seen by its reader alone."""
    message = interaction.message
    return message is not None and message.flags.ephemeral


def find_place(interaction: discord.Interaction) -> Place | None:
    """Where an interaction was; None where Discord tells no channel."""
    if is_in_private(interaction) or is_ephemeral(interaction):
        return Place("discord", str(interaction.user.id))
    channel = interaction.channel
    return None if channel is None else get_channel_place(channel)


def get_channel_place(channel: Any) -> Place:
    """The place of a channel of a server, or of a thread in one."""
    if isinstance(channel, discord.Thread):
        return Place("discord", str(channel.parent_id), str(channel.id), private=False)
    return Place("discord", str(channel.id), private=False)


def get_sender(interaction: discord.Interaction) -> Sender:
    """Who it is, with the language of their app."""
    return Sender(str(interaction.user.id), interaction.locale.value)


def make_way_back(interaction: discord.Interaction) -> str:
    """`<person>:<token>`: by the token an answer is delivered where it was asked, also after a
    restart. What is for one reader alone goes to their direct chat then, which is its place
    anyway."""
    return "" if is_ephemeral(interaction) else f"{interaction.user.id}:{interaction.token}"


#: Behind a way back: only there does the answer show what was asked. No token holds such a sign.
_QUESTION_SIGN: Final = ":q"


def mark_question(way_back: str) -> str:
    """The way back to an answer above which its question stands."""
    return f"{way_back}{_QUESTION_SIGN}" if way_back else ""


def parse_way_back(way_back: str) -> tuple[str, str, bool]:
    """The person's id, the token, both perhaps empty, and whether the question stands above the
    answer."""
    person, _, token = way_back.removesuffix(_QUESTION_SIGN).partition(":")
    return person, token, way_back.endswith(_QUESTION_SIGN)


def read_command(
    interaction: discord.Interaction, menu: Sequence[MenuItem]
) -> IncomingMessage | None:
    """A slash command with its options."""
    place = find_place(interaction)
    data: Any = interaction.data or {}
    item = next((each for each in menu if each.name == data.get("name")), None)
    if place is None or item is None:
        return None
    files = _list_option_files(interaction)
    audio = _find_audio_file(files)
    return IncomingMessage(
        place=place,
        sender=get_sender(interaction),
        message=str(interaction.id),
        at_ms=snowflake_to_ms(interaction.id),
        text="",
        command=item.name,
        options={
            each["name"]: str(each.get("value", ""))
            for each in data.get("options", ())
            if each.get("type") != _ATTACHMENT_OPTION
        },
        audio=audio,
        attachments=() if audio is not None else tuple(map(_make_attachment, files)),
        way_back=make_way_back(interaction),
    )


def _list_option_files(interaction: discord.Interaction) -> list[discord.Attachment]:
    """The files that stand in a slash command's options."""
    data: Any = interaction.data or {}
    told = data.get("resolved", {}).get("attachments", {})
    chosen = [
        told.get(str(each.get("value")))
        for each in data.get("options", ())
        if each.get("type") == _ATTACHMENT_OPTION
    ]
    # As the library itself makes them: it has no public way.
    state = interaction._state  # noqa: SLF001
    return [discord.Attachment(data=one, state=state) for one in chosen if one]


def read_press(interaction: discord.Interaction) -> ButtonPress | None:
    """A button pressed or an option selected."""
    place, message = find_place(interaction), interaction.message
    data: Any = interaction.data or {}
    chosen = data.get("values") or [data.get("custom_id", "")]
    if place is None or message is None or not chosen[0]:
        return None
    return ButtonPress(
        place,
        get_sender(interaction),
        str(chosen[0]),
        str(message.id),
        id=str(interaction.id),
        way_back=make_way_back(interaction),
    )


def read_submission(interaction: discord.Interaction) -> FormSubmission | None:
    """A dialog sent off; None when it is no form of ours."""
    place, data = find_place(interaction), cast("Any", interaction.data or {})
    named = str(data.get("custom_id", ""))
    if place is None or not named.startswith(FORM_PREFIX):
        return None
    typed = [each.get("component") or {} for each in data.get("components", ())]
    return FormSubmission(
        place=place,
        sender=get_sender(interaction),
        form=named.removeprefix(FORM_PREFIX),
        message=str(interaction.id),
        values={str(each.get("custom_id")): SecretStr(str(each.get("value"))) for each in typed},
    )


def read_message(message: discord.Message, bot_user: discord.ClientUser) -> IncomingMessage | None:
    """The message if it is for the bot: said in private, a mention of it, or a reply to it."""
    if message.author.bot or message.webhook_id is not None or message.type not in _MESSAGE_TYPES:
        return None
    private = message.guild is None
    text, audio, attachments = message.content, find_audio(message), find_attachments(message)
    is_forward = bool(message.message_snapshots)
    if is_forward:  # whoever wrote that didn't write to us
        text, attachments = _read_snapshots(message)
    if not private:
        mentioned = re.search(rf"<@!?{bot_user.id}>", text) is not None
        # Of a reply without a mention Discord shows what it holds only with a right that is not
        # asked.
        has_content = bool(text) or audio is not None or bool(attachments)
        if not mentioned and not (has_content and _is_reply_to_bot(message, bot_user)):
            return None
        if is_forward:
            return None  # nobody asks by what others said elsewhere
        text = _without_mention(text, bot_user)
    elif not (text or attachments or audio):
        # A shared theme, and what is newer than the library.
        attachments = (SentAttachment("other"),)
    quotes, quoted_attachments = _find_quotes(message, bot_user)
    return IncomingMessage(
        place=Place("discord", str(message.author.id))
        if private
        else get_channel_place(message.channel),
        sender=Sender(str(message.author.id)),
        message=str(message.id),
        at_ms=snowflake_to_ms(message.id),
        text=text,
        is_own=not is_forward,
        audio=audio,
        attachments=(*attachments, *quoted_attachments),
        replies_to=_replied_message_id(message),
        quotes=quotes,
    )


def _read_snapshots(message: discord.Message) -> tuple[str, tuple[SentAttachment, ...]]:
    """The words of forwarded messages, and what they carry."""
    texts = [text for one in message.message_snapshots if (text := read_visible_text(one))]
    attachments: list[SentAttachment] = []
    for snapshot in message.message_snapshots:
        attachments += map(_make_attachment, snapshot.attachments)
        attachments += [SentAttachment("sticker")] * bool(snapshot.stickers)
    if not texts and not attachments:
        attachments.append(SentAttachment("other"))
    return "\n\n".join(texts), tuple(attachments)


def _find_quotes(
    message: discord.Message, bot_user: discord.ClientUser
) -> tuple[tuple[QuotedText, ...], tuple[SentAttachment, ...]]:
    """The words that a message replies to, and what that carries. In servers Discord shows others'
    messages only with a right that is not asked, or where the bot is mentioned."""
    if message.type is not discord.MessageType.reply or message.reference is None:
        return (), ()
    replied = message.reference.resolved
    if not isinstance(replied, discord.Message):
        return (), (SentAttachment("hidden", is_from_reply=True),)
    return describe_quoted(replied, bot_user)


def read_visible_text(message: discord.Message | discord.MessageSnapshot) -> str:
    """The words that a message shows: its own, and what apps write into embeds and components. What
    Discord itself puts below a link is none of it."""
    parts: list[str | None] = [message.content]
    for embed in message.embeds:
        if embed.type == "rich":
            fields = (part for field in embed.fields for part in (field.name, field.value))
            parts += [embed.author.name, embed.title, embed.description, *fields]
            parts.append(embed.footer.text)
    parts += _list_displayed_texts(message.components)
    return "\n".join(part for part in parts if part)


def _list_displayed_texts(components: Sequence[Any]) -> list[str]:
    texts: list[str] = []
    for component in components:
        if isinstance(component, discord.TextDisplay):
            texts.append(component.content)
        else:
            texts += _list_displayed_texts(getattr(component, "children", ()))
    return texts


def describe_quoted(
    replied: discord.Message, bot_user: discord.ClientUser
) -> tuple[tuple[QuotedText, ...], tuple[SentAttachment, ...]]:
    """The words of a message that another one is about, and what it carries."""
    text = read_visible_text(replied)
    quotes = (QuotedText("reply", text),) if text.strip() else ()
    if replied.author.id == bot_user.id:
        return quotes, ()
    audio = find_audio(replied)
    heard = () if audio is None else (SentAttachment("audio", audio.name),)
    attachments = (*heard, *find_attachments(replied))
    if not quotes and not attachments:
        attachments = (SentAttachment("hidden"),)
    return quotes, tuple(replace(one, is_from_reply=True) for one in attachments)


def find_attachments(message: discord.Message) -> tuple[SentAttachment, ...]:
    """What a message carries beside words and audio."""
    if find_audio(message) is not None:
        return ()
    found = [_make_attachment(one) for one in message.attachments]
    found += [SentAttachment("sticker")] * bool(message.stickers)
    found += [SentAttachment("poll")] * (message.poll is not None)
    found += [SentAttachment("other")] * (message.activity is not None)
    return tuple(found)


def _make_attachment(attached: discord.Attachment) -> SentAttachment:
    mime = attached.content_type or ""
    kind: AttachmentKind = "file"
    if is_picture_file(attached.filename, mime):
        kind = "picture"
    elif mime.startswith("video/"):
        kind = "video"
    return SentAttachment(kind, attached.filename, mime, attached.size, _make_fetch(attached))


def _replied_message_id(message: discord.Message) -> str:
    """Forwarded messages refer to another one too: those are no replies."""
    reference = message.reference if message.type is discord.MessageType.reply else None
    return str(reference.message_id or "") if reference is not None else ""


def _is_reply_to_bot(message: discord.Message, bot_user: discord.ClientUser) -> bool:
    reference = message.reference
    replied = reference.resolved if reference is not None else None
    return isinstance(replied, discord.Message) and replied.author.id == bot_user.id


def _without_mention(text: str, bot_user: discord.ClientUser) -> str:
    stripped = re.sub(rf"<@!?{bot_user.id}>", "", text)
    return re.sub(r"^[\s,:，：]+|\s+$", "", stripped)


def find_audio(message: discord.Message) -> AudioAttachment | None:
    """The first audio that is attached."""
    return _find_audio_file(message.attachments)


def _find_audio_file(files: Sequence[discord.Attachment]) -> AudioAttachment | None:
    for attached in files:
        mime = attached.content_type or ""
        if attached.is_voice_message() or mime.startswith("audio/"):
            return _make_audio(attached, mime or "audio/ogg")
    return None


def _make_audio(attached: discord.Attachment, mime: str) -> AudioAttachment:
    seconds = None if attached.duration is None else math.ceil(attached.duration)
    return AudioAttachment(seconds, attached.size, mime, attached.filename, _make_fetch(attached))


def _make_fetch(attached: discord.Attachment) -> Callable[[], Awaitable[bytes]]:
    async def fetch() -> bytes:
        try:
            return await attached.read()
        except discord.DiscordException:
            raise DownloadFailed from None

    return fetch
