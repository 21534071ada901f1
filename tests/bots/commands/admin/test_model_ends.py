"""A model that ends while the service runs: who chose it is served by its successor at the price of
that, and operators were told once, a month ahead."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date

import pytest

from bots.chat.i18n import render
from bots.chat.types import Answer
from bots.commands.admin.model_ends import check_coming_ends
from core.money import Credits, MicroCredits
from core.pricing.catalogue import Catalogue, Route
from core.pricing.costs import Costs
from tests.bots.commands.admin.setprice_support import LONG
from tests.bots.commands.admin.suppliers_support import told
from tests.bots.commands.commands_support import button, text_of
from tests.peers.suppliers import FakeSupplier
from tests.support import brief, service
from tests.support.databases import TestClock
from tests.support.service import Service

#: The clock's first day is 1 March 2026.
ENDS = date(2026, 4, 10)
NEW_ROUTE = Route("openai", "gpt-5")
GPT_5 = replace(brief.GPT_4, id="gpt-5", name="GPT-5", aliases=(), routes=(NEW_ROUTE,))
GPT_4 = replace(brief.GPT_4, ends=ENDS, successor="gpt-5")
COSTS = {brief.OPENAI: brief.flat("0.03"), NEW_ROUTE: brief.flat("0.01")}
#: A thousand tokens in the brief's count.
WHY = "why " * 990
MODELS = (GPT_4, GPT_5, brief.CLAUDE_3)


async def start(url: str, clock: TestClock, supplier: FakeSupplier) -> AsyncIterator[Service]:
    catalogue = Catalogue(MODELS, clock=clock)
    async with service.running(
        url, clock, supplier=supplier, catalogue=catalogue, costs=Costs(COSTS)
    ) as tom:
        rate = MicroCredits(2_000)
        await tom.app.services.pricing.prices.set_price("gpt-5", rate, rate, set_by="admin")
        yield tom


@pytest.fixture
async def supplier() -> AsyncIterator[FakeSupplier]:
    async with FakeSupplier("openai", models=["gpt-4", "gpt-5"], strict=False) as openai:
        yield openai


@pytest.fixture
async def tom(
    database_url: str, clock: TestClock, supplier: FakeSupplier
) -> AsyncIterator[Service]:
    async for tom in start(database_url, clock, supplier):
        yield tom


async def test_whoever_chose_it_is_served_by_its_successor_without_a_restart(
    tom: Service, clock: TestClock
) -> None:
    await tom.screen("/model gpt-4-turbo")
    tom.openai.script(*[LONG] * 3)
    assert "GPT-4 Turbo" in (await tom.answer(WHY)).footer
    assert await tom.spent("gpt-4") == Credits(8)
    clock.advance(days=40)
    answer = await tom.answer(WHY)
    assert "GPT-5" in answer.footer
    assert answer.note == "“GPT-4 Turbo” has been retired; GPT-5 is its successor."
    assert await tom.spent("gpt-5") == Credits(3)
    by_name = await tom.answer(f"/ask gpt4 {WHY}")
    assert by_name.footer.startswith("GPT-5")
    assert by_name.note == "“gpt4” has been retired; GPT-5 is its successor."
    assert [call.body["model"] for call in tom.openai.calls] == ["gpt-4", "gpt-5", "gpt-5"]
    told_of = text_of(await tom.screen("/model gpt4"))
    assert "“gpt4” has been retired; GPT-5 is its successor." in told_of
    # What was paid for it is still told by its name.
    usage = await tom.screen("/usage")
    assert [row[1] for row in usage.table] == ["GPT-4 Turbo", "GPT-5", "GPT-5"]
    admin = tom.someone("1")
    assert "GPT-5: 3 Credits / 1K tokens" in text_of(await admin.screen("/setprice gpt-4 3"))


async def test_where_a_name_leads_is_said_once_a_person_and_name(
    tom: Service, clock: TestClock
) -> None:
    clock.advance(days=40)
    ann = tom.someone("8", "zh-CN")
    tom.openai.script(*[LONG] * 7)
    notes = []
    for who, question in (
        (tom, "/ask gpt-4 why?"),
        (tom, "/ask GPT-4 why?"),
        (tom, "/ask gpt-5 why?"),
        (tom, "/ask gpt4 why?"),
        (tom, "/ask gpt-4-turbo why?"),
        (tom, "why?"),
        (ann, "/ask gpt-4 why?"),
    ):
        clock.advance(seconds=60)
        notes.append((await who.answer(question)).note.partition("\n")[0])
    said = "“{}” has been retired; GPT-5 is its successor."
    there = [said.format("gpt-4"), "", "", "", said.format("gpt-4-turbo"), ""]
    assert notes == [*there, "“gpt-4”已停用，由 GPT-5 接替。"]


async def test_a_cheaper_model_that_is_taken_instead_is_no_successor(
    sqlite_url: str, clock: TestClock
) -> None:
    route = Route("openai", "mini")
    mini = replace(GPT_5, id="mini", name="Mini", routes=(route,))
    catalogue = Catalogue((*MODELS, mini), clock=clock)
    costs = Costs({**COSTS, route: brief.flat("0.01")})
    async with (
        FakeSupplier("openai", models=["gpt-5", "mini"], strict=False) as openai,
        service.running(
            sqlite_url, clock, supplier=openai, catalogue=catalogue, costs=costs
        ) as tom,
    ):
        for model, rate in (("gpt-5", 2_000_000), ("mini", 1_000)):
            rates = MicroCredits(rate), MicroCredits(rate)
            await tom.app.services.pricing.prices.set_price(model, *rates, set_by="admin")
        clock.advance(days=40)
        openai.script(LONG)
        card = await tom.screen(f"/ask gpt-4 {WHY}")
        assert "This needs " in text_of(card)
        answer = (await tom.presses(button(card, "Mini")))[-1]
        assert isinstance(answer, Answer)
        assert answer.footer.startswith("Mini")
        assert answer.note == ""


async def test_operators_are_told_once_a_month_ahead_and_not_again_after_a_restart(
    database_url: str, clock: TestClock, supplier: FakeSupplier
) -> None:
    async for tom in start(database_url, clock, supplier):
        await tom.app.services.repricing.model_ends.announce_ends()
        owner = tom.someone("1")
        assert await told(owner) == []
        clock.advance(days=10)
        for _ in range(2):
            await tom.app.services.repricing.model_ends.announce_ends()
        shown = await told(owner)
        assert [card.title for _, card in shown] == ["⏳ 1 model ends soon"] * len(shown)
        assert len({to for to, _ in shown}) == len(shown) >= 1
        sentence = (
            "GPT-4 Turbo ends on 2026-04-10: its name and whoever chose it lead to GPT-5 from then"
            " on, at the price of that."
        )
        assert shown[0][1].lines == (sentence,)
        assert sentence in text_of(await owner.screen("/suppliers"))
    clock.advance(days=5)
    async for tom in start(database_url, clock, supplier):
        await tom.app.services.repricing.model_ends.announce_ends()
        assert await told(tom.someone("1")) == []


async def test_what_no_key_serves_is_nobodys_concern(
    database_url: str, clock: TestClock, supplier: FakeSupplier
) -> None:
    gone = replace(brief.CLAUDE_3, ends=date(2026, 3, 5))
    catalogue = Catalogue((brief.GPT_4, gone), clock=clock)
    async with service.running(database_url, clock, supplier=supplier, catalogue=catalogue) as tom:
        await tom.app.services.repricing.model_ends.announce_ends()
        assert await told(tom.someone("1")) == []


async def test_several_are_told_at_once(
    sqlite_url: str, clock: TestClock, supplier: FakeSupplier
) -> None:
    ends = date(2026, 3, 20)
    catalogue = Catalogue(
        (replace(GPT_4, ends=ends, successor=""), replace(GPT_5, ends=ends), brief.CLAUDE_3),
        clock=clock,
    )
    costs = Costs(COSTS)
    async with service.running(
        sqlite_url, clock, supplier=supplier, catalogue=catalogue, costs=costs
    ) as tom:
        for _ in range(2):
            await tom.app.services.repricing.model_ends.announce_ends()
        shown = await told(tom.someone("1"))
        assert [card.title for _, card in shown] == ["⏳ 2 models end soon"] * len(shown)
        assert len({to for to, _ in shown}) == len(shown) >= 1
        assert {line.partition(" ends ")[0] for line in shown[0][1].lines} == {
            "GPT-4 Turbo",
            "GPT-5",
        }


def test_the_check_says_what_ends_soon_and_is_red_where_nothing_stands_in(clock: TestClock) -> None:
    route = Route("groq", "gpt-5", ends=date(2026, 3, 20))
    catalogue = Catalogue(
        (
            replace(GPT_4, ends=date(2026, 3, 31)),
            replace(GPT_5, routes=(NEW_ROUTE, route)),
            replace(brief.CLAUDE_3, ends=date(2026, 3, 10)),
        ),
        clock=clock,
    )
    moved = (
        "GPT-4 Turbo ends on 2026-03-31: its name and whoever chose it lead to GPT-5 from then"
        " on, at the price of that."
    )
    found = check_coming_ends(catalogue, {"openai", "groq", "anthropic"})
    lines = [(is_fine, render(line, "en")) for is_fine, line in found]
    assert lines == [
        (False, "Claude 3 ends on 2026-03-10; nothing stands in for it."),
        (True, "GPT-5 ends at Groq on 2026-03-20; others serve it on."),
        (True, moved),
    ]
    assert check_coming_ends(catalogue, {"mistral"}) == []
