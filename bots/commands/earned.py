"""What contributors are told without having asked: of their keys, and of what is paid out to them.

In what is told of a payout cash may show: a seller must see what is paid (brief, Readings 4).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bots.chat.reply import Said, say
from bots.commands.text import in_credits, money
from bots.commands.withdraw import WAYS
from core.earnings.payouts import METHODS, PAYOUT
from core.earnings.termination import KEY_ENDED
from core.jobs.notifications import Notice
from core.money import Credits, NanoUsd
from core.pool.health_tracker import KEY_RESTS
from core.pool.suppliers import SUPPLIERS

EARNED: Final = frozenset({KEY_ENDED, KEY_RESTS, PAYOUT})

_ENDS: Final[Mapping[str, Said]] = {
    "withdrawn": say("You took it back."),
    "dead": say("Its supplier refused it twice, at different times."),
    "exhausted": say("It is used up."),
    "stolen": say(
        "It was reported stolen: what it brought and was not paid out is forfeited. If that is"
        " wrong, write to the operator."
    ),
}
_STEPS: Final[Mapping[str, Said]] = {
    "requested": say("Withdrawal requested"),
    "approved": say("Withdrawal approved"),
    "sent": say("Your money is on its way"),
    "paid": say("✅ Paid out"),
    "rejected": say("Withdrawal rejected"),
    "returned": say("Your money came back"),
    "cancelled": say("Withdrawal cancelled"),
}
#: After these the Credits are there again.
_BACK: Final = frozenset({"rejected", "returned", "cancelled"})

Words = tuple[Said, tuple[Said, ...]]


def earned_words(notice: Notice) -> Words:
    """Title and lines of such a notice."""
    if notice.kind == KEY_ENDED:
        return _ended(notice)
    if notice.kind == KEY_RESTS:
        return _rests(notice)
    if notice.facts["what"] == "moved":
        return _moved(notice)
    return _payout(notice)


def _key(notice: Notice) -> str:
    supplier = str(notice.facts["supplier"])
    title = SUPPLIERS[supplier].title if supplier in SUPPLIERS else supplier
    return f"{title} …{notice.facts['tail']}"


def _ended(notice: Notice) -> Words:
    kept, returned, due = (Credits(int(notice.facts[name])) for name in ("kept", "returned", "due"))
    lines = [_ENDS[str(notice.facts["reason"])]]
    if notice.facts["reason"] != "stolen":
        lines.append(say("It brought {credits}.", credits=in_credits(kept)))
    if not returned.is_zero:
        lines.append(
            say("{credits} that it wasn't used for went back.", credits=in_credits(returned))
        )
    if not due.is_zero:
        lines.append(
            say(
                "You had spent {credits} of it in advance: they were taken from what you have; what"
                " was missing is owed.",
                credits=in_credits(due),
            )
        )
    return say("Your key {key} has ended", key=_key(notice)), tuple(lines)


def _rests(notice: Notice) -> Words:
    why = (
        say("Its account there has no money, or has reached its limit. It is tried again later.")
        if notice.facts["state"] == "parked"
        else say("Its supplier asked to wait. It goes on by itself.")
    )
    return say("Your key {key} rests", key=_key(notice)), (why, say("Your keys: /keys"))


def _moved(notice: Notice) -> Words:
    way = next(WAYS[one] for one in METHODS if one == notice.facts["method"])
    return say("Another address for your payouts"), (
        say(
            "{way}: {hint}. If that wasn't you, write to the operator now: payouts there wait for"
            " 72 hours.",
            way=way,
            hint=str(notice.facts["hint"]),
        ),
    )


def _payout(notice: Notice) -> Words:
    facts = notice.facts
    what, reason = str(facts["what"]), str(facts["reason"])
    amount = in_credits(Credits(int(facts["credits"])))
    cash = money(NanoUsd(int(facts["cash"])))
    lines = [say("{credits} → {cash}", credits=amount, cash=cash)]
    if what in _BACK:
        lines.append(say("The Credits are yours again."))
    if reason == "claw-back":
        lines.append(
            say("A key of yours ended, and what you had spent of it in advance is due first.")
        )
    elif reason == "owes":
        lines.append(say("You owe Credits: they repay that first."))
    elif reason:
        lines.append(say("Reason: {reason}", reason=reason))
    return _STEPS[what], (*lines, say("Receipt {receipt}", receipt=str(facts["payout"])))
