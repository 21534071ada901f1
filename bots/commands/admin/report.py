"""`/report [today|7d|30d|from–to]`: both layers of the economy, what to do, a picture; and the
economy check in words: what loses, what could be farmed, with its arithmetic. Dollars show here.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Final

from bots.chat.command import Action, Command, Handler, Option, Request, Room
from bots.chat.i18n import render
from bots.chat.reply import Choice, File, Reply, Said, plain, say
from bots.commands.errors import NotUnderstood
from bots.commands.text import in_credits, money
from bots.render.charts import ReportPicture, report_chart
from core.admin.abuse_check import Economy, Farm, Name, Offered, Trade, farms, offered, trades
from core.admin.advice import Advice, Adviser, Cheaper, RaisePrice, RunsOut
from core.admin.report import Cash, Cost, Day, Report, Sold, daily, report
from core.admin.trial_balance import Period
from core.clock import Clock
from core.db.database import Store
from core.money import Credits, NanoUsd, Stars
from core.pool.pool import Pool
from core.pricing.catalogue import Catalogue
from core.pricing.formula import PAR
from core.pricing.prices import Price, PriceBook

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
    """The commands that show the operator both layers of the economy, with a chart."""

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
        """What was typed; raises `UsageError`."""
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
    """A period as `parse_period` reads it."""
    if period.since is None:
        return ""
    return f"{period.since.isoformat()} {period.until.isoformat()}"


def _cents(amount: NanoUsd) -> int:
    return amount.units // _CENT


_MODELS_SHOWN: Final = 8
_POCKETS: Final[Mapping[str, Said]] = {
    "gift": say("gifts"),
    "bought": say("bought"),
    "earned": say("earned"),
    "advance": say("in advance of contributions"),
    "disputed-gift": say("gifts, disputed"),
    "disputed-bought": say("bought, disputed"),
}


def period_words(period: Period) -> Said:
    """Which days it is about."""
    if period.since is None:
        return say("From the beginning to {until}", until=period.until.isoformat())
    if period.since == period.until:
        return plain(period.until.isoformat())
    return plain(f"{period.since.isoformat()} – {period.until.isoformat()}")


def user_layer(report: Report, catalogue: Catalogue) -> list[Said]:
    """Credits, as users see them."""
    lines = [
        say("— User layer —"),
        say("People: {people}, {active} of them asked", people=report.people, active=report.active),
        say("User balance: {credits}", credits=in_credits(report.balance)),
        *(_part(_POCKETS.get(name, plain(name)), one) for name, one in report.circulation.items()),
    ]
    if not report.on_the_way.is_zero:
        lines.append(
            say("On the way to contributors: {credits}", credits=in_credits(report.on_the_way))
        )
    if not report.owed.is_zero:
        lines.append(say("Owed by people: {credits}", credits=in_credits(report.owed)))
    if report.issued:
        lines.append(say("Made: {parts}", parts=_listed(report.issued)))
    lines.append(say("Total revenue: {credits}", credits=in_credits(report.revenue)))
    lines += [
        _part(plain(model_name(catalogue, model)), amount)
        for model, amount in list(report.spent.items())[:_MODELS_SHOWN]
    ]
    if not report.redeemed.is_zero:
        lines.append(say("Paid out: {credits}", credits=in_credits(report.redeemed)))
    if report.fees:
        lines.append(say("Fees kept: {parts}", parts=_listed(report.fees)))
    if not report.forfeited.is_zero:
        lines.append(say("Forfeited: {credits}", credits=in_credits(report.forfeited)))
    return lines


def system_layer(report: Report, catalogue: Catalogue) -> list[Said]:
    """Dollars, as suppliers charge them and gateways move them."""
    lines = [
        say("— System layer —"),
        *(_supplier(name, cost) for name, cost in report.costs.items()),
        say("Total cost: {cost}", cost=money(report.cost)),
        say(
            "Revenue at par: {revenue}. Profit: {profit}",
            revenue=money(report.revenue_at_par),
            profit=money(report.profit),
        ),
        say(
            "Really paid: {revenue}. Profit: {profit}",
            revenue=money(report.revenue_paid),
            profit=money(report.profit_paid),
        ),
        *_margins(report.sold, catalogue),
        *(_cash(name, cash) for name, cash in report.cash.items()),
    ]
    figures = (
        (say("Kept by gateways: {cash}"), report.gateway_fees),
        (say("Payouts sent: {cash}"), report.paid_out),
        (say("Payouts on their way: {cash}"), report.in_transit),
        (say("Paid above quotas: {cash}"), report.overrun),
        (say("Lost by disputes: {cash}"), report.bad_debt),
    )
    lines += [
        Said(words.text, {"cash": money(amount)}) for words, amount in figures if not amount.is_zero
    ]
    if not report.disputed.is_zero:
        lines.append(
            say(
                "Disputed now: {count}, {cash}",
                count=report.disputes,
                cash=money(report.disputed),
            )
        )
    lines.append(say("Keys can still pay: {headroom}", headroom=money(report.headroom)))
    return lines


def solvency(report: Report) -> list[Said]:
    """Cash that is there against what people have."""
    stands = report.solvency
    lines = [
        say("— Solvency —"),
        say("Cash at gateways: {cash}", cash=money(stands.cash)),
        say(
            "Paying out all that is earned: {payouts}. Serving every Credit: {serving}. Giving back"
            " all that is bought: {refunds}.",
            payouts=money(stands.payouts),
            serving=money(stands.serving),
            refunds=money(stands.refunds),
        ),
        say("Paying out and serving is covered.")
        if stands.covered
        else say(
            "Paying out and serving lacks {cash}.",
            cash=money(stands.payouts + stands.serving - stands.cash),
        ),
    ]
    if not stands.stars.is_zero:
        lines.insert(2, say("Stars: {stars}", stars=f"{stands.stars.units:,} ⭐"))
    return lines


def advice_words(one: Advice, catalogue: Catalogue) -> Said:
    """What is to be done, and why."""
    match one:
        case RaisePrice():
            name = model_name(catalogue, one.model)
            percent = f"{one.margin_percent:+,} %".replace("-", "−")
            if one.margin_percent < 0:
                return say("{model} is sold under cost: {percent}.", model=name, percent=percent)
            return say("{model} brings little: {percent}.", model=name, percent=percent)
        case RunsOut(hours=None):
            return say(
                "{key} has {percent} % left.",
                key=f"{one.supplier} …{one.tail}",
                percent=one.left_permille // 10,
            )
        case RunsOut():
            return say(
                "{key} has {percent} % left: {hours} hours at today's pace.",
                key=f"{one.supplier} …{one.tail}",
                percent=one.left_permille // 10,
                hours=one.hours or 0,
            )
        case Cheaper():
            return say(
                "{supplier} would serve {model} for {percent} % less: /pool add {supplier}",
                supplier=one.supplier,
                model=model_name(catalogue, one.model),
                percent=one.percent,
            )


def typed(one: RaisePrice, now: Price) -> str:
    """The advised price as `/setprice` takes it."""
    new = replace(now, input_rate=one.input_rate, output_rate=one.output_rate)
    if new.per == "second":
        return new.per_minute()
    inward, outward = new.per_1k()
    return inward if new.blended else f"{inward} {outward}"


def model_name(catalogue: Catalogue, model: str) -> str:
    """As people read it; models that left the catalogue by their id."""
    known = catalogue.models.get(model)
    return known.name if known else model


def _part(name: Said, amount: Credits) -> Said:
    return say("  {name}: {credits}", name=name, credits=in_credits(amount))


def _listed(parts: Mapping[str, Credits]) -> str:
    return " · ".join(f"{name} {amount.units:,}" for name, amount in parts.items())


def _supplier(name: str, cost: Cost) -> Said:
    if cost.contributed.is_zero:
        return say("  {supplier}: {cost}", supplier=name, cost=money(cost.all))
    return say(
        "  {supplier}: {cost}, {contributed} of it by contributed keys",
        supplier=name,
        cost=money(cost.all),
        contributed=money(cost.contributed),
    )


def _margins(sold: Mapping[str, Sold], catalogue: Catalogue) -> Sequence[Said]:
    return [
        say(
            "  {model}: {percent} on cost, {count} answers",
            model=model_name(catalogue, model),
            percent=f"{one.margin_percent:+,} %".replace("-", "−"),
            count=one.answers,
        )
        for model, one in list(sold.items())[:_MODELS_SHOWN]
        if one.margin_percent is not None
    ]


def _cash(name: str, cash: Cash) -> Said:
    came, went, there = (
        f"{one.units:,} ⭐" if isinstance(one, Stars) else money(one)
        for one in (cash.came, cash.went, cash.there)
    )
    return say(
        "  {gateway}: {came} in, {went} out, {there} there",
        gateway=name,
        came=came,
        went=went,
        there=there,
    )


_FARMS: Final[dict[Name, Said]] = {
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
    "cheap-answers": say("Waiting for a price cut on a friend's key"),
    "chargeback": say("Spending, then having the bank take the payment back"),
    "dispute": say("Cashing out, then having the bank take the payment back"),
    "referral": say("Inviting one's own accounts"),
    "dying-referral": say("Inviting an own account whose key then dies"),
}


def economy_lines(economy: Economy, *, every: bool = False) -> Iterator[tuple[bool, Said]]:
    """Whether a line is well, and the line. Not every farm and way: those that lose, and what the
    rest comes to."""
    sold, tried = trades(economy), farms(economy)
    for trade in sold:
        if every or trade.loses:
            yield not trade.loses, _trade(trade)
    for farm in tried:
        if every or farm.profits:
            yield not farm.profits, _farm(farm)
    lowest = offered(economy)
    if lowest is not None and (every or lowest.loses):
        yield not lowest.loses, _offered(lowest)
    if any(farm.profits for farm in tried):
        yield False, say("What stops it: CREDITBOT_PROFILE=safe, which waits with payouts.")
    if any(trade.loses for trade in sold):
        yield False, say("What mends it: a dearer pack, or another gateway.")
    loses = any(trade.loses for trade in sold) or (lowest is not None and lowest.loses)
    if not loses and not any(farm.profits for farm in tried):
        yield True, say("Economy: no farm brings cash, and no way of selling loses.")
    if any(farm.heeding for farm in tried):
        yield (
            True,
            say("That holds while payouts follow their risk card: better not yet means no."),
        )


def _trade(trade: Trade) -> Said:
    words = (
        say(
            "{way}: 1,000 bought Credits bring {net}; spent on contributed keys they cost {out} in"
            " payouts: a loss."
        )
        if trade.loses
        else say(
            "{way}: 1,000 bought Credits bring {net}; spent on contributed keys they cost {out} in"
            " payouts at most."
        )
    )
    way = f"{trade.way.gateway}, {trade.way.pack}"
    return Said(words.text, {"way": way, "net": money(trade.net), "out": money(trade.out)})


def _offered(lowest: Offered) -> Said:
    lowering, credit, brings = lowest.lowering, _exact(lowest.credit), money(lowest.brings)
    if not lowest.loses:
        return say(
            "Offers: {discount} % off at most, never below cost + {floor} %; a Credit brings"
            " {credit} at least: $1.00 of answers brings {brings}.",
            discount=lowering.discount,
            floor=lowering.floor,
            credit=credit,
            brings=brings,
        )
    return say(
        "Offers: {discount} % off at most, never below cost + {floor} %; a Credit brings"
        " {credit} at least: $1.00 of answers brings {brings}, a loss. What mends it:"
        " CREDITBOT_OFFER_FLOOR_PERCENT={mending}",
        discount=lowering.discount,
        floor=lowering.floor,
        credit=credit,
        brings=brings,
        mending=lowest.mending,
    )


def _exact(amount: NanoUsd) -> str:
    """Dollars with four decimals, rounded down."""
    return f"${amount.units // 10**9}.{amount.units % 10**9 // 10**5:04}"


def _farm(farm: Farm) -> Said:
    return say(
        "{farm}: {cash} of 1,000 Credits ({sum}), and answers worth {answers}.",
        farm=_FARMS[farm.name],
        cash=money(farm.cash),
        sum=farm.sum,
        answers=money(farm.answers),
    )
