"""An owner decides about a payment that fits no order: told once, said in words, done by a second
tap, once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import cast

import pytest

from core.money import NanoUsd, parse_usd
from core.users.types import Person
from payments.types import Payment
from tests.bots.commands.commands_support import text_of
from tests.core.earnings.world import BRIEFS
from tests.payments.gateway_clients import gateway_of
from tests.support import service
from tests.support.databases import TestClock
from tests.support.service import Service


@pytest.fixture
async def owner(database_url: str, clock: TestClock) -> AsyncIterator[Service]:
    sold = {"sandbox": gateway_of("sandbox", "http://127.0.0.1:9")}
    async with service.running(database_url, clock, gateways=sold, policy=BRIEFS) as tom:
        owner = tom.someone("1")
        for sender in ("1", "7"):
            await owner.someone(sender).person()
        yield owner


async def found(owner: Service, id_: str, payer: str = "console:7") -> None:
    payment = Payment(
        "sandbox",
        id_,
        "ord_of_another",
        parse_usd("10"),
        NanoUsd(0),
        payer=payer,
        at_ms=owner.clock.now_ms(),
    )
    await owner.app.services.payments.unmatched.take(None, payment)


async def test_two_taps_credit_it_once(owner: Service) -> None:
    ann = cast("Person", await owner.someone("7").person())
    platform = owner.place.platform
    await found(owner, "pay_1", payer=f"{platform}:7")
    listed = await owner.screen("/unmatched")
    assert "$10.00 at sandbox" in text_of(listed)
    balances = owner.app.services.users.balances
    before = (await balances.for_user(ann.id)).available
    (sure,) = await owner.presses(listed.buttons[0][0].id)
    assert "1,000 Credits" in text_of(sure)
    assert (await balances.for_user(ann.id)).available == before
    yes = sure.buttons[0][0].id
    assert "Given: 1,000 Credits" in text_of(*await owner.presses(yes))
    await owner.presses(yes)
    again = await owner.presses(listed.buttons[0][0].id)
    assert "decided already" in text_of(*again)
    after = (await balances.for_user(ann.id)).available
    assert after.units - before.units == 1_000
    assert "Every payment fits" in text_of(await owner.screen("/unmatched"))


async def test_who_paid_is_named_by_the_owner(owner: Service) -> None:
    ann, platform = cast("Person", await owner.someone("7").person()), owner.place.platform
    await found(owner, "pay_3", payer="")
    assert "/unmatched pay_3 telegram:123" in text_of(await owner.screen("/unmatched"))
    for wrong in ("pay_3", "pay_3 console:99", f"pay_4 {platform}:7"):
        refused = await owner.screen(f"/unmatched {wrong}")
        assert [button.label for row in refused.buttons for button in row] != ["Yes"]
    balances = owner.app.services.users.balances
    before = (await balances.for_user(ann.id)).available
    sure = await owner.screen(f"/unmatched pay_3 {platform}:7")
    assert f"Give 1,000 Credits to {platform}:7" in text_of(sure)
    assert (await balances.for_user(ann.id)).available == before
    yes = sure.buttons[0][0].id
    assert "Given: 1,000 Credits" in text_of(*await owner.presses(yes))
    await owner.presses(yes)
    assert (await balances.for_user(ann.id)).available.units - before.units == 1_000
    assert "Every payment fits" in text_of(await owner.screen("/unmatched"))


async def test_whoever_did_not_pay_by_name_is_set_aside(owner: Service) -> None:
    await found(owner, "pay_2", payer="")
    listed = await owner.screen("/unmatched")
    assert [button.label for button in listed.buttons[0]] == ["Set aside"]
    assert "Nothing was given" in text_of(*await owner.presses(listed.buttons[0][0].id))
    assert "Every payment fits" in text_of(await owner.screen("/unmatched"))
