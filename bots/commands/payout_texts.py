"""What somebody who withdraws reads of their payout: how it stands, and why it came back, in
sentences where gateways have codes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from bots.chat.reply import Phrase, say
from bots.commands.text import format_credits
from core.jobs.notifications import Notification
from core.money import Credits, NanoUsd, format_usd

_TITLES: Final[Mapping[str, Phrase]] = {
    "requested": say("Withdrawal requested"),
    "approved": say("Withdrawal approved"),
    "sent": say("Your money is on its way"),
    "paid": say("✅ Paid out"),
    "rejected": say("Withdrawal rejected"),
    "returned": say("Your money came back"),
    "cancelled": say("Withdrawal cancelled"),
}
#: After these the Credits are there again.
_RETURNING_STEPS: Final = frozenset({"rejected", "returned", "cancelled"})

#: A reason that a gateway gave; an operator writes in words.
_CODE_PATTERN: Final = re.compile(r"[A-Z][A-Z0-9_]+( [\w.]+)?|[a-z]+(-[a-z]+)+|Cancelled")
_NOBODY_TOOK_IT = say(
    "Nobody took it at that address in time: open an account for that address, or name another one:"
    " /withdraw."
)
_ACCOUNT_LOCKED = say(
    "The account at that address can't take money now. Name another one: /withdraw."
)
_SENT_BACK = say("It was sent back from where it had arrived.")
_ADDRESS_REFUSED = say("That address isn't accepted there. Name another one: /withdraw.")
_SENTENCES: Final[Mapping[str, Phrase]] = {
    "claw-back": say("A key of yours ended, and what you had spent of it in advance is due first."),
    "owes": say("You owe Credits, which are repaid first."),
    "RECEIVER_UNREGISTERED": _NOBODY_TOOK_IT,
    "RETURNED": _NOBODY_TOOK_IT,
    "RECEIVER_ACCOUNT_LOCKED": _ACCOUNT_LOCKED,
    "BLOCKED": _ACCOUNT_LOCKED,
    "REFUNDED": _SENT_BACK,
    "REVERSED": _SENT_BACK,
    "USER_COUNTRY_NOT_ALLOWED": say("Payouts can't go to the country of that account."),
    "SELF_PAY_NOT_ALLOWED": say("That address is the operator's own. Name yours: /withdraw."),
    "VALIDATION_ERROR receiver": _ADDRESS_REFUSED,
    "RECEIVER": _ADDRESS_REFUSED,
    "Cancelled": say("The operator cancelled it where it was to be paid."),
}


def compose_payout_notification(notification: Notification) -> tuple[Phrase, tuple[Phrase, ...]]:
    """Title and lines of a notification about a step of a payout."""
    facts = notification.facts
    what, reason = str(facts["what"]), str(facts["reason"])
    amount = format_credits(Credits(int(facts["credits"])))
    cash = format_usd(NanoUsd(int(facts["cash"])))
    lines = [say("{credits} → {cash}", credits=amount, cash=cash)]
    if what in _RETURNING_STEPS:
        lines.append(say("The Credits are yours again."))
    if reason:
        lines.append(_explain_reason(reason))
    return _TITLES[what], (*lines, say("Receipt {receipt}", receipt=str(facts["payout"])))


def _explain_reason(reason: str) -> Phrase:
    if reason in _SENTENCES:
        return _SENTENCES[reason]
    if _CODE_PATTERN.fullmatch(reason):
        return say(
            "The payment service didn't deliver it ({reason}). Try again, or name another address:"
            " /withdraw.",
            reason=reason,
        )
    return say("Reason: {reason}", reason=reason)
