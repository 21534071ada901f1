"""`/usage`: what a person's answers cost, and the statement of all their Credits, which adds up."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta

from bots.chat.command import Arguments, Request, action, argument, command
from bots.chat.reply import Choice, Phrase, Reply, ReplyFile, plain, say, say_count
from bots.commands.arguments import shorten
from bots.commands.statement_texts import (
    DAYS,
    EVERYTHING,
    KINDS,
    NamedPeriod,
    find_midnight,
    find_today,
    format_change,
    format_month,
    list_held_apart,
    name_kind,
    name_movement,
    parse_period,
    shift_month,
    write_csv,
)
from bots.commands.text import format_credits
from bots.render.charts import format_bars
from core.asks.repository import AskHistory
from core.clock import Clock, as_datetime
from core.money import Credits, sum_amounts
from core.pricing.catalogue import Catalogue
from core.users.balances import Balances
from core.users.service import Users
from core.users.statement import Statements
from payments.order_search import OrderSearch

_DAYS = 30
_RECENT_SHOWN = 10
_MOVEMENTS_SHOWN = 12
_MODELS_SHOWN = 20
_ASK_ID = re.compile(r"ask_[0-9a-z]{26}")
#: Movements of one CSV file: what a platform takes as a file, and a process in its memory.
_FILE_MAX = 50_000


@dataclass(frozen=True, slots=True)
class UsageArguments(Arguments):
    """What follows `/usage`."""

    period: str = argument(
        say("The statement of today, 7 or 30 days, a month (2026-11), or all"),
        say("today | 7 | 30 | 2026-11 | all"),
    )


class UsageCommands:
    """The command that shows people what they spent, and every movement of their Credits."""

    def __init__(
        self,
        *,
        users: Users,
        balances: Balances,
        statements: Statements,
        order_search: OrderSearch,
        ask_history: AskHistory,
        catalogue: Catalogue,
        clock: Clock,
    ) -> None:
        self._users, self._balances, self._ask_history = users, balances, ask_history
        self._statements, self._order_search = statements, order_search
        self._catalogue, self._clock = catalogue, clock

    @command(
        "usage",
        title=say("Usage"),
        description=say("What your answers cost, and your statement"),
        arguments=UsageArguments,
        allowed_in_groups=True,
        is_private=True,
    )
    @action("usage")
    async def usage(self, request: Request, given: UsageArguments = UsageArguments()) -> Reply:
        """The latest answers, today's sum, and a month as a bar chart in text; with a period its
        statement."""
        if _ASK_ID.fullmatch(given.period):
            return await self._answer_card(request, given.period)
        if given.period:
            chosen = parse_period(given.period, request.person, self._clock.now_ms())
            if chosen is None:
                return _unknown_period(given.period)
            return await self._statement_card(request, chosen)
        person_ids = await self._users.list_merged_ids(request.person.id)
        days = await self._ask_history.sum_charges_between(
            person_ids, self._list_midnights(request)
        )
        if all(day.is_zero for day in days):
            return Reply(
                title=say("Recent Usage"),
                lines=(say("Nothing in the last {days} days.", days=_DAYS),),
                choices=((_statement_choice("30"),),),
                private=True,
            )
        latest = await self._ask_history.list_latest_charges(person_ids, _RECENT_SHOWN)
        return Reply(
            title=say("Recent Usage"),
            table=tuple(
                (
                    say("{at}", at=as_datetime(one.at)),
                    plain(self._catalogue.get_name(one.model)),
                    say("{charge} Cr", charge=one.charge),
                )
                for one in reversed(latest)
            ),
            lines=(
                say("Spent: {spent} today", spent=format_credits(days[-1])),
                say(
                    "{days} days: {spent}  {bars}",
                    days=_DAYS,
                    spent=format_credits(sum_amounts(Credits, days)),
                    bars=format_bars([day.units for day in days]),
                ),
            ),
            choices=((_statement_choice("30"), Choice(say("Balance"), "balance")),),
            private=True,
        )

    async def _answer_card(self, request: Request, ask: str) -> Reply:
        """One answer, by the id that programs are told with it."""
        person_ids = await self._users.list_merged_ids(request.person.id)
        found = await self._ask_history.find_delivered(person_ids, ask)
        if found is None:
            text = say("No answer of yours that cost anything has the id {ask}.", ask=ask)
            return Reply((text,), private=True)
        used = say("{input} tokens in, {output} out", input=found.input, output=found.output)
        if found.seconds is not None:
            used = say("{seconds} s of audio", seconds=found.seconds)
        return Reply(
            title=plain(self._catalogue.get_name(found.model)),
            lines=(
                say("{at}", at=as_datetime(found.at)),
                used,
                format_credits(found.charge),
                plain(ask),
            ),
            private=True,
        )

    def _list_midnights(self, request: Request) -> list[int]:
        """When each of the last days began where the person lives, the oldest first."""
        person = request.person
        today = find_today(person, self._clock.now_ms())
        return [
            find_midnight(person, today - timedelta(days=ago)) for ago in reversed(range(_DAYS))
        ]

    # --- the statement --------------------------------------------------------------------------

    @action("statement")
    async def statement(self, request: Request) -> Reply:
        """A period that was chosen by button."""
        return await self._statement_card(request, self._read_period(request), replace=True)

    @action("statement-models")
    async def statement_models(self, request: Request) -> Reply:
        """What each model's answers cost in a period, the dearest first."""
        chosen = self._read_period(request)
        summary = await self._statements.summarize(request.person.id, chosen.period)
        ranked = sorted(summary.models.items(), key=lambda item: item[1].change)
        shown, rest = ranked[:_MODELS_SHOWN], ranked[_MODELS_SHOWN:]
        rows = [
            (plain(self._catalogue.get_name(model)), format_change(total.change))
            for model, total in shown
        ]
        if rest:
            left = sum_amounts(Credits, (total.change for _, total in rest))
            rows.append(
                (
                    say_count("{count} more model", "{count} more models", len(rest)),
                    format_change(left),
                )
            )
        return Reply(
            title=chosen.title,
            table=tuple(rows),
            lines=() if rows else (say("No answers in this time."),),
            choices=((_statement_choice(chosen.code, say("‹ Back")),),),
            private=True,
            replace=True,
        )

    @action("movements")
    async def movements(self, request: Request) -> Reply:
        """A page of movements, the newest first, each with what there was after it."""
        chosen = self._read_period(request)
        data = request.data
        start = (int(data["seq"]), int(data["at"])) if "seq" in data else None
        page = await self._statements.list_page(
            request.person.id, chosen.period, _MOVEMENTS_SHOWN, start=start
        )
        turning = []
        if start is not None:
            turning.append(Choice(say("⏮ Newest"), "movements", {"period": chosen.code}))
        if page.next_line is not None:
            following = {"seq": page.next_line.seq, "at": page.next_line.at_ms}
            turning.append(
                Choice(say("Older ▶"), "movements", {"period": chosen.code, **following})
            )
        return Reply(
            title=chosen.title,
            table=tuple(
                (
                    say("{at}", at=as_datetime(line.at_ms)),
                    name_movement(line, self._catalogue.get_name),
                    format_change(line.change),
                    say("= {balance}", balance=line.balance),
                )
                for line in page.lines
            ),
            lines=(say("Before that: {credits}", credits=format_credits(page.opening)),),
            choices=(
                *((tuple(turning),) if turning else ()),
                (_statement_choice(chosen.code, say("‹ Back")),),
            ),
            private=True,
            replace=True,
        )

    @action("statement-file")
    async def statement_file(self, request: Request) -> Reply:
        """A period's movements as a CSV file for the person alone."""
        chosen = self._read_period(request)
        page = await self._statements.list_page(request.person.id, chosen.period, _FILE_MAX)
        lines = [say("Your statement as a file, in Credits. Nobody else gets it.")]
        if page.next_line is not None:
            lines.append(
                say(
                    "It holds the {count} newest movements; choose a month for older ones.",
                    count=len(page.lines),
                )
            )
        content = write_csv(page, request.person, self._catalogue.get_name)
        return Reply(
            lines=tuple(lines),
            file=ReplyFile(f"statement-{chosen.code}.csv", content),
            private=True,
        )

    def _read_period(self, request: Request) -> NamedPeriod:
        code = str(request.data["period"])
        chosen = parse_period(code, request.person, self._clock.now_ms())
        assert chosen is not None, code
        return chosen

    async def _statement_card(
        self, request: Request, chosen: NamedPeriod, *, replace: bool = False
    ) -> Reply:
        summary = await self._statements.summarize(request.person.id, chosen.period)
        rows = [(say("Opening balance"), say("{amount}", amount=summary.opening))]
        for kind in KINDS:
            if (total := summary.kinds.get(kind)) is not None:
                label = name_kind(kind)
                if total.count > 1:
                    label = say("{kind} ({count})", kind=label, count=total.count)
                rows.append((label, format_change(total.change)))
        rows.append((say("Closing balance"), say("{amount}", amount=summary.closing)))
        held: tuple[Phrase, ...] = ()
        if chosen.period.until_ms is None:
            held = await self._list_held(request.person.id, summary.closing)
        return Reply(
            title=chosen.title,
            table=tuple(rows),
            lines=held,
            choices=self._statement_choices(request, chosen),
            private=True,
            replace=replace,
        )

    async def _list_held(self, person: str, closing: Credits) -> tuple[Phrase, ...]:
        """What can be spent now of what a statement ends with, and what stands apart."""
        available = (await self._balances.for_user(person)).available
        apart = await self._statements.get_held_apart(person)
        disputed = await self._order_search.list_held_credits(person)
        lines = list(list_held_apart(apart, disputed))
        if apart.unvested.units:
            lines.append(
                say("Your keys can still earn {credits}.", credits=format_credits(apart.unvested))
            )
        if available != closing:
            lines.insert(
                0,
                say("You can spend {credits} of it now.", credits=format_credits(available)),
            )
        return tuple(lines)

    def _statement_choices(
        self, request: Request, chosen: NamedPeriod
    ) -> tuple[tuple[Choice, ...], ...]:
        data = {"period": chosen.code}
        today = find_today(request.person, self._clock.now_ms())
        this_month = date(today.year, today.month, 1)
        if chosen.code in DAYS or chosen.code == EVERYTHING:
            months = [_month_choice(this_month), _month_choice(shift_month(this_month, -1), "◀ ")]
        else:
            year, month = map(int, chosen.code.split("-"))
            shown = date(year, month, 1)
            months = [_month_choice(shift_month(shown, -1), "◀ ")] if shown.year > 1970 else []
            if shown < this_month:
                months.append(_month_choice(shift_month(shown, 1), after=" ▶"))
        return (
            (
                Choice(say("Movements"), "movements", data),
                Choice(say("By model"), "statement-models", data),
                Choice(say("CSV file"), "statement-file", data),
            ),
            (
                _statement_choice("today", say("Today")),
                _statement_choice("7", say("7 days")),
                _statement_choice("30", say("30 days")),
                _statement_choice(EVERYTHING, say("Everything")),
            ),
            tuple(months),
        )


def _statement_choice(code: str, label: Phrase | None = None) -> Choice:
    return Choice(label or say("Statement"), "statement", {"period": code})


def _month_choice(first: date, before: str = "", after: str = "") -> Choice:
    month = format_month(first)
    return _statement_choice(month, plain(f"{before}{month}{after}"))


def _unknown_period(text: str) -> Reply:
    return Reply(
        lines=(
            say("“{period}” isn't a period for a statement.", period=shorten(text)),
            say("Write: /usage today, /usage 7, /usage 30, /usage 2026-11 or /usage all"),
        ),
        choices=((_statement_choice("30"),),),
        private=True,
    )
