"""An inviter's share, as plain figures and as entries."""

from __future__ import annotations

import pytest

from core import chart
from core.ledger.ledger import Ledger
from core.ledger.types import Cascade, Move, Submission
from core.money import Credits
from core.users.referrals import adjust_referral_bonus, calculate_inviter_share


@pytest.mark.parametrize(
    ("credits", "percent", "share"),
    [(10_000, 10, 1_000), (11_000, 10, 1_100), (109, 10, 10), (9, 10, 0), (100, 0, 0)],
)
def test_a_share_is_rounded_down(credits: int, percent: int, share: int) -> None:  # noqa: A002
    assert calculate_inviter_share(Credits(credits), percent) == Credits(share)


def test_only_the_difference_moves() -> None:
    given, _ = adjust_referral_bonus("ann", old_share=Credits(300), new_share=Credits(1_000))
    assert given == Move(
        "referral", chart.issued("referral"), chart.pocket("ann", "gift"), Credits(700)
    )
    back, _ = adjust_referral_bonus("ann", old_share=Credits(1_000), new_share=Credits(300))
    assert isinstance(back, Cascade)
    assert back.amount == Credits(700)
    assert back.debits == (chart.pocket("ann", "gift"), chart.owed("ann"))
    assert adjust_referral_bonus("ann", old_share=Credits(5), new_share=Credits(5)) == ()


async def test_what_an_inviter_owes_is_repaid_by_their_share_first(ledger: Ledger) -> None:
    owing = Move("owing", chart.owed("ann"), chart.issued("contribution"), Credits(30))
    await ledger.submit(Submission("claw-back", (owing,)))
    entries = adjust_referral_bonus("ann", old_share=Credits(0), new_share=Credits(50))
    await ledger.submit(Submission("payment", entries))
    accounts = [chart.pocket("ann", "gift"), chart.owed("ann")]
    gift, owed = (balance.posted for balance in (await ledger.read_balances(accounts)).values())
    assert (gift, owed) == (20, 0)
