"""Notifications in their reader's words, on every platform that they write from; and answers that
were saved but never seen in their chat, shown there once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from bots.chat.callbacks import Buttons, screen_of
from bots.chat.i18n import render
from bots.chat.reply import Reply, Said, say
from bots.chat.types import Button, Deliverer, Place, Screen, Unlanded
from bots.commands.admin.broadcast import TITLE, told
from bots.commands.admin.disputes import FOR_OWNERS, owners_card
from bots.commands.admin.setprice import price_news_words
from bots.commands.answers import Answers
from bots.commands.text import cash_text, in_credits
from bots.commands.withdraw import EARNED, earned_words
from core.admin.broadcasts import BROADCAST, Broadcasts
from core.asks.repository import Records, Saved
from core.errors import cause
from core.jobs.notifications import Notice
from core.money import Credits
from core.repricing.announcements import PRICE_CHANGED
from core.users.balances import Purses
from core.users.service import People
from payments.checkout import Cashier
from payments.fulfillment import PAID, REFUNDED
from payments.referral_share import FRIEND_BOUGHT, FRIEND_REFUNDED
from payments.types import Order

log = logging.getLogger(__name__)


class NobodyReached(Exception):
    """No front end could show the notification now."""


#: How cards of other kinds of notifications to operators are made, by kind.
OwnersCards = Mapping[str, Callable[[Notice], Awaitable[Reply]]]


class Telling:
    """The sender of notifications: it renders each one in its reader's words and hands it to front
    ends."""

    def __init__(
        self,
        *,
        people: People,
        purses: Purses,
        cashier: Cashier,
        buttons: Buttons,
        broadcasts: Broadcasts,
        deliverers: Mapping[str, Deliverer],
        cards: OwnersCards,
    ) -> None:
        """`notifiers` by platform, as front ends start; `operator_cards` make the cards of other
        kinds of notifications to operators."""
        self._cards = cards
        self._people, self._purses, self._cashier = people, purses, cashier
        self._buttons, self._deliverers = buttons, deliverers
        self._broadcasts = broadcasts

    async def tell(self, notice: Notice) -> None:
        """Shows a notification once on each platform of its person, in the message that it is about
        where there is one, or to an operator where they are one; raises `NobodyReached`."""
        if notice.kind in FOR_OWNERS or notice.kind in self._cards:
            await self._tell_owner(notice)
            return
        if notice.kind == BROADCAST:
            await self._tell_everybodys(notice)
            return
        person = await self._people.find(notice.person)
        order = await self._about(notice)
        title, lines = await self._words(notice, order)
        screen = Screen(
            title=render(title, person.language, person.zone),
            lines=tuple(render(line, person.language, person.zone) for line in lines),
            buttons=tuple(
                (Button("", render(label, person.language, person.zone), url),)
                for label, url in _links(notice, order)
            ),
            private=True,
        )
        reached = [
            await self._shown(notice, screen, platform, id_, _shown_in(order, platform, id_))
            for platform, id_ in await self._people.identities(person.id)
        ]
        if not any(reached):
            raise NobodyReached

    async def _tell_everybodys(self, notice: Notice) -> None:
        """Shows a broadcast once a person, where they wrote from first. Whoever can't be shown it
        isn't tried again, unless another process has their platform; raises `NobodyReached`."""
        broadcast = await self._broadcasts.get(str(notice.facts["broadcast"]))
        names = await self._people.identities(notice.person)
        if not names:
            return  # erased meanwhile
        here = [(platform, id_) for platform, id_ in names if platform in self._deliverers]
        if not here:
            raise NobodyReached
        language = (await self._people.find(notice.person)).language
        lines = tuple(render(line, language) for line in told(broadcast))
        screen = Screen(title=render(TITLE, language), lines=lines, private=True)
        for platform, id_ in here:
            if await self._shown(notice, screen, platform, id_):
                return
        await self._broadcasts.unreached(broadcast.id)

    async def _shown(
        self, notice: Notice, screen: Screen, platform: str, id_: str, instead: str = ""
    ) -> bool:
        deliverer = self._deliverers.get(platform)
        if deliverer is None:
            return False
        try:
            await deliverer.notify(id_, screen, instead=instead)
        except Exception as failure:  # noqa: BLE001 - a chat may refuse for any reason
            log.info("%s could not be told on %s: %s", notice.id, platform, cause(failure))
            return False
        return True

    async def _tell_owner(self, notice: Notice) -> None:
        platform, _, id_ = notice.person.partition(":")
        deliverer = self._deliverers.get(platform)
        if deliverer is None:
            raise NobodyReached
        # Whoever owns the service may not have written yet: the buttons are for them all the same.
        owner = await self._people.of(platform, id_, language="en")
        shown = self._cards.get(notice.kind)
        card = await (shown(notice) if shown else owners_card(notice, self._cashier))
        place = Place.of(f"{platform}:{id_}:")
        await deliverer.notify(id_, await screen_of(card, self._buttons, person=owner, place=place))

    async def _about(self, notice: Notice) -> Order | None:
        """The order whose card becomes this notification."""
        if notice.kind != PAID:
            return None
        return await self._cashier.orders.get(str(notice.facts["order"]))

    async def _words(self, notice: Notice, paid: Order | None) -> tuple[Said, tuple[Said, ...]]:
        if paid is not None and _is_part(notice):
            return _part(notice, paid)
        if notice.kind in EARNED:
            return earned_words(notice)
        if notice.kind == PRICE_CHANGED:
            return price_news_words(notice)
        have = (await self._purses.of(notice.person)).have
        order = str(notice.facts.get("order", ""))
        moved = Credits(int(notice.facts["credits"]))
        claim = say("Open the link to say where your money shall go.")
        return _TITLES[notice.kind], (
            *((claim,) if "claim" in notice.facts else ()),
            *(() if moved.is_zero else (_LINES[notice.kind](in_credits(moved)),)),
            say("You have {have} now.", have=in_credits(have)),
            *((say("Order {order}", order=order),) if order else ()),
        )


def _is_part(notice: Notice) -> bool:
    """Whether it tells of money that doesn't yet pay its order."""
    return notice.kind == PAID and not notice.facts["credits"]


def _part(notice: Notice, order: Order) -> tuple[Said, tuple[Said, ...]]:
    paid = type(order.amount)(int(notice.facts["paid"]))
    return say("A part is paid"), (
        say(
            "{paid} of {amount} have arrived. Credits come with the rest; if you would rather have"
            " it back, ask for it: /paysupport.",
            paid=cash_text(paid),
            amount=cash_text(order.amount),
        ),
        say("Order {order}", order=order.id),
    )


def _links(notice: Notice, paid: Order | None) -> list[tuple[Said, str]]:
    """What can be opened, and where it leads."""
    if "claim" in notice.facts:
        return [(say("Take your money back"), str(notice.facts["claim"]))]
    if paid is not None and _is_part(notice) and paid.open and paid.url:
        return [(say("Pay the rest"), paid.url)]
    return []


def _shown_in(order: Order | None, platform: str, chat: str) -> str:
    """The message of this chat that shows the order; empty if there is none."""
    if order is None:
        return ""
    place = Place.of(order.place)
    return order.shown_in if (place.platform, place.chat) == (platform, chat) else ""


_TITLES = {
    PAID: say("✅ Paid"),
    REFUNDED: say("Payment given back"),
    FRIEND_BOUGHT: say("🎁 A friend topped up"),
    FRIEND_REFUNDED: say("A friend's payment was given back"),
}
_LINES: Mapping[str, Callable[[Said], Said]] = {
    PAID: lambda credits_: say("{credits} have arrived.", credits=credits_),
    REFUNDED: lambda credits_: say("{credits} were taken back with it.", credits=credits_),
    FRIEND_BOUGHT: lambda credits_: say(
        "{credits} are yours for your invitation.", credits=credits_
    ),
    FRIEND_REFUNDED: lambda credits_: say("{credits} were taken back with it.", credits=credits_),
}


log = logging.getLogger(__name__)

LANDING_SECONDS_MAX = 60.0
_ELSEWHERE = say("You asked this where I can't write any more, so the answer comes to you here.")


class Landing:
    """The job that redelivers saved answers; front ends that can deliver are registered here."""

    def __init__(
        self, *, records: Records, answers: Answers, deliverers: dict[str, Deliverer]
    ) -> None:
        self._records, self._answers = records, answers
        #: The front ends that were registered, by platform.
        self._deliverers = deliverers

    def by(self, platform: str, deliverer: Deliverer) -> None:
        """Registers the front end that shows what belongs into its platform's chats."""
        self._deliverers[platform] = deliverer

    async def land(self) -> None:
        """Shows every answer that no process shows; a chat that refuses is given up."""
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
