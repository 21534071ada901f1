"""What an operator typed wrong is named before the form is; ids that never were are said to be."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from bots.commands.terms import PaymentTerms
from payments.gateways.sandbox import SandboxGateway
from tests.bots.commands.commands_support import text_of
from tests.core.earnings.world import BRIEFS
from tests.support import service
from tests.support.databases import TestClock
from tests.support.service import Service


@pytest.fixture
async def owner(sqlite_url: str, clock: TestClock) -> AsyncIterator[Service]:
    gateways = {"sandbox": SandboxGateway(url="http://127.0.0.1:9", secret=SecretStr("s"))}
    terms = PaymentTerms(telegram_outside=True)
    async with service.running(
        sqlite_url, clock, gateways=gateways, policy=BRIEFS, terms=terms
    ) as tom:
        await tom.person()
        yield tom.someone("1")


@pytest.mark.parametrize(
    ("typed", "wrong"),
    [
        ("/setprice gpt-4 abc", "“abc” is no price."),
        ("/setprice gpt-4 -5", "A price is above zero, not -5."),
        ("/setprice gpt-4 0", "A price is above zero, not 0."),
        ("/setprice gpt-4 5.123456789", "5.123456789 has too many digits, or is too high."),
        ("/setprice gpt-4 5 at 25:00", "“at 25:00” is no time that is still to come."),
        ("/setprice", "A model and a price are needed."),
        ("/promo add gpt-4", "What does it bring?"),
        ("/promo add 200% off all", "“200% off” must be from 1 to 99."),
        ("/promo add 5% off 5% off", "“5% off” is one too many of its kind."),
        ("/promo add 5% off total 0", "“total 0” must be from 1 to "),
        ("/promo add 5% off until 2026-02-30", "There is no 2026-02-30."),
        ("/promo add 15% bonus gpt-4", "Only “% off” can be for single models."),
        ("/promo add 50 credits", "Credits are given by a code"),
        ("/promo add 50 credits code a!b?", "“A!B?” can't be a code"),
        ("/promo add $10", "Dollars are for codes that you sell"),
        ("/limit telegram:7 hour 5", "“hour” is none of minute, once and day."),
        ("/limit telegram:7 minute five", "“five” is no number of asks or Credits."),
        ("/limit here minute 5", "“here” is for a group: write it there."),
    ],
)
async def test_what_was_wrong_comes_before_the_form(owner: Service, typed: str, wrong: str) -> None:
    told = text_of(await owner.screen(typed)).strip()
    assert told.startswith(wrong), told
    assert "Write it like this: " in told


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("/payment", "Write it like this: /payment ord_…"),
        ("/payment ord_x", "No order, receipt or payment is called “ord_x”."),
        ("/refund ord_x", "No order, receipt or payment is called “ord_x”."),
        ("/payouts out_x", "There is no withdrawal “out_x”."),
    ],
)
async def test_an_id_that_never_was_is_said_to_be_none(
    owner: Service, typed: str, told: str
) -> None:
    assert told in text_of(await owner.screen(typed))


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("/topup 1,000", "$1,000.00 buys 110,000 Credits."),
        ("/topup 2,500 credits", "$25.00 buys 2,500 Credits."),
        ("/topup 2500积分", "$25.00 buys 2,500 Credits."),
        ("/topup 11000 cr", "$100.00 buys 11,000 Credits."),
        ("/topup many", "“many” isn't an amount in dollars or Credits. Write dollars like this"),
        ("/topup €20", "“€20” isn't an amount in dollars or Credits."),
    ],
)
async def test_dollars_and_credits_are_both_read(owner: Service, typed: str, told: str) -> None:
    telegram = owner.someone("7")
    assert told in text_of(await telegram.screen(typed))
