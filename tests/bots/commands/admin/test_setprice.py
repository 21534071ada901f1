"""Prices from chat: from a time on, taken back, on the real mix, and what the formula suggests."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator

import pytest

from bots.chat.types import Answer
from core.money import Credits, MicroCredits
from tests.bots.commands.admin.setprice_support import LONG, QUESTION, acts, rate
from tests.bots.commands.commands_support import button, text_of
from tests.support import service
from tests.support.databases import TestClock
from tests.support.service import Service


@pytest.fixture
async def owner(database_url: str, clock: TestClock) -> AsyncIterator[Service]:
    async with service.running(database_url, clock) as tom:
        await tom.person()
        clock.advance(seconds=1)
        yield tom.someone("1")


async def test_a_price_from_a_time_on(owner: Service, clock: TestClock) -> None:
    told = text_of(await owner.screen("/setprice gpt-4 6 7 in 2h"))
    assert "GPT-4 Turbo: 6 in · 7 out, Credits / 1K tokens from Mar 1 14:00 on" in told
    assert "until then: 5 Credits" in told
    tom = owner.someone("7")
    owner.openai.script(LONG, LONG)
    assert "8 Credits" in (await tom.answer(QUESTION)).footer
    clock.advance(seconds=7_201)
    assert "10 Credits" in (await tom.answer(QUESTION)).footer
    assert [act for act, _ in await acts(owner)] == ["setprice"]


@pytest.mark.parametrize(
    ("typed", "at"),
    [
        ("at 18:30", "Mar 1 18:30"),
        ("11:00", "Mar 2 11:00"),
        ("from 2026-04-01", "Apr 1 00:00"),
        ("2026-04-01 9:05", "Apr 1 09:05"),
        ("in 30m", "Mar 1 12:30"),
    ],
)
async def test_times_as_people_type_them(owner: Service, typed: str, at: str) -> None:
    assert f"from {at} on" in text_of(await owner.screen(f"/setprice gpt-4 6 {typed}"))


async def test_times_are_the_readers_own(owner: Service) -> None:
    chinese = owner.someone("1", "zh-CN")
    person = await owner.app.services.users.users.get_or_create("telegram", "1", language="zh-CN")
    await owner.app.services.users.users.update_settings(person, zone="Asia/Shanghai")
    await chinese.screen("/setprice gpt-4 6 at 21:00")
    coming = owner.app.services.pricing.prices.find_upcoming("gpt-4")
    assert coming is not None
    assert coming.effective_at == owner.clock.now_ms() // 3_600_000 * 3_600_000 + 3_600_000


async def test_what_is_no_price_or_no_time_changes_nothing(owner: Service) -> None:
    for wrong in (
        "gpt-4 6 at 25:00",
        "gpt-4 6 2026-02-28",
        "gpt-4 6 in 400d",
        "gpt-4 6/min",
        "gpt-4 6 7 8 9 at 18:30",
        "whisper 1 2",
        "whisper 0.0000001/s",
        "at 18:30",
        "gpt-4 5 undo",
    ):
        told = text_of(await owner.screen(f"/setprice {wrong}"))
        assert "Nothing was changed" in told or "There is no model" in told, wrong
    assert rate(owner) == 5_000
    assert await acts(owner) == []


async def test_audio_by_the_second(owner: Service) -> None:
    told = text_of(await owner.screen("/setprice whisper 0.04/s"))
    assert "Whisper: 2.4 Credits / minute" in told
    assert "\nProfit on cost: " in told, "a minute has no mix"
    assert "mix" not in text_of(await owner.screen("/pricing whisper"))
    await owner.screen("/language zh-CN")
    assert "\n成本利润率：" in text_of(await owner.screen("/pricing whisper"))
    assert rate(owner, "whisper-1") == 40_000


async def test_undo_by_button_and_by_word(owner: Service, clock: TestClock) -> None:
    changed = await owner.screen("/setprice gpt-4 6")
    clock.advance(seconds=1)
    back = text_of(*await owner.presses(button(changed, "Undo")))
    assert "5 Credits / 1K tokens (before: 6 Credits" in back
    assert rate(owner) == 5_000
    clock.advance(seconds=1)
    again = text_of(await owner.screen("/setprice gpt-4 undo"))
    assert "6 Credits / 1K tokens (before: 5 Credits" in again
    assert [act for act, _ in await acts(owner)] == ["setprice", "undo price", "undo price"]


async def test_a_coming_price_is_undone_before_it_comes(owner: Service, clock: TestClock) -> None:
    coming = await owner.screen("/setprice gpt-4 7 in 1h")
    clock.advance(seconds=1)
    back = text_of(*await owner.presses(button(coming, "Undo")))
    assert "5 Credits / 1K tokens" in back
    clock.advance(seconds=3_700)
    assert rate(owner) == 5_000


async def test_only_the_last_word_is_undone(owner: Service, clock: TestClock) -> None:
    first = await owner.screen("/setprice gpt-4 6")
    clock.advance(seconds=1)
    await owner.screen("/setprice gpt-4 7")
    told = text_of(*await owner.presses(button(first, "Undo")))
    assert "can't be taken back" in told
    assert rate(owner) == 7_000
    told = text_of(await owner.screen("/setprice llama-3 undo"))
    assert "(before: 1 Credit" in told, "the formula's price was before the brief's"
    fresh = owner.app.services.pricing.prices
    assert fresh.find_without(fresh.list_history("llama-3")[0]) is None


async def test_a_price_now_leaves_the_coming_one(owner: Service) -> None:
    await owner.screen("/setprice gpt-4 7 in 1h")
    told = text_of(await owner.screen("/setprice gpt-4 6"))
    assert "Already scheduled: 7 Credits / 1K tokens" in told
    assert "Already scheduled: 7 Credits" in text_of(await owner.screen("/pricing gpt-4"))


async def test_the_margin_on_the_real_mix(owner: Service, clock: TestClock) -> None:
    """Separate prices make the mix count: 1,000 in, 500 out at 2 and 11 are 7.5 Credits."""
    owner.openai.script(LONG)
    await owner.someone("7").answer(QUESTION)
    clock.advance(seconds=301)
    told = text_of(await owner.screen("/setprice gpt-4 4 8"))
    assert "Profit on cost at the usual mix: +77 % (before: +66 %)" in told
    assert "real mix of the last 30 days (1 answer): +77 % (before: +66 %)" in told
    clock.advance(days=31)
    assert "real mix" not in text_of(await owner.screen("/setprice gpt-4 5"))


async def test_a_large_step_shows_its_margin_before_it_is_made(owner: Service) -> None:
    sure = await owner.screen("/setprice gpt-4 12 in 1h")
    assert "+300 % (before: +66 %)" in text_of(sure)
    done = text_of(*await owner.presses(button(sure, "Yes")))
    assert "12 Credits / 1K tokens from Mar 1 13:00 on" in done
    assert rate(owner) == 5_000


async def test_a_quote_before_a_change_is_honoured(owner: Service) -> None:
    """The price moves between quote and settlement: the answer costs what was quoted."""
    tom = owner.someone("7")
    owner.openai.script(LONG)
    asked = owner.app.chat.dispatcher.handle_message(tom.incoming(QUESTION))
    shown = [await anext(asked)]
    await owner.screen("/setprice gpt-4 7")
    shown += [output async for output in asked]
    assert isinstance(shown[-1], Answer)
    assert "8 Credits" in shown[-1].footer


# --- suggestions --------------------------------------------------------------------------------


async def test_the_formula_beside_the_prices(owner: Service) -> None:
    shown = await owner.screen("/pricing")
    assert "4 of 4 prices differ" in text_of(shown)
    assert ("GPT-4 Turbo", "5", "4.2", "+66 %") in shown.table
    assert ("Llama 3", "1", "0.7", "+100 %") in shown.table
    card = text_of(*await owner.presses(button(shown, "GPT-4 Turbo")))
    assert "Now: 5 Credits / 1K tokens, set by hand" in card
    assert "Formula: 4.2 Credits / 1K tokens (cost + 35 %, demand × 1.00)" in card
    assert "Profit on cost at that: +40 %" in card


async def test_one_suggestion_is_taken(owner: Service, clock: TestClock) -> None:
    card = await owner.screen("/pricing gpt-4")
    clock.advance(seconds=1)
    told = text_of(*await owner.presses(button(card, "Set 4.2")))
    assert "4.2 Credits / 1K tokens (before: 5 Credits" in told
    assert rate(owner) == 4_200
    assert "Set 4.2" not in text_of(await owner.screen("/pricing gpt-4"))


async def test_an_overtaken_suggestion_is_shown_again(owner: Service, clock: TestClock) -> None:
    card = await owner.screen("/pricing gpt-4")
    clock.advance(seconds=1)
    await owner.screen("/setprice gpt-4 6")
    told = text_of(*await owner.presses(button(card, "Set 4.2")))
    assert "Now: 6 Credits" in told
    assert rate(owner) == 6_000


async def test_all_suggestions_with_a_preview(owner: Service, clock: TestClock) -> None:
    preview = (await owner.presses(button(await owner.screen("/pricing"), "Preview all (4)")))[-1]
    assert "5 → 4.2" in text_of(preview)
    assert "+66 % → +40 %" in text_of(preview)
    assert rate(owner) == 5_000
    clock.advance(seconds=1)
    await owner.screen("/setprice claude-3 5")
    told = text_of(*await owner.presses(button(preview, "Set these 4 prices")))
    assert "3 prices are set." in told
    assert "1 had changed meanwhile" in told
    assert (rate(owner), rate(owner, "claude-3"), rate(owner, "llama-3")) == (4_200, 5_000, 700)
    counted = Counter(act for act, _ in await acts(owner))
    assert counted == {"setprice": 1, "pricing": 3}
    assert "1 of 4 prices differ" in text_of(await owner.screen("/pricing"))


async def test_prices_set_by_hand_can_be_left(owner: Service, clock: TestClock) -> None:
    gpt_4 = MicroCredits(3_000)
    await owner.app.services.pricing.prices.set_price("gpt-4", gpt_4, gpt_4, set_by="formula")
    shown = await owner.screen("/pricing")
    preview = (await owner.presses(button(shown, "Without those set by hand: 1")))[-1]
    clock.advance(seconds=1)
    await owner.presses(button(preview, "Set this price"))
    assert (rate(owner), rate(owner, "claude-3")) == (4_200, 4_000)


async def test_the_real_mix_makes_the_base_cost(owner: Service, clock: TestClock) -> None:
    """Separate prices are suggested for each side, from what each side really cost."""
    both = MicroCredits(9_000), MicroCredits(10_000)
    await owner.app.services.pricing.prices.set_price("gpt-4", *both, set_by="admin")
    owner.openai.script(*[LONG] * 20)
    tom = owner.someone("7")
    for _ in range(20):
        clock.advance(seconds=10)
        await tom.answer(QUESTION)
    clock.advance(seconds=301)
    shown = text_of(await owner.screen("/pricing gpt-4"))
    assert "Formula: 4.2 in · 4.2 out" in shown or "Formula: 4.2 Credits" in shown
    assert "(20 answers)" in shown


async def test_nobody_else_sets_or_reads_prices_costs(owner: Service) -> None:
    tom = owner.someone("7")
    for text in ("/setprice gpt-4 1", "/pricing", "/pricing gpt-4", "/setprice gpt-4 undo"):
        assert "operator only" in text_of(await tom.screen(text))
    card = await owner.screen("/pricing gpt-4")
    told = text_of(*await tom.presses(button(card, "Set 4.2")))
    assert "somebody else" in told
    assert rate(owner) == 5_000
    assert await acts(owner) == []
    assert await tom.credits() == Credits(1_000)


@pytest.mark.parametrize(
    ("typed", "cached", "picture"),
    [
        ("5 6 cached 20%", 20, 100),
        ("5 pictures 120 %", 100, 120),
        ("5 6 cached 20% pictures 120% in 2h", 20, 120),
        ("5 pictures 0% cached 0%", 0, 0),
    ],
)
async def test_kinds_of_tokens_have_shares(
    owner: Service, typed: str, cached: int, picture: int
) -> None:
    told = text_of(await owner.screen(f"/setprice gpt-4 {typed}"))
    assert f"read from its cache cost {cached} %, tokens of pictures {picture} %" in told
    newest = owner.app.services.pricing.prices.find_newest("gpt-4")
    assert newest is not None
    assert (newest.percents.cached, newest.percents.picture) == (cached, picture)


async def test_a_share_stays_until_another_is_typed(owner: Service) -> None:
    await owner.screen("/setprice gpt-4 5 cached 20%")
    asked = await owner.screen("/setprice gpt-4 50 pictures 300%")
    told = text_of(*await owner.presses(button(asked, "Yes, change it")))
    assert "read from its cache cost 20 %, tokens of pictures 300 %" in told
    newest = owner.app.services.pricing.prices.find_newest("gpt-4")
    assert newest is not None
    undone = text_of(*await owner.presses(button(await owner.screen("/setprice gpt-4 50"), "Undo")))
    assert "pictures 300 %" in undone


@pytest.mark.parametrize("wrong", ["cached 101%", "pictures 1001%"])
async def test_a_share_out_of_proportion_changes_nothing(owner: Service, wrong: str) -> None:
    told = text_of(await owner.screen(f"/setprice gpt-4 5 {wrong}"))
    assert "is no per cent from 0 to" in told
    assert await acts(owner) == []


#: What was typed, and the one form that answers it.
FORMS = (
    ("gpt-4 abc", "/setprice gpt-4 5"),
    ("whisper 1 2", "/setprice whisper 2"),
    ("gpt-4 6 at 25:00", "/setprice gpt-4 6 at 18:30, or in 2h, or 2026-03-01 09:00"),
    ("gpt-4 5 cached 101%", "/setprice gpt-4 5 cached 20% pictures 120%"),
)


async def test_the_one_form_that_answers_is_shown_the_others_on_request(owner: Service) -> None:
    for wrong, form in FORMS:
        told = text_of(await owner.screen(f"/setprice {wrong}"))
        assert f". Write it like this: {form}. All forms: /help setprice. Nothing" in told, wrong
    explained = (await owner.screen("/help setprice")).lines
    kinds = ("5 — ", "5 15 — ", "6 at 18:30 — ", "cached 20% pictures 120% — ", "2 — ", "undo — ")
    assert all(any(kind in line for line in explained) for kind in kinds), explained


async def test_the_one_form_is_shown_in_chinese(owner: Service) -> None:
    await owner.screen("/language zh-CN")
    told = text_of(await owner.screen("/setprice gpt-4 abc"))
    assert "“abc”" in told
    assert told.rstrip().endswith(
        "格式：/setprice gpt-4 5。全部写法：/help setprice。没有任何改动。"
    )
    assert "每 1K tokens 的积分数" in text_of(await owner.screen("/help setprice"))
