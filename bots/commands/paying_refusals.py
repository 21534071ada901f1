"""Refusals to take a payment in the chat, or to give one back, as sentences."""

from __future__ import annotations

from bots.chat.reply import Phrase, say
from bots.commands.text import format_cash
from core.clock import as_datetime
from payments.refunds import EarlierRefund, NothingToRefund, RefundOutcomeUnknown
from payments.types import CardPaymentsPaused, CheckoutRefused, RefundDeclined, RefundUnsupported

_CHECKOUT_REFUSED = {
    "over": say("This invoice is over. Nothing was charged. /topup makes a new one."),
    "paid": say("This order is paid already. Nothing was charged. /topup makes a new one."),
    "payer": say("This invoice is somebody else's. Nothing was charged. /topup makes your own."),
    "amount": say("This invoice is no longer right. Nothing was charged. /topup makes a new one."),
    "unsure": say("The books can't be read right now. Nothing was charged. Pay again in a minute."),
}


def explain_card_payments_paused(refusal: CardPaymentsPaused) -> Phrase:
    """A bank takes back what was paid, or took it back lately."""
    if refusal.until:
        return say(
            "A bank took back what you had paid. Until {time} nothing can be bought this way."
            " /paysupport helps.",
            time=as_datetime(refusal.until),
        )
    return say(
        "One of your payments is being disputed at your bank. Until that is decided nothing can be"
        " bought this way. /paysupport helps."
    )


def explain_checkout_refused(refusal: CheckoutRefused) -> Phrase:
    """The payer reads it where they pressed Pay."""
    return _CHECKOUT_REFUSED[refusal.reason]


_REFUND_REFUSED = {
    "whole": say(
        "Telegram gives Stars back by whole payments only. Nothing was given back. All of it:"
        " /refund {order}"
    ),
    "elsewhere": say(
        "Discord alone gives back what was bought in its store, when its buyer asks it to; then the"
        " Credits of order {order} are taken back by themselves. Nothing was given back now."
    ),
}


def explain_refund_unsupported(refusal: RefundUnsupported) -> Phrase:
    """The sentence for the operator: this payment can't be refunded like that."""
    return Phrase(_REFUND_REFUSED[refusal.reason].text, {"order": refusal.order})


def explain_earlier_refund(refusal: EarlierRefund) -> Phrase:
    """The sentence for the operator: an earlier refund went through after all."""
    return say(
        "What became of an earlier refund of this order wasn't known; it is now: {cash} of it are"
        " given back in all. Nothing more was given back now. /payment {order}",
        cash=format_cash(refusal.refunded),
        order=refusal.order,
    )


def explain_refund_outcome_unknown(refusal: RefundOutcomeUnknown) -> Phrase:
    """The sentence for the operator: whether the money went back isn't known yet."""
    return say(
        "The payment service didn't answer: whether the money went back isn't known yet. In a"
        " minute /refund {order} again: it finds out first, and gives nothing back twice.",
        order=refusal.order,
    )


def explain_nothing_to_refund(refusal: NothingToRefund) -> Phrase:
    """The sentence for the operator: that much of the order isn't left."""
    del refusal
    return say("That much of the order isn't left. Nothing was given back.")


def explain_refund_declined(refusal: RefundDeclined) -> Phrase:
    """The sentence for the operator: the gateway declined the refund."""
    return say(
        "{gateway} won't give that back ({why}). Nothing was moved. Look at the payment in its"
        " dashboard.",
        gateway=refusal.gateway,
        why=refusal.reason,
    )
