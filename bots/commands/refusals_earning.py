"""What people read when contributing or cashing out is refused."""

from __future__ import annotations

from bots.chat.reply import Phrase, say
from bots.commands.errors import explain_refusal
from bots.commands.text import format_credits
from core.clock import as_datetime
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
    OfferGone,
    SameOrganisation,
    TooManyContributions,
    WorthNothing,
)
from core.pool.suppliers import SUPPLIERS
from core.pool.types import PausedByOperator, UnknownKey, UnrecognizedKey


@explain_refusal.register
def _(refusal: NotContributable) -> Phrase:
    return say(
        "Keys of {supplier} aren't taken here. Taken: {known}. Nothing was kept.",
        supplier=refusal.supplier,
        known=", ".join(refusal.known_suppliers),
    )


@explain_refusal.register
def _(refusal: UnrecognizedKey) -> Phrase:
    return say(
        "That doesn't look like a key of {known}. Nothing was kept or sent.",
        known=", ".join(refusal.known_titles),
    )


@explain_refusal.register
def _(refusal: SameOrganisation) -> Phrase:
    return say(
        "A key of the same account at {supplier} is here already: both would share its limits and"
        " its money. Nothing was kept.",
        supplier=SUPPLIERS[refusal.supplier].title,
    )


@explain_refusal.register
def _(refusal: OfferGone) -> Phrase:
    del refusal
    return say("That offer is over. Nothing was changed. Send the key again: /contribute")


@explain_refusal.register
def _(refusal: TooManyContributions) -> Phrase:
    del refusal
    return say(
        "So many of your keys are here or wait for your answer that no more are taken. Answer"
        " those, or take one back: /keys"
    )


@explain_refusal.register
def _(refusal: WorthNothing) -> Phrase:
    del refusal
    return say(
        "What is left behind that key is worth less than a Credit, or more than is taken here."
        " Nothing was kept."
    )


@explain_refusal.register
def _(refusal: ContributionInUse) -> Phrase:
    return say(
        "You have spent {least} of it in advance already: it can't be made smaller than that."
        " Nothing was changed.",
        least=format_credits(refusal.minimum),
    )


@explain_refusal.register
def _(refusal: UnknownKey) -> Phrase:
    del refusal
    return say("That key isn't yours, or it has ended. Nothing was changed. Your keys: /keys")


@explain_refusal.register
def _(refusal: PausedByOperator) -> Phrase:
    del refusal
    return say("The operator paused that key: ask them why. Nothing was changed.")


@explain_refusal.register
def _(refusal: NothingWithdrawable) -> Phrase:
    return say(
        "{withdrawable} can be withdrawn now; the least is {least}. Nothing was withdrawn.",
        withdrawable=format_credits(refusal.withdrawable),
        least=format_credits(refusal.minimum),
    )


@explain_refusal.register
def _(refusal: WithdrawalBlocked) -> Phrase:
    if refusal.reason == "owes":
        return say("First what is owed is repaid. Nothing was withdrawn. /balance tells how much.")
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
        "You gave another address just now: withdrawals go on from {until}. Nothing was withdrawn."
        " If that wasn't you, write to the operator.",
        until=until,
    )


@explain_refusal.register
def _(refusal: TooManyWithdrawals) -> Phrase:
    return say(
        "{count} of your withdrawals wait already. Nothing was withdrawn. Wait for one, or cancel"
        " it: /withdraw",
        count=refusal.unsent_count,
    )


@explain_refusal.register
def _(refusal: PayoutStateConflict) -> Phrase:
    del refusal
    return say("That withdrawal has moved on meanwhile. Nothing was changed. See /withdraw")


@explain_refusal.register
def _(refusal: NoPayoutAddress) -> Phrase:
    del refusal
    return say("Say first where it shall go: /withdraw. Nothing was withdrawn.")
