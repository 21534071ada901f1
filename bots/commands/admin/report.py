"""`/report [today|7d|30d|from–to]`: both layers of the economy, what to do, a picture; and the
economy check in words: what loses, what could be farmed, with its arithmetic. Dollars show here.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from bots.chat.command import Arguments, Request, action, argument, command
from bots.chat.i18n import render
from bots.chat.reply import Choice, Phrase, Reply, ReplyFile, say
from bots.commands.admin.economy_texts import describe_economy, list_economy_lines
from bots.commands.admin.report_texts import (
    describe_advice,
    describe_disputes,
    describe_period,
    describe_solvency,
    format_advised_price,
    list_solvency,
    list_summary,
    list_system_layer,
    list_user_layer,
)
from bots.commands.admin.setprice import SetPriceArguments, SetPriceCommands
from bots.commands.arguments import make_usage_error, normalize, shorten
from bots.commands.text import get_supplier_title
from bots.render.charts import ReportChartData, draw_report_chart
from bots.services import Foundation, PricingServices
from core.admin.abuse_check import EconomySettings
from core.admin.advice import Advice, Advisor, KeyRunsOut, RaisePrice
from core.admin.report import (
    DailySales,
    ModelSales,
    OperatorReport,
    build_report,
    list_daily_sales,
)
from core.admin.trial_balance import ReportPeriod
from core.money import NanoUsd, format_usd
from core.pool.pool import Pool
from core.pricing.formula import PAR

_HOW: Final = say(
    "Write it like this: /report, /report today, /report 7d, /report 2026-03-01 2026-03-31. Days"
    " are UTC, at most today."
)
_DAYS_PATTERN: Final = re.compile(r"([1-9][0-9]{0,2}) ?(?:d|days?)?")
_DATES_PATTERN: Final = re.compile(r"(\d{4}-\d\d-\d\d)(?:\s*(?:–|—|\.\.|\s)\s*(\d{4}-\d\d-\d\d))?")
_ADVICE_SHOWN: Final = 8
#: Days of the picture of a report without a beginning.
_CHART_DAYS_MAX: Final = 90
_BARS_MAX: Final = 10
_CENT: Final = 10_000_000
#: Parts of a report that a button shows in full.
_PART_NAMES: Final = {
    "users": say("User layer"),
    "system": say("System layer"),
    "solvency": say("Solvency"),
    "economy": say("Economy"),
}


@dataclass(frozen=True, slots=True)
class ReportArguments(Arguments):
    """What follows `/report`."""

    days: str = argument(say("today, 7d, 30d, or two dates"), say("today|7d|30d|from–to"))


class ReportCommands:
    """The commands that show the operator both layers of the economy, with a chart."""

    def __init__(
        self,
        *,
        base: Foundation,
        pool: Pool,
        pricing: PricingServices,
        advisor: Advisor,
        set_price_commands: SetPriceCommands,
        read_economy_settings: Callable[[], Awaitable[EconomySettings]],
    ) -> None:
        """`read_economy_settings` gives what the economy check reckons with now."""
        self._read_economy_settings = read_economy_settings
        self._base, self._pool = base, pool
        self._usd_per_star = base.config.telegram.star_usd
        self._catalogue, self._prices = pricing.catalogue, pricing.prices
        self._advisor, self._clock = advisor, base.clock
        self._set_price_commands = set_price_commands

    @command(
        "report",
        title=say("Report"),
        description=say("Credits, costs, cash and keys in one view"),
        arguments=ReportArguments,
        admin_only=True,
        support_allowed=True,
    )
    async def report(self, request: Request, given: ReportArguments) -> Reply:
        """Both layers of a period; without words, of all there ever was."""
        del request
        return await self._report_card(self._parse_period(given.days))

    @action("report", admin_only=True, support_allowed=True)
    async def show_report(self, request: Request) -> Reply:
        """Another period."""
        return replace(
            await self._report_card(self._parse_period(str(request.data["days"]))), replace=True
        )

    async def _report_card(self, period: ReportPeriod) -> Reply:
        now = self._clock.now_ms()
        report = await self._build_report(period)
        advice = await self._list_advice(report.sales, now)
        to_do = [
            *describe_disputes(report),
            *(describe_advice(one, self._catalogue) for one in advice),
        ]
        lines = [
            *((say("— To do first —"), *to_do) if to_do else ()),
            *list_summary(report),
            *describe_solvency(report),
            describe_economy(await self._read_economy_settings()),
        ]
        buttons = [choice for one in advice if (choice := self._advice_choice(one)) is not None]
        others = [
            Choice(label, "report", {"days": days})
            for label, days in (
                (say("Today"), "today"),
                (say("7 days"), "7d"),
                (say("30 days"), "30d"),
                (say("All"), ""),
            )
        ]
        days = {"days": _format_period(period)}
        parts = tuple(
            Choice(label, "report-part", {**days, "part": part})
            for part, label in _PART_NAMES.items()
        )
        return Reply(
            title=say("Report · {period}", period=describe_period(period)),
            lines=tuple(lines),
            choices=(
                *((button,) for button in buttons),
                tuple(others),
                parts[:2],
                (*parts[2:], Choice(say("📈 Chart"), "report-chart", days)),
            ),
            private=True,
        )

    @action("report-part", admin_only=True, support_allowed=True)
    async def report_part(self, request: Request) -> Reply:
        """One part of a report in full."""
        days, part = str(request.data["days"]), str(request.data["part"])
        period = self._parse_period(days)
        if part == "economy":
            economy = await self._read_economy_settings()
            lines = [words for _, words in list_economy_lines(economy, sums=True)]
        else:
            report = await self._build_report(period)
            lines = {
                "users": lambda: list_user_layer(report, self._catalogue),
                "system": lambda: list_system_layer(report, self._catalogue),
                "solvency": lambda: list_solvency(report),
            }[part]()
        return Reply(
            title=say("Report · {period}", period=describe_period(period)),
            lines=tuple(lines),
            choices=((Choice(say("‹ Back"), "report", {"days": days}),),),
            private=True,
            replace=True,
        )

    async def _build_report(self, period: ReportPeriod) -> OperatorReport:
        base = self._base
        return await build_report(
            base.db,
            base.payment_records,
            period,
            self._clock.now_ms(),
            usd_per_star=self._usd_per_star,
        )

    async def _list_advice(self, sold: Mapping[str, ModelSales], now: int) -> list[Advice]:
        found = await self._advisor.list_advice(sold, await self._pool.list_keys(), now)
        return found[:_ADVICE_SHOWN]

    def _advice_choice(self, advice: Advice) -> Choice | None:
        """The button that does it, or leads there."""
        match advice:
            case RaisePrice():
                now = self._prices.find_current(advice.model)
                if now is None:
                    return None
                price = format_advised_price(advice, now)
                label = say(
                    "{model} to {price}",
                    model=self._catalogue.get_name(advice.model),
                    price=price,
                )
                return Choice(label, "report-price", {"model": advice.model, "price": price})
            case KeyRunsOut():
                label = say(
                    "{supplier} …{tail}",
                    supplier=get_supplier_title(advice.supplier),
                    tail=advice.tail,
                )
                return Choice(label, "pool-key", {"key": advice.key})
            case _:
                return None

    @action("report-price", admin_only=True)
    async def report_price(self, request: Request) -> Reply:
        """As if it had been typed: a large step is asked about first."""
        given = SetPriceArguments.from_text(f"{request.data['model']} {request.data['price']}")
        reply = await self._set_price_commands.setprice(request, given)
        assert isinstance(reply, Reply)
        return reply

    # --- the picture ----------------------------------------------------------------------------

    @action("report-chart", admin_only=True, support_allowed=True)
    async def report_chart(self, request: Request) -> Reply:
        """Revenue and cost over time, margin by model, what keys have left."""
        now = self._clock.now_ms()
        period = self._parse_period(str(request.data["days"]))
        report = await self._build_report(period)
        chart_period = (
            period if period.since is not None else ReportPeriod.last_days(_CHART_DAYS_MAX, now)
        )
        days = await list_daily_sales(self._base.db, chart_period)
        language = request.person.language
        margins = [
            (self._catalogue.get_name(model), one.margin_percent)
            for model, one in list(report.sales.items())[:_BARS_MAX]
            if one.margin_percent is not None
        ]
        keys_by_use = sorted(
            await self._pool.list_keys(), key=lambda card: (-card.used.units, -card.headroom.units)
        )

        def localize(*phrases: Phrase) -> tuple[str, ...]:
            return tuple(render(one, language) for one in phrases)

        title = localize(*_describe_layers(report, period))
        over_time, costs, margin, keys = localize(*_name_panels(len(keys_by_use)))
        revenue, cost = localize(say("Revenue at par"), say("Cost"))
        chart_data = ReportChartData(
            title=title,
            days=_chart_days(days),
            costs=tuple(
                (get_supplier_title(name), _to_cents(one.total))
                for name, one in report.costs.items()
            ),
            margins=tuple(margins),
            keys=tuple(
                (
                    f"{get_supplier_title(card.supplier)} …{card.tail}",
                    _to_cents(card.used),
                    _to_cents(card.headroom),
                )
                for card in keys_by_use[:_BARS_MAX]
            ),
            panels=(over_time, costs, margin, keys),
            lines=(revenue, cost),
        )
        return Reply(
            title=say("Report · {period}", period=describe_period(period)),
            file=ReplyFile("report.png", await draw_report_chart(chart_data)),
            private=True,
        )

    def _parse_period(self, text: str) -> ReportPeriod:
        """What was typed; raises `UsageError`."""
        try:
            return parse_period(text, self._clock.now_ms())
        except ValueError:
            wrong = say("“{typed}” isn't a period up to today.", typed=shorten(text))
            raise make_usage_error(wrong, _HOW) from None


def parse_period(text: str, now_ms: int) -> ReportPeriod:
    """`today`, `7d`, a date or two of them; empty: from the beginning. Raises ValueError."""
    today = ReportPeriod.last_days(1, now_ms)
    words = normalize(text).casefold()
    if words in {"", "all"}:
        return ReportPeriod.whole_history(now_ms)
    if words == "today":
        return today
    if days := _DAYS_PATTERN.fullmatch(words):
        return ReportPeriod.last_days(int(days[1]), now_ms)
    dates = _DATES_PATTERN.fullmatch(words)
    if dates is None:
        raise ValueError(text)
    since = date.fromisoformat(dates[1])
    until = date.fromisoformat(dates[2] or dates[1])
    if not since <= until <= today.until:
        raise ValueError(text)
    return ReportPeriod(since, until)


def _chart_days(days: Sequence[DailySales]) -> tuple[tuple[int, int, int], ...]:
    """For the picture; without the days before there was anything, but a week of them."""
    quiet_days = next(
        (number for number, day in enumerate(days) if day.charge.units or day.cost.units), 0
    )
    return tuple(
        (day.starts_at_ms, _to_cents(PAR.multiply_by(day.charge.units)), _to_cents(day.cost))
        for day in days[min(quiet_days, max(0, len(days) - 7)) :]
    )


def _format_period(period: ReportPeriod) -> str:
    """A period as `parse_period` reads it."""
    if period.since is None:
        return ""
    return f"{period.since.isoformat()} {period.until.isoformat()}"


def _to_cents(amount: NanoUsd) -> int:
    """Rounded as sentences are (`format_usd`), so that a chart says no other cent."""
    cents = (abs(amount.units) + _CENT // 2) // _CENT
    return -cents if amount.units < 0 else cents


def _describe_layers(report: OperatorReport, period: ReportPeriod) -> tuple[Phrase, ...]:
    """The chart's title: the period, what people see, what only operators do."""
    return (
        say("Report · {period}", period=describe_period(period)),
        say(
            "User layer: balance {balance} Credits, revenue {credits} Credits",
            balance=report.user_balance,
            credits=report.revenue,
        ),
        say(
            "System layer: cost {cost}, revenue at par {revenue}, profit {profit}",
            revenue=format_usd(report.revenue_at_par),
            cost=format_usd(report.total_cost),
            profit=format_usd(report.profit),
        ),
    )


def _name_panels(keys: int) -> tuple[Phrase, ...]:
    """The four charts; the last shows the most used of so many keys."""
    left = say("What keys have left")
    if keys > _BARS_MAX:
        left = say(
            "What keys have left: the {shown} most used of {count}", shown=_BARS_MAX, count=keys
        )
    return say("Revenue at par and cost"), say("Cost by supplier"), say("Profit on cost"), left
