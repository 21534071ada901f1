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
    NetworkError,
    RetryAfter,
    TelegramError,
)

from bots.chat.types import Attachment, Bill, Buttons, Place
from bots.render.entity_style import Entity, Shown
from bots.render.throttle import Budget, Budgets, Wait
from bots.telegram.config import TelegramConfig
from core.errors import Refusal
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
_PICTURE: Final = ".png"
_CALLBACK_BYTES_MAX: Final = 64
#: Of an invoice.
_TITLE_MAX: Final = 32
_ABOUT_MAX: Final = 255
_MOVED_MAX: Final = 1_000
#: What Telegram says when an edit would change nothing.
_SAME: Final = "not modified"
#: What Telegram says of a message that can no longer be changed.
_GONE: Final = ("not found", "can't be edited", "message_id_invalid")


class Refused(Refusal):
    """Telegram will not do this, now or later: the bot is blocked, the chat is unknown, or the
    message is gone."""

    code = "telegram_refused"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__()

    @property
    def gone(self) -> bool:
        """Whether the message meant is not there any more."""
        return any(words in self.reason.lower() for words in _GONE)


@dataclass(frozen=True, slots=True)
class Where:
    """A destination is a chat of Telegram, and the topic in it."""

    chat: int
    thread: int | None
    private: bool

    @classmethod
    def of(cls, place: Place) -> Where:
        """Where a place of Telegram's is; people have positive ids, groups negative ones."""
        chat = int(place.chat)
        return cls(chat, int(place.thread) if place.thread else None, private=chat > 0)

    @classmethod
    def person(cls, sender: str) -> Where:
        """The private chat with a person, which has the person's own id."""
        return cls(int(sender), None, private=True)


@final
class Outbox:
    """The sender sends, edits and deletes messages; every method raises `RetryLater` or
    `TelegramRefused`, nothing else."""

    def __init__(self, bot: Bot, budgets: Budgets, config: TelegramConfig) -> None:
        self._bot = bot
        self._budgets = budgets
        self._config = config
        self._moved: OrderedDict[int, int] = OrderedDict()

    def budget(self, where: Where) -> Budget:
        """The throttle of the chat."""
        config = self._config
        interval = (
            config.private_interval_seconds if where.private else config.group_interval_seconds
        )
        return self._budgets.of(str(where.chat), interval)

    async def send(
        self, where: Where, shown: Shown, buttons: Buttons = (), *, reply_to: int | None = None
    ) -> int:
        """Sends a message and gives its id."""

        async def call(shown: Shown, buttons: Buttons) -> int:
            message = await self._call(
                where,
                lambda chat: self._bot.send_message(
                    chat,
                    shown.text,
                    entities=entities_of(shown.entities) or None,
                    message_thread_id=where.thread,
                    reply_markup=keyboard(buttons),
                    reply_parameters=_reply(reply_to),
                ),
            )
            return message.message_id

        return await _simpler(call, shown, buttons)

    async def edit(self, where: Where, message: int, shown: Shown, buttons: Buttons = ()) -> None:
        """Puts something else into a message of ours; that it is there already is no refusal."""

        async def call(shown: Shown, buttons: Buttons) -> None:
            await self._call(
                where,
                lambda chat: self._bot.edit_message_text(
                    shown.text,
                    chat_id=chat,
                    message_id=message,
                    entities=entities_of(shown.entities) or None,
                    reply_markup=keyboard(buttons),
                ),
            )

        try:
            await _simpler(call, shown, buttons)
        except Refused as refused:
            if _SAME not in refused.reason.lower():
                raise

    async def draft(self, where: Where, draft: int, shown: Shown) -> None:
        """Shows a preview that fades after 30 seconds; private chats only."""
        await self._call(
            where,
            lambda chat: self._bot.send_message_draft(
                chat,
                draft,
                shown.text,
                message_thread_id=where.thread,
                entities=entities_of(shown.entities) or None,
            ),
        )

    async def without_buttons(self, where: Where, message: int) -> None:
        """Takes the buttons off a message."""
        await self._call(
            where,
            lambda chat: self._bot.edit_message_reply_markup(chat_id=chat, message_id=message),
        )

    async def delete(self, where: Where, message: int) -> None:
        """Deletes a message: ours, or in private also the person's."""
        await self._call(where, lambda chat: self._bot.delete_message(chat, message))

    async def typing(self, where: Where) -> None:
        """Shows for five seconds that something is being written."""
        await self._call(
            where,
            lambda chat: self._bot.send_chat_action(
                chat, ChatAction.TYPING, message_thread_id=where.thread
            ),
        )

    async def document(self, where: Where, attachment: Attachment, buttons: Buttons = ()) -> int:
        """Sends a file, or a picture to be seen, and gives its message's id."""
        if attachment.name.endswith(_PICTURE):
            picture = await self._call(
                where,
                lambda chat: self._bot.send_photo(
                    chat,
                    InputFile(attachment.content, filename=attachment.name),
                    message_thread_id=where.thread,
                    reply_markup=keyboard(buttons),
                ),
            )
            return picture.message_id
        message = await self._call(
            where,
            lambda chat: self._bot.send_document(
                chat,
                InputFile(attachment.content, filename=attachment.name),
                message_thread_id=where.thread,
                reply_markup=keyboard(buttons),
            ),
        )
        return message.message_id

    async def invoice(self, where: Where, bill: Bill) -> int:
        """Sends an invoice in Stars and gives its message's id."""
        message = await self._call(
            where,
            lambda chat: self._bot.send_invoice(
                chat,
                title=bill.title[:_TITLE_MAX],
                description=bill.about[:_ABOUT_MAX],
                payload=bill.payload,
                # No provider's token: nobody but Telegram takes Stars. (This client would send an
                # empty one as a list.)
                currency=CURRENCY,
                prices=[LabeledPrice(bill.title[:_TITLE_MAX], bill.stars)],
                message_thread_id=where.thread,
            ),
        )
        return message.message_id

    async def link(
        self, where: Where, text: str, url: str, label: str, *, reply_to: int | None = None
    ) -> int:
        """Sends a line with one button that opens an address."""
        markup = InlineKeyboardMarkup([[InlineKeyboardButton(label, url=url)]])
        message = await self._call(
            where,
            lambda chat: self._bot.send_message(
                chat,
                text,
                message_thread_id=where.thread,
                reply_markup=markup,
                reply_parameters=_reply(reply_to),
            ),
        )
        return message.message_id

    async def _call(self, where: Where, call: Callable[[int], Awaitable[Result]]) -> Result:
        chat = self._moved.get(where.chat, where.chat)
        try:
            return await call(chat)
        except RetryAfter as wait:
            seconds = wait.retry_after
            raise Wait(
                seconds.total_seconds() if isinstance(seconds, timedelta) else float(seconds)
            ) from None
        except ChatMigrated as moved:
            self._moved[where.chat] = moved.new_chat_id
            while len(self._moved) > _MOVED_MAX:
                self._moved.popitem(last=False)
            raise Wait(0.0) from None
        # A refusal of the content is a kind of network error to this client: it must come first.
        except BadRequest as refused:
            raise Refused(refused.message) from None
        except NetworkError:
            raise Wait from None
        except TelegramError as refused:
            raise Refused(refused.message) from None


async def _simpler(
    call: Callable[[Shown, Buttons], Awaitable[Result]], shown: Shown, buttons: Buttons
) -> Result:
    """The call as it should be, else without formatting, else without buttons too."""
    try:
        return await call(shown, buttons)
    except Refused as refused:
        if refused.gone or not _about_content(refused.reason):
            raise
        _log.warning("formatting was refused: %s", refused.reason)
    plain = Shown(shown.text)
    try:
        return await call(plain, buttons)
    except Refused as refused:
        if not buttons or not _about_content(refused.reason):
            raise
    return await call(plain, ())


def _about_content(reason: str) -> bool:
    lowered = reason.lower()
    if _SAME in lowered:
        return False
    return any(word in lowered for word in ("entit", "parse", "button", "keyboard", "markup"))


def entities_of(entities: tuple[Entity, ...]) -> list[MessageEntity]:
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


def keyboard(buttons: Buttons) -> InlineKeyboardMarkup | None:
    """Buttons whose presses carry our opaque ids."""
    if not buttons:
        return None
    for row in buttons:
        for button in row:
            ours = 0 < len(button.id.encode()) <= _CALLBACK_BYTES_MAX
            assert button.url or ours, "an id, not data"
    return InlineKeyboardMarkup(
        [
            [
                InlineKeyboardButton(each.label, url=each.url)
                if each.url
                else InlineKeyboardButton(each.label, callback_data=each.id)
                for each in row
            ]
            for row in buttons
        ]
    )


def _reply(message: int | None) -> ReplyParameters | None:
    if message is None:
        return None
    return ReplyParameters(message, allow_sending_without_reply=True)
