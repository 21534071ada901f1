"""`/report [today|7d|30d|from–to]`: both layers of the economy, what to do, a picture; and the
economy check in words: what loses, what could be farmed, with its arithmetic. Dollars show here.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from bots.chat.command import Arguments, Request, action, argument, command
from bots.chat.i18n import render
from bots.chat.reply import Choice, Phrase, Reply, ReplyFile, plain, say
from bots.commands.admin.setprice import SetPriceArguments, SetPriceCommands
from bots.commands.errors import UsageError
from bots.commands.text import format_credits
from bots.render.charts import ReportChartData, draw_report_chart
from bots.services import PricingServices
from core.admin.abuse_check import (
    AbuseScenario,
    EconomySettings,
    HonestTrade,
    ReducedTrade,
    ScenarioName,
    calculate_reduced_trade,
    list_abuse_scenarios,
    list_honest_trades,
)
from core.admin.advice import Advice, Advisor, CheaperSupplier, KeyRunsOut, RaisePrice
from core.admin.report import (
    DailySales,
    GatewayCash,
    ModelSales,
    OperatorReport,
    SupplierCosts,
    build_report,
    list_daily_sales,
)
from core.admin.trial_balance import ReportPeriod
from core.clock import Clock
from core.db.database import Database
from core.money import Credits, NanoUsd, Stars, format_usd
from core.pool.pool import Pool
from core.pricing.catalogue import Catalogue
from core.pricing.formula import PAR
from core.pricing.prices import Price

_HOW: Final = say(
    "Write it like this: /report, /report today, /report 7d, /report 2026-03-01 2026-03-31. Days"
    " are UTC, at most today."
)
_DAYS_PATTERN: Final = re.compile(r"([1-9][0-9]{0,2})d")
_DATES_PATTERN: Final = re.compile(r"(\d{4}-\d\d-\d\d)(?:\s*(?:–|—|\.\.|\s)\s*(\d{4}-\d\d-\d\d))?")
_ADVICE_SHOWN: Final = 8
#: Days of the picture of a report without a beginning.
_CHART_DAYS_MAX: Final = 90
_BARS_MAX: Final = 10
_CENT: Final = 10_000_000


@dataclass(frozen=True, slots=True)
class ReportArguments(Arguments):
    """What follows `/report`."""

    days: str = argument(say("today, 7d, 30d, or two dates"), say("today|7d|30d|from–to"))


class ReportCommands:
    """The commands that show the operator both layers of the economy, with a chart."""

    def __init__(
        self,
        *,
        db: Database,
        pool: Pool,
        pricing: PricingServices,
        advisor: Advisor,
        clock: Clock,
        set_price_commands: SetPriceCommands,
        read_economy_settings: Callable[[], Awaitable[EconomySettings]],
    ) -> None:
        """`read_economy_settings` gives what the economy check reckons with now."""
        self._read_economy_settings = read_economy_settings
        self._db, self._pool = db, pool
        self._catalogue, self._prices = pricing.catalogue, pricing.prices
        self._advisor, self._clock = advisor, clock
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
        report = await build_report(self._db, period, now)
        advice = await self._list_advice(report.sales, now)
        lines = [
            *list_user_layer(report, self._catalogue),
            *list_system_layer(report, self._catalogue),
            *list_solvency(report),
            say("— Economy —"),
            *(words for _, words in list_economy_lines(await self._read_economy_settings())),
        ]
        if advice:
            lines.append(say("— To do —"))
            lines += [describe_advice(one, self._catalogue) for one in advice]
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
        return Reply(
            title=say("Report · {period}", period=describe_period(period)),
            lines=tuple(lines),
            choices=(
                *((button,) for button in buttons),
                tuple(others),
                (Choice(say("📈 Chart"), "report-chart", {"days": _format_period(period)}),),
            ),
            private=True,
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
                    model=get_model_name(self._catalogue, advice.model),
                    price=price,
                )
                return Choice(label, "report-price", {"model": advice.model, "price": price})
            case KeyRunsOut():
                label = say("{supplier} …{tail}", supplier=advice.supplier, tail=advice.tail)
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
        report = await build_report(self._db, period, now)
        chart_period = (
            period if period.since is not None else ReportPeriod.last_days(_CHART_DAYS_MAX, now)
        )
        days = await list_daily_sales(self._db, chart_period)
        language = request.person.language
        margins = [
            (get_model_name(self._catalogue, model), one.margin_percent)
            for model, one in list(report.sales.items())[:_BARS_MAX]
            if one.margin_percent is not None
        ]
        cards = (await self._pool.list_keys())[:_BARS_MAX]

        def localize(*phrases: Phrase) -> tuple[str, ...]:
            return tuple(render(one, language) for one in phrases)

        title = localize(
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
        over_time, costs, margin, keys = localize(
            say("Revenue at par and cost"),
            say("Cost by supplier"),
            say("Profit on cost"),
            say("What keys have left"),
        )
        revenue, cost = localize(say("Revenue at par"), say("Cost"))
        chart_data = ReportChartData(
            title=title,
            days=_chart_days(days),
            costs=tuple((name, _to_cents(one.total)) for name, one in report.costs.items()),
            margins=tuple(margins),
            keys=tuple(
                (f"{card.supplier} …{card.tail}", _to_cents(card.used), _to_cents(card.headroom))
                for card in cards
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
            raise UsageError(_HOW) from None


def parse_period(text: str, now_ms: int) -> ReportPeriod:
    """`today`, `7d`, a date or two of them; empty: from the beginning. Raises ValueError."""
    today = ReportPeriod.last_days(1, now_ms)
    words = text.strip().casefold()
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
    return amount.units // _CENT


_MODELS_SHOWN_MAX: Final = 8
_POCKET_NAMES: Final[Mapping[str, Phrase]] = {
    "gift": say("gifts"),
    "bought": say("bought"),
    "earned": say("earned"),
    "advance": say("in advance of contributions"),
    "disputed-gift": say("gifts, disputed"),
    "disputed-bought": say("bought, disputed"),
}


def describe_period(period: ReportPeriod) -> Phrase:
    """Which days it is about."""
    if period.since is None:
        return say("From the beginning to {until}", until=period.until.isoformat())
    if period.since == period.until:
        return plain(period.until.isoformat())
    return plain(f"{period.since.isoformat()} – {period.until.isoformat()}")


def list_user_layer(report: OperatorReport, catalogue: Catalogue) -> list[Phrase]:
    """Credits, as users see them."""
    lines = [
        say("— User layer —"),
        say(
            "People: {people}, {active} of them asked",
            people=report.person_count,
            active=report.active_count,
        ),
        say("User balance: {credits}", credits=format_credits(report.user_balance)),
        *(
            _part_line(_POCKET_NAMES.get(name, plain(name)), one)
            for name, one in report.circulation.items()
        ),
    ]
    if report.undelivered_count:
        lines.append(
            say(
                "Taken by no chat and given back: {count} answers, {cost} of suppliers' cost",
                count=report.undelivered_count,
                cost=format_usd(report.undelivered_cost),
            )
        )
    if not report.unvested.is_zero:
        lines.append(
            say("On the way to contributors: {credits}", credits=format_credits(report.unvested))
        )
    if not report.owed.is_zero:
        lines.append(say("Owed by people: {credits}", credits=format_credits(report.owed)))
    if report.issued:
        lines.append(say("Made: {parts}", parts=_format_parts(report.issued)))
    lines.append(say("Total revenue: {credits}", credits=format_credits(report.revenue)))
    lines += [
        _part_line(plain(get_model_name(catalogue, model)), amount)
        for model, amount in list(report.spent.items())[:_MODELS_SHOWN_MAX]
    ]
    if not report.redeemed.is_zero:
        lines.append(say("Paid out: {credits}", credits=format_credits(report.redeemed)))
    if report.fees:
        lines.append(say("Fees kept: {parts}", parts=_format_parts(report.fees)))
    if not report.forfeited.is_zero:
        lines.append(say("Forfeited: {credits}", credits=format_credits(report.forfeited)))
    return lines


def list_system_layer(report: OperatorReport, catalogue: Catalogue) -> list[Phrase]:
    """Dollars, as suppliers charge them and gateways move them."""
    lines = [
        say("— System layer —"),
        *(_supplier_line(name, cost) for name, cost in report.costs.items()),
        say("Total cost: {cost}", cost=format_usd(report.total_cost)),
        say(
            "Revenue at par: {revenue}. Profit: {profit}",
            revenue=format_usd(report.revenue_at_par),
            profit=format_usd(report.profit),
        ),
        say(
            "Really paid: {revenue}. Profit: {profit}",
            revenue=format_usd(report.paid_revenue),
            profit=format_usd(report.paid_profit),
        ),
        *_margin_lines(report.sales, catalogue),
        *(_cash_line(name, cash) for name, cash in report.cash.items()),
    ]
    figures = (
        (say("Kept by gateways: {cash}"), report.gateway_fees),
        (say("Payouts sent: {cash}"), report.paid_out),
        (say("Payouts on their way: {cash}"), report.in_transit),
        (say("Paid above quotas: {cash}"), report.overrun),
        (say("Lost by disputes: {cash}"), report.bad_debt),
    )
    lines += [
        Phrase(words.text, {"cash": format_usd(amount)})
        for words, amount in figures
        if not amount.is_zero
    ]
    if not report.disputed.is_zero:
        lines.append(
            say(
                "Disputed now: {count}, {cash}",
                count=report.disputes,
                cash=format_usd(report.disputed),
            )
        )
    lines.append(say("Keys can still pay: {headroom}", headroom=format_usd(report.headroom)))
    return lines


def list_solvency(report: OperatorReport) -> list[Phrase]:
    """Cash that is there against what people have."""
    solvency = report.solvency
    lines = [
        say("— Solvency —"),
        say("Cash at gateways: {cash}", cash=format_usd(solvency.cash)),
        say(
            "Paying out all that is earned: {payouts}. Serving every Credit: {serving}. Giving back"
            " all that is bought: {refunds}.",
            payouts=format_usd(solvency.payouts),
            serving=format_usd(solvency.serving),
            refunds=format_usd(solvency.refunds),
        ),
        say("Paying out and serving is covered.")
        if solvency.is_covered
        else say(
            "Paying out and serving lacks {cash}.",
            cash=format_usd(solvency.payouts + solvency.serving - solvency.cash),
        ),
    ]
    if not solvency.stars.is_zero:
        lines.insert(2, say("Stars: {stars}", stars=f"{solvency.stars.units:,} ⭐"))
    return lines


def describe_advice(advice: Advice, catalogue: Catalogue) -> Phrase:
    """What is to be done, and why."""
    match advice:
        case RaisePrice():
            name = get_model_name(catalogue, advice.model)
            percent = f"{advice.margin_percent:+,} %".replace("-", "−")
            if advice.margin_percent < 0:
                return say("{model} is sold under cost: {percent}.", model=name, percent=percent)
            return say("{model} brings little: {percent}.", model=name, percent=percent)
        case KeyRunsOut(hours=None):
            return say(
                "{key} has {percent} % left.",
                key=f"{advice.supplier} …{advice.tail}",
                percent=advice.left_permille // 10,
            )
        case KeyRunsOut():
            return say(
                "{key} has {percent} % left: {hours} hours at today's pace.",
                key=f"{advice.supplier} …{advice.tail}",
                percent=advice.left_permille // 10,
                hours=advice.hours or 0,
            )
        case CheaperSupplier():
            return say(
                "{supplier} would serve {model} for {percent} % less: /pool add {supplier}",
                supplier=advice.supplier,
                model=get_model_name(catalogue, advice.model),
                percent=advice.percent,
            )


def format_advised_price(advice: RaisePrice, now: Price) -> str:
    """The advised price as `/setprice` takes it."""
    new = replace(now, input_rate=advice.input_rate, output_rate=advice.output_rate)
    if new.per == "second":
        return new.format_per_minute()
    inward, outward = new.format_per_1k()
    return inward if new.is_blended else f"{inward} {outward}"


def get_model_name(catalogue: Catalogue, model: str) -> str:
    """As people read it; models that left the catalogue by their id."""
    return catalogue.get_name(model)


def _part_line(name: Phrase, amount: Credits) -> Phrase:
    return say("  {name}: {credits}", name=name, credits=format_credits(amount))


def _format_parts(parts: Mapping[str, Credits]) -> str:
    return " · ".join(f"{name} {amount.units:,}" for name, amount in parts.items())


def _supplier_line(name: str, cost: SupplierCosts) -> Phrase:
    if cost.contributed_keys.is_zero:
        return say("  {supplier}: {cost}", supplier=name, cost=format_usd(cost.total))
    return say(
        "  {supplier}: {cost}, {contributed} of it by contributed keys",
        supplier=name,
        cost=format_usd(cost.total),
        contributed=format_usd(cost.contributed_keys),
    )


def _margin_lines(sold: Mapping[str, ModelSales], catalogue: Catalogue) -> Sequence[Phrase]:
    return [
        say(
            "  {model}: {percent} on cost, {count} answers",
            model=get_model_name(catalogue, model),
            percent=f"{one.margin_percent:+,} %".replace("-", "−"),
            count=one.answers,
        )
        for model, one in list(sold.items())[:_MODELS_SHOWN_MAX]
        if one.margin_percent is not None
    ]


def _cash_line(name: str, cash: GatewayCash) -> Phrase:
    came, went, there = (
        f"{one.units:,} ⭐" if isinstance(one, Stars) else format_usd(one)
        for one in (cash.inflow, cash.outflow, cash.balance)
    )
    return say(
        "  {gateway}: {came} in, {went} out, {there} there",
        gateway=name,
        came=came,
        went=went,
        there=there,
    )


_SCENARIO_NAMES: Final[dict[ScenarioName, Phrase]] = {
    "wash": say("Buying, asking at a friend's key, cashing out"),
    "bonus": say("The same with the pack of the richest bonus"),
    "twice": say("The same, withdrawing twice at once"),
    "linked": say("The same by a linked account, at one's own key"),
    "idle-key": say("Dear answers of a friend's key, to draw on another one's worth"),
    "bought": say("Withdrawing what was bought"),
    "gifts": say("Gifts of many accounts over a friend's key"),
    "welcome": say("Welcomes of many accounts"),
    "advance": say("Spending what is lent of a key, then revoking it"),
    "advance-to-friend": say("The same at a friend's key"),
    "withdraw-and-revoke": say("Withdrawing, and revoking a key whose loan is spent"),
    "lowered": say("Lowering a key's budget to keep its Credits"),
    "false-budget": say("A key said to be worth what nobody can verify"),
    "same-key-twice": say("The same key from two people"),
    "unpaid-work": say("Answers that nobody pays for"),
    "cheap-answers": say("Waiting for a price cut on a friend's key"),
    "chargeback": say("Spending, then having the bank take the payment back"),
    "withdrawn": say("Spending, then withdrawing from the purchase"),
    "dispute": say("Cashing out, then having the bank take the payment back"),
    "referral": say("Inviting one's own accounts"),
    "dying-referral": say("Inviting an own account whose key then dies"),
}


def list_economy_lines(
    economy: EconomySettings, *, every: bool = False
) -> Iterator[tuple[bool, Phrase]]:
    """Whether a line is well, and the line. Not every farm and way: those that lose, and what the
    rest comes to."""
    sales, scenarios = list_honest_trades(economy), list_abuse_scenarios(economy)
    for trade in sales:
        if every or trade.is_losing:
            yield not trade.is_losing, _trade_line(trade)
    for scenario in scenarios:
        if every or scenario.is_profitable:
            yield not scenario.is_profitable, _scenario_line(scenario)
    lowest = calculate_reduced_trade(economy)
    if lowest is not None and (every or lowest.is_losing):
        yield not lowest.is_losing, _reductions_line(lowest)
    if any(farm.is_profitable for farm in scenarios):
        yield False, say("What stops it: CREDITBOT_PROFILE=safe, which waits with payouts.")
    if any(trade.is_losing for trade in sales):
        yield False, say("What mends it: a dearer pack, or another gateway.")
    loses = any(trade.is_losing for trade in sales) or (lowest is not None and lowest.is_losing)
    if not loses and not any(farm.is_profitable for farm in scenarios):
        yield True, say("Economy: no farm brings cash, and no way of selling loses.")
    if any(farm.needs_payout_review for farm in scenarios):
        yield (
            True,
            say("That holds while payouts follow their risk card: better not yet means no."),
        )


def _trade_line(trade: HonestTrade) -> Phrase:
    words = (
        say(
            "{way}: 1,000 bought Credits bring {net}; spent on contributed keys they cost {out} in"
            " payouts: a loss."
        )
        if trade.is_losing
        else say(
            "{way}: 1,000 bought Credits bring {net}; spent on contributed keys they cost {out} in"
            " payouts at most."
        )
    )
    way = f"{trade.channel.gateway}, {trade.channel.pack}"
    return Phrase(
        words.text, {"way": way, "net": format_usd(trade.revenue), "out": format_usd(trade.payout)}
    )


def _reductions_line(lowest: ReducedTrade) -> Phrase:
    lowering, credit, brings = (
        lowest.reductions,
        _format_exact_dollars(lowest.credit_revenue),
        format_usd(lowest.revenue),
    )
    if not lowest.is_losing:
        return say(
            "Offers: {discount} % off at most, never below cost + {floor} %; a Credit brings"
            " {credit} at least: $1.00 of answers brings {brings}.",
            discount=lowering.discount_percent,
            floor=lowering.floor_percent,
            credit=credit,
            brings=brings,
        )
    return say(
        "Offers: {discount} % off at most, never below cost + {floor} %; a Credit brings"
        " {credit} at least: $1.00 of answers brings {brings}, a loss. What mends it:"
        " CREDITBOT_OFFER_FLOOR_PERCENT={mending}",
        discount=lowering.discount_percent,
        floor=lowering.floor_percent,
        credit=credit,
        brings=brings,
        mending=lowest.required_floor_percent,
    )


def _format_exact_dollars(amount: NanoUsd) -> str:
    """Dollars with four decimals, rounded down."""
    return f"${amount.units // 10**9}.{amount.units % 10**9 // 10**5:04}"


def _scenario_line(scenario: AbuseScenario) -> Phrase:
    return say(
        "{farm}: {cash} of 1,000 Credits ({sum}), and answers worth {answers}.",
        farm=_SCENARIO_NAMES[scenario.name],
        cash=format_usd(scenario.profit),
        sum=scenario.arithmetic,
        answers=format_usd(scenario.answers_cost),
    )
