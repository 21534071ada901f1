"""What an operator typed wrong is named before the form is; ids that never were are said to be."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from bots.commands.terms import PaymentTerms
from payments.gateways.sandbox import SandboxGateway
from tests.bots.commands.commands_support import button, text_of
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


#: What was typed, and what is said to be wrong in it.
WRONG = (
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
    ("/limit telegram:7 minute five", "“five” isn't a whole number."),
    ("/limit telegram:7 minute", "Say whom, what and how many."),
    (
        "/limit telegram:7 day 9223372036854775808",
        "“9223372036854775808” must be from 0 to 1,000",
    ),
    ("/setprice gpt-4", "A model and a price are needed."),
    ("/setprice gpt-4 5 at", "“at” is no time that is still to come."),
    ("/setprice gpt-4 5 in -2h", "“in -2h” is no time that is still to come."),
    ("/promo add 20% off gpt-4 until yesterday", "“until yesterday” can't be read."),
    ("/promo add 20% off gpt-4 for", "“for” can't be read."),
    ("/promo add 20% off gpt-4 for -5 days", "“-5 days” must be from 1 to 3,650."),
    ("/promo add 1.5% off all", "“1.5% off” must be from 1 to 99."),
    ("/promo add 50 credits code", "“code” can't be read."),
    ("/promo add 50 credits codes -5", "“codes -5” must be from 1 to "),
    ("/promo add 99999999999999 credits code HELLO", "“99999999999999 credits” must be from 1 "),
    ("/grant telegram:7", "Say whom, how many Credits, and why."),
    ("/grant telegram:7 five x", "“five” isn't a whole number."),
    ("/grant telegram:7 －５ x", "“－５” must be from 1 to 100,000,000."),
    ("/grant telegram:7 99999999999999999999 x", "“99999999999999999999” must be from 1 to "),
    ("/grant telegram:7 5", "A grant needs a reason."),
    ("/report yesterday", "“yesterday” isn't a period up to today."),
    ("/report 0d", "“0d” isn't a period up to today."),
    ("/role telegram:7", "Say who, and which role."),
    ("/role telegram:abc admin", "“telegram:abc” is no id like telegram:123."),
    ("/role telegram:7 boss", "“boss” is none of admin, support and none."),
    ("/pause nosuch", "“nosuch” is nothing that can be paused."),
    ("/pause asks topups", "One at a time."),
    ("/pricing auto gpt-4 x", "“x” is neither off nor a percentage from 1 to 50."),
    ("/pricing auto", "A model and a percentage are needed."),
    ("/suppliers five", "“five” is neither absorb nor cost."),
    ("/suppliers absorb gpt-4", "Say which model, and until when."),
    ("/suppliers absorb gpt-4 -5d", "“-5d” is neither a time nor a sum."),
    ("/suppliers cost gpt-4 openai 30", "Two prices are needed, in and out, or three."),
    ("/suppliers cost gpt-4 openai x", "“x” is no price in dollars."),
    ("/suppliers cost gpt-4 openai -5 3", "A cost is above zero and at most $100,000, not -5."),
    ("/tier five", "“five” is none of add, remove and set."),
    ("/tier add Gold", "Say its name, then “topups 10000 in 30 days”"),
    ("/tier add none topups 9 in 3 days 9% off", "A tier can't be called “none”."),
    ("/tier add Gold topups 9 in 3 days", "Say what it brings: “10% off”"),
    ("/tier add Gold topups 9 in 3 days a lot", "A tier can't bring “a lot”."),
    ("/tier add Gold topups 9 in 3 days 200% off", "“200% off” must be from 1 to 99."),
    ("/tier add Gold topups 9 in 999 days 9% off", "“in 999 days” must be from 1 to 366."),
    ("/tier add Gold topups -9 in 3 days 9% off", "“-9” must be from 1 to 1,000,000,000."),
    ("/tier remove", "Say which tier."),
    ("/tier set telegram:7", "Say whose tier, and which."),
    ("/pool add openai", "A supplier and a budget are needed."),
    ("/pool add openai five", "“five” is no amount in dollars."),
    ("/pool add openai -5", "“-5” is not above zero and at most $1,000,000.00."),
    ("/pool budget 0001", "A key and a budget are needed."),
    ("/limit here minute 5", "“here” is for a group: write it there."),
)
#: Ids that never were, and what is read although it is written otherwise.
TOLD = (
    ("/payment", "Write it like this: /payment ord_…"),
    ("/payment ord_x", "No order, receipt or payment is called “ord_x”."),
    ("/refund ord_x", "No order, receipt or payment is called “ord_x”."),
    ("/payouts out_x", "There is no withdrawal “out_x”."),
    ("/unmatched pay_x", "No payment “pay_x” waits here. Nothing was credited."),
    ("/pool pause zzzz", "No key ends in “zzzz”."),
    ("/pool add nosuch 5", "“nosuch” is no supplier here. Nothing was changed."),
    (
        "/suppliers cost gpt-4 groq 3 6",
        "“groq” doesn't serve GPT-4 Turbo. Its suppliers: openai",
    ),
    ("/users nosuch", "I don't know “nosuch”. Nothing was changed."),
    ("/report ７d", "Report · "),
    ("/promo add 20% off for gpt-4", "20 % off GPT-4 Turbo"),
)
AMOUNTS = (
    ("/topup 1,000", "$1,000.00 buys 110,000 Credits."),
    ("/topup 2,500 credits", "$25.00 buys 2,500 Credits."),
    ("/topup 2500积分", "$25.00 buys 2,500 Credits."),
    ("/topup 11000 cr", "$100.00 buys 11,000 Credits."),
    ("/topup many", "“many” isn't an amount in dollars or Credits. Write dollars like this"),
    ("/topup 3 credits", "3 Credits would be $0.03. Amounts are from $1.00 to $10,000.00."),
    ("/topup 9223372036854775808", "Amounts are from $1.00 to $10,000.00, in whole cents."),
    ("/topup -5", "Amounts are from $1.00 to $10,000.00, in whole cents."),
    ("/topup 10.999", "Amounts are from $1.00 to $10,000.00, in whole cents."),
    ("/withdraw five", "“five” isn't a whole number. Write it like this: /withdraw"),
    ("/withdraw 99999999999999999999", "That is more than can be withdrawn now."),
    ("/contribute nosuch", "“nosuch” is no supplier whose keys are taken."),
    ("/usage 7 days", "Statement: 7 days"),
    ("/usage ３０", "Statement: 30 days"),
    ("/topup €20", "“€20” isn't an amount in dollars or Credits."),
    ("/language 中文", "已切换为简体中文。"),
)


async def list_answers(
    someone: Service, cases: tuple[tuple[str, str], ...]
) -> list[tuple[str, str, str]]:
    """What was typed, what should be said, and what is."""
    answers = []
    for typed, wanted in cases:
        someone.clock.advance(seconds=1)
        answers.append((typed, wanted, text_of(await someone.screen(typed)).strip()))
    return answers


async def test_what_was_wrong_comes_before_the_form(owner: Service) -> None:
    for typed, wrong, told in await list_answers(owner, WRONG):
        assert told.startswith(wrong), (typed, told)
        assert "Write it like this: " in told, (typed, told)


async def test_an_id_that_never_was_is_said_to_be_none(owner: Service) -> None:
    for typed, wanted, told in await list_answers(owner, TOLD):
        assert wanted in told, (typed, told)


async def test_dollars_and_credits_are_both_read(owner: Service) -> None:
    for typed, wanted, told in await list_answers(owner.someone("7"), AMOUNTS):
        assert wanted in told, (typed, told)


async def test_what_is_no_sum_to_give_back_is_told(owner: Service) -> None:
    buyer = owner.someone("7")
    await buyer.presses(button(await buyer.screen("/topup 10"), "1,000 Credits"))
    [line] = [line for line in (await owner.screen("/users 7")).lines if line.startswith("ord_")]
    order, told = line.split(" · ", 1)
    assert told == "not paid yet · 0 Credits"
    for amount in ("five", "-5", "1.234"):
        told = text_of(await owner.screen(f"/refund {order} {amount}")).strip()
        assert told.startswith(f"“{amount}” is no amount in dollars. Write it like this"), told
    told = text_of(await owner.screen(f"/refund {order} 99999999999"))
    assert "Only $0.00 of that order can be given back." in told
