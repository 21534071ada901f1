"""Shows what the chat handler yields for one interaction or one message."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final, final

import discord

from bots.chat.i18n import language_for, render
from bots.chat.reply import say
from bots.chat.types import Answer, FormCard, Front, Output, Place, Progress, Screen, Unlanded
from bots.discord.components import FORM
from bots.discord.config import DiscordConfig
from bots.discord.interactions import InteractionOutlet
from bots.discord.redelivery import StoredOutlet
from bots.discord.sender import ChannelOutlet, Outlet, Post, Refused
from bots.discord.streaming import STYLE, AnswerView
from bots.render.pieces import screen_pieces
from bots.render.throttle import Budget, Budgets, Wait

_log = logging.getLogger(__name__)

#: How long a card is tried; an answer's end is tried for much longer.
_CARD_PATIENCE_SECONDS: Final = 120.0
_RUNS_OUT: Final = say(
    "Discord lets me write here for 15 minutes only. The whole answer comes to you in private."
)


@dataclass(frozen=True, slots=True)
class Scene:
    """The target of an answer: through which responder it goes, whom it answers, and which
    message."""

    outlet: Outlet
    sender: str
    #: Nobody else reads here.
    private: bool
    #: The person's message, where there is one.
    incoming: int | None = None
    language: str = ""


@final
class Stage:
    """The presenter is the one place where the handler's outputs become Discord messages."""

    def __init__(
        self, client: discord.Client, front: Front, budgets: Budgets, config: DiscordConfig
    ) -> None:
        self._client = client
        self._front = front
        self._budgets = budgets
        self._config = config

    async def play(self, scene: Scene, place: Place, outputs: AsyncIterator[Output]) -> None:
        """Shows everything that is yielded for what came from a place, as it comes."""
        views: dict[str, AnswerView] = {}
        silent, step = True, None
        try:
            async for output in outputs:
                silent = False
                match output:
                    case Screen():
                        step = await self.card(scene, output, step)
                    case FormCard():
                        await self.card(scene, output.screen(opens=f"{FORM}{output.form.id}"))
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
        finally:
            for view in views.values():
                await view.abandon()
            await scene.outlet.close(silent=silent)

    async def card(self, scene: Scene, screen: Screen, step: int | None = None) -> int | None:
        """Shows a card, in the place of the message `step_message` where there is one; gives its
        message when it is only a step itself. Raises `DiscordRefused` or `NotDelivered` when it
        can't be shown."""
        if screen.erase_incoming and scene.incoming is not None:
            with contextlib.suppress(Wait, Refused):
                await scene.outlet.delete(scene.incoming)
        by_interaction = isinstance(scene.outlet, InteractionOutlet)
        if scene.private or not screen.private or by_interaction:
            shown = await self._card(scene.outlet, screen, step)
            return shown if screen.passing else None
        try:
            person = ChannelOutlet(self._client, int(scene.sender), person=True)
            await self._card(person, screen)
        except Refused:
            await self._say(scene.outlet, screen.unreachable_note)
        else:
            await self._say(scene.outlet, screen.public_note)
        return None

    async def revised(self, outlet: Outlet, message: int, screen: Screen) -> bool:
        """Shows a card in an older message of ours; False when that can't be changed (what one
        person alone saw in a server can't)."""
        posts = _posts(screen)
        if len(posts) != 1:
            return False
        return await self._edited(outlet, message, posts[0])

    async def land(self, unlanded: Unlanded) -> list[str]:
        """Shows a saved answer where it was asked for, and gives its messages' ids."""

        async def started(message: str) -> None:
            await self._front.started(unlanded.ask, message)

        outlet = StoredOutlet(self._client, unlanded)
        shown_in = unlanded.shown_in
        holder = int(shown_in) if shown_in.isdecimal() else None
        view = AnswerView(outlet, self._budget(outlet), started=started, holder=holder)
        return await view.end(unlanded.answer)

    def _budget(self, outlet: Outlet) -> Budget:
        return self._budgets.of(outlet.chat, self._config.interval_seconds)

    def _view(self, scene: Scene, ask: str) -> AnswerView:
        async def started(message: str) -> None:
            await self._front.started(ask, message)

        return AnswerView(
            scene.outlet, self._budget(scene.outlet), started=started, remark=_remark(scene)
        )

    async def _card(self, outlet: Outlet, screen: Screen, step: int | None = None) -> int | None:
        """The message that shows it, or the last of them; None for what a button press replaced."""
        message: int | None = None
        posts = _posts(screen)
        alone = screen.private or screen.aside or screen.erase_incoming
        for number, post in enumerate(posts):
            in_place = number == 0 and screen.replace and isinstance(outlet, InteractionOutlet)
            if number == 0 and step is not None and await self._edited(outlet, step, post):
                message = step
            elif not (in_place and await self._replaced(outlet, post)):
                message = await self._sent(outlet, post, alone=alone)
        return message

    async def _edited(self, outlet: Outlet, message: int, post: Post) -> bool:
        try:
            await self._budget(outlet).patiently(
                lambda: outlet.edit(message, post), patience_seconds=_CARD_PATIENCE_SECONDS
            )
        except Refused:
            return False
        return True

    async def _replaced(self, outlet: Outlet, post: Post) -> bool:
        assert isinstance(outlet, InteractionOutlet), "only a press has a message to replace"
        try:
            await self._budget(outlet).patiently(
                lambda: outlet.replace(post), patience_seconds=_CARD_PATIENCE_SECONDS
            )
        except Refused as refused:
            _log.info("a card could not be replaced: %s", refused.reason)
            return False
        return True

    async def _sent(self, outlet: Outlet, post: Post, *, alone: bool) -> int:
        return await self._budget(outlet).patiently(
            lambda: outlet.send(post, alone=alone), patience_seconds=_CARD_PATIENCE_SECONDS
        )

    async def _say(self, outlet: Outlet, line: str) -> None:
        if line:
            await self._card(outlet, Screen(lines=(line,)))


def _posts(screen: Screen) -> list[Post]:
    """A card's messages: what can be pressed and its file go with the last one."""
    contents = [STYLE.render(piece) for piece in screen_pieces(screen, STYLE)] or [""]
    return [*map(Post, contents[:-1]), Post(contents[-1], screen.buttons, screen.attachment)]


def _remark(scene: Scene) -> Callable[[], str]:
    """What to say of an answer that Discord won't let go on where it is."""
    outlet = scene.outlet
    if not isinstance(outlet, InteractionOutlet) or outlet.leads_on:
        return lambda: ""
    words = render(_RUNS_OUT, language_for(scene.language))
    return lambda: words if outlet.ending_soon else ""
