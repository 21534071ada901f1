"""What `/terms` says: the operator's own words, or the Credit promise, a clause each. How it is
kept stands in `docs/promise.md`; the audit compares it with the books.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from bots.chat.reply import Phrase, plain, say
from bots.commands.receipt import Seller
from core.admin.audit import ClauseResult, PromiseClause


@dataclass(frozen=True, slots=True)
class PaymentTerms:
    """The operator's own terms and support address; where they are empty the bot's own words stand
    in."""

    text: str = ""
    support: str = ""
    #: Whether Telegram's users may be led out of the chat to pay (its terms want Stars).
    telegram_outside: bool = False
    #: For so many days buyers may withdraw from a purchase; 0: only on request.
    withdrawal_days: int = 0
    #: Who sells, as receipts say it.
    seller: Seller = field(default_factory=Seller)


#: Each clause by its name, and what it means.
_CLAUSES: Final[Mapping[PromiseClause, tuple[Phrase, Phrase]]] = {
    "nothing-unseen": (
        say("Nothing seen, nothing charged"),
        say(
            "An answer that doesn't reach you costs nothing; one that breaks off costs what you"
            " saw of it."
        ),
    ),
    "never-above": (
        say("Never above the quoted price"),
        say(
            "You read the price before you ask. An answer never costs more than that price makes of"
            " it, nor more than was reserved; later prices don't touch it."
        ),
    ),
    "no-expiry": (
        say("Credits don't expire"),
        say("However long you stay away, they are there when you come back."),
    ),
    "refunds": (
        say("Refunds by the rule"),
        say(
            "What you bought and haven't used is given back on request, the way it was paid, where"
            " that way allows it: /paysupport."
        ),
    ),
}

#: The whole promise, a line for each clause.
PROMISE: Final = tuple(
    say("{number}. {clause}. {meaning}", number=number, clause=clause, meaning=meaning)
    for number, (clause, meaning) in enumerate(_CLAUSES.values(), 1)
)


def name_clause(result: ClauseResult) -> Phrase:
    """The name of the clause that was audited."""
    return _CLAUSES[result.clause][0]


def list_terms(terms: PaymentTerms) -> tuple[Phrase, ...]:
    """The operator's own terms, or what holds for everyone."""
    if terms.text:
        return (plain(terms.text),)
    return (
        say("Credits are for using this service. They are not money and can't be passed on."),
        say("— The Credit promise —"),
        *PROMISE,
    )
