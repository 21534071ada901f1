"""The words of statements: periods, kinds of movements, what is held apart; and the CSV file."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final

from bots.chat.i18n import get_zone, render
from bots.chat.reply import Phrase, plain, say
from bots.commands.arguments import normalize
from bots.commands.text import format_credits
from core.clock import as_datetime, as_ms
from core.money import Credits
from core.users.statement import (
    HeldApart,
    MovementKind,
    StatementLine,
    StatementPage,
    StatementPeriod,
)
from core.users.types import Person

#: Periods of days that end today, by how they are written.
DAYS: Final = {"today": 1, "7": 7, "30": 30}
EVERYTHING: Final = "all"
_DAYS_PATTERN: Final = re.compile(r"(\d+) ?(?:d|days?|天)")

_KIND_NAMES: Final[dict[MovementKind, Phrase]] = {
    "answer": say("Answers"),
    "returned": say("Refunded for answers"),
    "topup": say("Top-ups"),
    "refund": say("Refunds of payments"),
    "welcome": say("Welcome gift"),
    "grant": say("Gifts"),
    "code": say("Promotion codes"),
    "referral": say("Invited friends"),
    "earned": say("Earned by your keys"),
    "advance": say("Advances on your keys"),
    "dispute": say("Disputed payments"),
    "repaid": say("Debt repaid"),
    "withdrawal": say("Withdrawals"),
    "link": say("Linked accounts"),
    "forfeited": say("Forfeited"),
    "other": say("Other"),
}
#: The order in which a statement sums them up.
KINDS: Final = tuple(_KIND_NAMES)
#: Kinds whose single movement is named after what it is about, beside its kind.
_NAMED: Final = {
    "dispute": say("Disputed payment, order {subject}"),
    "withdrawal": say("Withdrawal {subject}"),
    "returned": say("Given back: {subject}"),
}


@dataclass(frozen=True, slots=True)
class NamedPeriod:
    """A period as a person chose it (`code`: `today`, `7`, `30`, `2026-11`, `all`), in their own
    time zone."""

    code: str
    title: Phrase
    period: StatementPeriod


def parse_period(text: str, person: Person, now_ms: int) -> NamedPeriod | None:
    """The period that a text names; None for anything else, and for months to come."""
    today, code = find_today(person, now_ms), normalize(text).casefold()
    if days_typed := _DAYS_PATTERN.fullmatch(code):
        code = days_typed[1]
    if code == EVERYTHING:
        return NamedPeriod(code, say("Statement: everything"), StatementPeriod())
    if code in DAYS:
        days = DAYS[code]
        title = say("Statement: today") if days == 1 else say("Statement: {days} days", days=days)
        since = find_midnight(person, today - timedelta(days=days - 1))
        return NamedPeriod(code, title, StatementPeriod(since))
    try:
        first = datetime.strptime(code, "%Y-%m").date()  # noqa: DTZ007 - only its day counts
    except ValueError:
        return None
    if first > today or first.year < 1970:
        return None
    following = shift_month(first, 1)
    until = None if following > today else find_midnight(person, following)
    title = say("Statement: {month}", month=format_month(first))
    return NamedPeriod(
        format_month(first), title, StatementPeriod(find_midnight(person, first), until)
    )


def find_today(person: Person, now_ms: int) -> date:
    """The day that it is where a person lives."""
    return as_datetime(now_ms).astimezone(get_zone(person.zone)).date()


def find_midnight(person: Person, day: date) -> int:
    """When a day begins where a person lives, in milliseconds UTC."""
    return as_ms(datetime.combine(day, time(), get_zone(person.zone)))


def shift_month(first: date, months: int) -> date:
    """The first day of the month so many months later."""
    count = first.year * 12 + first.month - 1 + months
    return date(count // 12, count % 12 + 1, 1)


def format_month(day: date) -> str:
    """`2026-11`."""
    return day.isoformat()[:7]


def format_change(change: Credits) -> Phrase:
    """`+1,000`, `−8`."""
    if change.units < 0:
        return say("−{amount}", amount=-change)
    return say("+{amount}", amount=change)


def name_kind(kind: MovementKind) -> Phrase:
    """What all movements of a kind are called together."""
    return _KIND_NAMES[kind]


def name_movement(line: StatementLine, get_model_name: Callable[[str], str]) -> Phrase:
    """What one movement was."""
    subject = line.subject
    if line.kind in {"answer", "returned"}:
        subject = get_model_name(subject)
    if line.kind == "answer":
        return plain(subject)
    if line.kind in _NAMED and subject:
        return Phrase(_NAMED[line.kind].text, {"subject": subject})
    return _KIND_NAMES[line.kind]


def list_held_apart(
    apart: HeldApart, disputed: Sequence[tuple[str, Credits]]
) -> tuple[Phrase, ...]:
    """What of somebody's Credits can't be spent now, and why; `disputed`: orders with what is held
    for each."""
    lines = []
    if apart.answers.units:
        lines.append(say("{held} more are reserved for answers in progress.", held=apart.answers))
    if apart.withdrawals.units:
        lines.append(
            say(
                "{credits} more are held for withdrawals in progress.",
                credits=format_credits(apart.withdrawals),
            )
        )
    if apart.cancellations.units:
        lines.append(
            say(
                "{credits} more are held while a purchase is being refunded.",
                credits=format_credits(apart.cancellations),
            )
        )
    for order, credits_ in disputed:
        lines.append(
            say(
                "{credits} more are held until the dispute of your payment is decided: order"
                " {order}.",
                credits=format_credits(credits_),
                order=order,
            )
        )
    if apart.owed.units:
        lines.append(
            say(
                "You owe {credits}. New Credits repay that first.",
                credits=format_credits(apart.owed),
            )
        )
    return tuple(lines)


def write_csv(page: StatementPage, person: Person, get_model_name: Callable[[str], str]) -> bytes:
    """A page as a CSV file, the oldest movement first, in its reader's language and time zone:
    what there was before, and what there was after each."""
    zone, out = get_zone(person.zone), io.StringIO()
    writer = csv.writer(out)

    def write_row(*cells: Phrase | str | int) -> None:
        writer.writerow(
            render(cell, person.language) if isinstance(cell, Phrase) else cell for cell in cells
        )

    write_row(say("Time"), say("Movement"), say("About"), say("Credits"), say("Balance"))
    write_row("", say("Opening balance"), "", "", page.opening.units)
    for line in reversed(page.lines):
        at = as_datetime(line.at_ms).astimezone(zone).isoformat(timespec="seconds")
        is_answer = line.kind in {"answer", "returned"}
        subject = get_model_name(line.subject) if is_answer else line.subject
        write_row(at, name_kind(line.kind), subject, line.change.units, line.balance.units)
    # Spreadsheets take a file for UTF-8 by the mark at its beginning.
    return out.getvalue().encode("utf-8-sig")
