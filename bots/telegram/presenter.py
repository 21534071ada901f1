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
    Bill,
    Buttons,
    FormCard,
    Front,
    Output,
    Place,
    Progress,
    Screen,
    Unlanded,
)
from bots.render.entity_style import Shown
from bots.render.pieces import screen_pieces
from bots.render.throttle import NotShown
from bots.telegram.sender import Outbox, Refused, Where
from bots.telegram.streaming import STYLE, AnswerView, Drafts
from core.clock import Clock

_log = logging.getLogger(__name__)

#: How long a card is tried; an answer's end is tried for much longer.
_CARD_PATIENCE_SECONDS: Final = 120.0
#: How long the deletion of a secret is tried before its person is told to do it.
_ERASE_PATIENCE_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class Scene:
    """The target of an answer: to which chat it goes, whom it answers, and which message."""

    where: Where
    sender: str
    #: The person's message; None when a button was pressed. `more` came with it.
    incoming: int | None = None
    more: tuple[int, ...] = ()
    #: Our message whose button was pressed.
    pressed: int | None = None


@final
class Stage:
    """The presenter is the one place where the handler's outputs become Telegram messages."""

    def __init__(
        self, outbox: Outbox, drafts: Drafts, front: Front, clock: Clock, *, username: str
    ) -> None:
        self._outbox = outbox
        self._drafts = drafts
        self._front = front
        self._clock = clock
        self._username = username

    async def play(self, scene: Scene, place: Place, outputs: AsyncIterator[Output]) -> None:
        """Shows everything that is yielded for what came from a place, as it comes."""
        views: dict[str, AnswerView] = {}
        step: int | None = None
        try:
            async for output in outputs:
                match output:
                    case Screen():
                        step = await self.card(scene, output, step)
                    case FormCard():
                        await self.card(scene, output.screen())
                    case Progress():
                        view = views.get(output.ask) or self._view(scene, output.ask)
                        views[output.ask] = view
                        view.offer(output)
                    case Answer():
                        view = views.get(output.ask) or self._view(scene, output.ask)
                        views[output.ask] = view
                        messages = await view.end(output)
                        del views[output.ask]
                        await self._front.landed(output.ask, place, messages)
                        await view.tidy()
        finally:
            for view in views.values():
                await view.abandon()

    async def card(self, scene: Scene, screen: Screen, step: int | None = None) -> int | None:
        """Shows a card, in the place of the message `step_message` where there is one; gives its
        message when it is only a step itself. Raises `TelegramRefused` or `NotDelivered` when it
        can't be shown."""
        if screen.erase_incoming and scene.incoming is not None:
            if not await self._erased(scene.where, scene.incoming, *scene.more):
                screen = replace(
                    screen, lines=(screen.kept_note,) if screen.kept_note else screen.lines
                )
            scene = replace(scene, incoming=None)
        if not screen.private or scene.where.private:
            shown = await self._card(scene, screen, step)
            return shown if screen.passing else None
        try:
            await self._card(Scene(Where.person(scene.sender), scene.sender), screen)
        except Refused:
            await self._led(scene, screen.unreachable_note)
        else:
            await self._led(scene, screen.public_note)
        return None

    async def land(self, unlanded: Unlanded) -> list[str]:
        """Shows a saved answer where it was asked for, and gives its messages' ids."""

        async def started(message: str) -> None:
            await self._front.started(unlanded.ask, message)

        where = Where.of(unlanded.place)
        view = AnswerView(
            self._outbox,
            self._drafts,
            self._clock,
            where,
            unlanded.ask,
            started=started,
            reply_to=_number(unlanded.asked_in) if not where.private else None,
            holder=_number(unlanded.shown_in),
        )
        return await view.end(unlanded.answer)

    def _view(self, scene: Scene, ask: str) -> AnswerView:
        async def started(message: str) -> None:
            await self._front.started(ask, message)

        return AnswerView(
            self._outbox,
            self._drafts,
            self._clock,
            scene.where,
            ask,
            started=started,
            reply_to=_reply_to(scene),
        )

    async def _card(self, scene: Scene, screen: Screen, step: int | None = None) -> int | None:
        """The message that shows it, or the last of them."""
        place = scene.pressed if step is None and screen.replace else step
        message = None
        shown = [STYLE.render(piece) for piece in screen_pieces(screen, STYLE)]
        file = screen.attachment
        for number, each in enumerate(shown):
            last = number == len(shown) - 1 and file is None
            buttons = screen.buttons if last else ()
            if number == 0 and place is not None:
                message = await self._in_place(scene, place, each, buttons)
            else:
                reply_to = _reply_to(scene) if number == 0 else None
                message = await self._sent(scene.where, each, buttons, reply_to)
        if file is not None:
            await self._outbox.budget(scene.where).patiently(
                lambda: self._outbox.document(scene.where, file, screen.buttons),
                patience_seconds=_CARD_PATIENCE_SECONDS,
            )
        if screen.bill is not None:
            await self._billed(scene.where, screen.bill)
        return message

    async def _billed(self, where: Where, bill: Bill) -> None:
        """An invoice is no text that could be edited: it has a message of its own."""
        try:
            await self._outbox.budget(where).patiently(
                lambda: self._outbox.invoice(where, bill),
                patience_seconds=_CARD_PATIENCE_SECONDS,
            )
        except Refused as refused:
            _log.warning("an invoice was refused: %s", refused.reason)
            await self._sent(where, Shown(bill.refused), (), None)

    async def _in_place(self, scene: Scene, message: int, shown: Shown, buttons: Buttons) -> int:
        try:
            await self._outbox.budget(scene.where).patiently(
                lambda: self._outbox.edit(scene.where, message, shown, buttons),
                patience_seconds=_CARD_PATIENCE_SECONDS,
            )
        except Refused as refused:
            _log.info("a card could not be replaced: %s", refused.reason)
            return await self._sent(scene.where, shown, buttons, None)
        return message

    async def _sent(
        self, where: Where, shown: Shown, buttons: Buttons, reply_to: int | None
    ) -> int:
        return await self._outbox.budget(where).patiently(
            lambda: self._outbox.send(where, shown, buttons, reply_to=reply_to),
            patience_seconds=_CARD_PATIENCE_SECONDS,
        )

    async def _erased(self, where: Where, *messages: int) -> bool:
        """Deletes messages at once; whether none of them is there any more."""
        erased = True
        for message in messages:
            try:
                await self._outbox.budget(where).patiently(
                    partial(self._outbox.delete, where, message),
                    patience_seconds=_ERASE_PATIENCE_SECONDS,
                )
            except Refused as refused:
                erased &= refused.gone
            except NotShown:
                erased = False
        return erased

    async def _led(self, scene: Scene, note: str) -> None:
        """Tells in the group where the rest is, with a link to the private chat."""
        if not note:
            return
        with contextlib.suppress(NotShown):
            await self._outbox.budget(scene.where).patiently(
                lambda: self._outbox.link(
                    scene.where,
                    note,
                    f"https://t.me/{self._username}",
                    f"@{self._username}",
                    reply_to=_reply_to(scene),
                ),
                patience_seconds=_CARD_PATIENCE_SECONDS,
            )


def _reply_to(scene: Scene) -> int | None:
    """In a group an answer says whose message it answers."""
    return None if scene.where.private else scene.incoming


def _number(message: str) -> int | None:
    return int(message) if message.isdecimal() else None
