"""Every command as a person meets it, in the brief's world."""

from __future__ import annotations

import json

import pytest

from bots.chat.types import Answer, Card
from core.money import Credits, parse_usd
from core.pool.pool import Pool
from core.pricing.catalogue import Model
from tests.bots.commands.commands_support import button, text_of
from tests.peers.suppliers import Answer as Says, Used
from tests.support import service
from tests.support.databases import TestClock
from tests.support.service import Service


async def test_start_says_what_it_is_and_what_one_has(sqlite_url: str, clock: TestClock) -> None:
    async with service.running(sqlite_url, clock) as tom:
        screen = await tom.screen("/start")
        assert "You have 1,000 Credits." in screen.lines
        assert "GPT-4 Turbo answers" in text_of(screen)


async def test_help_lists_what_one_can_use(sqlite_url: str, clock: TestClock) -> None:
    async with service.running(sqlite_url, clock) as tom:
        told = text_of(await tom.screen("/help"))
        assert "/balance" in told
        assert "/setprice" not in told
        owner = text_of(await tom.someone("1").screen("/help"))
        assert "/setprice" in owner


async def test_the_briefs_card_and_balance(sqlite_url: str, clock: TestClock) -> None:
    async with service.running(sqlite_url, clock, welcome=12_450) as tom:
        card = await tom.screen("/model gpt4")
        assert "5 Credits / 1K tokens" in text_of(card)
        card = await tom.screen("/model")
        assert card.title == "GPT-4 Turbo"
        assert card.lines[:3] == (
            "5 Credits / 1K tokens",
            "🌟 High performance",
            "⚡ Fast response",
        )
        assert card.lines[3] == "🖼 Sees pictures"
        balance = await tom.screen("/balance")
        assert balance.title == "💎 My Balance"
        assert balance.lines[0] == "12,450 Credits"


async def test_usage_shows_times_models_and_what_was_spent_today(
    sqlite_url: str, clock: TestClock
) -> None:
    async with service.running(sqlite_url, clock) as tom:
        assert "Nothing" in text_of(await tom.screen("/usage"))
        for tokens in (1_000, 400):
            clock.advance(seconds=60)
            tom.openai.script(Says("word " * 500, usage=Used(tokens, 500)))
            await tom.answer("/ask gpt-4 " + "why " * 600)
        screen = await tom.screen("/usage")
        assert [row[1:] for row in screen.table] == [
            ("GPT-4 Turbo", "8 Cr"),
            ("GPT-4 Turbo", "5 Cr"),
        ]
        assert screen.lines[0] == "Spent: 13 Credits today"
        assert screen.private


async def test_a_model_is_chosen_by_buttons_and_a_retired_name_leads_on(
    sqlite_url: str, clock: TestClock
) -> None:
    async with service.running(sqlite_url, clock) as tom:
        models = await tom.screen("/models")
        maker = (await tom.presses(button(models, "OpenAI")))[0]
        assert isinstance(maker, Card)
        assert ("GPT-4 Turbo", "5", "≈ 5") in maker.table
        card = (await tom.presses(button(maker, "GPT-4")))[0]
        assert isinstance(card, Card)
        chosen = (await tom.presses(button(models, "OpenAI")))[0]
        assert isinstance(chosen, Card), "a card's buttons work again and again"
        assert "Anthropic" not in text_of(models), "nobody can serve Claude here"
        await tom.screen("/model claude-3")
        assert "🖼" not in text_of(await tom.screen("/model")), "it sees no pictures"


async def test_unknown_things_get_the_nearest_and_cost_nothing(
    sqlite_url: str, clock: TestClock
) -> None:
    async with service.running(sqlite_url, clock) as tom:
        assert "Did you mean /model?" in text_of(await tom.screen("/modle"))
        asked = await tom.screen("/ask gpt-5 why?")
        assert "no model “gpt-5”; the nearest is GPT-4 Turbo" in text_of(asked)
        assert "What would you like to ask?" in text_of(await tom.screen("/ask"))
        assert "What would you like to ask?" in text_of(await tom.screen("/ask gpt-4"))
        assert "There is no model" in text_of(await tom.screen("/model quux"))
        assert "operator only" in text_of(await tom.screen("/setprice gpt-4 1"))
        assert tom.openai.calls == []
        assert await tom.credits() == Credits(1_000)


async def test_a_question_that_names_its_model_looks_at_no_other(
    sqlite_url: str, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with service.running(sqlite_url, clock) as tom:
        looked_at = list[str]()

        def is_servable(_: Pool, model: Model) -> bool:
            looked_at.append(model.id)
            return True

        monkeypatch.setattr(Pool, "is_servable", is_servable)
        await tom.answer("/ask gpt-4 why?")
        assert not looked_at


async def test_bare_words_and_full_width_slashes_run_commands(
    sqlite_url: str, clock: TestClock
) -> None:
    async with service.running(sqlite_url, clock) as tom:
        for written in ("余额", "Balance", "balance", "／balance", "/balance@our_bot"):
            assert (await tom.screen(written)).title == "💎 My Balance", written
        assert tom.openai.calls == []


async def test_not_enough_credits_says_need_have_and_what_to_do(
    sqlite_url: str, clock: TestClock
) -> None:
    async with service.running(sqlite_url, clock, welcome=1) as tom:
        told = text_of(await tom.screen("/ask gpt-4 why?"))
        assert "needs 2 Credits; you have 1 Credit." in told


async def test_a_question_longer_than_the_model_reads_is_refused(
    sqlite_url: str, clock: TestClock
) -> None:
    async with service.running(sqlite_url, clock, welcome=100_000) as tom:
        told = text_of(await tom.screen("/ask gpt-4 " + "why " * 9_000))
        assert "9,025 tokens; GPT-4 Turbo takes 8,192" in told
        assert await tom.credits() == Credits(100_000)


async def test_history_goes_with_a_question_until_new(sqlite_url: str, clock: TestClock) -> None:
    async with service.running(sqlite_url, clock) as tom:
        await tom.answer("My name is Tom.")
        clock.advance(seconds=1)
        tom.openai.script(Says("Tom.", usage=Used(60, 3)))
        second = await tom.answer("What is my name?")
        assert "63 tokens (24 of them history, ≈ 0.12 Credits)" in second.footer
        sent = tom.openai.calls[-1].body["messages"]
        assert [one["content"] for one in sent] == [
            "My name is Tom.",
            "Hello there.",
            "What is my name?",
        ]
        await tom.screen("/new")
        clock.advance(seconds=1)
        third = await tom.answer("And now?")
        assert "history" not in third.footer
        assert len(tom.openai.calls[-1].body["messages"]) == 1


async def test_history_is_capped_and_says_what_was_left_out(
    sqlite_url: str, clock: TestClock
) -> None:
    async with service.running(sqlite_url, clock) as tom:
        for number in range(3):
            clock.advance(seconds=1)
            await tom.answer(f"{number} " + "why " * 1_700)
        clock.advance(seconds=1)
        shown = await tom.says("And now?")
        assert isinstance(shown[-1], Answer)
        assert "The 1 oldest turns" in shown[-1].note
        assert len(tom.openai.calls[-1].body["messages"]) == 5


async def test_again_asks_the_same_once_and_continue_goes_on(
    sqlite_url: str, clock: TestClock
) -> None:
    async with service.running(sqlite_url, clock) as tom:
        tom.openai.script(Says("One, two,", finish="length"))
        first = await tom.answer("Count.")
        clock.advance(seconds=1)
        more = await tom.presses(button(first, "Continue"))
        assert isinstance(more[-1], Answer)
        assert [one["content"] for one in tom.openai.calls[-1].body["messages"]][:2] == [
            "Count.",
            "One, two,",
        ]
        again = await tom.presses(button(first, "Again"))
        assert isinstance(again[-1], Answer)
        assert [one["content"] for one in tom.openai.calls[-1].body["messages"]] == ["Count."]
        assert len(tom.openai.calls) == 3
        await tom.presses(button(first, "Again"))
        assert len(tom.openai.calls) == 3, "one press is one ask"


async def test_a_button_is_its_persons_alone(sqlite_url: str, clock: TestClock) -> None:
    async with service.running(sqlite_url, clock) as tom:
        answer = await tom.answer("why?")
        settings = await tom.screen("/settings")
        mallory = tom.someone("66")
        for id_ in (button(answer, "Again"), button(settings, "Footer")):
            told = text_of(*await mallory.presses(id_))
            assert "somebody else" in told
        told = text_of(*await tom.presses("btn_01m86gamc5mqn8dzgv14petdrc"))
        assert "no longer works" in told
        assert len(tom.openai.calls) == 1


async def test_settings_are_kept(sqlite_url: str, clock: TestClock) -> None:
    async with service.running(sqlite_url, clock) as tom:
        settings = await tom.screen("/settings")
        turned = (await tom.presses(button(settings, "Footer: on")))[0]
        assert isinstance(turned, Card)
        assert button(turned, "Footer: off")
        assert "Credit" not in (await tom.answer("why?")).footer
        zones = (await tom.presses(button(turned, "Time zone")))[0]
        assert isinstance(zones, Card)
        set_ = (await tom.presses(button(zones, "Tokyo")))[0]
        assert isinstance(set_, Card)
        assert button(set_, "Time zone: Tokyo")
        for typed, city in (
            ("Europe/Paris", "Paris"),
            ("new york", "New York"),
            ("上海", "Shanghai"),
        ):
            assert button(await tom.screen(f"/settings {typed}"), f"Time zone: {city}")
        told = text_of(await tom.screen("/settings Atlantis"))
        assert "There is no time zone “Atlantis” here." in told
        chosen = await tom.presses(button(await tom.screen("/language"), "简体中文"))
        assert "已切换为简体中文。" in text_of(*chosen)
        assert (await tom.screen("/balance")).title == "💎 我的余额"


async def test_a_daily_limit_of_ones_own_holds_for_everybody(
    sqlite_url: str, clock: TestClock
) -> None:
    async with service.running(sqlite_url, clock) as one:
        for who in (one, one.someone("1")):  # an owner's own limit is theirs, too
            limits = (await who.presses(button(await who.screen("/settings"), "limit: none")))[0]
            assert isinstance(limits, Card)
            kept = (await who.presses(button(limits, "20 Credits")))[0]
            assert button(kept, "Daily limit: 20 Credits")  # type: ignore[arg-type]
            who.openai.script(*[Says("word " * 980, usage=Used(16, 980))] * 4)
            for _ in range(4):
                await who.says("/new")
                await who.answer("/ask gpt-4 why?")
            told = text_of(await who.screen("/ask gpt-4 why?"))
            assert "your own daily limit of 20 Credits" in told
        clock.advance(days=1)
        one.openai.script(Says("Because."))
        assert (await one.answer("/ask gpt-4 why?")).text == "Because."


async def test_export_has_everything_and_erasing_leaves_the_credits(
    sqlite_url: str, clock: TestClock
) -> None:
    async with service.running(sqlite_url, clock) as tom:
        await tom.answer("My name is Tom.")
        export = await tom.screen("/export")
        assert export.attachment is not None
        told = json.loads(export.attachment.content)
        assert told["answers"][0]["question"] == "My name is Tom."
        assert told["writes_from"] == ["telegram:7"]
        sure = (await tom.presses(button(await tom.screen("/privacy"), "Erase")))[0]
        assert isinstance(sure, Card)
        await tom.presses(button(sure, "Yes, erase"))
        left = await tom.credits()
        export = await tom.screen("/export")
        assert export.attachment is not None
        assert "Tom" not in export.attachment.content.decode()
        clock.advance(seconds=1)
        await tom.answer("What is my name?")
        assert len(tom.openai.calls[-1].body["messages"]) == 1
        assert left == Credits(999)


async def test_a_pasted_key_goes_nowhere(sqlite_url: str, clock: TestClock) -> None:
    async with service.running(sqlite_url, clock) as tom:
        secret = "sk-proj-" + "Ab3" * 20
        screen = await tom.screen(f"here is my key {secret} thanks")
        assert screen.erase_incoming
        assert secret not in text_of(screen)
        assert tom.openai.calls == []


# --- the owner's desk ---------------------------------------------------------------------------


async def test_setprice_asks_before_it_moves_a_price_by_more_than_half(
    sqlite_url: str, clock: TestClock
) -> None:
    async with service.running(sqlite_url, clock) as tom:
        owner = tom.someone("1")
        assert "6 Credits / 1K tokens (before: 5" in text_of(
            await owner.screen("/setprice gpt-4 6")
        )
        clock.advance(seconds=1)
        sure = await owner.screen("/setprice gpt-4 12")
        assert "more than half" in text_of(sure)
        assert "6 Credits" in text_of(await tom.screen("/model gpt-4"))
        clock.advance(seconds=1)
        done = await owner.presses(button(sure, "Yes"))
        assert "12 Credits / 1K tokens" in text_of(*done)
        assert "no longer works" in text_of(*await owner.presses(button(sure, "Yes")))
        clock.advance(seconds=1)
        both = await owner.screen("/setprice gpt-4 10 14")
        assert "10 in · 14 out" in text_of(both)
        for wrong in ("", "gpt-4", "gpt-4 x", "gpt-4 0", "gpt-4 -3", "gpt-4 0.0001", "gpt-4 NaN"):
            assert "Nothing was changed" in text_of(await owner.screen(f"/setprice {wrong}")), wrong
        assert "There is no model" in text_of(await owner.screen("/setprice quux 5"))


async def test_the_margin_of_a_price_is_the_briefs(sqlite_url: str, clock: TestClock) -> None:
    """Brief § 3: 5 Credits against $0.03 is 66 % on cost."""
    async with service.running(sqlite_url, clock) as tom:
        told = text_of(await tom.someone("1").screen("/setprice gpt-4 5"))
        assert "+66 %" in told


async def test_a_grant_is_confirmed_in_words_and_given_once(
    sqlite_url: str, clock: TestClock
) -> None:
    async with service.running(sqlite_url, clock) as tom:
        await tom.screen("/balance")
        owner = tom.someone("1")
        for wrong in ("", "telegram:7", "telegram:7 x why", "telegram:7 -5 why", "telegram:7 5"):
            assert "Nothing was moved" in text_of(await owner.screen(f"/grant {wrong}")), wrong
        assert "I don't know" in text_of(await owner.screen("/grant telegram:99 5 why"))
        sure = await owner.screen("/grant telegram:7 500 a bug report")
        assert "Give 500 Credits to telegram:7? Reason: a bug report" in text_of(sure)
        assert await tom.credits() == Credits(1_000)
        yes = button(sure, "Yes, give 500 Credits")
        assert "1,500 Credits now" in text_of(*await owner.presses(yes))
        await owner.presses(yes)
        assert await tom.credits() == Credits(1_500)


async def test_an_admins_button_is_checked_again_when_pressed(
    sqlite_url: str, clock: TestClock
) -> None:
    async with service.running(sqlite_url, clock) as tom:
        owner = tom.someone("1")
        sure = await owner.screen("/setprice gpt-4 50")
        owner.app.chat.dispatcher._roles._configured = {}
        told = text_of(*await owner.presses(button(sure, "Yes")))
        assert "somebody else" in told
        assert "5 Credits" in text_of(await tom.screen("/model gpt-4"))


async def test_the_report_is_two_layers(sqlite_url: str, clock: TestClock) -> None:
    async with service.running(sqlite_url, clock) as tom:
        tom.openai.script(Says("word " * 500, usage=Used(1_000, 500)))
        await tom.answer("/ask gpt-4 " + "why " * 990)
        told = text_of(await tom.someone("1").screen("/report"))
        assert "Total revenue: 8 Credits" in told
        assert "OpenAI: $0.05" in told
        assert "Profit: $0.08 − $0.05 ≈ $0.04" in told
        pool = await tom.someone("1").screen("/pool")
        assert pool.table[1][2:] == ("$499.96", "$0.05")
        assert (await tom.key_left()) == parse_usd("499.955")
        assert (await tom.someone("1").screen("/audit")).title == "Audit: clean"


async def _everything(tom: Service) -> str:
    """Every command and every button that it offers, one level deep."""
    seen = []
    for command in tom.app.chat.dispatcher._registry.commands:
        for rest in ("", " gpt-4", " gpt-4 why is the sky blue?", " quux 5"):
            outputs = await tom.says(f"/{command.name}{rest}")
            seen += outputs
            for output in outputs:
                if isinstance(output, Card | Answer):
                    for row in output.buttons:
                        for one in row:
                            seen += await tom.presses(one.id)
    return text_of(*seen)


async def test_users_never_see_money_in_any_language(sqlite_url: str, clock: TestClock) -> None:
    """No currency sign, supplier cost or word for it, whatever they send or press."""
    forbidden = ("$", "€", "£", "¥", "￥", "usd", "dollar", "美元", "人民币", "cost price", "成本")
    async with service.running(sqlite_url, clock, welcome=100_000) as tom:
        for sender, language in (("7", "en"), ("8", "zh-CN")):
            told = (await _everything(tom.someone(sender, language))).lower()
            assert len(told) > 5_000
            for word in forbidden:
                assert word not in told, (language, word)
