"""How the two layers read (brief § 6), line by line; dollars may show here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from bots.chat.reply import Said, plain, say
from bots.commands.text import in_credits, money
from core.admin.advice import Advice, Cheaper, RaisePrice, RunsOut
from core.admin.report import Cash, Cost, Report, Sold
from core.admin.trial_balance import Period
from core.money import Credits, Stars
from core.pricing.catalogue import Catalogue
from core.pricing.prices import Price

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
