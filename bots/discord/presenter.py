"""Shows what the chat handler yields for one interaction or one message."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, final

import discord

from bots.chat.i18n import find_nearest_language, render
from bots.chat.reply import say
from bots.chat.types import (
    Answer,
    AnswerProgress,
    Card,
    ChatHandler,
    FormCard,
    Output,
    Place,
    UndeliveredAnswer,
)
from bots.config.settings import DiscordConfig
from bots.discord.components import FORM_PREFIX
from bots.discord.interactions import InteractionResponder
from bots.discord.redelivery import RedeliveryResponder
from bots.discord.sender import (
    NO_ACCESS,
    ChannelResponder,
    DiscordPost,
    DiscordRefused,
    Responder,
)
from bots.discord.streaming import STYLE, DiscordStreamingMessage
from bots.render.answer_delivery import AnswerDelivery, AnswerStreams
from bots.render.pieces import split_card
from bots.render.throttle import ChatThrottle, ChatThrottles, RetryLater
from core.clock import Clock

_log = logging.getLogger(__name__)

#: How long a card is tried; an answer's end is tried for much longer.
_CARD_RETRY_SECONDS_MAX: Final = 120.0
_EXPIRY_NOTE: Final = say(
    "Discord lets me write here for 15 minutes only. The whole answer comes to you in private."
)


@dataclass(frozen=True, slots=True)
class DiscordTarget:
    """The target of an answer: through which responder it goes, whom it answers, and which
    message."""

    responder: Responder
    sender: str
    #: Nobody else reads here.
    is_private: bool
    #: The person's message, where there is one.
    incoming: int | None = None
    language: str = ""
    #: What a command asked, where others read: they see the command's name alone.
    asked: str = ""


@final
class DiscordPresenter:
    """The presenter is the one place where the handler's outputs become Discord messages."""

    def __init__(
        self,
        client: discord.Client,
        chat_handler: ChatHandler,
        throttles: ChatThrottles,
        config: DiscordConfig,
        clock: Clock,
    ) -> None:
        self._client = client
        self._chat_handler = chat_handler
        self._throttles = throttles
        self._delivery = AnswerDelivery(
            chat_handler, clock, self._new_private_stream, has_second_private_way=True
        )
        self._config = config

    async def present(
        self, target: DiscordTarget, place: Place, outputs: AsyncIterator[Output]
    ) -> None:
        """Shows everything that is yielded for what came from a place, as it comes."""
        answers = AnswerStreams(
            self._delivery, place, target.sender, partial(self._new_stream, target)
        )
        is_silent, step_message = True, None
        try:
            async for output in outputs:
                is_silent = False
                match output:
                    case Card():
                        step_message = await self.show_card(target, output, step_message)
                    case FormCard():
                        await self.show_card(
                            target, output.to_card(open_button=f"{FORM_PREFIX}{output.form.id}")
                        )
                    case AnswerProgress():
                        await answers.show_progress(output)
                    case Answer():
                        await answers.show_answer(output)
        finally:
            await answers.abandon()
            await target.responder.close(is_silent=is_silent)

    async def show_card(
        self, target: DiscordTarget, card: Card, step_message: int | None = None
    ) -> int | None:
        """Shows a card, in the place of the message `step_message` where there is one; gives its
        message when it is only a step itself. Raises `DiscordRefused` or `NotDelivered` when it
        can't be shown."""
        if card.erase_incoming and target.incoming is not None:
            with contextlib.suppress(RetryLater, DiscordRefused):
                await target.responder.delete_message(target.incoming)
        by_interaction = isinstance(target.responder, InteractionResponder)
        person = ChannelResponder(self._client, int(target.sender), person=True)
        if target.is_private or not card.private or by_interaction:
            try:
                message = await self._send_card(target.responder, card, step_message)
            except DiscordRefused as refused:
                if target.is_private or not refused.is_place_closed:
                    raise
                # Its buttons belong to where it was asked for.
                await self._send_card(person, replace(card, buttons=(), replace=False))
                return None
            return message if card.passing else None
        try:
            await self._send_card(person, card)
        except DiscordRefused:
            await self._send_line(target.responder, card.unreachable_note)
        else:
            await self._send_line(target.responder, card.public_note)
        return None

    async def edit_card(self, responder: Responder, message: int, card: Card) -> bool:
        """Shows a card in an older message of ours; False when that can't be changed (what one
        person alone saw in a server can't)."""
        posts = _build_posts(card)
        if len(posts) != 1:
            return False
        return await self._try_edit(responder, message, posts[0])

    async def deliver_answer(self, undelivered: UndeliveredAnswer) -> list[str]:
        """Shows a saved answer where it was asked for, or to its asker, and gives its messages'
        ids."""

        async def mark_started(message: str) -> None:
            await self._chat_handler.mark_started(undelivered.ask, message)

        responder = RedeliveryResponder(self._client, undelivered)
        answer, place = undelivered.answer, undelivered.place
        if not responder.has_token and self._delivery.refused_lately(place):
            return await self._delivery.show_in_private(
                answer,
                place,
                responder.asker,
                DiscordRefused(NO_ACCESS),
                was_shown=bool(undelivered.shown_in),
            )
        shown_in = undelivered.shown_in
        live_message = int(shown_in) if shown_in.isdecimal() else None
        stream = DiscordStreamingMessage(
            responder,
            self._get_throttle(responder),
            on_started=mark_started,
            live_message=live_message,
            asked=undelivered.asked if responder.shows_question else "",
        )
        return await self._delivery.show_answer(
            stream, answer, place, responder.asker, was_shown=bool(shown_in)
        )

    def _new_private_stream(self, _: str, asker: str) -> DiscordStreamingMessage:
        async def mark_nothing(_: str) -> None:
            """It isn't where the answer was begun."""

        responder = ChannelResponder(self._client, int(asker), person=True)
        return DiscordStreamingMessage(
            responder, self._get_throttle(responder), on_started=mark_nothing
        )

    def _get_throttle(self, responder: Responder) -> ChatThrottle:
        return self._throttles.for_chat(
            responder.throttle_key, self._config.timing.interval_seconds
        )

    def _new_stream(self, target: DiscordTarget, ask: str) -> DiscordStreamingMessage:
        async def mark_started(message: str) -> None:
            await self._chat_handler.mark_started(ask, message)

        return DiscordStreamingMessage(
            target.responder,
            self._get_throttle(target.responder),
            on_started=mark_started,
            make_note=_make_expiry_note(target),
            asked=target.asked,
        )

    async def _send_card(
        self, responder: Responder, card: Card, step_message: int | None = None
    ) -> int | None:
        """The message that shows it, or the last of them; None for what a button press replaced."""
        size = len(card.attachment.content) if card.attachment else 0
        with self._get_throttle(responder).hold_bytes(size) as fits:
            return await self._send_posts(
                responder, card if fits or not size else card.postpone(), step_message
            )

    async def _send_posts(
        self, responder: Responder, card: Card, step_message: int | None
    ) -> int | None:
        message: int | None = None
        posts = _build_posts(card)
        ephemeral = card.private or card.aside or card.erase_incoming
        for number, post in enumerate(posts):
            in_place = number == 0 and card.replace and isinstance(responder, InteractionResponder)
            if (
                number == 0
                and step_message is not None
                and await self._try_edit(responder, step_message, post)
            ):
                message = step_message
            elif not (in_place and await self._try_replace(responder, post)):
                message = await self._send(responder, post, ephemeral=ephemeral)
        return message

    async def _try_edit(self, responder: Responder, message: int, post: DiscordPost) -> bool:
        try:
            await self._get_throttle(responder).send_with_retries(
                lambda: responder.edit_post(message, post),
                retry_seconds_max=_CARD_RETRY_SECONDS_MAX,
            )
        except DiscordRefused:
            return False
        return True

    async def _try_replace(self, responder: Responder, post: DiscordPost) -> bool:
        assert isinstance(responder, InteractionResponder), "only a press has a message to replace"
        try:
            await self._get_throttle(responder).send_with_retries(
                lambda: responder.replace_original(post), retry_seconds_max=_CARD_RETRY_SECONDS_MAX
            )
        except DiscordRefused as refused:
            _log.info("a card could not be replaced: %s", refused.reason)
            return False
        return True

    async def _send(self, responder: Responder, post: DiscordPost, *, ephemeral: bool) -> int:
        return await self._get_throttle(responder).send_with_retries(
            lambda: responder.send_post(post, ephemeral=ephemeral),
            retry_seconds_max=_CARD_RETRY_SECONDS_MAX,
        )

    async def _send_line(self, responder: Responder, line: str) -> None:
        if line:
            await self._send_card(responder, Card(lines=(line,)))


def _build_posts(card: Card) -> list[DiscordPost]:
    """A card's messages: what can be pressed and its file go with the last one."""
    contents = [STYLE.render_piece(piece) for piece in split_card(card, STYLE)] or [""]
    return [
        *map(DiscordPost, contents[:-1]),
        DiscordPost(contents[-1], card.buttons, card.attachment),
    ]


def _make_expiry_note(target: DiscordTarget) -> Callable[[], str]:
    """What to say of an answer that Discord won't let go on where it is."""
    responder = target.responder
    if not isinstance(responder, InteractionResponder) or responder.can_continue:
        return lambda: ""
    note = render(_EXPIRY_NOTE, find_nearest_language(target.language))
    return lambda: note if responder.expires_soon else ""
