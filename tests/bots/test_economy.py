"""What the economy check reckons with, read from settings and history, and what /report says."""

from __future__ import annotations

from dataclasses import replace

from pydantic import SecretStr

from bots.chat.i18n import render
from bots.commands.admin.economy_texts import describe_economy, list_economy_lines
from core.admin.abuse_check import EconomySettings, PriceReductions
from core.earnings.types import SAFE_POLICY
from core.money import Credits, parse_usd
from core.pricing.deals import FLOOR_PERCENT
from payments.gateways.sandbox import SandboxGateway
from tests.bots.commands.commands_support import button, text_of
from tests.core.earnings.world import BRIEFS
from tests.support import service
from tests.support.databases import TestClock
from tests.support.service import Service


def list_lines(economy: EconomySettings) -> list[str]:
    """What `creditbot check` says."""
    return [render(line, "en") for _, line in list_economy_lines(economy, sums=True)]


def describe(economy: EconomySettings) -> str:
    """What a report says in a sentence."""
    return render(describe_economy(economy), "en")


async def economy_part(owner: Service) -> str:
    """What the button of a report says in full."""
    shown = await owner.screen("/report")
    assert "the button Economy says what" in text_of(shown)
    return text_of(*await owner.presses(button(shown, "Economy")))


async def test_settings_offers_and_history_are_reckoned_with(
    database_url: str, clock: TestClock
) -> None:
    gateways = {"sandbox": SandboxGateway(url="http://127.0.0.1:9", secret=SecretStr("s"))}
    async with service.running(database_url, clock, gateways=gateways, policy=BRIEFS) as tom:
        app, owner = tom.app, tom.someone("1")
        economy = await app.services.read_economy_settings()
        assert [(way.pack, way.bought) for way in economy.channels] == [
            ("Starter", Credits(1_000)),
            ("Pro", Credits(9_000)),
            ("Enterprise", Credits(80_000)),
        ]
        assert (economy.cost_percent, economy.reductions) == (74, None)
        told = await economy_part(owner)
        assert "Cashing out, then having the bank take the payment back: $8.10" in told
        assert "Offers:" not in told
        assert len(list_lines(economy)) == 3, "what loses, what stops it, the sum of selling"
        assert "Withdrawals are paid at once" in describe(economy)
        closed = replace(economy, policy=replace(economy.policy, suppliers=frozenset()))
        assert list_lines(closed) == [
            "Selling: no way loses. 1,000 Credits bring $10.00 at least (sandbox, Starter)."
        ]
        dear = replace(economy.channels[0], cash=parse_usd("8"))
        assert "something loses" in describe(replace(economy, channels=[dear]))
        assert "no farm" in describe(closed)
        safe = replace(economy, policy=replace(SAFE_POLICY, suppliers=economy.policy.suppliers))
        assert [line.partition(":")[0] for line in list_lines(safe)] == [
            "Selling",
            "Farming",
            "That holds as long as you decide payouts as their risk card advises.",
        ]
        await owner.screen("/tier add Gold topups 100 in 30 days 50% off 5% bonus")
        sure = await owner.screen("/promo add 20% off gpt-4 for 3 days")
        await owner.presses(button(sure, "Yes"))
        economy = await app.services.read_economy_settings()
        assert economy.reductions == PriceReductions(60, 5, FLOOR_PERCENT)
        told = await economy_part(owner)
        assert "Offers: 60 % off at most, never below cost + 10 %" in told
        assert "CREDITBOT_OFFER_FLOOR_PERCENT=31" in told
        for _ in range(20):
            await tom.answer("why " * 480)
        clock.advance(days=4)
        economy = await app.services.read_economy_settings()
        assert economy.reductions == PriceReductions(50, 5, FLOOR_PERCENT)
        assert economy.cost_percent == 73, "of what was charged at the lowered price"
        assert economy.channels[0].cash == parse_usd("10")
