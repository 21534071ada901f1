"""What people read when the operator's limits and pauses stop them."""

from __future__ import annotations

from bots.chat.reply import Phrase, plain, say
from bots.commands.errors import explain_refusal
from bots.commands.text import format_credits
from core.admin.erasure import NotErasable
from core.asks.rate_limit import DailyLimitReached, RateLimited, TooManyConcurrentAsks
from core.users.limits import FeaturePaused, PersonBlocked

_PAUSE_TEXTS = {
    "asks": say("Questions are paused for a while. Nothing was charged. Please come back later."),
    "topups": say("Buying Credits is paused for a while. Nothing was ordered."),
    "contributions": say("No keys are taken for a while. Nothing was kept or sent."),
    "payouts": say("Withdrawals are paused for a while. Nothing was withdrawn."),
}

_NOT_ERASABLE = {
    "asks": say("An answer is still being written. Nothing was erased. Try again when it is done."),
    "order": say(
        "An order is still open and may be paid. Nothing was erased. Try again when it has ended;"
        " orders end by themselves within a day."
    ),
    "payout": say("A withdrawal is on its way. Nothing was erased. Try again when it has arrived."),
    "dispute": say("A payment is disputed. Nothing was erased. Try again when that is decided."),
    "owes": say(
        "Credits are owed. Nothing was erased. Repay them first: /topup, or write to the operator."
    ),
    "role": say("They help run this. Nothing was erased. Their role has to be taken first: /role."),
    "gone": say("That is erased already."),
}


@explain_refusal.register
def _(refusal: NotErasable) -> Phrase:
    return _NOT_ERASABLE[refusal.reason]


@explain_refusal.register
def _(refusal: FeaturePaused) -> Phrase:
    return plain(refusal.sentence) if refusal.sentence else _PAUSE_TEXTS[refusal.feature]


@explain_refusal.register
def _(refusal: PersonBlocked) -> Phrase:
    del refusal
    return say(
        "The operator has blocked this account. Nothing was charged. /paysupport says whom to ask."
    )


@explain_refusal.register
def _(refusal: RateLimited) -> Phrase:
    return say(
        "That was more than {count} questions a minute. Nothing was charged. Ask again in {seconds}"
        " seconds.",
        count=refusal.per_minute,
        seconds=refusal.seconds,
    )


@explain_refusal.register
def _(refusal: TooManyConcurrentAsks) -> Phrase:
    return say(
        "{count} of your questions are being answered already. Nothing was charged. Ask again when"
        " one is done, or /stop.",
        count=refusal.at_once,
    )


@explain_refusal.register
def _(refusal: DailyLimitReached) -> Phrase:
    return say(
        "Your limit of {credits} a day is reached. Nothing was charged. It begins again at midnight"
        " UTC.",
        credits=format_credits(refusal.per_day),
    )
