"""The offer from settings: what it says, and that what can't stand is told by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from bots.config.fields import read_packs
from bots.config.settings import SettingsWrong, load
from core.money import Credits, parse_usd
from payments.offer import Offer, Pack, parse_offer


def offer(**settings: str) -> Offer:
    named = {f"CREDITBOT_{name.upper()}": value for name, value in settings.items()}
    return load(named, env_file=Path("/nonexistent")).sales.offer


def wrong(**settings: str) -> dict[str, str]:
    with pytest.raises(SettingsWrong) as refused:
        offer(**settings)
    return {name.removeprefix("CREDITBOT_"): what for name, what in refused.value.problems.items()}


def test_unless_set_it_is_the_briefs() -> None:
    assert offer() == Offer()
    given = [
        offer().compute_entitlement(parse_usd(cash)).total.units
        for cash in ("10", "90", "800", "1", "100")
    ]
    assert given == [1_000, 10_000, 100_000, 100, 11_000]
    assert offer().inviter_percent == 10


def test_all_of_it_can_be_set() -> None:
    set_ = offer(
        packs=" Small : 5:500, Big:40:5000 ",
        bonus_from="50",
        bonus_percent="20",
        topup_least="2.50",
        topup_most="500",
        referral_percent="0",
    )
    assert set_ == Offer(
        packs=(
            Pack("Small", parse_usd("5"), Credits(500)),
            Pack("Big", parse_usd("40"), Credits(5_000)),
        ),
        bonus_from=parse_usd("50"),
        bonus_percent=20,
        min_amount=parse_usd("2.5"),
        max_amount=parse_usd("500"),
        inviter_percent=0,
    )
    assert offer(packs="None").packs == ()


def test_an_order_keeps_what_it_needs_of_it() -> None:
    made = offer(packs="Small:5:500", bonus_percent="20", referral_percent="7")
    kept = parse_offer(made.to_json())
    for cash in ("5", "4.99", "99.99", "100", "317.50"):
        assert kept.compute_entitlement(parse_usd(cash)) == made.compute_entitlement(
            parse_usd(cash)
        )
    assert kept.inviter_percent == 7


@pytest.mark.parametrize(
    ("packs", "why"),
    [
        ("Starter", "is not like Starter:10:1000"),
        ("Starter:10:1000,", "is not like Starter:10:1000"),
        ("Starter:ten:1000", "no amount of dollars"),
        ("Starter:0:1000", "no amount of dollars"),
        ("Starter:10.001:1000", "no amount of dollars"),
        ("Starter:-10:1000", "no amount of dollars"),
        ("Starter:10:1000.5", "is not like"),
        ("Starter:10:999", "with 999 Credits, but $10.00 buys 1,000 without a pack"),
        ("Big:200:20000", "with 20,000 Credits, but $200.00 buys 22,000 without a pack"),
        ("Starter:10:2001", "more than twice"),
        ("Starter:10:1000,starter:20:2000", "names a pack twice"),
        ("Starter:10:1000,Other:10:1100", "has two packs of one price"),
        ("Huge:20000:2200000", "not between"),
        ("Tiny:0.50:50", "not between"),
    ],
)
def test_packs_that_can_not_be_sold(packs: str, why: str) -> None:
    assert why in wrong(packs=packs)["PACKS"]


def test_everything_wrong_is_told_at_once() -> None:
    told = wrong(
        packs="Starter",
        topup_least="x",
        bonus_percent="51",
        referral_percent="-1",
        bonus_from="0",
        stripe_secret_key="sk_test_1",
    )
    assert {
        *("PACKS", "TOPUP_LEAST", "BONUS_PERCENT", "REFERRAL_PERCENT", "BONUS_FROM"),
        *("STRIPE_WEBHOOK_SECRET", "PUBLIC_URL"),
    } <= set(told)
    assert set(wrong(topup_least="20", topup_most="10")) == {"TOPUP_LEAST", "PACKS"}


def test_packs_as_they_are_written() -> None:
    (pack,) = read_packs("Näve 包:9.99:999")
    assert pack == Pack("Näve 包", parse_usd("9.99"), Credits(999))
