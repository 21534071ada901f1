"""Every refusal as a sentence: what is wrong, what to do next. Nothing was charged, ever."""

from __future__ import annotations

from functools import singledispatch

from bots.chat.callbacks import ButtonGone, NotYourButton
from bots.chat.forms import NotFilledIn, PromptOver
from bots.chat.reply import Said, say
from bots.chat.types import NotFetched
from bots.commands.paying_refusals import (
    cards_stopped,
    checkout_refused,
    earlier_refund,
    not_given_back,
    nothing_to_refund,
    refund_refused,
    refund_unsure,
)
from bots.commands.text import UNREADABLE, in_credits, length, money, price_line
from bots.render.queue import LaneFull
from core.asks.types import (
    EmptyQuestion,
    NotEnoughCredits,
    NothingHears,
    NothingServes,
    Owes,
    QuestionTooLong,
    RecordingTooLong,
    ServiceStopping,
    TooManyAsks,
)
from core.db.errors import DatabaseUnavailable
from core.errors import Refusal
from core.ledger.types import InsufficientFunds, LedgerBusy, LedgerUnavailable
from core.pool.types import BadBudget, DuplicateKey, KeyRefused, UnknownSupplier
from core.pricing.catalogue import UnknownModel
from core.users.links import AlreadyOne, LinkRefused
from core.users.types import TooManyTries, UnknownPerson
from payments.offer import BadAmount
from payments.refunds import EarlierRefund, NothingToRefund, RefundUnsure
from payments.types import (
    CardsStopped,
    CheckoutRefused,
    GatewayUnavailable,
    NotGivenBack,
    PaymentRefused,
    RefundRefused,
    TooManyOrders,
    UnknownOrder,
)

_MEGABYTE = 1 << 20


class NotUnderstood(Refusal):
    """The arguments of a command can't be read; `hint` is the sentence that says how to write
    them."""

    def __init__(self, said: Said) -> None:
        self.said = said


class RecordingTooLarge(Refusal):
    """A file is larger, in bytes, than can be written down."""

    def __init__(self, size: int, most: int) -> None:
        self.size, self.most = size, most


class RecordingUnreadable(Refusal):
    """A file is in no format that suppliers take, or doesn't say how long it is."""


@singledispatch
def sentence(refusal: Refusal) -> Said:
    """The sentence for a refusal."""
    del refusal
    return say("That can't be done. Nothing was charged.")


@sentence.register
def _(refusal: NotUnderstood) -> Said:
    return refusal.said


@sentence.register
def _(refusal: UnknownModel) -> Said:
    if not refusal.near:
        return say("There is no model “{asked}”. See /models.", asked=refusal.asked[:40])
    return say(
        "There is no model “{asked}”. Did you mean {near}?",
        asked=refusal.asked[:40],
        near=", ".join(refusal.near),
    )


@sentence.register
def _(refusal: EmptyQuestion) -> Said:
    del refusal
    return say("What would you like to ask? Write it after the command: /ask why is the sky blue?")


@sentence.register
def _(refusal: QuestionTooLong) -> Said:
    return say(
        "With what was said before, that is {tokens} tokens; {model} takes {context}. Nothing was"
        " charged. Shorten it, start afresh with /new, or choose another model: /models",
        tokens=refusal.tokens,
        model=refusal.model.name,
        context=refusal.model.context,
    )


@sentence.register
def _(refusal: NotEnoughCredits) -> Said:
    price = price_line(refusal.price)
    if refusal.model.per == "second":
        return say(
            "This needs {need}; you have {have}, {held} more are reserved. {model}: {price}. Send a"
            " shorter one, or ask the operator for Credits.",
            need=in_credits(refusal.need),
            have=in_credits(refusal.have),
            held=refusal.held,
            model=refusal.model.name,
            price=price,
        )
    if refusal.held.units:
        return say(
            "This needs {need}; you have {have}, and {held} more are reserved by answers that"
            " are still running. {model}: {price}. Wait for them to finish, or choose a cheaper"
            " model: /models",
            need=in_credits(refusal.need),
            have=in_credits(refusal.have),
            held=refusal.held,
            model=refusal.model.name,
            price=price,
        )
    return say(
        "This needs {need}; you have {have}, 0 reserved. {model}: {price}. Choose a cheaper model:"
        " /models, or ask the operator for Credits.",
        need=in_credits(refusal.need),
        have=in_credits(refusal.have),
        model=refusal.model.name,
        price=price,
    )


@sentence.register
def _(refusal: Owes) -> Said:
    return say(
        "{owed} are owed: they were spent before their payment was given back. Nothing was charged."
        " What comes in repays them first, then you can ask again.",
        owed=in_credits(refusal.owed),
    )


@sentence.register
def _(refusal: BadAmount) -> Said:
    return say(
        "Amounts are from {least} to {most}, in whole cents. Nothing was ordered.",
        least=money(refusal.least),
        most=money(refusal.most),
    )


@sentence.register
def _(refusal: TooManyOrders) -> Said:
    return say(
        "{count} of your orders wait to be paid. Pay one of them, or wait until they expire;"
        " nothing new was ordered.",
        count=refusal.waiting,
    )


@sentence.register
def _(refusal: GatewayUnavailable) -> Said:
    del refusal
    return say(
        "The payment service doesn't answer. Nothing was ordered or moved. Press the button again"
        " in a minute, or choose another way to pay."
    )


@sentence.register
def _(refusal: UnknownOrder) -> Said:
    return say("There is no order {order}. /paysupport lists yours.", order=refusal.order[:40])


@sentence.register
def _(refusal: PaymentRefused) -> Said:
    return say(
        "What the payment service says doesn't fit order {order} ({why}). Nothing was moved.",
        order=refusal.order,
        why=refusal.why,
    )


sentence.register(CardsStopped, cards_stopped)
sentence.register(CheckoutRefused, checkout_refused)
sentence.register(RefundRefused, refund_refused)
sentence.register(NotGivenBack, not_given_back)
sentence.register(EarlierRefund, earlier_refund)
sentence.register(RefundUnsure, refund_unsure)
sentence.register(NothingToRefund, nothing_to_refund)


@sentence.register
def _(refusal: NothingServes) -> Said:
    return say(
        "{model} can't be served right now. Nothing was charged. Try again in a minute, or choose"
        " another model: /models",
        model=refusal.model.name,
    )


@sentence.register
def _(refusal: NothingHears) -> Said:
    del refusal
    return say(
        "Audio can't be written down right now. Nothing was charged. Try again in a minute, or"
        " write your question."
    )


@sentence.register
def _(refusal: RecordingTooLong) -> Said:
    return say(
        "That is {length} long; audio is written down up to {most}. Nothing was charged. Send it in"
        " parts.",
        length=length(refusal.length),
        most=length(refusal.most),
    )


@sentence.register
def _(refusal: RecordingTooLarge) -> Said:
    return say(
        "That file has {size} MB; audio is written down up to {most} MB. Nothing was charged. Send"
        " it in parts, or as a voice message.",
        size=-(-refusal.size // _MEGABYTE),
        most=refusal.most // _MEGABYTE,
    )


@sentence.register(RecordingUnreadable)
@sentence.register(NotFetched)
def _(refusal: Refusal) -> Said:
    del refusal
    return UNREADABLE


@sentence.register(TooManyAsks)
@sentence.register(LedgerBusy)
def _(refusal: Refusal) -> Said:
    del refusal
    return say("Too many questions at once right now. Nothing was charged. Try again in a minute.")


@sentence.register
def _(refusal: ServiceStopping) -> Said:
    del refusal
    return say("The service is restarting. Nothing was charged. Ask again in a minute.")


@sentence.register(LedgerUnavailable)
@sentence.register(DatabaseUnavailable)
def _(refusal: Refusal) -> Said:
    del refusal
    return say("The books can't be written right now, so nothing was done. Try again in a minute.")


@sentence.register
def _(refusal: InsufficientFunds) -> Said:
    del refusal
    return say("There are not enough Credits for that. Nothing was moved.")


@sentence.register
def _(refusal: LaneFull) -> Said:
    return say(
        "{waiting} of your questions already wait here. Let them be answered first, or /stop.",
        waiting=refusal.waiting,
    )


@sentence.register
def _(refusal: UnknownPerson) -> Said:
    return say(
        "Nobody is known as “{asked}”. Write it like telegram:123; they must have written here"
        " once.",
        asked=refusal.asked[:40],
    )


@sentence.register
def _(refusal: LinkRefused) -> Said:
    del refusal
    return say(
        "That code is wrong, used or too old. Nothing was changed. Write /link on the other side"
        " for a new one."
    )


@sentence.register
def _(refusal: TooManyTries) -> Said:
    del refusal
    return say("Too many wrong codes. Wait ten minutes, then try again.")


@sentence.register
def _(refusal: AlreadyOne) -> Said:
    del refusal
    return say("That is your own code: type it on your other platform.")


@sentence.register
def _(refusal: ButtonGone) -> Said:
    del refusal
    return say("That button has done its work. Send the command again.")


@sentence.register
def _(refusal: NotYourButton) -> Said:
    del refusal
    return say("That button belongs to somebody else.")


@sentence.register
def _(refusal: PromptOver) -> Said:
    del refusal
    return say("That is over: answered, cancelled or too late. Send the command again.")


@sentence.register
def _(refusal: NotFilledIn) -> Said:
    return say(
        "That isn't what was asked for: {fields}. Nothing was kept. Try again.",
        fields=", ".join(refusal.fields),
    )


@sentence.register
def _(refusal: UnknownSupplier) -> Said:
    return say(
        "{asked} is unknown. Known: {known}.",
        asked=refusal.asked[:40],
        known=", ".join(refusal.known),
    )


_KEY_REFUSED = {
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


@sentence.register
def _(refusal: KeyRefused) -> Said:
    return Said(_KEY_REFUSED[refusal.reason].text, {"supplier": refusal.supplier})


@sentence.register
def _(refusal: DuplicateKey) -> Said:
    return say(
        "{supplier} …{tail} is in the pool already. Nothing was changed.",
        supplier=refusal.supplier,
        tail=refusal.tail,
    )


@sentence.register
def _(refusal: BadBudget) -> Said:
    del refusal
    return say("A budget is dollars above zero, like 50 or 12.5. Nothing was kept.")
