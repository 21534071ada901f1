"""The economy check in words: which ways of selling lose, what could be farmed, with its
arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bots.chat.reply import Phrase, say
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


def describe_economy(economy: EconomySettings) -> Phrase:
    """All of it in one sentence."""
    losing = sum(1 for is_fine, _ in list_economy_lines(economy) if not is_fine)
    if not losing:
        return say("Economy: no farm brings cash, and no way of selling loses.")
    return say("Economy: something loses money or could be farmed: the button Economy says what.")


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
