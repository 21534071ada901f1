"""What people read when contributing or cashing out is refused."""

from __future__ import annotations

from bots.chat.reply import Said, say
from bots.commands.errors import sentence
from bots.commands.text import in_credits
from core.clock import as_datetime
from core.earnings.payouts import (
    NoAddress,
    NothingWithdrawable,
    PayoutMoved,
    TooManyWithdrawals,
    WithdrawalsWait,
)
from core.earnings.termination import StillUsed
from core.earnings.types import (
    NotContributable,
    OfferGone,
    SameOrganisation,
    TooManyContributions,
    WorthNothing,
)
from core.pool.suppliers import SUPPLIERS
from core.pool.types import NotItsKey, PausedByOperator, UnknownKey


@sentence.register
def _(refusal: NotContributable) -> Said:
    return say(
        "Keys of {supplier} aren't taken here. Taken: {known}. Nothing was kept.",
        supplier=refusal.supplier,
        known=", ".join(refusal.known),
    )


@sentence.register
def _(refusal: NotItsKey) -> Said:
    return say(
        "That doesn't look like a key of {known}. Nothing was kept or sent.",
        known=", ".join(refusal.known),
    )


@sentence.register
def _(refusal: SameOrganisation) -> Said:
    return say(
        "A key of the same account at {supplier} is here already: both would share its limits and"
        " its money. Nothing was kept.",
        supplier=SUPPLIERS[refusal.supplier].title,
    )


@sentence.register
def _(refusal: OfferGone) -> Said:
    del refusal
    return say("That offer is over. Nothing was changed. Send the key again: /contribute")


@sentence.register
def _(refusal: TooManyContributions) -> Said:
    del refusal
    return say(
        "So many of your keys are here or wait for your answer that no more are taken. Answer"
        " those, or take one back: /keys"
    )


@sentence.register
def _(refusal: WorthNothing) -> Said:
    del refusal
    return say(
        "What is left behind that key is worth less than a Credit, or more than is taken here."
        " Nothing was kept."
    )


@sentence.register
def _(refusal: StillUsed) -> Said:
    return say(
        "You have spent {least} of it in advance already: it can't be made smaller than that."
        " Nothing was changed.",
        least=in_credits(refusal.least),
    )


@sentence.register
def _(refusal: UnknownKey) -> Said:
    del refusal
    return say("That key isn't yours, or it has ended. Nothing was changed. Your keys: /keys")


@sentence.register
def _(refusal: PausedByOperator) -> Said:
    del refusal
    return say("The operator paused that key: ask them why. Nothing was changed.")


@sentence.register
def _(refusal: NothingWithdrawable) -> Said:
    return say(
        "{withdrawable} can be withdrawn now; the least is {least}. Nothing was withdrawn.",
        withdrawable=in_credits(refusal.withdrawable),
        least=in_credits(refusal.least),
    )


@sentence.register
def _(refusal: WithdrawalsWait) -> Said:
    if refusal.why == "owes":
        return say("First what is owed is repaid. Nothing was withdrawn. /balance tells how much.")
    if refusal.why == "disputed":
        return say(
            "One of your payments is disputed at your bank. Until that is decided nothing is paid"
            " out. Nothing was withdrawn."
        )
    until = as_datetime(refusal.until)
    if refusal.why == "linked":
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


@sentence.register
def _(refusal: TooManyWithdrawals) -> Said:
    return say(
        "{count} of your withdrawals wait already. Nothing was withdrawn. Wait for one, or cancel"
        " it: /withdraw",
        count=refusal.waiting,
    )


@sentence.register
def _(refusal: PayoutMoved) -> Said:
    del refusal
    return say("That withdrawal has moved on meanwhile. Nothing was changed. See /withdraw")


@sentence.register
def _(refusal: NoAddress) -> Said:
    del refusal
    return say("Say first where it shall go: /withdraw. Nothing was withdrawn.")
