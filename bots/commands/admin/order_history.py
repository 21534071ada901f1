"""An order's history in the reader's words: each step that the books keep of it, with its figures.

Evidence for a processor has the same steps under their stored names (`payments.evidence`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from bots.chat.reply import Phrase, plain, say
from bots.commands.text import format_cash, format_credits, join_phrases
from bots.commands.topup import GATEWAY_NAMES
from core.clock import as_datetime
from core.money import Credits
from payments.gateways.voucher import VOUCHER_GATEWAY
from payments.refunds import PART_PREFIX
from payments.types import Order

#: Each step by its stored name; a test holds this to all that `payments` writes.
STEP_NAMES: Final[Mapping[str, Phrase]] = {
    "created": say("ordered"),
    "recreated": say("found by its payment"),
    "claimed": say("joined with a purchase in the store"),
    "pending": say("checkout opened"),
    "expired": say("expired"),
    "failed": say("declined"),
    "on its way": say("on its way"),
    "paid": say("paid"),
    "fee known": say("the gateway's fee"),
    "refunded": say("given back"),
    "refund failed": say("given back, which did not arrive"),
    "warning": say("warned of"),
    "held": say("more held for the dispute"),
    "dispute fee": say("fee of the dispute"),
    "dispute open": say("disputed"),
    "dispute won": say("dispute won"),
    "dispute lost": say("dispute lost"),
    "dispute accept-asked": say("giving the dispute up"),
    "dispute accept-unanswered": say("giving the dispute up: no answer came"),
    "withdrawn from": say("the buyer withdraws"),
    "refund-asked": say("refund begun"),
    "refund-given": say("refund done"),
    "refund-refused": say("refund refused"),
    "refund-looked-up": say("refund looked up"),
    "refund-finished": say("interrupted refund ended"),
}
DISPUTE_STATE_NAMES: Final[Mapping[str, Phrase]] = {
    "open": say("not decided yet"),
    "won": say("won"),
    "lost": say("lost"),
}
_WARNING_NAMES: Final[Mapping[str, Phrase]] = {
    "fraud": say("may be fraud"),
    "invalid": say("no longer valid"),
    "archived": say("its refund page was closed"),
}
_CASH_FIGURES: Final = frozenset({"amount", "paid", "refunded", "cash", "fee"})
#: Of use to the program alone.
_HIDDEN_FIGURES: Final = frozenset({"cause", "turn"})
_CONSENT_DAYS: Final = re.compile(r"for (\d+) days")


def name_gateway(gateway: str) -> Phrase:
    """A way to pay, as people read it."""
    if gateway == VOUCHER_GATEWAY:
        return say("Code")
    return GATEWAY_NAMES.get(gateway) or plain(gateway)


def list_history_rows(
    order: Order, history: Sequence[tuple[int, str, Mapping[str, Any]]]
) -> tuple[tuple[Phrase, ...], ...]:
    """When, what, and its figures; a row each."""
    return tuple(
        (
            say("{at}", at=as_datetime(at)),
            STEP_NAMES.get(what) or plain(what),
            _describe_figures(order, facts),
        )
        for at, what, facts in history
    )


def _describe_figures(order: Order, facts: Mapping[str, Any]) -> Phrase:
    told = [
        _describe_figure(order, name, value)
        for name, value in facts.items()
        if name not in _HIDDEN_FIGURES and value != ""
    ]
    return join_phrases(told) if told else plain("")


def _describe_figure(order: Order, name: str, value: Any) -> Phrase:
    if name in _CASH_FIGURES:
        return plain(_format_units(order, value))
    if name == "bad_debt":
        return say("{cash} not recovered", cash=_format_units(order, value))
    if name.startswith(PART_PREFIX):
        payment = name.removeprefix(PART_PREFIX)
        return say("{cash} of {payment}", cash=_format_units(order, value), payment=payment)
    describe = _FIGURES.get(name)
    return plain(str(value)) if describe is None else describe(str(value))


def _describe_inviter(more: str) -> Phrase:
    return say("inviter: {more} Credits", more=f"{int(more):+,}".replace("-", "−"))


def _describe_consent(consent: str) -> Phrase:
    """What a buyer agreed to is kept in English, as evidence of what was shown."""
    days = _CONSENT_DAYS.search(consent)
    if days is None:
        return plain(consent)
    return say("agreed to use at once, {days} days to withdraw", days=days[1])


_FIGURES: Final[Mapping[str, Callable[[str], Phrase]]] = {
    "gateway": name_gateway,
    "credits": lambda value: format_credits(Credits(int(value))),
    "used": lambda value: say("{credits} used", credits=format_credits(Credits(int(value)))),
    "inviter": _describe_inviter,
    "warning": lambda value: _WARNING_NAMES.get(value) or plain(value),
    "consent": _describe_consent,
}


def _format_units(order: Order, value: Any) -> str:
    return format_cash(type(order.amount)(int(value)))
