"""The operator's report in words: both layers in short, each part in full. Dollars show here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from bots.chat.reply import Phrase, plain, say, say_count
from bots.commands.text import format_credits, format_percent, get_supplier_title
from core.admin.advice import Advice, CheaperSupplier, KeyRunsOut, RaisePrice
from core.admin.report import GatewayCash, ModelSales, OperatorReport, Solvency, SupplierCosts
from core.admin.trial_balance import ReportPeriod
from core.money import Credits, Stars, format_usd
from core.pricing.catalogue import Catalogue
from core.pricing.prices import Price

_MODELS_SHOWN_MAX: Final = 8
_CENT: Final = 10_000_000
_POCKET_NAMES: Final[Mapping[str, Phrase]] = {
    "gift": say("gifts"),
    "bought": say("bought"),
    "earned": say("earned"),
    "advance": say("in advance of contributions"),
    "disputed-gift": say("gifts, disputed"),
    "disputed-bought": say("bought, disputed"),
}


#: What Credits are issued for, and what fees are kept of.
_FLOW_NAMES: Final[Mapping[str, Phrase]] = {
    "welcome": say("welcome gifts"),
    "grant": say("gifts of yours"),
    "topup": say("top-ups"),
    "bonus": say("bonuses"),
    "referral": say("for inviting"),
    "code": say("promotion codes"),
    "contribution": say("contributed keys"),
    "payout": say("withdrawals"),
}


def describe_period(period: ReportPeriod) -> Phrase:
    """Which days it is about."""
    if period.since is None:
        return say("From the beginning to {until}", until=period.until.isoformat())
    if period.since == period.until:
        return plain(period.until.isoformat())
    return plain(f"{period.since.isoformat()} – {period.until.isoformat()}")


def list_summary(report: OperatorReport) -> list[Phrase]:
    """Both layers in short: what people have and spent; what that cost, and what is left."""
    loss = say("{profit} (loss)", profit=format_usd(report.profit))
    return [
        say("— User layer —"),
        say("User balance: {credits}", credits=format_credits(report.user_balance)),
        say("Total revenue: {credits}", credits=format_credits(report.revenue)),
        *_list_costs(report),
        say(
            "Revenue: {credits} ≈ {revenue}",
            credits=format_credits(report.revenue),
            revenue=format_usd(report.revenue_at_par),
        ),
        say(
            "Profit: {revenue} − {cost} {equals} {profit}",
            revenue=format_usd(report.revenue_at_par),
            cost=format_usd(report.total_cost),
            # Parts of a cent are rounded in each figure.
            equals="≈" if report.profit.units % _CENT else "=",
            profit=loss if report.profit.units < 0 else format_usd(report.profit),
        ),
    ]


def describe_solvency(report: OperatorReport) -> list[Phrase]:
    """Solvency in a sentence, and in one more what was given away."""
    solvency = report.solvency
    cash, claims = format_usd(solvency.available), format_usd(solvency.claims)
    if solvency.claims.is_zero:
        told = say("Solvency: nobody has bought or earned Credits, so you owe nothing.")
    elif solvency.is_covered:
        told = say(
            "Solvency: {cash} at gateways cover payouts and answers of {claims}.",
            cash=cash,
            claims=claims,
        )
    else:
        told = say(
            "Solvency: payouts and answers may take {claims}; {cash} are at gateways, so {missing}"
            " are missing.",
            claims=claims,
            cash=cash,
            missing=format_usd(solvency.claims - solvency.available),
        )
    return [told, *_list_giveaways(solvency)]


def _list_giveaways(solvency: Solvency) -> list[Phrase]:
    lines = []
    if not solvency.giveaways.is_zero:
        lines.append(
            say(
                "Given away: Credits for {cost} of answers that nobody pays for. That is a cost of"
                " yours, as advertising is, and no debt.",
                cost=format_usd(solvency.giveaways),
            )
        )
    if not solvency.lent.is_zero:
        lines.append(
            say(
                "Lent: Credits for {cost} of answers, which contributed keys have still to earn.",
                cost=format_usd(solvency.lent),
            )
        )
    return lines


def describe_disputes(report: OperatorReport) -> list[Phrase]:
    """Payments that are disputed now, if there are any."""
    if report.disputed.is_zero:
        return []
    cash = format_usd(report.disputed)
    return [say("Disputed now: {count}, {cash}", count=report.disputes, cash=cash)]


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
            say_count(
                "Taken by no chat and given back: {count} answer, {cost} of suppliers' cost",
                "Taken by no chat and given back: {count} answers, {cost} of suppliers' cost",
                report.undelivered_count,
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
        lines.append(say("Issued: {parts}", parts=_join_parts(report.issued)))
    lines.append(say("Total revenue: {credits}", credits=format_credits(report.revenue)))
    lines += [
        _part_line(plain(catalogue.get_name(model)), amount)
        for model, amount in list(report.spent.items())[:_MODELS_SHOWN_MAX]
    ]
    if not report.redeemed.is_zero:
        lines.append(say("Paid out: {credits}", credits=format_credits(report.redeemed)))
    if report.fees:
        lines.append(say("Fees kept: {parts}", parts=_join_parts(report.fees)))
    if not report.forfeited.is_zero:
        lines.append(say("Forfeited: {credits}", credits=format_credits(report.forfeited)))
    return lines


def list_system_layer(report: OperatorReport, catalogue: Catalogue) -> list[Phrase]:
    """Dollars, as suppliers charge them and gateways move them."""
    lines = [
        *_list_costs(report),
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
    lines += describe_disputes(report)
    lines.append(say("Keys can still pay: {headroom}", headroom=format_usd(report.headroom)))
    return lines


def list_solvency(report: OperatorReport) -> list[Phrase]:
    """Cash that is there against what people have."""
    solvency = report.solvency
    lines = [
        say("— Solvency —"),
        say("Cash at gateways: {cash}", cash=format_usd(solvency.cash)),
        say(
            "Paying out all that is earned: {payouts}. Serving all that is bought: {serving}."
            " Giving back all that is bought: {refunds}.",
            payouts=format_usd(solvency.payouts),
            serving=format_usd(solvency.serving),
            refunds=format_usd(solvency.refunds),
        ),
        say("Payouts and answers are covered.")
        if solvency.is_covered
        else say(
            "Payouts and answers lack {cash}.",
            cash=format_usd(solvency.claims - solvency.available),
        ),
        *_list_giveaways(solvency),
    ]
    if not solvency.stars.is_zero:
        stars, worth = f"{solvency.stars.units:,} ⭐", format_usd(solvency.stars_worth)
        lines.insert(2, say("Stars: {stars} ≈ {cash}", stars=stars, cash=worth))
    return lines


def describe_advice(advice: Advice, catalogue: Catalogue) -> Phrase:
    """What is to be done, and why."""
    match advice:
        case RaisePrice():
            name = catalogue.get_name(advice.model)
            percent = format_percent(advice.margin_percent, signed=True)
            if advice.margin_percent < 0:
                return say("{model} is sold under cost: {percent}.", model=name, percent=percent)
            return say("{model} brings little: {percent}.", model=name, percent=percent)
        case KeyRunsOut(hours=None):
            return say(
                "{key} has {percent} % left.",
                key=f"{get_supplier_title(advice.supplier)} …{advice.tail}",
                percent=advice.left_permille // 10,
            )
        case KeyRunsOut():
            return say_count(
                "{key} has {percent} % left: {count} hour at today's pace.",
                "{key} has {percent} % left: {count} hours at today's pace.",
                advice.hours or 0,
                key=f"{get_supplier_title(advice.supplier)} …{advice.tail}",
                percent=advice.left_permille // 10,
            )
        case CheaperSupplier():
            return say(
                "{title} would serve {model} for {percent} % less: /pool add {supplier}",
                title=get_supplier_title(advice.supplier),
                supplier=advice.supplier,
                model=catalogue.get_name(advice.model),
                percent=advice.percent,
            )


def format_advised_price(advice: RaisePrice, now: Price) -> str:
    """The advised price as `/setprice` takes it."""
    new = replace(now, input_rate=advice.input_rate, output_rate=advice.output_rate)
    if new.per == "second":
        return new.format_per_minute()
    inward, outward = new.format_per_1k()
    return inward if new.is_blended else f"{inward} {outward}"


def _part_line(name: Phrase, amount: Credits) -> Phrase:
    return say("  {name}: {credits}", name=name, credits=format_credits(amount))


def _join_parts(parts: Mapping[str, Credits]) -> Phrase:
    named = [
        say("{name} {amount}", name=_FLOW_NAMES.get(name, plain(name)), amount=amount)
        for name, amount in parts.items()
    ]
    joined = named[0]
    for following in named[1:]:
        joined = say("{first} · {next}", first=joined, next=following)
    return joined


def _list_costs(report: OperatorReport) -> list[Phrase]:
    return [
        say("— System layer —"),
        *(_supplier_line(name, cost) for name, cost in report.costs.items()),
        say("Total cost: {cost}", cost=format_usd(report.total_cost)),
    ]


def _supplier_line(name: str, cost: SupplierCosts) -> Phrase:
    if cost.contributed_keys.is_zero:
        return say(
            "  {supplier}: {cost}", supplier=get_supplier_title(name), cost=format_usd(cost.total)
        )
    return say(
        "  {supplier}: {cost}, {contributed} of it by contributed keys",
        supplier=get_supplier_title(name),
        cost=format_usd(cost.total),
        contributed=format_usd(cost.contributed_keys),
    )


def _margin_lines(sold: Mapping[str, ModelSales], catalogue: Catalogue) -> Sequence[Phrase]:
    return [
        say_count(
            "  {model}: {percent} on cost, {count} answer",
            "  {model}: {percent} on cost, {count} answers",
            one.answers,
            model=catalogue.get_name(model),
            percent=format_percent(one.margin_percent, signed=True),
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
        "  {gateway}: {came} in, {went} out, {there} left",
        gateway=name,
        came=came,
        went=went,
        there=there,
    )
