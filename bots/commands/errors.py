"""Every refusal as a sentence: what is wrong, what to do next; that nothing was charged where that
is known.

A new refusal is a row of `SENTENCES`: a sentence whose names are the refusal's own fields, one for
each `reason`, or a function where a condition decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from string import Formatter
from typing import Any, Final

from bots.chat.audio import DownloadFailed
from bots.chat.callbacks import ButtonExpired, NotYourButton
from bots.chat.forms import FormClosed, InvalidFormInput
from bots.chat.reply import Phrase, plain, say, say_count
from bots.commands.api_token_texts import TOKEN_SENTENCES
from bots.commands.reason_texts import (
    CANCELLATION_REFUSALS,
    FILE_PROBLEMS,
    KEY_REJECTIONS,
    PAUSES,
)
from bots.commands.text import (
    UNREADABLE_AUDIO,
    format_cash,
    format_credits,
    format_length,
    get_supplier_title,
    join_names,
)
from bots.render.queue import QueueFull
from core.admin.broadcasts import BroadcastInProgress
from core.admin.erasure import NotErasable
from core.asks.rate_limit import (
    DailyLimitReached,
    OwnDailyLimitReached,
    RateLimited,
    TooManyConcurrentAsks,
)
from core.asks.types import (
    CreditsOwed,
    EmptyQuestion,
    NoKeyAvailable,
    NoKeyForFiles,
    NotEnoughCredits,
    NoTranscriptionKey,
    PicturesUnseen,
    QuestionTooLong,
    RecordingsDoubted,
    RecordingTooLong,
    RecordingUncounted,
    ServiceStopping,
    TooManyAsks,
)
from core.asks.unpaid_work import NoOwnKeyAvailable, PicturesPaused, UnpaidWorkSpent
from core.attachments.types import FILE_BYTES_MAX, PICTURES_MAX, FileProblem
from core.clock import as_datetime
from core.db.errors import DatabaseUnavailable
from core.earnings.payouts import (
    NoPayoutAddress,
    NothingWithdrawable,
    PayoutStateConflict,
    TooManyWithdrawals,
    WithdrawalBlocked,
)
from core.earnings.termination import ContributionInUse
from core.earnings.types import (
    NotContributable,
    ProposalGone,
    SameOrganisation,
    TooManyContributions,
    WorthNothing,
)
from core.errors import Refusal
from core.ledger.types import CompanionRefused, InsufficientFunds, LedgerBusy, LedgerUnavailable
from core.money import Credits, NanoUsd, Seconds, Stars
from core.pool.suppliers import SUPPLIERS
from core.pool.types import (
    BadBudget,
    DuplicateKey,
    KeyRefused,
    PausedByOperator,
    UnknownKey,
    UnknownSupplier,
    UnrecognizedKey,
)
from core.pricing.catalogue import Model, UnknownModel
from core.pricing.promotions import PromotionUsedUp, TooManyPromotions
from core.pricing.tiers import TooManyTiers, UnknownTier
from core.repricing.price_changes import PriceNotUndoable
from core.repricing.supplier_changes import AlreadyDecided
from core.users.limits import FeaturePaused, PersonBlocked
from core.users.links import AlreadyLinked, LinkRefused
from core.users.support import MessageTooLong, TooManyMessages
from core.users.types import TooManyAttempts, UnknownPerson
from payments.cancellations import CancellationRefused
from payments.offer import BadAmount
from payments.promo_codes import CodeRefused
from payments.refunds import EarlierRefund, NothingToRefund, RefundOutcomeUnknown
from payments.types import (
    CardPaymentsPaused,
    CheckoutRefused,
    GatewayUnavailable,
    NoOpenDispute,
    PaymentMismatch,
    RefundDeclined,
    RefundUnsupported,
    TooManyOrders,
    UnknownOrder,
)
from payments.unmatched import NotUnmatched

_MEGABYTE: Final = 1 << 20

#: Of a message that holds something like a key, wherever it stands in it.
_PASTED_KEY: Final = say(
    "That message held something that looks like a secret key ({kind}). It was not stored and not"
    " sent to any model. Delete it here if you can still see it, and revoke the key where you got"
    " it: it has been in a chat."
)
#: And where a command asks for one by itself.
_KEY_BESIDE_COMMAND: Final = say(
    "{warning} To use a new one, send /{command} without a key: I ask for it, where nobody reads"
    " along."
)
#: Whose keys are told besides those of suppliers.
_KEY_TITLES: Final = {
    "telegram": plain("Telegram"),
    "stripe": plain("Stripe"),
    "github": plain("GitHub"),
    "aws": plain("AWS"),
    "slack": plain("Slack"),
    "creditbot": say("this bot's API"),
    "private-key": say("private key"),
}


class UsageError(Refusal):
    """The arguments of a command can't be read; `hint` is the sentence that says how to write
    them."""

    def __init__(self, hint: Phrase) -> None:
        self.hint = hint


class RecordingTooLarge(Refusal):
    """A file is larger than can be written down; sizes are given in bytes."""

    def __init__(self, size: int, max_size: int) -> None:
        self.megabytes, self.max_megabytes = -(-size // _MEGABYTE), max_size // _MEGABYTE


class RecordingUnreadable(Refusal):
    """A file is in no format that suppliers take, or there is nothing to hear in it."""


class SecretSent(Refusal):
    """What came with a question, a file or somebody's words, holds something like a secret key; or
    what came with a `command` that asks for one."""

    def __init__(self, kind: str, *, is_own_message: bool, command: str = "") -> None:
        self.kind, self.is_own_message, self.command = kind, is_own_message, command


class FileTooLarge(Refusal):
    """A file has more bytes than are read."""

    def __init__(self, name: str) -> None:
        self.name, self.max_megabytes = name, FILE_BYTES_MAX // _MEGABYTE


class FileNotRead(Refusal):
    """Nothing can be read of a file; `reason` is the value of a `FileProblem`."""

    def __init__(self, name: str, problem: FileProblem) -> None:
        self.name, self.reason = name, problem.value


class TooManyPictures(Refusal):
    """More pictures came with a question than go with one."""

    def __init__(self, count: int) -> None:
        self.count, self.max = count, PICTURES_MAX


class TooManyOffers(Refusal):
    """As many files of a person as may wait for a tap do so already."""


class FileNotFetched(Refusal):
    """The platform doesn't hand out a file, or not now."""

    def __init__(self, name: str) -> None:
        self.name = name


def explain_refusal(refusal: Refusal) -> Phrase:
    """The sentence for a refusal: that of its own class, or of the nearest above."""
    sentence = next(SENTENCES[kind] for kind in type(refusal).__mro__ if kind in SENTENCES)
    if isinstance(sentence, Mapping):
        sentence = sentence[vars(refusal)["reason"]]
    if isinstance(sentence, Phrase):
        return _fill(sentence, refusal)
    return sentence(refusal)


def _fill(sentence: Phrase, refusal: Refusal) -> Phrase:
    names = {name for _, name, _, _ in Formatter().parse(sentence.text) if name}
    shown = {name: _show(getattr(refusal, name)) for name in names}
    if "supplier" in shown:
        shown["supplier"] = get_supplier_title(str(shown["supplier"]))
    return Phrase(sentence.text, shown)


def _show(value: object) -> Any:
    """A field as sentences show it; what isn't listed here shows itself."""
    match value:
        case Credits():
            return format_credits(value)
        case NanoUsd() | Stars():
            return format_cash(value)
        case Seconds():
            return format_length(value)
        case Model():
            return value.name
        case tuple() | list():
            return join_names(value)
        case _:
            return value


def _explain_unknown_model(refusal: UnknownModel) -> Phrase:
    if not refusal.similar:
        return say("There is no model “{asked}”. See /models.", asked=refusal.requested_name[:40])
    return say(
        "There is no model “{asked}”. Did you mean {near}?",
        asked=refusal.requested_name[:40],
        near=join_names(refusal.similar),
    )


def _explain_secret(refusal: SecretSent) -> Phrase:
    kind = _KEY_TITLES.get(refusal.kind) or plain(get_supplier_title(refusal.kind))
    warning = Phrase(_PASTED_KEY.text, {"kind": kind})
    if not refusal.command:
        return warning
    return Phrase(_KEY_BESIDE_COMMAND.text, {"warning": warning, "command": refusal.command})


def _explain_rate_limit(refusal: RateLimited) -> Phrase:
    return say_count(
        "Too many questions: the most is {per_minute} a minute. Nothing was charged. Ask again in"
        " {count} second.",
        "Too many questions: the most is {per_minute} a minute. Nothing was charged. Ask again in"
        " {count} seconds.",
        refusal.seconds,
        per_minute=refusal.per_minute,
    )


def _explain_repetition(refusal: CompanionRefused) -> Phrase:
    if refusal.table == "admin_log":
        return say("That is done already: your message reached me twice, and counted once.")
    return say("Somebody was faster, so that nothing was done here. Look at it, then try again.")


def _explain_pause(refusal: FeaturePaused) -> Phrase:
    return plain(refusal.sentence) if refusal.sentence else PAUSES[refusal.feature]


def _explain_card_payments_paused(refusal: CardPaymentsPaused) -> Phrase:
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


def _explain_blocked_withdrawal(refusal: WithdrawalBlocked) -> Phrase:
    if refusal.reason == "owes":
        return say("What you owe is repaid first. Nothing was withdrawn. /balance says how much.")
    if refusal.reason == "disputed":
        return say(
            "One of your payments is disputed at your bank. Until that is decided nothing is paid"
            " out. Nothing was withdrawn."
        )
    until = as_datetime(refusal.until)
    if refusal.reason == "linked":
        return say(
            "Your accounts were linked just now: withdrawals go on from {until}. Nothing was"
            " withdrawn.",
            until=until,
        )
    return say(
        "You changed your address just now: withdrawals go on from {until}. Nothing was"
        " withdrawn. If that wasn't you, write to the operator.",
        until=until,
    )


def _explain_same_organisation(refusal: SameOrganisation) -> Phrase:
    return say(
        "A key of the same account at {supplier} is here already: both would share its limits and"
        " its money. Nothing was kept.",
        supplier=SUPPLIERS[refusal.supplier].title,
    )


_TOO_BUSY: Final = say(
    "Too many questions at once right now. Nothing was charged. Try again in a minute."
)
#: Whether it was written isn't known then.
_BOOKS_UNAVAILABLE: Final = say(
    "The books can't be written right now. What may have been begun is finished or undone by itself"
    " within minutes: look at /balance, then try again."
)

#: By class; a mapping is by the refusal's `reason`.
SENTENCES: Final[Mapping[type, Phrase | Mapping[str, Phrase] | Callable[[Any], Phrase]]] = {
    # Of a kind that has no sentence nobody can say what it left.
    Refusal: say("That can't be done. /help shows what can; /balance shows what is held."),
    UsageError: lambda refusal: refusal.hint,
    # Asking.
    UnknownModel: _explain_unknown_model,
    EmptyQuestion: say(
        "What would you like to ask? Write it after the command: /ask why is the sky blue?"
    ),
    SecretSent: _explain_secret,
    FileTooLarge: say(
        "“{name}” is larger than {max_megabytes} MB. Nothing was asked or charged. Send the part"
        " that matters."
    ),
    FileNotRead: FILE_PROBLEMS,
    TooManyPictures: say(
        "At most {max} pictures go with a question; these are {count}. Nothing was asked or"
        " charged. Send fewer at once."
    ),
    TooManyOffers: say(
        "Several of your files wait for your choice already. Press one of their buttons, or wait"
        " ten minutes. Nothing was asked or charged."
    ),
    PicturesUnseen: say(
        "{model} doesn't see these pictures. Nothing was charged. Choose a model that does: /models"
    ),
    PicturesPaused: say(
        "Models' rules refused several of your pictures today. Nothing was charged for this. You"
        " can send pictures again after midnight UTC; questions without them go on."
    ),
    NoKeyForFiles: say(
        "Pictures and files go to the operator's own keys alone, and none of them can serve {model}"
        " right now. Nothing was charged. Let contributed keys see them (/settings), or choose"
        " another model: /models"
    ),
    FileNotFetched: say(
        "“{name}” could not be fetched. Nothing was asked or charged. Send it again."
    ),
    QuestionTooLong: say(
        "With what was said before, that is {tokens} tokens; {model} takes {context}. Nothing was"
        " charged. Shorten it, start afresh with /new, or choose another model: /models"
    ),
    NotEnoughCredits: say(
        "This needs {needed}; you have {available}. Nothing was charged. Choose a cheaper model:"
        " /models"
    ),
    CreditsOwed: say(
        "You owe {owed}: you spent them before their payment was refunded. Nothing was charged."
        " New Credits repay that first; then you can ask again."
    ),
    NoKeyAvailable: say(
        "{model} isn't available right now. Nothing was charged. Try again in a minute, or"
        " choose another model: /models"
    ),
    NoTranscriptionKey: say(
        "Audio can't be transcribed right now. Nothing was charged. Try again in a minute, or"
        " write your question."
    ),
    RecordingTooLong: say(
        "That is {length} long; the limit for audio is {max_length}. Nothing was charged. Send"
        " it in parts."
    ),
    RecordingUncounted: say(
        "Its length can't be told; by its size it may be {length}, and audio is transcribed up"
        " to {max_length}. Nothing was charged. Send it as a voice message or an mp3, or in"
        " parts."
    ),
    RecordingsDoubted: say(
        "A supplier heard far more in your audio today than the file can hold. Nothing was"
        " charged for this. Your audio isn't transcribed again until tomorrow (UTC); you can"
        " still write questions. If you don't know why, tell the operator."
    ),
    RecordingTooLarge: say(
        "That file has {megabytes} MB; the limit for audio is {max_megabytes} MB. Nothing was"
        " charged. Send it in parts, or as a voice message."
    ),
    RecordingUnreadable: UNREADABLE_AUDIO,
    DownloadFailed: UNREADABLE_AUDIO,
    TooManyAsks: _TOO_BUSY,
    LedgerBusy: _TOO_BUSY,
    ServiceStopping: say("The service is restarting. Nothing was charged. Ask again in a minute."),
    CompanionRefused: _explain_repetition,
    LedgerUnavailable: _BOOKS_UNAVAILABLE,
    DatabaseUnavailable: _BOOKS_UNAVAILABLE,
    InsufficientFunds: say("There aren't enough Credits for that. Nothing was moved."),
    QueueFull: lambda refused: say_count(
        "A question of yours waits here already. Let it be answered first, or /stop.",
        "{count} of your questions already wait here. Let them be answered first, or /stop.",
        refused.waiting,
    ),
    RateLimited: _explain_rate_limit,
    TooManyConcurrentAsks: lambda refused: say_count(
        "A question of yours is being answered already. Nothing was charged. Ask again when that"
        " is done, or /stop.",
        "{count} of your questions are being answered already. Nothing was charged. Ask again"
        " when one is done, or /stop.",
        refused.at_once,
    ),
    DailyLimitReached: say(
        "You've reached your limit of {per_day} a day. Nothing was charged. It starts again at"
        " midnight UTC."
    ),
    OwnDailyLimitReached: say(
        "You've reached your own daily limit of {per_day}. Nothing was charged. It starts again"
        " at midnight UTC; /settings changes it."
    ),
    UnpaidWorkSpent: say(
        "Too many of your questions today cost something without an answer that can be charged:"
        " models' rules refused them, or they were stopped before anything came. Nothing was"
        " charged. Ask again after midnight UTC."
    ),
    NoOwnKeyAvailable: say(
        "Models' rules refused several of your questions today, so people's contributed keys don't"
        " serve you until midnight UTC, and the operator's own can't serve {model} right now."
        " Nothing was charged. Try another model: /models"
    ),
    FeaturePaused: _explain_pause,
    PersonBlocked: say(
        "The operator has blocked this account. Nothing was charged. /paysupport says whom to ask."
    ),
    # Buttons, forms, people.
    ButtonExpired: say("That button no longer works. Send the command again."),
    NotYourButton: say("That button belongs to somebody else."),
    FormClosed: say(
        "That has expired: it was answered, cancelled or came too late. Send the command again."
    ),
    InvalidFormInput: say("That isn't what was asked for: {labels}. Nothing was kept. Try again."),
    UnknownPerson: say(
        "I don't know “{query}”. Nothing was changed. Write it like telegram:123; they must have"
        " written to me once."
    ),
    LinkRefused: say(
        "That code is wrong, used or too old. Nothing was changed. Write /link on the other side"
        " for a new one."
    ),
    TooManyMessages: say(
        "You wrote to the operators three times in ten minutes. Nothing was sent; wait for their"
        " answer, or ten minutes."
    ),
    MessageTooLong: say(
        "That is too long: one message holds {most} characters, yours has {length}. Nothing was"
        " sent. Shorten it."
    ),
    TooManyAttempts: say("Too many wrong codes. Wait ten minutes, then try again."),
    AlreadyLinked: say("That is your own code: type it on your other platform."),
    **TOKEN_SENTENCES,
    NotErasable: {
        "asks": say(
            "An answer is still being written. Nothing was erased. Try again when it is done."
        ),
        "order": say(
            "An order is still open and may be paid. Nothing was erased. Try again when it has"
            " ended; orders end by themselves within a day."
        ),
        "payout": say(
            "A withdrawal is on its way. Nothing was erased. Try again when it has arrived."
        ),
        "dispute": say(
            "A payment is disputed. Nothing was erased. Try again when that is decided."
        ),
        "owes": say(
            "Credits are owed. Nothing was erased. Repay them first: /topup, or write to the"
            " operator."
        ),
        "role": say(
            "They help run this. Nothing was erased. Their role has to be taken first: /role."
        ),
        "gone": say("That is erased already."),
    },
    # Paying.
    BadAmount: say("Amounts are from {minimum} to {maximum}, in whole cents. Nothing was ordered."),
    CancellationRefused: CANCELLATION_REFUSALS,
    TooManyOrders: say(
        "{open_count} of your orders wait to be paid. Pay one of them, or wait until they expire;"
        " nothing new was ordered."
    ),
    GatewayUnavailable: say(
        "The payment service doesn't answer. Nothing was ordered or moved. Press the button again"
        " in a minute, or choose another way to pay."
    ),
    UnknownOrder: say("There is no order {order}. /paysupport lists yours."),
    PaymentMismatch: say(
        "What the payment service says doesn't fit order {order} ({reason}). Nothing was moved."
    ),
    CardPaymentsPaused: _explain_card_payments_paused,
    CheckoutRefused: {
        "over": say("This invoice has expired. Nothing was charged. /topup makes a new one."),
        "paid": say("This order is paid already. Nothing was charged. /topup makes a new one."),
        "payer": say(
            "This invoice is somebody else's. Nothing was charged. /topup makes your own."
        ),
        "amount": say("This invoice is out of date. Nothing was charged. /topup makes a new one."),
        "unsure": say(
            "The books can't be read right now. Nothing was charged. Pay again in a minute."
        ),
    },
    CodeRefused: {
        "unknown": say(
            "There is no such code. Nothing was credited. Type it as it was given to you."
        ),
        "used": say("That code was used before. Nothing was credited. /paysupport helps."),
        "expired": say("That code is too old. Nothing was credited. /paysupport helps."),
        "void": say("That code was taken back. Nothing was credited. /paysupport helps."),
        "early": say("That code isn't good yet. Nothing was credited. Try again when it is."),
        "held": say("You already have what that code gives. Nothing was changed."),
    },
    PromotionUsedUp: say("That was given as often as it may be. Nothing was credited."),
    # Giving back what was paid: the operator reads these.
    RefundUnsupported: {
        "whole": say(
            "Telegram refunds Stars by whole payments only. Nothing was given back. For all of"
            " it: /refund {order}"
        ),
        "elsewhere": say(
            "Only Discord refunds what was bought in its store, when the buyer asks Discord;"
            " the Credits of order {order} are then taken back by themselves. Nothing was given"
            " back now."
        ),
    },
    RefundDeclined: say(
        "{gateway} won't give that back ({reason}). Nothing was moved. Look at the payment in its"
        " dashboard."
    ),
    EarlierRefund: say(
        "What became of an earlier refund of this order wasn't known; it is now: {refunded} of it"
        " are given back in all. Nothing more was given back now. /payment {order}"
    ),
    RefundOutcomeUnknown: say(
        "The payment service didn't answer: whether the money went back isn't known yet. In a"
        " minute /refund {order} again: it finds out first, and gives nothing back twice."
    ),
    NothingToRefund: say("That much of the order isn't left. Nothing was given back."),
    NotUnmatched: say(
        "That payment has been decided already, or nobody knows who paid it. Nothing was credited."
    ),
    NoOpenDispute: say(
        "Dispute {dispute} is decided already, or can't be given up here. Nothing was moved."
    ),
    # Keys, and what they earn.
    UnknownSupplier: say(
        "“{requested_name}” is no supplier here. Nothing was changed. Suppliers: {known_names}"
    ),
    KeyRefused: KEY_REJECTIONS,
    DuplicateKey: say("{supplier} …{tail} is in the pool already. Nothing was changed."),
    BadBudget: say("A budget is dollars above zero, like 50 or 12.5. Nothing was kept."),
    NotContributable: say(
        "Keys of {supplier} aren't taken here. Taken: {known_suppliers}. Nothing was kept."
    ),
    UnrecognizedKey: say(
        "That doesn't look like a key of {known_titles}. Nothing was kept or sent."
    ),
    SameOrganisation: _explain_same_organisation,
    ProposalGone: say(
        "That offer has expired. Nothing was changed. Send the key again: /contribute"
    ),
    TooManyContributions: say(
        "You have too many keys here or waiting for your answer already. Answer those, or take"
        " one back: /keys"
    ),
    WorthNothing: say(
        "What is left on that key is worth less than a Credit, or more than is accepted here."
        " Nothing was kept."
    ),
    ContributionInUse: say(
        "You have spent {minimum} of it in advance already: it can't be made smaller than that."
        " Nothing was changed."
    ),
    UnknownKey: say("That key isn't yours, or it has ended. Nothing was changed. Your keys: /keys"),
    PausedByOperator: say("The operator paused that key: ask them why. Nothing was changed."),
    NothingWithdrawable: say(
        "You can withdraw {withdrawable} now; the minimum is {minimum}. Nothing was withdrawn."
    ),
    WithdrawalBlocked: _explain_blocked_withdrawal,
    TooManyWithdrawals: say(
        "{unsent_count} of your withdrawals wait already. Nothing was withdrawn. Wait for one, or"
        " cancel it: /withdraw"
    ),
    PayoutStateConflict: say(
        "That withdrawal has moved on meanwhile. Nothing was changed. See /withdraw"
    ),
    NoPayoutAddress: say("Say first where it should be sent: /withdraw. Nothing was withdrawn."),
    # What admins set.
    PriceNotUndoable: say(
        "That can't be taken back: another price was set since, or there was none before. Nothing"
        " was changed."
    ),
    UnknownTier: say("There is no tier “{name}”. Nothing was changed. /tier lists them."),
    TooManyTiers: say(
        "There are too many tiers. Nothing was changed. Remove one first: /tier remove Gold"
    ),
    AlreadyDecided: say(
        "That change is decided already, or the supplier took it back. See /suppliers."
    ),
    TooManyPromotions: say("Too many promotions run. Nothing was changed. End one first: /promo"),
    BroadcastInProgress: say(
        "Another message is being sent: /broadcast shows it. Nothing was sent."
    ),
}

#: Refusals that say what a person has: they are told where nobody else reads.
PRIVATE_REFUSALS: Final = (
    NotEnoughCredits,
    CreditsOwed,
    ContributionInUse,
    NothingWithdrawable,
    WithdrawalBlocked,
)
