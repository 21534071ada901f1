"""The economy check in words: which ways of selling lose, what could be farmed, with its
arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from bots.chat.reply import Phrase, say, say_count
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
from core.money import NanoUsd, format_usd

_SCENARIO_NAMES: Final[dict[ScenarioName, Phrase]] = {
    "wash": say("Buying, asking at a friend's key, cashing out"),
    "programs": say("The same by the programs of many accounts"),
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
    economy: EconomySettings, *, sums: bool = False
) -> Iterator[tuple[bool, Phrase]]:
    """Whether a line is well, and the line: what loses, one by one, and what the rest comes to, in
    a sentence; or with `sums` in figures."""
    sales, scenarios = list_honest_trades(economy), list_abuse_scenarios(economy)
    losing = [trade for trade in sales if trade.is_losing]
    farms = [one for one in scenarios if one.is_profitable]
    lowest = calculate_reduced_trade(economy)
    yield from ((False, _trade_line(trade)) for trade in losing)
    yield from ((False, _scenario_line(farm)) for farm in farms)
    if sums and sales and not losing:
        yield True, _sales_line(sales, pays_out=bool(economy.policy.suppliers))
    if sums and economy.policy.suppliers and not farms:
        yield True, _farms_line(scenarios)
    if lowest is not None and (sums or lowest.is_losing):
        yield not lowest.is_losing, _reductions_line(lowest)
    if farms:
        yield False, say("What stops it: CREDITBOT_PROFILE=safe, which waits with payouts.")
    if losing:
        yield False, say("What mends it: a dearer pack, or another gateway.")
    if not (sums or losing or farms or (lowest is not None and lowest.is_losing)):
        yield True, say("Economy: no farm brings cash, and no way of selling loses.")
    if any(one.needs_payout_review for one in scenarios):
        yield True, say("That holds as long as you decide payouts as their risk card advises.")


def describe_economy(economy: EconomySettings) -> Phrase:
    """All of it in one sentence."""
    if all(is_fine for is_fine, _ in list_economy_lines(economy)):
        return say("Economy: no farm brings cash, and no way of selling loses.")
    if _only_lacks_hold(economy):
        return say(
            "Economy: no way of selling loses. Withdrawals are paid at once, so a buyer could cash"
            " out and then dispute the payment: the button Economy says what stops that."
        )
    return say("Economy: something loses money or could be farmed: the button Economy says what.")


def _only_lacks_hold(economy: EconomySettings) -> bool:
    """Whether all that could be farmed comes of paying out at once, as its operator chose."""
    lowest = calculate_reduced_trade(economy)
    is_losing = any(trade.is_losing for trade in list_honest_trades(economy)) or (
        lowest is not None and lowest.is_losing
    )
    farms = {one.name for one in list_abuse_scenarios(economy) if one.is_profitable}
    return not is_losing and farms == {"dispute"} and not economy.policy.payout_hold_days


def _sales_line(sales: Sequence[HonestTrade], *, pays_out: bool) -> Phrase:
    """The way of selling that leaves the least."""
    worst = min(sales, key=lambda trade: trade.revenue.units - trade.payout.units)
    if not pays_out:
        return say(
            "Selling: no way loses. 1,000 Credits bring {net} at least ({way}).",
            net=format_usd(worst.revenue),
            way=_name_way(worst),
        )
    return say(
        "Selling: no way loses. 1,000 Credits bring {net} at least ({way}); at most {out} of it is"
        " paid out.",
        net=format_usd(worst.revenue),
        way=_name_way(worst),
        out=format_usd(worst.payout),
    )


def _farms_line(scenarios: Sequence[AbuseScenario]) -> Phrase:
    """None of them brings cash; how much of answers the worst brings."""
    worst = max(scenarios, key=lambda one: one.answers_cost.units)
    return say_count(
        "Farming: {count} way was reckoned, none brings cash; answers worth {answers} per 1,000"
        " Credits at most.",
        "Farming: {count} ways were reckoned, none brings cash; answers worth {answers} per 1,000"
        " Credits at most.",
        len(scenarios),
        answers=format_usd(worst.answers_cost),
    )


def _trade_line(trade: HonestTrade) -> Phrase:
    return say(
        "{way}: a loss. 1,000 Credits bring {net}, and up to {out} is paid out for them.",
        way=_name_way(trade),
        net=format_usd(trade.revenue),
        out=format_usd(trade.payout),
    )


def _name_way(trade: HonestTrade) -> str:
    return f"{trade.channel.gateway}, {trade.channel.pack}"


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
        "{farm}: {cash} gained per 1,000 Credits ({sum}), and answers worth {answers}.",
        farm=_SCENARIO_NAMES[scenario.name],
        cash=format_usd(scenario.profit),
        sum=scenario.arithmetic,
        answers=format_usd(scenario.answers_cost),
    )
