"""The economy check in words: what loses, what could be farmed, with its arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bots.chat.reply import Said, say
from bots.commands.text import money
from core.admin.abuse_check import Economy, Farm, Name, Offered, Trade, farms, offered, trades
from core.money import NanoUsd

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
