"""What a buyer reads when their bank disputes a payment: what is held and why their balance is
less, and how it was decided.
"""

from __future__ import annotations

from bots.chat.reply import Phrase, say
from bots.commands.text import format_credits
from core.jobs.notifications import Notification
from core.money import Credits, NanoUsd, format_usd
from payments.dispute_steps import CREDITS_HELD, CREDITS_LOST, CREDITS_RELEASED

#: The kinds of notifications to buyers about disputes.
DISPUTE_KINDS = frozenset({CREDITS_HELD, CREDITS_RELEASED, CREDITS_LOST})


def compose_dispute_notification(
    notification: Notification, available: Credits
) -> tuple[Phrase, tuple[Phrase, ...]]:
    """The title and the lines of a notification to a buyer; `available` is what they have now."""
    facts = notification.facts
    cash = format_usd(NanoUsd(int(facts["amount"])))
    amount = Credits(int(facts["credits"]))
    compose = {
        CREDITS_HELD: _held_text,
        CREDITS_RELEASED: _released_text,
        CREDITS_LOST: _lost_text,
    }[notification.kind]
    title, lines = compose(cash, amount, is_again=bool(facts["turn"]))
    return title, (
        *lines,
        say("You have {have} now.", have=format_credits(available)),
        say("Order {order}", order=str(facts["order"])),
    )


def _held_text(cash: str, amount: Credits, *, is_again: bool) -> tuple[Phrase, tuple[Phrase, ...]]:
    title = (
        say("⚠️ The dispute of your payment goes on")
        if is_again
        else say("⚠️ Your payment is disputed")
    )
    held = say(
        "Until it is decided, {credits} of that payment are held, so your balance is lower."
        " Everything else is yours to use.",
        credits=format_credits(amount),
    )
    return title, (
        say("Your bank, or whoever you paid through, asks for {cash} back.", cash=cash),
        *(() if amount.is_zero else (held,)),
        say("If you didn't mean that, tell them so, then write to us: /paysupport."),
    )


def _released_text(
    cash: str, amount: Credits, *, is_again: bool
) -> tuple[Phrase, tuple[Phrase, ...]]:
    del is_again
    back = say("{credits} that were held are yours again.", credits=format_credits(amount))
    return say("The dispute is decided: your payment stands"), (
        say("The {cash} stays paid.", cash=cash),
        *(() if amount.is_zero else (back,)),
    )


def _lost_text(cash: str, amount: Credits, *, is_again: bool) -> tuple[Phrase, tuple[Phrase, ...]]:
    del is_again
    gone = say("{credits} that were held went with it.", credits=format_credits(amount))
    return say("The dispute is decided: your payment was taken back"), (
        say("The {cash} went back to you.", cash=cash),
        *(() if amount.is_zero else (gone,)),
    )
