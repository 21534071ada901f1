"""Landing: an answer that was saved but never seen in its chat is shown there, once."""

from __future__ import annotations

import asyncio
import logging

from bots.chat.i18n import render
from bots.chat.reply import say
from bots.chat.types import Deliverer, Place, Unlanded
from bots.commands.answers import Answers
from core.asks.repository import Records, Saved
from core.safe_errors import cause

log = logging.getLogger(__name__)

LANDING_SECONDS_MAX = 60.0
_ELSEWHERE = say("You asked this where I can't write any more, so the answer comes to you here.")


class Landing:
    """The chore; front ends that can deliver are named to it."""

    def __init__(
        self, *, records: Records, answers: Answers, deliverers: dict[str, Deliverer]
    ) -> None:
        self._records, self._answers = records, answers
        #: The front ends that were named, by platform.
        self._deliverers = deliverers

    def by(self, platform: str, deliverer: Deliverer) -> None:
        """This front end shows what belongs into its platform's chats."""
        self._deliverers[platform] = deliverer

    async def land(self) -> None:
        """Shows every answer that nobody shows; a chat that refuses is given up."""
        for saved in await self._records.claim_some(list(self._deliverers)):
            try:
                await self._land(saved)
            except Exception as failure:  # noqa: BLE001 - a chat may refuse for any reason
                log.error("%s could not be landed: %s", saved.result.ask, cause(failure))

    async def _land(self, saved: Saved) -> None:
        place = Place.of(saved.place)
        unlanded = Unlanded(
            ask=saved.result.ask,
            place=place,
            asked_in=saved.asked_in,
            shown_in=saved.shown_in,
            answer=self._answers.saved(saved),
            way_back=saved.way_back,
            elsewhere=render(_ELSEWHERE, saved.person.language),
        )
        async with asyncio.timeout(LANDING_SECONDS_MAX):
            messages = await self._deliverers[place.platform].deliver(unlanded)
        await self._answers.landed(saved.result.ask, saved.place, messages)
