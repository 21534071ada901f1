"""The calls that put something into a chat, and what each refusal of Telegram's means.

`RetryLater` is "later" (429, a broken connection, a chat that moved); `TelegramRefused` is "never
like this". Formatting that is refused is left out rather than the text.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, TypeVar, final

from telegram import (
    Bot,
    CopyTextButton,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputFile,
    LabeledPrice,
    MessageEntity,
    ReplyParameters,
)
from telegram.constants import ChatAction
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Forbidden,
    NetworkError,
    RetryAfter,
    TelegramError,
)

from bots.chat.types import Attachment, Button, ButtonRows, Place, StarsInvoice
from bots.config.settings import TelegramConfig
from bots.render.answer_delivery import ChatRefused
from bots.render.entity_style import FormattedText, TextEntity
from bots.render.throttle import ChatThrottle, ChatThrottles, RetryLater
from payments.gateways.telegram_stars import CURRENCY

Result = TypeVar("Result")

_log = logging.getLogger(__name__)

_ENTITY_KINDS: Final = {
    "bold": MessageEntity.BOLD,
    "italic": MessageEntity.ITALIC,
    "strike": MessageEntity.STRIKETHROUGH,
    "code": MessageEntity.CODE,
    "pre": MessageEntity.PRE,
    "quote": MessageEntity.BLOCKQUOTE,
}
_PICTURE_SUFFIX: Final = ".png"
_CALLBACK_BYTES_MAX: Final = 64
#: Of an invoice.
_TITLE_MAX: Final = 32
_DESCRIPTION_MAX: Final = 255
_MIGRATED_MAX: Final = 1_000
#: What Telegram says when an edit would change nothing.
_NOT_MODIFIED: Final = "not modified"
#: What Telegram says, with 400, where nothing of ours is taken for good: no right to write, a topic
#: that is closed or gone, a chat that is. With 403 (blocked, kicked, deactivated) it always does.
_PLACE_CLOSED: Final = (
    *("not enough rights", "no rights to send", "no write access", "need administrator rights"),
    *("chat_write_forbidden", "chat_send_plain_forbidden", "chat_restricted", "chat_forbidden"),
    *("chat_admin_required", "chat_guest_send_forbidden", "user_banned_in_channel"),
    *("topic_closed", "topic_deleted", "topic closed", "message thread not found"),
    *("topic_id_invalid", "chat not found", "chat was deleted", "chat was deactivated"),
    *("group is deactivated", "channel_private", "channel_invalid", "peer_id_invalid"),
    *(
        "not a member",
        "bot was kicked",
        "bot was blocked",
        "user_is_blocked",
        "user is deactivated",
    ),
    *("input_user_deactivated", "user not found", "can't initiate conversation"),
    *("privacy_premium_required", "chat is not accessible", "payment_required"),
    "direct_messages_topic",
)
#: What Telegram says of a message that can no longer be changed.
_MESSAGE_GONE: Final = ("not found", "can't be edited", "message_id_invalid")


class TelegramRefused(ChatRefused):
    """Telegram will not do this, now or later: the bot is blocked, the chat is unknown, or the
    message is gone."""

    code = "telegram_refused"
    reason: str

    def __init__(self, reason: str, *, is_forbidden: bool = False) -> None:
        """`is_forbidden`: it came with 403, so that nothing else is taken there either."""
        self.reason = reason
        self._is_forbidden = is_forbidden
        super().__init__()

    @property
    def is_place_closed(self) -> bool:
        """Whether the chat or topic takes nothing of ours, now or later."""
        lowered = self.reason.lower()
        return self._is_forbidden or any(words in lowered for words in _PLACE_CLOSED)

    @property
    def is_message_gone(self) -> bool:
        """Whether the message meant is not there any more."""
        return any(words in self.reason.lower() for words in _MESSAGE_GONE)


@dataclass(frozen=True, slots=True)
class TelegramDestination:
    """A destination is a chat of Telegram, and the topic in it."""

    chat: int
    thread: int | None
    private: bool

    @classmethod
    def from_place(cls, place: Place) -> TelegramDestination:
        """Where a place of Telegram's is; people have positive ids, groups negative ones."""
        chat = int(place.chat)
        return cls(chat, int(place.thread) if place.thread else None, private=chat > 0)

    @classmethod
    def for_person(cls, sender: str) -> TelegramDestination:
        """The private chat with a person, which has the person's own id."""
        return cls(int(sender), None, private=True)


@final
class TelegramSender:
    """The sender sends, edits and deletes messages; every method raises `RetryLater` or
    `TelegramRefused`, nothing else."""

    def __init__(self, bot: Bot, throttles: ChatThrottles, config: TelegramConfig) -> None:
        self._bot = bot
        self._throttles = throttles
        self._config = config
        self._migrated_chats: OrderedDict[int, int] = OrderedDict()
        #: Where private chats have no topics, what was asked in one is answered in the chat itself.
        self.has_private_topics = False

    def get_throttle(self, destination: TelegramDestination) -> ChatThrottle:
        """The throttle of the chat."""
        config = self._config
        interval = (
            config.timing.private_interval_seconds
            if destination.private
            else config.timing.group_interval_seconds
        )
        return self._throttles.for_chat(str(destination.chat), interval)

    async def send_text(
        self,
        destination: TelegramDestination,
        shown: FormattedText,
        buttons: ButtonRows = (),
        *,
        reply_to: int | None = None,
        silent: bool = False,
    ) -> int:
        """Sends a message and gives its id; `silent`: nobody's device makes a sound."""

        async def call(shown: FormattedText, buttons: ButtonRows) -> int:
            message = await self._call(
                destination,
                lambda chat: self._bot.send_message(
                    chat,
                    shown.text,
                    entities=to_message_entities(shown.entities) or None,
                    message_thread_id=self._find_thread(destination),
                    disable_notification=silent or None,
                    reply_markup=build_keyboard(buttons),
                    reply_parameters=_reply_parameters(reply_to),
                ),
            )
            return message.message_id

        return await _send_with_fallback(call, shown, buttons)

    async def edit_text(
        self,
        destination: TelegramDestination,
        message: int,
        shown: FormattedText,
        buttons: ButtonRows = (),
    ) -> None:
        """Puts something else into a message of ours; that it is there already is no refusal."""

        async def call(shown: FormattedText, buttons: ButtonRows) -> None:
            await self._call(
                destination,
                lambda chat: self._bot.edit_message_text(
                    shown.text,
                    chat_id=chat,
                    message_id=message,
                    entities=to_message_entities(shown.entities) or None,
                    reply_markup=build_keyboard(buttons),
                ),
            )

        try:
            await _send_with_fallback(call, shown, buttons)
        except TelegramRefused as refused:
            if _NOT_MODIFIED not in refused.reason.lower():
                raise

    async def send_draft(
        self, destination: TelegramDestination, draft_id: int, shown: FormattedText
    ) -> None:
        """Shows a preview that fades after 30 seconds; private chats only."""
        await self._call(
            destination,
            lambda chat: self._bot.send_message_draft(
                chat,
                draft_id,
                shown.text,
                message_thread_id=self._find_thread(destination),
                entities=to_message_entities(shown.entities) or None,
            ),
        )

    async def remove_buttons(self, destination: TelegramDestination, message: int) -> None:
        """Takes the buttons off a message."""
        await self._call(
            destination,
            lambda chat: self._bot.edit_message_reply_markup(chat_id=chat, message_id=message),
        )

    async def delete_message(self, destination: TelegramDestination, message: int) -> None:
        """Deletes a message: ours, or in private also the person's."""
        await self._call(destination, lambda chat: self._bot.delete_message(chat, message))

    async def send_typing(self, destination: TelegramDestination) -> None:
        """Shows for five seconds that something is being written."""
        await self._call(
            destination,
            lambda chat: self._bot.send_chat_action(
                chat, ChatAction.TYPING, message_thread_id=self._find_thread(destination)
            ),
        )

    async def send_document(
        self,
        destination: TelegramDestination,
        attachment: Attachment,
        buttons: ButtonRows = (),
        *,
        silent: bool = False,
    ) -> int:
        """Sends a file, or a picture to be seen, and gives its message's id."""
        if attachment.name.endswith(_PICTURE_SUFFIX):
            picture = await self._call(
                destination,
                lambda chat: self._bot.send_photo(
                    chat,
                    InputFile(attachment.content, filename=attachment.name),
                    message_thread_id=self._find_thread(destination),
                    reply_markup=build_keyboard(buttons),
                ),
            )
            return picture.message_id
        message = await self._call(
            destination,
            lambda chat: self._bot.send_document(
                chat,
                InputFile(attachment.content, filename=attachment.name),
                message_thread_id=self._find_thread(destination),
                disable_notification=silent or None,
                reply_markup=build_keyboard(buttons),
            ),
        )
        return message.message_id

    async def send_invoice(self, destination: TelegramDestination, invoice: StarsInvoice) -> int:
        """Sends an invoice in Stars and gives its message's id."""
        message = await self._call(
            destination,
            lambda chat: self._bot.send_invoice(
                chat,
                title=invoice.title[:_TITLE_MAX],
                description=invoice.description[:_DESCRIPTION_MAX],
                payload=invoice.payload,
                # No provider's token: nobody but Telegram takes Stars. (This client would send an
                # empty one as a list.)
                currency=CURRENCY,
                prices=[LabeledPrice(invoice.title[:_TITLE_MAX], invoice.stars)],
                message_thread_id=self._find_thread(destination),
            ),
        )
        return message.message_id

    async def send_link(
        self,
        destination: TelegramDestination,
        text: str,
        url: str,
        label: str,
        *,
        reply_to: int | None = None,
    ) -> int:
        """Sends a line with one button that opens an address."""
        markup = InlineKeyboardMarkup([[InlineKeyboardButton(label, url=url)]])
        message = await self._call(
            destination,
            lambda chat: self._bot.send_message(
                chat,
                text,
                message_thread_id=self._find_thread(destination),
                reply_markup=markup,
                reply_parameters=_reply_parameters(reply_to),
            ),
        )
        return message.message_id

    def follow_move(self, was: int, chat: int) -> None:
        """Sends to `chat` what is for the chat that it `was`."""
        self._migrated_chats[was] = chat
        while len(self._migrated_chats) > _MIGRATED_MAX:
            self._migrated_chats.popitem(last=False)

    def _find_thread(self, destination: TelegramDestination) -> int | None:
        if destination.private and not self.has_private_topics:
            return None
        return destination.thread

    async def _call(
        self, destination: TelegramDestination, call: Callable[[int], Awaitable[Result]]
    ) -> Result:
        chat_id = self._migrated_chats.get(destination.chat, destination.chat)
        try:
            return await call(chat_id)
        except RetryAfter as wait:
            seconds = wait.retry_after
            raise RetryLater(
                seconds.total_seconds() if isinstance(seconds, timedelta) else float(seconds)
            ) from None
        except ChatMigrated as moved:
            self.follow_move(destination.chat, moved.new_chat_id)
            raise RetryLater(0.0) from None
        # A refusal of the content is a kind of network error to this client: it must come first.
        except BadRequest as refused:
            raise TelegramRefused(refused.message) from None
        except NetworkError:
            raise RetryLater from None
        except TelegramError as refused:
            is_forbidden = isinstance(refused, Forbidden)
            raise TelegramRefused(refused.message, is_forbidden=is_forbidden) from None


async def _send_with_fallback(
    call: Callable[[FormattedText, ButtonRows], Awaitable[Result]],
    shown: FormattedText,
    buttons: ButtonRows,
) -> Result:
    """The call as it should be, else without formatting, else without buttons too."""
    try:
        return await call(shown, buttons)
    except TelegramRefused as refused:
        if refused.is_message_gone or not _is_about_content(refused.reason):
            raise
        _log.warning("formatting was refused: %s", refused.reason)
    unformatted = FormattedText(shown.text)
    try:
        return await call(unformatted, buttons)
    except TelegramRefused as refused:
        if not buttons or not _is_about_content(refused.reason):
            raise
    return await call(unformatted, ())


def _is_about_content(reason: str) -> bool:
    lowered = reason.lower()
    if _NOT_MODIFIED in lowered:
        return False
    return any(word in lowered for word in ("entit", "parse", "button", "keyboard", "markup"))


def to_message_entities(entities: tuple[TextEntity, ...]) -> list[MessageEntity]:
    """Our entities as Telegram's."""
    return [
        MessageEntity(
            _ENTITY_KINDS[entity.kind],
            entity.offset,
            entity.length,
            language=entity.language or None,
        )
        for entity in entities
    ]


def build_keyboard(buttons: ButtonRows) -> InlineKeyboardMarkup | None:
    """Buttons whose presses carry our opaque ids."""
    if not buttons:
        return None
    for row in buttons:
        for button in row:
            is_own_id = 0 < len(button.id.encode()) <= _CALLBACK_BYTES_MAX
            assert button.url or button.copy or is_own_id, "an id, not data"
    return InlineKeyboardMarkup([[_build_button(each) for each in row] for row in buttons])


def _build_button(button: Button) -> InlineKeyboardButton:
    if button.url:
        return InlineKeyboardButton(button.label, url=button.url)
    if button.copy:
        return InlineKeyboardButton(button.label, copy_text=CopyTextButton(button.copy))
    return InlineKeyboardButton(button.label, callback_data=button.id)


def _reply_parameters(message: int | None) -> ReplyParameters | None:
    if message is None:
        return None
    return ReplyParameters(message, allow_sending_without_reply=True)
