"""Every refusal as a sentence: what is wrong, what to do next. Nothing was charged, ever."""

from __future__ import annotations

from functools import singledispatch

from bots.chat.callbacks import ButtonExpired, NotYourButton
from bots.chat.forms import FormClosed, InvalidFormInput
from bots.chat.reply import Phrase, say
from bots.chat.types import DownloadFailed
from bots.commands.paying_refusals import (
    explain_card_payments_paused,
    explain_checkout_refused,
    explain_earlier_refund,
    explain_nothing_to_refund,
    explain_refund_declined,
    explain_refund_outcome_unknown,
    explain_refund_unsupported,
)
from bots.commands.text import UNREADABLE_AUDIO, format_credits, format_length, format_price
from bots.render.queue import QueueFull
from core.asks.types import (
    CreditsOwed,
    EmptyQuestion,
    NoKeyAvailable,
    NotEnoughCredits,
    NoTranscriptionKey,
    QuestionTooLong,
    RecordingTooLong,
    ServiceStopping,
    TooManyAsks,
)
from core.db.errors import DatabaseUnavailable
from core.errors import Refusal
from core.ledger.types import InsufficientFunds, LedgerBusy, LedgerUnavailable
from core.money import format_usd
from core.pool.types import BadBudget, DuplicateKey, KeyRefused, UnknownSupplier
from core.pricing.catalogue import UnknownModel
from core.users.links import AlreadyLinked, LinkRefused
from core.users.types import TooManyAttempts, UnknownPerson
from payments.offer import BadAmount
from payments.refunds import EarlierRefund, NothingToRefund, RefundOutcomeUnknown
from payments.types import (
    CardPaymentsPaused,
    CheckoutRefused,
    GatewayUnavailable,
    PaymentMismatch,
    RefundDeclined,
    RefundUnsupported,
    TooManyOrders,
    UnknownOrder,
)

_MEGABYTE = 1 << 20


class UsageError(Refusal):
    """The arguments of a command can't be read; `hint` is the sentence that says how to write
    them."""

    def __init__(self, hint: Phrase) -> None:
        self.hint = hint


class RecordingTooLarge(Refusal):
    """A file is larger, in bytes, than can be written down."""

    def __init__(self, size: int, max_size: int) -> None:
        self.size, self.max_size = size, max_size


class RecordingUnreadable(Refusal):
    """A file is in no format that suppliers take, or doesn't say how long it is."""


@singledispatch
def explain_refusal(refusal: Refusal) -> Phrase:
    """The sentence for a refusal."""
    del refusal
    return say("That can't be done. Nothing was charged.")


@explain_refusal.register
def _(refusal: UsageError) -> Phrase:
    return refusal.hint


@explain_refusal.register
def _(refusal: UnknownModel) -> Phrase:
    if not refusal.similar:
        return say("There is no model “{asked}”. See /models.", asked=refusal.requested_name[:40])
    return say(
        "There is no model “{asked}”. Did you mean {near}?",
        asked=refusal.requested_name[:40],
        near=", ".join(refusal.similar),
    )


@explain_refusal.register
def _(refusal: EmptyQuestion) -> Phrase:
    del refusal
    return say("What would you like to ask? Write it after the command: /ask why is the sky blue?")


@explain_refusal.register
def _(refusal: QuestionTooLong) -> Phrase:
    return say(
        "With what was said before, that is {tokens} tokens; {model} takes {context}. Nothing was"
        " charged. Shorten it, start afresh with /new, or choose another model: /models",
        tokens=refusal.tokens,
        model=refusal.model.name,
        context=refusal.model.context,
    )


@explain_refusal.register
def _(refusal: NotEnoughCredits) -> Phrase:
    price = format_price(refusal.price)
    if refusal.model.per == "second":
        return say(
            "This needs {need}; you have {have}, {held} more are reserved. {model}: {price}. Send a"
            " shorter one, or ask the operator for Credits.",
            need=format_credits(refusal.needed),
            have=format_credits(refusal.available),
            held=refusal.held,
            model=refusal.model.name,
            price=price,
        )
    if refusal.held.units:
        return say(
            "This needs {need}; you have {have}, and {held} more are reserved by answers that"
            " are still running. {model}: {price}. Wait for them to finish, or choose a cheaper"
            " model: /models",
            need=format_credits(refusal.needed),
            have=format_credits(refusal.available),
            held=refusal.held,
            model=refusal.model.name,
            price=price,
        )
    return say(
        "This needs {need}; you have {have}, 0 reserved. {model}: {price}. Choose a cheaper model:"
        " /models, or ask the operator for Credits.",
        need=format_credits(refusal.needed),
        have=format_credits(refusal.available),
        model=refusal.model.name,
        price=price,
    )


@explain_refusal.register
def _(refusal: CreditsOwed) -> Phrase:
    return say(
        "{owed} are owed: they were spent before their payment was given back. Nothing was charged."
        " What comes in repays them first, then you can ask again.",
        owed=format_credits(refusal.owed),
    )


@explain_refusal.register
def _(refusal: BadAmount) -> Phrase:
    return say(
        "Amounts are from {least} to {most}, in whole cents. Nothing was ordered.",
        least=format_usd(refusal.minimum),
        most=format_usd(refusal.maximum),
    )


@explain_refusal.register
def _(refusal: TooManyOrders) -> Phrase:
    return say(
        "{count} of your orders wait to be paid. Pay one of them, or wait until they expire;"
        " nothing new was ordered.",
        count=refusal.open_count,
    )


@explain_refusal.register
def _(refusal: GatewayUnavailable) -> Phrase:
    del refusal
    return say(
        "The payment service doesn't answer. Nothing was ordered or moved. Press the button again"
        " in a minute, or choose another way to pay."
    )


@explain_refusal.register
def _(refusal: UnknownOrder) -> Phrase:
    return say("There is no order {order}. /paysupport lists yours.", order=refusal.order[:40])


@explain_refusal.register
def _(refusal: PaymentMismatch) -> Phrase:
    return say(
        "What the payment service says doesn't fit order {order} ({why}). Nothing was moved.",
        order=refusal.order,
        why=refusal.reason,
    )


explain_refusal.register(CardPaymentsPaused, explain_card_payments_paused)
explain_refusal.register(CheckoutRefused, explain_checkout_refused)
explain_refusal.register(RefundUnsupported, explain_refund_unsupported)
explain_refusal.register(RefundDeclined, explain_refund_declined)
explain_refusal.register(EarlierRefund, explain_earlier_refund)
explain_refusal.register(RefundOutcomeUnknown, explain_refund_outcome_unknown)
explain_refusal.register(NothingToRefund, explain_nothing_to_refund)


@explain_refusal.register
def _(refusal: NoKeyAvailable) -> Phrase:
    return say(
        "{model} can't be served right now. Nothing was charged. Try again in a minute, or choose"
        " another model: /models",
        model=refusal.model.name,
    )


@explain_refusal.register
def _(refusal: NoTranscriptionKey) -> Phrase:
    del refusal
    return say(
        "Audio can't be written down right now. Nothing was charged. Try again in a minute, or"
        " write your question."
    )


@explain_refusal.register
def _(refusal: RecordingTooLong) -> Phrase:
    return say(
        "That is {length} long; audio is written down up to {most}. Nothing was charged. Send it in"
        " parts.",
        length=format_length(refusal.length),
        most=format_length(refusal.max_length),
    )


@explain_refusal.register
def _(refusal: RecordingTooLarge) -> Phrase:
    return say(
        "That file has {size} MB; audio is written down up to {most} MB. Nothing was charged. Send"
        " it in parts, or as a voice message.",
        size=-(-refusal.size // _MEGABYTE),
        most=refusal.max_size // _MEGABYTE,
    )


@explain_refusal.register(RecordingUnreadable)
@explain_refusal.register(DownloadFailed)
def _(refusal: Refusal) -> Phrase:
    del refusal
    return UNREADABLE_AUDIO


@explain_refusal.register(TooManyAsks)
@explain_refusal.register(LedgerBusy)
def _(refusal: Refusal) -> Phrase:
    del refusal
    return say("Too many questions at once right now. Nothing was charged. Try again in a minute.")


@explain_refusal.register
def _(refusal: ServiceStopping) -> Phrase:
    del refusal
    return say("The service is restarting. Nothing was charged. Ask again in a minute.")


@explain_refusal.register(LedgerUnavailable)
@explain_refusal.register(DatabaseUnavailable)
def _(refusal: Refusal) -> Phrase:
    del refusal
    return say("The books can't be written right now, so nothing was done. Try again in a minute.")


@explain_refusal.register
def _(refusal: InsufficientFunds) -> Phrase:
    del refusal
    return say("There are not enough Credits for that. Nothing was moved.")


@explain_refusal.register
def _(refusal: QueueFull) -> Phrase:
    return say(
        "{waiting} of your questions already wait here. Let them be answered first, or /stop.",
        waiting=refusal.waiting,
    )


@explain_refusal.register
def _(refusal: UnknownPerson) -> Phrase:
    return say(
        "Nobody is known as “{asked}”. Write it like telegram:123; they must have written here"
        " once.",
        asked=refusal.query[:40],
    )


@explain_refusal.register
def _(refusal: LinkRefused) -> Phrase:
    del refusal
    return say(
        "That code is wrong, used or too old. Nothing was changed. Write /link on the other side"
        " for a new one."
    )


@explain_refusal.register
def _(refusal: TooManyAttempts) -> Phrase:
    del refusal
    return say("Too many wrong codes. Wait ten minutes, then try again.")


@explain_refusal.register
def _(refusal: AlreadyLinked) -> Phrase:
    del refusal
    return say("That is your own code: type it on your other platform.")


@explain_refusal.register
def _(refusal: ButtonExpired) -> Phrase:
    del refusal
    return say("That button has done its work. Send the command again.")


@explain_refusal.register
def _(refusal: NotYourButton) -> Phrase:
    del refusal
    return say("That button belongs to somebody else.")


@explain_refusal.register
def _(refusal: FormClosed) -> Phrase:
    del refusal
    return say("That is over: answered, cancelled or too late. Send the command again.")


@explain_refusal.register
def _(refusal: InvalidFormInput) -> Phrase:
    return say(
        "That isn't what was asked for: {fields}. Nothing was kept. Try again.",
        fields=", ".join(refusal.labels),
    )


@explain_refusal.register
def _(refusal: UnknownSupplier) -> Phrase:
    return say(
        "{asked} is unknown. Known: {known}.",
        asked=refusal.requested_name[:40],
        known=", ".join(refusal.known_names),
    )


_KEY_REJECTIONS = {
    "shape": say("That doesn't look like a key of {supplier}. Nothing was kept or sent."),
    "account": say("That doesn't look like an account ID of {supplier}. Nothing was kept or sent."),
    "admin": say(
        "That key administers a whole organisation. Make one that only runs models, and revoke this"
        " one: it has been in a chat. Nothing was kept or sent."
    ),
    "subscription": say(
        "That belongs to a subscription, which may not serve others. Only API keys are taken."
        " Nothing was kept or sent."
    ),
    "refused": say("{supplier} refuses that key. Nothing was kept."),
    "no_money": say(
        "{supplier} knows that key, but its account has no money or has reached its limit. Nothing"
        " was kept."
    ),
    "no_model": say(
        "That key of {supplier} may use no model that is offered here. Nothing was kept."
    ),
    "unreachable": say("{supplier} can't be reached to try that key. Nothing was kept."),
}


@explain_refusal.register
def _(refusal: KeyRefused) -> Phrase:
    return Phrase(_KEY_REJECTIONS[refusal.reason].text, {"supplier": refusal.supplier})


@explain_refusal.register
def _(refusal: DuplicateKey) -> Phrase:
    return say(
        "{supplier} …{tail} is in the pool already. Nothing was changed.",
        supplier=refusal.supplier,
        tail=refusal.tail,
    )


@explain_refusal.register
def _(refusal: BadBudget) -> Phrase:
    del refusal
    return say("A budget is dollars above zero, like 50 or 12.5. Nothing was kept.")
