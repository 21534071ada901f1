"""What suppliers change, from chat by buttons, in the brief's world (§ 3, Readings 7)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from bots.chat.types import Answer, Card
from core.money import Credits, MicroCredits
from core.repricing.supplier_changes import AlreadyDecided
from tests.bots.commands.admin.setprice_support import LONG, QUESTION, acts, rate
from tests.bots.commands.admin.suppliers_support import states, told
from tests.bots.commands.commands_support import button, text_of
from tests.support import brief, service
from tests.support.databases import TestClock
from tests.support.service import Service


@pytest.fixture
async def owner(database_url: str, clock: TestClock) -> AsyncIterator[Service]:
    async with service.running(database_url, clock) as tom:
        await tom.person()
        clock.advance(seconds=1)
        yield tom.someone("1")


async def raised(owner: Service, dollars_per_1k: str = "0.05", *, used: int = 0) -> Card:
    """The supplier takes another price for GPT-4; the card that asks what to do."""
    tom = owner.someone("7")
    if used:
        owner.openai.script(*[LONG] * used)
    for _ in range(used):
        owner.clock.advance(seconds=10)  # type: ignore[attr-defined]
        await tom.answer(QUESTION)
    owner.clock.advance(seconds=400)  # type: ignore[attr-defined]
    desk = owner.app.services.repricing
    await desk.cost_overrides.set_override(
        brief.OPENAI, brief.flat(dollars_per_1k), actor="operator"
    )
    await desk.cost_watch.check_price_lists()
    listed = await owner.screen("/suppliers")
    assert "1 change waits for you" in text_of(listed)
    card = (await owner.presses(button(listed, "OpenAI: GPT-4 Turbo")))[-1]
    assert isinstance(card, Card)
    return card


# --- the brief's three scenarios ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "price", "percent", "charge"),
    [("Pass on", 8_000, "+60 %", 12), ("Share", 6_000, "+20 %", 9), ("Absorb", 5_000, "0 %", 8)],
)
async def test_the_briefs_supplier_raises_its_price(
    owner: Service, clock: TestClock, choice: str, price: int, percent: str, charge: int
) -> None:
    """Before 66 %; then 8 → 60 %, 6 → 20 %, 5 → 0 %, by the real mix; who is asking meanwhile pays
    the quoted price."""
    card = await raised(owner, used=2)
    words = text_of(card)
    assert card.title == "OpenAI: GPT-4 Turbo costs more"
    assert "in $30 → $50, cached $30 → $50, out $30 → $50" in words
    assert "sold at 5 Credits / 1K tokens. Profit on cost: +66 % before, 0 % now." in words
    assert "By the real mix of the last 30 days: 2 answers." in words
    labels = [one.label for row in card.buttons for one in row]
    assert labels == [
        "Pass on: 8 Credits / 1K tokens (+60 %)",
        "Share: 6 Credits / 1K tokens (+20 %)",
        "Absorb: stay at 5 Credits / 1K tokens (0 %)",
    ]
    assert f"({percent})" in next(label for label in labels if choice in label)
    assert rate(owner) == 5_000, "nothing reaches users until one is chosen"

    tom = owner.someone("7")
    owner.openai.script(LONG, LONG)
    asked = owner.app.chat.dispatcher.handle_message(tom.incoming(QUESTION))
    shown = [await anext(asked)]
    clock.advance(seconds=1)
    done = (await owner.presses(button(card, choice)))[-1]
    if choice == "Absorb":
        done = (await owner.presses(button(done, "7 days")))[-1]  # type: ignore[arg-type]
        assert "absorbed until Mar 8" in text_of(done)
    else:
        assert f"real mix of the last 30 days (2 answers): {percent}" in text_of(done)
    assert rate(owner) == price
    shown += [output async for output in asked]
    assert isinstance(shown[-1], Answer)
    assert "8 Credits" in shown[-1].footer, "as quoted"
    assert f"{charge} Credits" in (await tom.answer(QUESTION)).footer

    assert "No change waits for you." in text_of(await owner.screen("/suppliers"))
    assert "supplier change" in (await acts(owner))[-1][0]
    assert [one for one in await told(owner) if one[0] == "7"] == [], "users are told nothing"


async def test_owners_are_told_with_the_answers_as_buttons(owner: Service) -> None:
    await raised(owner)
    shown = await told(owner)
    assert [person for person, _ in shown] == ["1"]
    card = shown[0][1]
    assert card.title == "OpenAI: GPT-4 Turbo costs more"
    assert "By the usual mix" in text_of(card)
    await owner.presses(button(card, "Share"))
    assert rate(owner) == 6_000


async def test_who_uses_it_is_told_a_new_price_and_never_why(
    owner: Service, clock: TestClock
) -> None:
    card = await raised(owner, used=1)
    clock.advance(seconds=1)
    done = (await owner.presses(button(card, "Pass on")))[-1]
    assert isinstance(done, Card)
    tell = button(done, "Tell those who use it")
    assert "1 people who use GPT-4 Turbo are told." in text_of(*await owner.presses(tell))
    await owner.presses(tell)
    heard = [screen for person, screen in await told(owner) if person == "7"]
    assert len(heard) == 1
    assert heard[0].title == "GPT-4 Turbo has a new price"
    words = text_of(heard[0])
    assert "8 Credits / 1K tokens (before: 5 Credits / 1K tokens)" in words
    assert "$" not in words
    assert "supplier" not in words.lower()


async def test_a_choice_is_undone(owner: Service, clock: TestClock) -> None:
    card = await raised(owner)
    clock.advance(seconds=1)
    done = (await owner.presses(button(card, "Pass on")))[-1]
    clock.advance(seconds=1)
    assert isinstance(done, Card)
    await owner.presses(button(done, "Undo"))
    assert rate(owner) == 5_000


# --- what is absorbed ---------------------------------------------------------------------------


async def test_absorbed_until_a_day_and_then_raised_again(owner: Service, clock: TestClock) -> None:
    card = await raised(owner)
    absorb = (await owner.presses(button(card, "Absorb")))[-1]
    assert isinstance(absorb, Card)
    await owner.presses(button(absorb, "7 days"))
    assert "absorbed until Mar 8 12:06" in text_of(await owner.screen("/suppliers"))
    await owner.app.services.repricing.cost_watch.check_absorbed_changes()
    assert await states(owner) == ["absorbed"]
    clock.advance(days=7)
    await owner.app.services.repricing.cost_watch.check_absorbed_changes()
    await owner.app.services.repricing.cost_watch.check_absorbed_changes()
    assert await states(owner) == ["gone", "open"]
    shown = await told(owner)
    assert "the time is up, or the cap reached" in text_of(shown[-1][1])
    assert "Pass on: 8 Credits" in text_of(shown[-1][1])


async def test_absorbed_up_to_a_loss_and_then_raised_again(
    owner: Service, clock: TestClock
) -> None:
    """Each answer costs $0.03 more than before: $0.05 are lost after two."""
    await raised(owner)
    assert "until $0.05 are lost; $0.00 so far" in text_of(
        await owner.screen("/suppliers absorb gpt-4 $0.05")
    )
    tom = owner.someone("7")
    owner.openai.script(LONG, LONG)
    for state, lost in (("absorbed", "$0.03 so far"), ("gone", "")):
        clock.advance(seconds=10)
        await tom.answer(QUESTION)
        clock.advance(seconds=120)
        await owner.app.services.repricing.cost_watch.check_absorbed_changes()
        assert (await states(owner))[0] == state
        assert lost in text_of(await owner.screen("/suppliers"))
    assert await states(owner) == ["gone", "open"]


async def test_how_long_is_asked_in_words_that_are_understood(owner: Service) -> None:
    await raised(owner)
    for wrong in ("absorb gpt-4", "absorb gpt-4 soon", "absorb gpt-4 0d", "absorb gpt-4 $0", "x"):
        assert "Nothing was changed" in text_of(await owner.screen(f"/suppliers {wrong}")), wrong
    past = text_of(await owner.screen("/suppliers absorb gpt-4 2026-02-01"))
    assert "Nothing was changed" in past
    assert "No change of Claude 3 waits" in text_of(
        await owner.screen("/suppliers absorb claude-3 7d")
    )
    assert "absorbed until Apr 1 00:00" in text_of(
        await owner.screen("/suppliers absorb gpt-4 2026-03-31")
    )


async def test_a_further_rise_of_an_absorbed_one_is_measured_from_its_beginning(
    owner: Service, clock: TestClock
) -> None:
    await raised(owner)
    await owner.screen("/suppliers absorb gpt-4 30d")
    clock.advance(seconds=10)
    card = await raised(owner, "0.06")
    assert "in $30 → $60" in text_of(card)
    assert "Pass on: 10 Credits" in text_of(card)
    assert await states(owner) == ["gone", "open"]


# --- how changes are found ----------------------------------------------------------------------


async def test_a_further_change_moves_one_that_waits(owner: Service, clock: TestClock) -> None:
    first = await raised(owner)
    clock.advance(seconds=10)
    await raised(owner, "0.04")
    assert await states(owner) == ["open"]
    told_now = text_of(*await owner.presses(button(first, "Pass on: 8")))
    assert "This has changed meanwhile; nothing was done." in told_now
    assert rate(owner) == 5_000
    clock.advance(seconds=10)
    desk = owner.app.services.repricing
    await desk.cost_overrides.set_override(brief.OPENAI, None, actor="operator")
    await desk.cost_watch.check_price_lists()
    assert await states(owner) == ["gone"], "the supplier took it back"
    assert "decided already" in text_of(*await owner.presses(button(first, "Share")))


async def test_a_fall_is_passed_on_shared_or_kept(owner: Service, clock: TestClock) -> None:
    card = await raised(owner, "0.015")
    assert [one.label for row in card.buttons for one in row] == [
        "Pass on: 3 Credits / 1K tokens (+100 %)",
        "Share: 4 Credits / 1K tokens (+166 %)",
        "Keep: stay at 5 Credits / 1K tokens (+233 %)",
    ]
    kept = text_of(*await owner.presses(button(card, "Keep")))
    assert "GPT-4 Turbo stays at its price." in kept
    assert await states(owner) == ["kept"]
    clock.advance(days=400)
    await owner.app.services.repricing.cost_watch.check_absorbed_changes()
    assert await states(owner) == ["kept"]


async def test_a_new_list_is_seen_at_start(
    database_url: str, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with service.running(database_url, clock):
        clock.advance(seconds=1)
    given = brief.costs()
    given.set_overrides({brief.OPENAI: brief.flat("0.01")})
    given._fixed_periods |= given._overrides
    monkeypatch.setattr(brief, "costs", lambda: given)
    async with service.running(database_url, clock) as tom:
        clock.advance(seconds=1)
        listed = text_of(await tom.someone("1").screen("/suppliers"))
        assert "OpenAI: GPT-4 Turbo costs less" in listed


async def test_a_supplier_without_a_key_is_only_remembered(owner: Service) -> None:
    desk = owner.app.services.repricing
    await desk.cost_overrides.set_override(brief.ANTHROPIC, brief.flat("0.05"), actor="operator")
    await desk.cost_watch.check_price_lists()
    assert "No change waits for you." in text_of(await owner.screen("/suppliers"))
    assert await states(owner) == []


async def test_bills_that_drift_from_the_list(
    owner: Service, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls come to a half more than the list's first line."""
    costs = owner.app.services.pricing.costs
    cost = type(costs).calculate_call_cost
    half_more = lambda self, *given: cost(self, *given).share_up(3, 2)  # noqa: E731
    monkeypatch.setattr(type(costs), "calculate_call_cost", half_more)
    tom = owner.someone("7")
    owner.openai.script(*[LONG] * 20)
    for number in range(20):
        clock.advance(seconds=10)
        await tom.answer(QUESTION)
        if number == 18:
            await owner.app.services.repricing.cost_watch.compare_bills()
            assert await states(owner) == [], "too few to tell"
    clock.advance(seconds=400)
    await owner.app.services.repricing.cost_watch.compare_bills()
    await owner.app.services.repricing.cost_watch.compare_bills()
    assert await states(owner) == ["open"]
    listed = await owner.screen("/suppliers")
    card = text_of(*await owner.presses(button(listed, "OpenAI: GPT-4 Turbo costs more")))
    assert "Calls used to cost 100 % of the list price; now they cost 150 %." in card
    assert "Profit on cost: +66 % before, +11 % now." in card
    assert "+11 %" in text_of(await owner.screen("/pricing gpt-4"))


# --- who may ------------------------------------------------------------------------------------


async def test_nobody_else_decides(owner: Service) -> None:
    card = await raised(owner)
    tom = owner.someone("7")
    assert "operator only" in text_of(await tom.screen("/suppliers"))
    pass_on = button(card, "Pass on")
    for stranger in (tom, owner.someone("8")):
        assert "somebody else" in text_of(*await stranger.presses(pass_on))
    await owner.presses("btn_00000000000000000000000000")
    owner.app.services.users.roles._configured = {}
    assert "somebody else" in text_of(*await owner.presses(pass_on))
    assert rate(owner) == 5_000
    assert await states(owner) == ["open"]


async def test_of_two_who_decide_at_once_one_does(owner: Service) -> None:
    await raised(owner)
    changes = owner.app.services.repricing.supplier_changes
    (change,) = await changes.list_waiting()
    offer = await changes.get_options(change)
    assert offer is not None
    passed, shared = offer.responses.passed_on, offer.responses.shared
    assert passed is not None
    assert shared is not None
    outcomes = await asyncio.gather(
        changes.decide_change(change, "passed", passed, actor="usr_a", act="pass on"),
        changes.decide_change(change, "shared", shared, actor="usr_b", act="share"),
        changes.absorb_change(change, actor="usr_c"),
        return_exceptions=True,
    )
    assert sum(isinstance(one, AlreadyDecided) for one in outcomes) == 2
    assert len(await states(owner)) == 1
    assert len(await acts(owner)) == 2, "what was said of the cost, and one decision"


async def test_a_replayed_button_does_nothing(owner: Service, clock: TestClock) -> None:
    card = await raised(owner)
    clock.advance(seconds=1)
    await owner.presses(button(card, "Pass on"))
    for again in ("Pass on", "Share", "Absorb"):
        assert "decided already" in text_of(*await owner.presses(button(card, again)))
    assert rate(owner) == 8_000
    history = owner.app.services.pricing.prices.list_history("gpt-4")
    assert [one.input_rate for one in history][-2:] == [MicroCredits(5_000), MicroCredits(8_000)]
    assert await owner.someone("7").credits() == Credits(1_000)
