"""Notifications in their reader's words, on every platform that they write from; and answers that
were saved but never seen in their chat, shown there once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

from bots.chat.callbacks import ButtonRepository, render_card
from bots.chat.i18n import render
from bots.chat.reply import Choice, Phrase, Reply, say
from bots.chat.types import Card, Notifier, Place, UndeliveredAnswer
from bots.commands.admin.broadcast import BROADCAST_TITLE, broadcast_lines
from bots.commands.admin.disputes import OPERATOR_KINDS, make_operator_card
from bots.commands.admin.setprice import compose_price_announcement
from bots.commands.answers import AnswerRenderer
from bots.commands.api_token_texts import API_KINDS, compose_api_notification
from bots.commands.cancel import make_cancel_choice
from bots.commands.dispute_texts import DISPUTE_KINDS, compose_dispute_notification
from bots.commands.receipt import Seller, make_receipt_choice
from bots.commands.support import compose_support_answer
from bots.commands.text import format_cash, format_credits
from bots.commands.withdraw import EARNING_KINDS, compose_earning_notification
from bots.services import UserServices
from core.admin.broadcasts import BROADCAST, Broadcasts
from core.api_tokens.types import API_SHOWN_ONCE
from core.asks.repository import AskRepository, SettledAsk
from core.errors import describe_failure
from core.jobs.notifications import Notification
from core.money import Credits
from core.repricing.announcements import PRICE_CHANGED
from core.users.service import Users
from core.users.support import SUPPORT_ANSWERED
from payments.cancellations import CANCELLATION_ENDED
from payments.fulfillment import ARRIVED_NOT, ON_ITS_WAY, PAID, REFUNDED
from payments.mismatches import PAID_OTHERWISE
from payments.referral_share import FRIEND_BOUGHT, FRIEND_REFUNDED
from payments.services import PaymentServices
from payments.types import UNITS, Order

_log = logging.getLogger(__name__)


class NobodyReached(Exception):
    """No front end could show the notification now."""


#: How cards of other kinds of notifications to operators are made, by kind.
OperatorCards = Mapping[str, Callable[[Notification], Awaitable[Reply]]]


class NotificationSender:
    """The sender of notifications: it renders each one in its reader's words and hands it to front
    ends."""

    def __init__(
        self,
        *,
        users: UserServices,
        payments: PaymentServices,
        buttons: ButtonRepository,
        broadcasts: Broadcasts,
        notifiers: Mapping[str, Notifier],
        operator_cards: OperatorCards,
        seller: Seller,
    ) -> None:
        """`notifiers` by platform, as front ends start; `operator_cards` make the cards of other
        kinds of notifications to operators; `seller` gives receipts."""
        self._operator_cards, self._seller = operator_cards, seller
        self._users, self._balances = users.users, users.balances
        self._support_desk = users.support_desk
        self._orders, self._disputes = payments.orders, payments.disputes
        self._cancellations = payments.cancellations
        self._buttons, self._notifiers = buttons, notifiers
        self._broadcasts = broadcasts

    async def send_notification(self, notification: Notification) -> None:
        """Shows a notification once on each platform of its person, in the message that it is about
        where there is one, or to an operator where they are one; raises `NobodyReached`."""
        if notification.kind in OPERATOR_KINDS or notification.kind in self._operator_cards:
            await self._notify_operator(notification)
            return
        if notification.kind == BROADCAST:
            await self._send_broadcast(notification)
            return
        person = await self._users.find(notification.person)
        order = await self._find_order(notification)
        title, lines = await self._compose_text(notification, order)
        reply = Reply(
            title=title,
            lines=lines,
            choices=tuple((choice,) for choice in self._list_choices(notification, order)),
            private=True,
        )
        reached = False
        for platform, id_ in await self._users.list_identities(person.id):
            hidden = _find_secret_message(notification, platform, id_)
            if hidden is None:
                continue
            place = Place.from_code(f"{platform}:{id_}:")
            card = await render_card(reply, self._buttons, person=person, place=place)
            message = hidden or _find_order_message(order, platform, id_)
            reached |= await self._try_notify(notification, card, platform, id_, message)
        if not reached:
            raise NobodyReached

    def _list_choices(self, notification: Notification, paid: Order | None) -> list[Choice]:
        """What can be opened, and the way to withdraw from what was paid."""
        choices = [Choice(label, "", url=url) for label, url in _list_links(notification, paid)]
        is_whole = paid is not None and not _is_partial_payment(notification)
        if paid is not None and is_whole and self._cancellations.may_offer(paid):
            choices.append(make_cancel_choice(paid))
        if paid is not None and is_whole and self._seller.gives_receipt(paid):
            choices.append(make_receipt_choice(paid))
        return choices

    async def _send_broadcast(self, notification: Notification) -> None:
        """Shows a broadcast once a person, where they wrote from first. Whoever can't be shown it
        isn't tried again, unless another process has their platform; raises `NobodyReached`."""
        broadcast = await self._broadcasts.get(str(notification.facts["broadcast"]))
        names = await self._users.list_identities(notification.person)
        if not names:
            return  # erased meanwhile
        reachable = [(platform, id_) for platform, id_ in names if platform in self._notifiers]
        if not reachable:
            raise NobodyReached
        language = (await self._users.find(notification.person)).language
        lines = tuple(render(line, language) for line in broadcast_lines(broadcast))
        card = Card(title=render(BROADCAST_TITLE, language), lines=lines, private=True)
        for platform, id_ in reachable:
            if await self._try_notify(notification, card, platform, id_):
                return
        await self._broadcasts.record_unreached(broadcast.id)

    async def _try_notify(
        self,
        notification: Notification,
        card: Card,
        platform: str,
        id_: str,
        replace_message: str = "",
    ) -> bool:
        deliverer = self._notifiers.get(platform)
        if deliverer is None:
            return False
        try:
            await deliverer.notify_person(id_, card, replace_message=replace_message)
        except Exception as failure:  # noqa: BLE001 - a chat may refuse for any reason
            _log.info(
                "%s could not be told on %s: %s",
                notification.id,
                platform,
                describe_failure(failure),
            )
            return False
        return True

    async def _notify_operator(self, notification: Notification) -> None:
        platform, _, id_ = notification.person.partition(":")
        deliverer = self._notifiers.get(platform)
        if deliverer is None:
            raise NobodyReached
        # Whoever owns the service may not have written yet: the buttons are for them all the same.
        operator = await self._users.get_or_create(platform, id_, language="en")
        make_card = self._operator_cards.get(notification.kind)
        reply = await (
            make_card(notification)
            if make_card
            else make_operator_card(notification, self._disputes)
        )
        place = Place.from_code(f"{platform}:{id_}:")
        card = await render_card(reply, self._buttons, person=operator, place=place)
        shown = Place.from_code(str(notification.facts.get("place") or "::"))
        is_here = (shown.platform, shown.chat) == (platform, id_)
        message = str(notification.facts.get("message", "")) if is_here else ""
        await deliverer.notify_person(id_, card, replace_message=message)

    async def _find_order(self, notification: Notification) -> Order | None:
        """The order whose card becomes this notification."""
        if notification.kind not in {PAID, ON_ITS_WAY, ARRIVED_NOT}:
            return None
        return await self._orders.get(str(notification.facts["order"]))

    async def _compose_text(
        self, notification: Notification, paid: Order | None
    ) -> tuple[Phrase, tuple[Phrase, ...]]:
        if paid is not None and _is_partial_payment(notification):
            return _compose_partial_payment(notification, paid)
        if paid is not None and notification.kind in _UNTIL_PAID:
            title, line = _UNTIL_PAID[notification.kind]
            return title, (line, say("Order {order}", order=paid.id))
        if notification.kind == SUPPORT_ANSWERED:
            return await compose_support_answer(notification, self._support_desk)
        if (compose := _COMPOSERS.get(notification.kind)) is not None:
            return compose(notification)
        available = (await self._balances.for_user(notification.person)).available
        if notification.kind in DISPUTE_KINDS:
            return compose_dispute_notification(notification, available)
        order = str(notification.facts.get("order", ""))
        amount = Credits(int(notification.facts["credits"]))
        claim = say("Open the link to say where your money should go.")
        return _TITLES[notification.kind], (
            *((claim,) if "claim" in notification.facts else ()),
            *(() if amount.is_zero else (_LINES[notification.kind](format_credits(amount)),)),
            say("You have {have} now.", have=format_credits(available)),
            *((say("Order {order}", order=order),) if order else ()),
        )


def _is_partial_payment(notification: Notification) -> bool:
    """Whether it tells of money that doesn't yet pay its order."""
    return notification.kind == PAID and not notification.facts["credits"]


def _compose_partial_payment(
    notification: Notification, order: Order
) -> tuple[Phrase, tuple[Phrase, ...]]:
    paid = type(order.amount)(int(notification.facts["paid"]))
    return say("A part is paid"), (
        say(
            "{paid} of {amount} have arrived. Credits come with the rest; if you would rather have"
            " it back, ask for it: /paysupport.",
            paid=format_cash(paid),
            amount=format_cash(order.amount),
        ),
        say("Order {order}", order=order.id),
    )


def _compose_refused_cancellation(
    notification: Notification,
) -> tuple[Phrase, tuple[Phrase, ...]]:
    return say("Your withdrawal was not carried out"), (
        say("Nothing was given back, and your Credits are yours again. /paysupport helps."),
        say("Order {order}", order=str(notification.facts["order"])),
    )


def _compose_other_payment(notification: Notification) -> tuple[Phrase, tuple[Phrase, ...]]:
    paid = UNITS[str(notification.facts["unit"])](int(notification.facts["paid"]))
    return say("Your payment isn't what the order asked for"), (
        say(
            "{paid} arrived, which isn't the order's amount, so no Credits were given yet. The"
            " operator has been told and will decide. Don't pay again; /paysupport reaches"
            " them.",
            paid=format_cash(paid),
        ),
        say("Order {order}", order=str(notification.facts["order"])),
    )


#: What kinds say by their own facts alone.
_COMPOSERS: Mapping[str, Callable[[Notification], tuple[Phrase, tuple[Phrase, ...]]]] = {
    **dict.fromkeys(EARNING_KINDS, compose_earning_notification),
    **dict.fromkeys(API_KINDS, compose_api_notification),
    PRICE_CHANGED: compose_price_announcement,
    CANCELLATION_ENDED: _compose_refused_cancellation,
    PAID_OTHERWISE: _compose_other_payment,
}


def _list_links(notification: Notification, paid: Order | None) -> list[tuple[Phrase, str]]:
    """What can be opened, and where it leads."""
    if "claim" in notification.facts:
        return [(say("Take your money back"), str(notification.facts["claim"]))]
    if paid is not None and _is_partial_payment(notification) and paid.is_open and paid.url:
        return [(say("Pay the rest"), paid.url)]
    return []


def _find_order_message(order: Order | None, platform: str, chat: str) -> str:
    """The message of this chat that shows the order; empty if there is none."""
    if order is None:
        return ""
    place = Place.from_code(order.place)
    return order.shown_in if (place.platform, place.chat) == (platform, chat) else ""


def _find_secret_message(notification: Notification, platform: str, chat: str) -> str | None:
    """The message of this chat that shows a secret; None where that is another chat's, empty where
    it isn't about one."""
    if notification.kind != API_SHOWN_ONCE:
        return ""
    place = Place.from_code(str(notification.facts["place"]))
    return (
        str(notification.facts["message"])
        if (platform, chat) == (place.platform, place.chat)
        else None
    )


_TITLES = {
    PAID: say("✅ Paid"),
    REFUNDED: say("Payment given back"),
    FRIEND_BOUGHT: say("🎁 A friend topped up"),
    FRIEND_REFUNDED: say("A friend's payment was given back"),
}
#: What is told of an order before its money has come, and when it doesn't.
_UNTIL_PAID = {
    ON_ITS_WAY: (
        say("Your payment is on its way"),
        say(
            "Your Credits arrive here by themselves when the money has: with some ways to pay that"
            " takes days. There is nothing for you to do."
        ),
    ),
    ARRIVED_NOT: (
        say("Your payment didn't arrive"),
        say(
            "The payment service says that it failed, so no Credits were given. To try again:"
            " /topup."
        ),
    ),
}
_LINES: Mapping[str, Callable[[Phrase], Phrase]] = {
    PAID: lambda credits_: say("{credits} have arrived.", credits=credits_),
    REFUNDED: lambda credits_: say("{credits} were taken back with it.", credits=credits_),
    FRIEND_BOUGHT: lambda credits_: say(
        "{credits} are yours for your invitation.", credits=credits_
    ),
    FRIEND_REFUNDED: lambda credits_: say("{credits} were taken back with it.", credits=credits_),
}


#: How long the answers of one chat are tried in one turn of the job; a claim lasts longer.
REDELIVERY_SECONDS_MAX = 60.0
#: A chat that takes longer is no reason to let others wait.
_HANGING_SECONDS = 1.0
#: So many chats are written to at once.
_CHATS_MAX = 64


class AnswerRedelivery:
    """The job that redelivers saved answers; front ends that can deliver are registered here."""

    def __init__(
        self,
        *,
        ask_repository: AskRepository,
        users: Users,
        answer_renderer: AnswerRenderer,
        notifiers: dict[str, Notifier],
    ) -> None:
        self._ask_repository, self._users = ask_repository, users
        self._answer_renderer = answer_renderer
        #: The front ends that were registered, by platform.
        self._notifiers = notifiers

    def register_notifier(self, platform: str, notifier: Notifier) -> None:
        """Registers the front end that shows what belongs into its platform's chats."""
        self._notifiers[platform] = notifier

    async def redeliver_answers(self) -> None:
        """Shows every answer that no process shows: those of one chat in their order, chats side by
        side. While some chats hang, answers of others are still claimed and shown."""
        running: dict[str, asyncio.Task[None]] = {}
        try:
            while True:
                by_chat: dict[str, list[SettledAsk]] = {}
                if len(running) < _CHATS_MAX:
                    for saved in await self._ask_repository.claim_answers(list(self._notifiers)):
                        by_chat.setdefault(saved.place, []).append(saved)
                # What is for a chat that hangs waits until its claim is over.
                for place in by_chat.keys() - running.keys():
                    answers = by_chat[place]
                    running[place] = asyncio.create_task(self._redeliver_to_chat(answers))
                if not running:
                    return
                await asyncio.wait(running.values(), timeout=_HANGING_SECONDS)
                running = {place: task for place, task in running.items() if not task.done()}
        finally:
            for task in running.values():
                task.cancel()
            await asyncio.gather(*running.values(), return_exceptions=True)

    async def _redeliver_to_chat(self, answers: Sequence[SettledAsk]) -> None:
        """Shows the answers of one chat; when its time is over the rest waits until their claim
        is."""
        try:
            async with asyncio.timeout(REDELIVERY_SECONDS_MAX):
                for saved in answers:
                    await self._try_redelivery(saved)
        except TimeoutError:
            _log.warning("a chat takes too long: what is left for it is tried again later")

    async def _try_redelivery(self, saved: SettledAsk) -> None:
        try:
            await self._redeliver(saved)
        except Exception as failure:  # noqa: BLE001 - a chat may refuse for any reason
            _log.error("%s could not be landed: %s", saved.result.ask, describe_failure(failure))

    async def _redeliver(self, saved: SettledAsk) -> None:
        place = Place.from_code(saved.place)
        undelivered = UndeliveredAnswer(
            ask=saved.result.ask,
            place=place,
            asked_in=saved.asked_in,
            shown_in=saved.shown_in,
            answer=self._answer_renderer.render_saved(saved),
            way_back=saved.way_back,
            asker=await self._find_asker(saved, place),
            asked=saved.question,
        )
        await self._notifiers[place.platform].deliver_answer(undelivered)

    async def _find_asker(self, saved: SettledAsk, place: Place) -> str:
        """The asker's own id on the place's platform: the place's where it is their private
        chat."""
        identities = await self._users.list_identities(saved.person.id)
        ids = [id_ for platform, id_ in identities if platform == place.platform]
        if place.chat in ids:
            return place.chat
        return ids[0] if ids else ""
