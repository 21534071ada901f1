"""The economy check: its arithmetic, and that a played year comes to the same."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.economy.farmers import TURNS
from benchmarks.economy.guards import GUARDS, compared, pays
from benchmarks.economy.town import economy_of, policy_of
from benchmarks.economy.year import played
from core.admin.abuse_check import (
    SCENARIO_NAMES,
    AbuseScenario,
    EconomySettings,
    PriceReductions,
    SaleChannel,
    ScenarioName,
    calculate_reduced_trade,
    list_abuse_scenarios,
    list_honest_trades,
)
from core.earnings.types import SAFE_POLICY
from core.money import Credits, NanoUsd, parse_usd
from tests.support.size import size

SEEDS = size(small=1, full=5)
#: The rest of them need a year.
QUICK: tuple[ScenarioName, ...] = ("gifts", "same-key-twice", "dispute", "chargeback", "lowered")
UNGUARDED = QUICK if SEEDS == 1 else SCENARIO_NAMES


def checked(profile: str) -> dict[ScenarioName, AbuseScenario]:
    return {farm.name: farm for farm in list_abuse_scenarios(economy_of(policy_of(profile)))}


def test_a_bought_credit_becomes_81_hundredths_of_a_cent_at_most() -> None:
    assert checked("brief")["wash"].profit == parse_usd("8.10") - parse_usd("10")
    assert checked("brief")["wash"].arithmetic == "8.10 − 10.00"


@pytest.mark.parametrize(("profile", "farmed"), [("safe", []), ("brief", ["dispute"])])
def test_which_farms_bring_cash(profile: str, farmed: list[str]) -> None:
    found = checked(profile)
    assert set(found) == set(TURNS)
    assert [name for name, farm in found.items() if farm.is_profitable] == farmed
    assert found["dispute"].needs_payout_review is (profile == "safe")


@pytest.mark.parametrize(
    ("fee", "net", "loses"), [("1.00", "9", False), ("1.90", "8.10", False), ("1.91", "8.09", True)]
)
def test_a_way_that_keeps_too_much_loses_on_honest_trade(fee: str, net: str, loses: bool) -> None:
    way = SaleChannel(
        "skus",
        "Starter",
        parse_usd("10"),
        parse_usd(fee),
        Credits(1_000),
        Credits(0),
        is_disputable=True,
    )
    economy = replace(economy_of(policy_of("safe")), channels=[way])
    (trade,) = list_honest_trades(economy)
    assert (trade.revenue, trade.is_losing) == (parse_usd(net), loses)


def test_without_contributions_nobody_is_paid_out() -> None:
    economy = replace(economy_of(SAFE_POLICY), policy=SAFE_POLICY)
    assert [farm.name for farm in list_abuse_scenarios(economy)] == [
        "welcome",
        "chargeback",
        "unpaid-work",
    ]
    assert all(trade.payout.is_zero for trade in list_honest_trades(economy))


@pytest.mark.parametrize(
    ("discount", "bonus", "floor", "brings", "mending"),
    [
        # 35 % over cost, all of it left but what Enterprise's price takes: a Credit for $0.008.
        (0, 5, 10, "1.037", 31),
        # 20 % off is 8 % over cost: the floor keeps it at 10 %.
        (20, 0, 10, "0.88", 25),
        (20, 0, 25, "1.00", 25),
        (20, 20, 25, "0.8625", 46),
    ],
)
def test_what_offers_leave_of_a_dollar_of_cost(
    discount: int, bonus: int, floor: int, brings: str, mending: int
) -> None:
    enterprise = SaleChannel(
        "btcpay",
        "Enterprise",
        parse_usd("800"),
        NanoUsd(0),
        Credits(80_000),
        Credits(20_000),
        False,
    )
    lowering = PriceReductions(discount, bonus, floor)
    economy = EconomySettings(
        SAFE_POLICY, [enterprise], Credits(0), parse_usd("0.50"), 74, reductions=lowering
    )
    found = calculate_reduced_trade(economy)
    assert found is not None
    assert abs(found.revenue.units - parse_usd(brings).units) < 5_000_000, found
    assert (found.required_floor_percent, found.is_losing) == (mending, float(brings) < 1)
    assert calculate_reduced_trade(replace(economy, reductions=None)) is None


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, SEEDS + 1))
async def test_played_in_the_briefs_world_each_comes_to_what_the_check_says(seed: int) -> None:
    year = await played("brief", seed, size(small=2, full=6), honest=SEEDS > 1)
    said = checked("brief")
    assert year.findings == []
    for farm in year.farms:
        cash, answers = farm.per_played(farm.cash), farm.per_played(farm.answers)
        assert abs(cash.units - said[farm.name].profit.units) <= parse_usd("0.05").units, farm
        assert abs(answers.units - said[farm.name].answers_cost.units) <= parse_usd("0.05").units, (
            farm
        )
    assert [farm.name for farm in year.farms if farm.cash > NanoUsd(0)] == ["dispute"]


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, SEEDS + 1))
async def test_played_safely_nobody_takes_out_cash_that_they_did_not_pay_in(seed: int) -> None:
    names: tuple[ScenarioName, ...] = ("gifts", "advance-to-friend", "dispute")
    year = await played(
        "safe", seed, size(small=3, full=9), names=tuple(TURNS) if SEEDS > 1 else names
    )
    assert all(farm.cash <= NanoUsd(0) for farm in year.farms)
    assert year.findings == []


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.parametrize("name", UNGUARDED)
async def test_without_its_guard_a_farm_pays(name: ScenarioName) -> None:
    on, off = await compared(name, size(small=4, full=12))
    assert pays(on, off), (on, off)


def test_each_farm_has_a_guard() -> None:
    assert set(GUARDS) == set(TURNS) == set(SCENARIO_NAMES)
