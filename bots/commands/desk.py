"""How the owner's figures read: dollars, margins, the two-layer report (brief § 6)."""

from __future__ import annotations

from collections.abc import Sequence

from bots.commands.phrases import in_credits, money
from bots.reply import Reply, Said, plain, say
from core.desk import Report
from core.pool import KeyCard
from core.pricing import PAR, Catalogue, Costs, Model, Price
from core.units import Seconds, Tokens

_MODELS_SHOWN = 10
#: What a margin is worked out on until a model's real mix is known: 2 : 1 (design § Prices).
_MIX = (Tokens(200_000), Tokens(100_000))
_HOUR = Seconds(3_600)


def margin_line(costs: Costs, model: Model, price: Price, at_ms: int) -> Said:
    """Profit on cost at par, by the model's cheapest supplier and the usual mix."""
    audio = model.per == "second"
    known = [
        costs.seconds(route, _HOUR, at_ms) if audio else costs.most(route, *_MIX, at_ms)
        for route in model.routes
        if costs.known(route, model.per)
    ]
    if not known:
        return say("No supplier's cost is known for {model}.", model=model.name)
    cost = min(known)
    charge = price.charge_seconds(_HOUR) if audio else price.charge(*_MIX)
    revenue = PAR.times(charge.units)
    percent = (revenue - cost).units * 100 // cost.units
    said = f"{percent:+,} %".replace("-", "−")
    return say("Profit on cost at the usual mix: {percent}", percent=said)


def report_reply(report: Report, keys: Sequence[KeyCard], catalogue: Catalogue) -> Reply:
    """The two layers as a card."""
    lines: list[Said] = [
        say("— User layer —"),
        say("People: {people}", people=report.people),
        say(
            "User balance: {credits}",
            credits=in_credits(report.balance),
        ),
        *(
            say("  {pocket}: {credits}", pocket=name, credits=in_credits(amount))
            for name, amount in report.circulation.items()
        ),
        say("Total revenue: {credits}", credits=in_credits(report.revenue)),
        *(
            say("  {model}: {credits}", model=_name(catalogue, model), credits=in_credits(amount))
            for model, amount in list(report.spent.items())[:_MODELS_SHOWN]
        ),
        say("— System layer —"),
        *(
            say("  {supplier}: {cost}", supplier=name, cost=money(cost))
            for name, cost in report.costs.items()
        ),
        say("Total cost: {cost}", cost=money(report.cost)),
        say(
            "Revenue at par: {revenue}. Profit: {profit}",
            revenue=money(report.revenue_at_par),
            profit=money(report.profit),
        ),
        say("Keys can still pay: {headroom}", headroom=money(report.headroom)),
    ]
    if not report.overrun.is_zero:
        lines.append(say("Paid above quotas: {overrun}", overrun=money(report.overrun)))
    if report.disputes:
        lines.append(
            say(
                "Disputed now: {count}, {cash}",
                count=report.disputes,
                cash=money(report.disputed),
            )
        )
    if not report.bad_debt.is_zero:
        lines.append(say("Lost by disputes: {cash}", cash=money(report.bad_debt)))
    low = [card for card in keys if _is_low(card)]
    lines += [
        plain(f"⚠ {card.supplier} …{card.tail}: {money(card.headroom)} / {money(card.budget)}")
        for card in low
    ]
    return Reply(title=say("Report"), lines=tuple(lines), private=True)


def _is_low(card: KeyCard) -> bool:
    """A fifth or less of its budget is left."""
    return card.headroom.units * 5 <= card.budget.units


def _name(catalogue: Catalogue, model: str) -> str:
    known = catalogue.models.get(model)
    return known.name if known else model
