"""Shows, in one chat, what the chat handler yields for one message or one button press."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, final

from bots.chat.types import (
    Answer,
    AnswerProgress,
    ButtonRows,
    Card,
    ChatHandler,
    FormCard,
    Output,
    Place,
    StarsInvoice,
    UndeliveredAnswer,
)
from bots.render.answer_delivery import AnswerDelivery, AnswerStreams
from bots.render.entity_style import FormattedText
from bots.render.pieces import split_card
from bots.render.throttle import NotDelivered
from bots.telegram.sender import TelegramDestination, TelegramRefused, TelegramSender
from bots.telegram.streaming import STYLE, DraftSupport, TelegramAnchor, TelegramStreamingMessage
from core.clock import Clock

_log = logging.getLogger(__name__)

#: How long a card is tried; an answer's end is tried for much longer.
_CARD_RETRY_SECONDS_MAX: Final = 120.0
_REFUSED_BEFORE: Final = "the chat refused before"
#: How long the deletion of a secret is tried before its person is told to do it.
_ERASE_RETRY_SECONDS_MAX: Final = 20.0


@dataclass(frozen=True, slots=True)
class TelegramTarget:
    """The target of an answer: to which chat it goes, whom it answers, and which message."""

    destination: TelegramDestination
    sender: str
    #: The person's message; None when a button was pressed. `more` came with it.
    incoming: int | None = None
    more: tuple[int, ...] = ()
    #: Our message whose button was pressed.
    pressed: int | None = None


@final
class TelegramPresenter:
    """The presenter is the one place where the handler's outputs become Telegram messages."""

    def __init__(
        self,
        sender: TelegramSender,
        drafts: DraftSupport,
        chat_handler: ChatHandler,
        clock: Clock,
        *,
        username: str,
    ) -> None:
        self._sender = sender
        self._drafts = drafts
        self._chat_handler = chat_handler
        self._clock = clock
        self._username = username
        self._delivery = AnswerDelivery(
            chat_handler, clock, self._new_private_stream, has_second_private_way=False
        )

    async def present(
        self, target: TelegramTarget, place: Place, outputs: AsyncIterator[Output]
    ) -> None:
        """Shows everything that is yielded for what came from a place, as it comes."""
        answers = AnswerStreams(
            self._delivery, place, target.sender, partial(self._new_stream, target)
        )
        step_message: int | None = None
        try:
            async for output in outputs:
                match output:
                    case Card():
                        step_message = await self.show_card(target, output, step_message)
                    case FormCard():
                        await self.show_card(target, output.to_card())
                    case AnswerProgress():
                        await answers.show_progress(output)
                    case Answer():
                        await (await answers.show_answer(output)).remove_stop_message()
        finally:
            await answers.abandon()

    async def show_card(
        self, target: TelegramTarget, card: Card, step_message: int | None = None
    ) -> int | None:
        """Shows a card, in the place of the message `step_message` where there is one; gives its
        message when it is only a step itself. Raises `TelegramRefused` or `NotDelivered` when it
        can't be shown."""
        if card.erase_incoming and target.incoming is not None:
            if not await self._erase(target.destination, target.incoming, *target.more):
                card = replace(card, lines=(card.kept_note,) if card.kept_note else card.lines)
            target = replace(target, incoming=None)
        person = TelegramTarget(TelegramDestination.for_person(target.sender), target.sender)
        if not card.private or target.destination.private:
            try:
                message = await self._send_card(target, card, step_message)
            except TelegramRefused as refused:
                if target.destination.private or not refused.is_place_closed:
                    raise
                # Its buttons belong to where it was asked for.
                await self._send_card(person, replace(card, buttons=(), replace=False))
                return None
            return message if card.passing else None
        try:
            await self._send_card(person, card)
        except TelegramRefused:
            await self._point_to_private(target, card.unreachable_note)
        else:
            await self._point_to_private(target, card.public_note)
        return None

    async def deliver_answer(self, undelivered: UndeliveredAnswer) -> list[str]:
        """Shows a saved answer where it was asked for, or to its asker, and gives its messages'
        ids."""

        async def mark_started(message: str) -> None:
            await self._chat_handler.mark_started(undelivered.ask, message)

        place = undelivered.place
        if self._delivery.refused_lately(place):
            return await self._delivery.show_in_private(
                undelivered.answer,
                place,
                undelivered.asker,
                TelegramRefused(_REFUSED_BEFORE, is_forbidden=True),
                was_shown=bool(undelivered.shown_in),
            )
        destination = TelegramDestination.from_place(undelivered.place)
        stream = TelegramStreamingMessage(
            self._sender,
            self._drafts,
            self._clock,
            destination,
            undelivered.ask,
            on_started=mark_started,
            anchor=TelegramAnchor(
                None if destination.private else _parse_message_id(undelivered.asked_in),
                _parse_message_id(undelivered.shown_in),
            ),
        )
        return await self._delivery.show_answer(
            stream,
            undelivered.answer,
            place,
            undelivered.asker,
            was_shown=bool(undelivered.shown_in),
        )

    def _new_private_stream(self, ask: str, asker: str) -> TelegramStreamingMessage:
        async def mark_nothing(_: str) -> None:
            """It isn't where the answer was begun."""

        return TelegramStreamingMessage(
            self._sender,
            self._drafts,
            self._clock,
            TelegramDestination.for_person(asker),
            ask,
            on_started=mark_nothing,
            anchor=TelegramAnchor(),
        )

    def _new_stream(self, target: TelegramTarget, ask: str) -> TelegramStreamingMessage:
        async def mark_started(message: str) -> None:
            await self._chat_handler.mark_started(ask, message)

        return TelegramStreamingMessage(
            self._sender,
            self._drafts,
            self._clock,
            target.destination,
            ask,
            on_started=mark_started,
            anchor=TelegramAnchor(_reply_to_id(target)),
        )

    async def _send_card(
        self, target: TelegramTarget, card: Card, step_message: int | None = None
    ) -> int | None:
        """The message that shows it, or the last of them."""
        file = card.attachment
        if file is not None:
            throttle = self._sender.get_throttle(target.destination)
            with throttle.hold_bytes(len(file.content)) as fits:
                return await self._send_pieces(
                    target, card if fits else card.postpone(), step_message
                )
        return await self._send_pieces(target, card, step_message)

    async def _send_pieces(
        self, target: TelegramTarget, card: Card, step_message: int | None
    ) -> int | None:
        in_place_of = target.pressed if step_message is None and card.replace else step_message
        message = None
        shown = [STYLE.render_piece(piece) for piece in split_card(card, STYLE)]
        file = card.attachment
        for number, each in enumerate(shown):
            last = number == len(shown) - 1 and file is None
            buttons = card.buttons if last else ()
            if number == 0 and in_place_of is not None:
                message = await self._edit_or_send(target, in_place_of, each, buttons)
            else:
                reply_to = _reply_to_id(target) if number == 0 else None
                message = await self._send(target.destination, each, buttons, reply_to)
        if file is not None:
            await self._sender.get_throttle(target.destination).send_with_retries(
                lambda: self._sender.send_document(target.destination, file, card.buttons),
                retry_seconds_max=_CARD_RETRY_SECONDS_MAX,
            )
        if card.invoice is not None:
            await self._send_invoice(target.destination, card.invoice)
        return message

    async def _send_invoice(self, destination: TelegramDestination, invoice: StarsInvoice) -> None:
        """An invoice is no text that could be edited: it has a message of its own."""
        try:
            await self._sender.get_throttle(destination).send_with_retries(
                lambda: self._sender.send_invoice(destination, invoice),
                retry_seconds_max=_CARD_RETRY_SECONDS_MAX,
            )
        except TelegramRefused as refused:
            _log.warning("an invoice was refused: %s", refused.reason)
            await self._send(destination, FormattedText(invoice.refused_text), (), None)

    async def _edit_or_send(
        self, target: TelegramTarget, message: int, shown: FormattedText, buttons: ButtonRows
    ) -> int:
        try:
            await self._sender.get_throttle(target.destination).send_with_retries(
                lambda: self._sender.edit_text(target.destination, message, shown, buttons),
                retry_seconds_max=_CARD_RETRY_SECONDS_MAX,
            )
        except TelegramRefused as refused:
            _log.info("a card could not be replaced: %s", refused.reason)
            return await self._send(target.destination, shown, buttons, None)
        return message

    async def _send(
        self,
        destination: TelegramDestination,
        shown: FormattedText,
        buttons: ButtonRows,
        reply_to: int | None,
    ) -> int:
        return await self._sender.get_throttle(destination).send_with_retries(
            lambda: self._sender.send_text(destination, shown, buttons, reply_to=reply_to),
            retry_seconds_max=_CARD_RETRY_SECONDS_MAX,
        )

    async def _erase(self, destination: TelegramDestination, *messages: int) -> bool:
        """Deletes messages at once; whether none of them is there any more."""
        all_erased = True
        for message in messages:
            try:
                await self._sender.get_throttle(destination).send_with_retries(
                    partial(self._sender.delete_message, destination, message),
                    retry_seconds_max=_ERASE_RETRY_SECONDS_MAX,
                    is_message=False,
                )
            except TelegramRefused as refused:
                all_erased &= refused.is_message_gone
            except NotDelivered:
                all_erased = False
        return all_erased

    async def _point_to_private(self, target: TelegramTarget, note: str) -> None:
        """Tells in the group where the rest is, with a link to the private chat."""
        if not note:
            return
        with contextlib.suppress(NotDelivered):
            await self._sender.get_throttle(target.destination).send_with_retries(
                lambda: self._sender.send_link(
                    target.destination,
                    note,
                    f"https://t.me/{self._username}",
                    f"@{self._username}",
                    reply_to=_reply_to_id(target),
                ),
                retry_seconds_max=_CARD_RETRY_SECONDS_MAX,
            )


def _reply_to_id(target: TelegramTarget) -> int | None:
    """In a group an answer says whose message it answers."""
    return None if target.destination.private else target.incoming


def _parse_message_id(message: str) -> int | None:
    return int(message) if message.isdecimal() else None
