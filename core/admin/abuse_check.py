"""The abuse check: where the settings can be abused for cash, and where honest trade loses money,
each with its arithmetic.

A scenario is calculated per 1,000 Credits that it puts in play: what it takes out in cash beyond
what it paid in, and what answers of others' keys it gets for that, at what they cost. Only cash is
profit: answers are what an operator gives away knowingly (a welcome gift, an advance), within
limits per person that the settings say. `benchmarks/economy` plays the same scenarios on the real
ledger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from core import chart
from core.earnings.payouts import PAYOUT_RATE
from core.earnings.types import DISPUTABLE_DAYS, EarningPolicy
from core.money import Credits, NanoUsd, parse_usd
from core.pricing.formula import PAR
from core.users.referrals import INVITER_TOPUP_PERCENT

_DOLLAR: Final = parse_usd("1")
_NOTHING: Final = NanoUsd(0)
#: Every figure is calculated for so many Credits.
REFERENCE_CREDITS: Final = Credits(1_000)

ScenarioName = Literal[
    "wash",
    "programs",
    "bonus",
    "twice",
    "linked",
    "idle-key",
    "bought",
    "gifts",
    "welcome",
    "advance",
    "advance-to-friend",
    "withdraw-and-revoke",
    "lowered",
    "false-budget",
    "same-key-twice",
    "cheap-answers",
    "chargeback",
    "withdrawn",
    "dispute",
    "referral",
    "dying-referral",
    "unpaid-work",
]
SCENARIO_NAMES: Final[tuple[ScenarioName, ...]] = get_args(ScenarioName)


@dataclass(frozen=True, slots=True)
class SaleChannel:
    """A pack as it is sold at a gateway: what is paid and what the gateway keeps (nano-dollars),
    what is given for it (Credits)."""

    gateway: str
    pack: str
    cash: NanoUsd
    fee: NanoUsd
    bought: Credits
    bonus: Credits
    #: Whether the payer's bank may take the money back.
    is_disputable: bool

    def calculate_net(self) -> NanoUsd:
        """What 1,000 bought Credits bring the operator, in nano-dollars."""
        return NanoUsd((self.cash - self.fee).units * REFERENCE_CREDITS.units // self.bought.units)

    def calculate_price(self) -> NanoUsd:
        """What 1,000 bought Credits cost their buyer, in nano-dollars."""
        return NanoUsd(self.cash.units * REFERENCE_CREDITS.units // self.bought.units)


@dataclass(frozen=True, slots=True)
class PriceReductions:
    """The most that the tiers and promotions that run now can do together: per cent off prices, per
    cent more for what is paid, and how much over cost the floor keeps prices."""

    discount_percent: int
    bonus_percent: int
    floor_percent: int


@dataclass(frozen=True, slots=True)
class EconomySettings:
    """The settings and figures that the abuse check calculates with."""

    policy: EarningPolicy
    channels: Sequence[SaleChannel]
    welcome_credits: Credits
    #: What one person's answers that nobody pays for may cost suppliers in a day, in nano-dollars.
    unpaid_work_per_day: NanoUsd
    #: What answers cost at suppliers, in per cent of what is charged for them at par.
    cost_percent: int
    #: The inviter's share of a friend's top-up, given as gift, in per cent.
    inviter_percent: int = INVITER_TOPUP_PERCENT
    #: None while nothing lowers prices or raises top-ups.
    reductions: PriceReductions | None = None

    @property
    def answers_cost(self) -> NanoUsd:
        """What answers for 1,000 Credits cost at suppliers, in nano-dollars."""
        return PAR.multiply_by(REFERENCE_CREDITS.units).share_down(self.cost_percent, 100)


@dataclass(frozen=True, slots=True)
class AbuseScenario:
    """A way to abuse the settings that somebody could try, per 1,000 Credits put in play."""

    name: ScenarioName
    profit: NanoUsd
    answers_cost: NanoUsd
    #: How the profit comes about, in figures.
    arithmetic: str
    #: Whether it holds only while admins decide payouts as the risk card advises.
    needs_payout_review: bool = False

    @property
    def is_profitable(self) -> bool:
        """Whether cash comes out that never came in."""
        return self.profit > NanoUsd(0)


@dataclass(frozen=True, slots=True)
class HonestTrade:
    """Honest trade by a sale channel, per 1,000 bought Credits: all of them spent on contributed
    keys, all that those earn paid out."""

    channel: SaleChannel
    revenue: NanoUsd
    payout: NanoUsd

    @property
    def is_losing(self) -> bool:
        """Whether more goes out than came in."""
        return self.revenue < self.payout


@dataclass(frozen=True, slots=True)
class ReducedTrade:
    """Honest trade at the lowest price that anybody is offered, with the cheapest Credits that are
    sold: what a dollar of suppliers' cost brings."""

    reductions: PriceReductions
    #: What a Credit brings at least, all gifts that come with it counted.
    credit_revenue: NanoUsd
    revenue: NanoUsd

    @property
    def is_losing(self) -> bool:
        """Whether a dollar of cost brings less than a dollar."""
        return self.revenue < _DOLLAR

    @property
    def required_floor_percent(self) -> int:
        """The floor from which on it doesn't lose, in per cent over cost."""
        return -(-100 * PAR.units // self.credit_revenue.units) - 100


def calculate_reduced_trade(economy: EconomySettings) -> ReducedTrade | None:
    """Honest trade at the lowest price; None while nothing is sold or nothing is lowered."""
    reductions = economy.reductions
    if reductions is None or not economy.channels:
        return None
    credit_revenue = min(
        (way.cash - way.fee).units
        // (way.bought + way.bonus + way.bought.share_up(reductions.bonus_percent, 100)).units
        for way in economy.channels
    )
    # Of a dollar's cost in percent: the plain price, lowered, but not below the floor.
    plain_percent = 10_000 // economy.cost_percent
    lowest_percent = min(
        plain_percent,
        max(
            100 + reductions.floor_percent,
            plain_percent * (100 - reductions.discount_percent) // 100,
        ),
    )
    return ReducedTrade(
        reductions,
        NanoUsd(credit_revenue),
        NanoUsd(_DOLLAR.units * lowest_percent // 100 * credit_revenue // PAR.units),
    )


def calculate_max_payout() -> NanoUsd:
    """What 1,000 bought Credits become at most: 0.9 of them earned, each paid at $0.009."""
    return PAYOUT_RATE.multiply_by(REFERENCE_CREDITS.units).share_down(*chart.CONTRIBUTOR_SHARE)


def list_honest_trades(economy: EconomySettings) -> list[HonestTrade]:
    """Honest trade by each sale channel."""
    payout = calculate_max_payout() if economy.policy.suppliers else NanoUsd(0)
    return [HonestTrade(way, way.calculate_net(), payout) for way in economy.channels]


def list_abuse_scenarios(economy: EconomySettings) -> list[AbuseScenario]:
    """Every abuse scenario; see `benchmarks/economy` for what each does. Where nobody may
    contribute, there is no way to cash at all."""
    scenarios = [
        AbuseScenario(
            "welcome",
            _NOTHING,
            economy.answers_cost,
            f"0.00: {economy.welcome_credits.units:,} Credits each",
        ),
        AbuseScenario(
            "unpaid-work",
            _NOTHING,
            economy.answers_cost,
            f"0.00: at most {_format_dollars(economy.unpaid_work_per_day)} a person and day, and"
            " nothing to read",
        ),
    ]
    is_contributable = bool(economy.policy.suppliers)
    if is_contributable:
        scenarios += _list_contribution_scenarios(economy)
    if is_contributable and economy.channels:
        scenarios += _list_purchase_scenarios(economy)
    if any(way.is_disputable for way in economy.channels):
        scenarios += _list_dispute_scenarios(economy, is_contributable=is_contributable)
    return sorted(scenarios, key=lambda one: SCENARIO_NAMES.index(one.name))


def _list_contribution_scenarios(economy: EconomySettings) -> list[AbuseScenario]:
    """The scenarios that are tried with gifts, and with contributed keys."""
    policy, answers_cost = economy.policy, economy.answers_cost
    friend_gift_cost = answers_cost.share_down(*chart.CONTRIBUTOR_SHARE)
    advance_percent = policy.advance_percent
    return [
        AbuseScenario(
            "gifts", _NOTHING, friend_gift_cost, "0.00: what a gift pays for becomes a gift"
        ),
        AbuseScenario(
            "advance",
            _NOTHING,
            answers_cost.share_down(advance_percent, 100),
            f"0.00: {advance_percent} % may be spent before it vests, and is owed",
        ),
        AbuseScenario(
            "advance-to-friend",
            _NOTHING,
            friend_gift_cost.share_down(advance_percent, 100),
            "0.00: an advance becomes a friend's gift",
        ),
        AbuseScenario("lowered", _NOTHING, _NOTHING, "0.00: with its dollars a key's Credits go"),
        AbuseScenario(
            "false-budget",
            _NOTHING,
            answers_cost,
            f"0.00: at most {policy.advance_unverified.units:,} Credits a person, and owed",
        ),
        AbuseScenario("same-key-twice", _NOTHING, _NOTHING, "0.00: a key is known again"),
        AbuseScenario(
            "dying-referral", _NOTHING, _NOTHING, "0.00: an inviter's part comes with use"
        ),
    ]


def _list_purchase_scenarios(economy: EconomySettings) -> list[AbuseScenario]:
    """The scenarios that are tried with bought Credits."""
    payout, answers_cost = calculate_max_payout(), economy.answers_cost
    friend_gift_cost = answers_cost.share_down(*chart.CONTRIBUTOR_SHARE)
    price = min(way.calculate_price() for way in economy.channels)
    richest = max(economy.channels, key=lambda way: way.bonus.units * 1_000 // way.bought.units)
    gift = friend_gift_cost.share_down(richest.bonus.units, richest.bought.units)

    def build_scenario(
        name: ScenarioName, cash: NanoUsd, answers_cost: NanoUsd, paid: NanoUsd = price
    ) -> AbuseScenario:
        return AbuseScenario(
            name, cash - paid, answers_cost, f"{_format_dollars(cash)} − {_format_dollars(paid)}"
        )

    return [
        build_scenario("wash", payout, _NOTHING),
        # However many accounts ask, and however fast: what comes of a bought Credit is the same.
        build_scenario("programs", payout, _NOTHING),
        build_scenario("bonus", payout, gift, richest.calculate_price()),
        build_scenario("twice", payout, _NOTHING),
        build_scenario("cheap-answers", payout, _NOTHING),
        # What was used of a purchase stays paid, whoever withdraws from it.
        build_scenario("withdrawn", payout, _NOTHING),
        # At twice the price of a key's valuation half of its answers bring all that it is worth.
        build_scenario("idle-key", payout.share_down(1, 2), _NOTHING),
        build_scenario("referral", payout, answers_cost.share_down(economy.inviter_percent, 100)),
        # What was bought, or earned, is still there to be spent: it just doesn't become cash.
        build_scenario("linked", _NOTHING, answers_cost),
        build_scenario("bought", _NOTHING, answers_cost),
        build_scenario("withdraw-and-revoke", _NOTHING, friend_gift_cost),
    ]


def _list_dispute_scenarios(
    economy: EconomySettings, *, is_contributable: bool
) -> list[AbuseScenario]:
    """The scenarios that are tried with a payer's bank."""
    scenarios = [
        AbuseScenario(
            "chargeback",
            _NOTHING,
            economy.answers_cost,
            f"0.00: then {DISPUTABLE_DAYS} days not by card",
        )
    ]
    if not is_contributable:
        return scenarios
    # Whoever waits out the hold days first needs an admin's yes: the risk card advises a no.
    days, payout = economy.policy.payout_hold_days, calculate_max_payout()
    price = _format_dollars(min(way.calculate_price() for way in economy.channels))
    without_hold = AbuseScenario(
        "dispute", payout, _NOTHING, f"{_format_dollars(payout)} + {price} − {price}"
    )
    with_hold = AbuseScenario(
        "dispute",
        _NOTHING,
        economy.answers_cost.share_down(*chart.CONTRIBUTOR_SHARE),
        f"0.00: {days} days, then a no",
        needs_payout_review=True,
    )
    return [*scenarios, with_hold if days else without_hold]


def _format_dollars(amount: NanoUsd) -> str:
    cents = amount.units // 10_000_000
    return f"{cents // 100}.{cents % 100:02}"
