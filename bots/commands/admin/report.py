"""The owner's report, `/report [today|7d|30d|from–to]`: both layers, what to do, a picture."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Final

from bots.chat.command import Action, Command, Handler, Option, Request, Room
from bots.chat.i18n import render
from bots.chat.reply import Choice, File, Reply, Said, say
from bots.commands.economy_words import economy_lines
from bots.commands.errors import NotUnderstood
from bots.commands.report_words import (
    advice_words,
    model_name,
    period_words,
    solvency,
    system_layer,
    typed,
    user_layer,
)
from bots.commands.text import money
from bots.render.charts import ReportPicture, report_chart
from core.admin.abuse_check import Economy
from core.admin.advice import Advice, Adviser, RaisePrice, RunsOut
from core.admin.report import Day, Sold, daily, report
from core.admin.trial_balance import Period
from core.clock import Clock
from core.db.database import Store
from core.money import NanoUsd
from core.pool.pool import Pool
from core.pricing.catalogue import Catalogue
from core.pricing.formula import PAR
from core.pricing.prices import PriceBook

_HOW: Final = say(
    "Write it like this: /report, /report today, /report 7d, /report 2026-03-01 2026-03-31. Days"
    " are UTC, at most today."
)
_DAYS: Final = re.compile(r"([1-9][0-9]{0,2})d")
_DATES: Final = re.compile(r"(\d{4}-\d\d-\d\d)(?:\s*(?:–|—|\.\.|\s)\s*(\d{4}-\d\d-\d\d))?")
_ADVICE_SHOWN: Final = 8
#: Days of the picture of a report without a beginning.
_DRAWN_DAYS: Final = 90
_BARS: Final = 10
_CENT: Final = 10_000_000


class ReportCommands:
    """What the operator reads of the economy."""

    def __init__(
        self,
        *,
        store: Store,
        pool: Pool,
        catalogue: Catalogue,
        prices: PriceBook,
        adviser: Adviser,
        clock: Clock,
        setprice: Handler,
        economy: Callable[[], Awaitable[Economy]],
    ) -> None:
        """`setprice` is the command, which shows what a price does before it does it; `economy` is
        what the check reckons with now."""
        self._economy = economy
        self._store, self._pool, self._catalogue = store, pool, catalogue
        self._prices, self._adviser, self._clock = prices, adviser, clock
        self._setprice = setprice

    def room(self) -> Room:
        """Commands and actions."""
        return Room(
            commands=(
                Command(
                    "report",
                    title=say("Report"),
                    does=say("Credits, costs, cash and keys in one view"),
                    usage=say("/report [today|7d|30d|from–to]"),
                    options=(Option("days", say("today, 7d, 30d, or two dates")),),
                    handler=self.report,
                    admin=True,
                    support=True,
                ),
            ),
            actions=(
                Action("report", self.again, admin=True, support=True),
                Action("report-chart", self.chart, admin=True, support=True),
                Action("report-price", self.price, admin=True),
            ),
        )

    async def report(self, request: Request) -> Reply:
        """Both layers of a period; without words, of all there ever was."""
        return await self._card(self._period(request.text.strip()))

    async def again(self, request: Request) -> Reply:
        """Another period."""
        return replace(await self._card(self._period(str(request.data["days"]))), replace=True)

    async def _card(self, period: Period) -> Reply:
        now = self._clock.now_ms()
        told = await report(self._store, period, now)
        advice = await self._advice(told.sold, now)
        lines = [
            *user_layer(told, self._catalogue),
            *system_layer(told, self._catalogue),
            *solvency(told),
            say("— Economy —"),
            *(words for _, words in economy_lines(await self._economy())),
        ]
        if advice:
            lines.append(say("— To do —"))
            lines += [advice_words(one, self._catalogue) for one in advice]
        buttons = [choice for one in advice if (choice := self._does(one)) is not None]
        others = [
            Choice(label, "report", {"days": days})
            for label, days in (
                (say("Today"), "today"),
                (say("7 days"), "7d"),
                (say("30 days"), "30d"),
                (say("All"), ""),
            )
        ]
        return Reply(
            title=say("Report · {period}", period=period_words(period)),
            lines=tuple(lines),
            choices=(
                *((button,) for button in buttons),
                tuple(others),
                (Choice(say("📈 Chart"), "report-chart", {"days": _word(period)}),),
            ),
            private=True,
        )

    async def _advice(self, sold: Mapping[str, Sold], now: int) -> list[Advice]:
        found = await self._adviser.advice(sold, await self._pool.cards(), now)
        return found[:_ADVICE_SHOWN]

    def _does(self, one: Advice) -> Choice | None:
        """The button that does it, or leads there."""
        match one:
            case RaisePrice():
                now = self._prices.current(one.model)
                if now is None:
                    return None
                price = typed(one, now)
                label = say(
                    "{model} to {price}",
                    model=model_name(self._catalogue, one.model),
                    price=price,
                )
                return Choice(label, "report-price", {"model": one.model, "price": price})
            case RunsOut():
                label = say("{supplier} …{tail}", supplier=one.supplier, tail=one.tail)
                return Choice(label, "pool-key", {"key": one.key})
            case _:
                return None

    async def price(self, request: Request) -> Reply:
        """As if it had been typed: a large step is asked about first."""
        words = f"{request.data['model']} {request.data['price']}"
        reply = await self._setprice(replace(request, text=words))
        assert isinstance(reply, Reply)
        return reply

    # --- the picture ----------------------------------------------------------------------------

    async def chart(self, request: Request) -> Reply:
        """Revenue and cost over time, margin by model, what keys have left."""
        now = self._clock.now_ms()
        period = self._period(str(request.data["days"]))
        told = await report(self._store, period, now)
        drawn = period if period.since is not None else Period.last(_DRAWN_DAYS, now)
        days = await daily(self._store, drawn)
        language = request.person.language
        margins = [
            (model_name(self._catalogue, model), one.margin_percent)
            for model, one in list(told.sold.items())[:_BARS]
            if one.margin_percent is not None
        ]
        cards = (await self._pool.cards())[:_BARS]

        def words(*said: Said) -> tuple[str, ...]:
            return tuple(render(one, language) for one in said)

        title = words(
            say("Report · {period}", period=period_words(period)),
            say(
                "User layer: balance {balance} Credits, revenue {credits} Credits",
                balance=told.balance,
                credits=told.revenue,
            ),
            say(
                "System layer: cost {cost}, revenue at par {revenue}, profit {profit}",
                revenue=money(told.revenue_at_par),
                cost=money(told.cost),
                profit=money(told.profit),
            ),
        )
        over_time, costs, margin, keys = words(
            say("Revenue at par and cost"),
            say("Cost by supplier"),
            say("Profit on cost"),
            say("What keys have left"),
        )
        revenue, cost = words(say("Revenue at par"), say("Cost"))
        picture = ReportPicture(
            title=title,
            days=_drawn(days),
            costs=tuple((name, _cents(one.all)) for name, one in told.costs.items()),
            margins=tuple(margins),
            keys=tuple(
                (f"{card.supplier} …{card.tail}", _cents(card.used), _cents(card.headroom))
                for card in cards
            ),
            panels=(over_time, costs, margin, keys),
            lines=(revenue, cost),
        )
        return Reply(
            title=say("Report · {period}", period=period_words(period)),
            file=File("report.png", await report_chart(picture)),
            private=True,
        )

    def _period(self, text: str) -> Period:
        """What was typed; raises `NotUnderstood`."""
        try:
            return period_of(text, self._clock.now_ms())
        except ValueError:
            raise NotUnderstood(_HOW) from None


def period_of(text: str, now_ms: int) -> Period:
    """`today`, `7d`, a date or two of them; empty: from the beginning. Raises ValueError."""
    today = Period.last(1, now_ms)
    words = text.strip().casefold()
    if words in {"", "all"}:
        return Period.whole(now_ms)
    if words == "today":
        return today
    if days := _DAYS.fullmatch(words):
        return Period.last(int(days[1]), now_ms)
    dates = _DATES.fullmatch(words)
    if dates is None:
        raise ValueError(text)
    since = date.fromisoformat(dates[1])
    until = date.fromisoformat(dates[2] or dates[1])
    if not since <= until <= today.until:
        raise ValueError(text)
    return Period(since, until)


def _drawn(days: Sequence[Day]) -> tuple[tuple[int, int, int], ...]:
    """For the picture; without the days before there was anything, but a week of them."""
    quiet = next(
        (number for number, day in enumerate(days) if day.charge.units or day.cost.units), 0
    )
    return tuple(
        (day.begins, _cents(PAR.times(day.charge.units)), _cents(day.cost))
        for day in days[min(quiet, max(0, len(days) - 7)) :]
    )


def _word(period: Period) -> str:
    """A period as `period_of` reads it."""
    if period.since is None:
        return ""
    return f"{period.since.isoformat()} {period.until.isoformat()}"


def _cents(amount: NanoUsd) -> int:
    return amount.units // _CENT
