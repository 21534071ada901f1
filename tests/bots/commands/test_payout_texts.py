"""Whoever withdraws reads sentences where gateways have codes."""

from __future__ import annotations

import pytest

from bots.chat.i18n import render
from bots.commands.payout_texts import compose_payout_notification
from core.earnings.payouts import PAYOUT_CHANGED
from core.jobs.notifications import Notification


def told(reason: str, language: str = "en") -> str:
    facts: dict[str, str | int] = {"what": "returned", "reason": reason, "payout": "out_1"}
    facts |= {"credits": 1_000, "cash": 9_000_000_000}
    title, lines = compose_payout_notification(
        Notification("ntf_1", "usr_1", PAYOUT_CHANGED, facts)
    )
    return "\n".join(render(one, language) for one in (title, *lines))


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("RECEIVER_UNREGISTERED", "Nobody took it at that address in time"),
        ("RETURNED", "Nobody took it at that address in time"),
        ("RECEIVER_ACCOUNT_LOCKED", "can't take money now"),
        ("VALIDATION_ERROR receiver", "isn't accepted there"),
        ("owes", "which are repaid first"),
    ],
)
@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_a_code_that_is_known_is_a_sentence(reason: str, said: str, language: str) -> None:
    text = told(reason, language)
    assert reason not in text
    assert (said in text) == (language == "en")
    assert "out_1" in text


@pytest.mark.parametrize("reason", ["SOMETHING_NEW", "destination-invalid", "AMOUNT"])
def test_one_that_is_not_known_stands_in_a_sentence(reason: str) -> None:
    assert f"The payment service didn't deliver it ({reason})." in told(reason)


def test_what_an_operator_wrote_stays_as_it_is() -> None:
    assert "Reason: Wrong bank, please ask again" in told("Wrong bank, please ask again")
    assert "Reason" not in told("")
