"""Tiers and promotions as admins make them and people meet them; and that nobody else does."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa

from bots.chat.types import Card
from bots.commands.admin.promotion_drafts import parse_draft
from bots.commands.errors import UsageError
from core.db import schema
from core.money import Credits
from core.pricing.catalogue import UnknownModel
from tests.bots.commands.commands_support import button, text_of
from tests.peers.suppliers import Answer as Says, Used
from tests.support import brief, service
from tests.support.databases import NOON_MS, TestClock
from tests.support.service import Service

EXAMPLE = Says("word " * 500, usage=Used(1_000, 500))
DAY = 86_400_000
#: 2026-03-01 00:00 UTC.
TODAY = NOON_MS - DAY // 2


@pytest.fixture
async def owner(database_url: str, clock: TestClock) -> AsyncIterator[Service]:
    async with service.running(database_url, clock) as tom:
        await tom.person()
        yield tom.someone("1")


async def acts(owner: Service) -> list[str]:
    log = schema.admin_log.c
    rows = await owner.app.services.base.db.fetch(
        sa.select(log.act, log.actor).order_by(log.at, log.id)
    )
    me = (await owner.app.services.users.users.find("telegram:1")).id
    assert {row.actor for row in rows} <= {me}
    return [row.act for row in rows]


async def promoted(owner: Service, text: str) -> Card:
    card = await owner.screen(f"/promo add {text}")
    (shown,) = await owner.presses(button(card, "Yes, start it"))
    assert isinstance(shown, Card)
    return shown


def codes_in(shown: Card) -> list[str]:
    assert shown.attachment is not None
    assert re.fullmatch(r"codes-2026-\d\d-\d\d\.csv", shown.attachment.name), "no id in it"
    table = csv.DictReader(io.StringIO(shown.attachment.content.decode()))
    return [row["code"] for row in table]


# --- promotions ---------------------------------------------------------------------------------


async def test_a_promotion_is_shown_first_and_counts_from_the_button_on(
    owner: Service, clock: TestClock
) -> None:
    tom = owner.someone("7")
    card = await owner.screen("/promo add 50% off gpt-4, claude until 2026-03-03 each 2")
    told = text_of(card)
    assert "50 % off Claude 3, GPT-4 Turbo" in told
    assert "At most 2 times for each person." in told
    # Half would be 2.5; a tenth over the supplier's 3 is the floor.
    assert card.table[0] == ("Model", "Now", "Reduced")
    assert card.table[1] == ("GPT-4 Turbo", "5 Credits / 1K tokens", "3.3 Credits / 1K tokens")
    assert "5 Credits / 1K tokens" in text_of(await tom.screen("/model gpt-4"))
    press = button(card, "Yes, start it")
    assert "It runs" in text_of(*await owner.presses(press))
    shown = text_of(await tom.screen("/model gpt-4"))
    assert "3.3 Credits / 1K tokens" in shown
    assert "5 Credits / 1K" not in shown
    assert "no longer works" in text_of(*await owner.presses(press)), "replayed"
    assert len(owner.app.services.pricing.deals.promotions.all) == 1
    for footer in ("5 Credits", "5 Credits", "8 Credits"):
        tom.openai.script(EXAMPLE)
        assert footer in (await tom.answer("/ask gpt-4 " + "why " * 990)).footer
    listed = await owner.screen("/promo")
    assert "Used 2 times." in listed.lines
    ending = (await owner.presses(button(listed, "End 1")))[-1]
    assert isinstance(ending, Card)
    assert "There are no promotions now." in text_of(
        *await owner.presses(button(ending, "Yes, end it"))
    )
    assert await acts(owner) == ["promo", "promo-end"]


async def test_credits_by_a_word_that_everybody_types(owner: Service) -> None:
    await promoted(owner, "50 credits code welcome total 2")
    tom, ann, bob = owner.someone("7"), owner.someone("8"), owner.someone("9")
    assert "50 Credits have arrived." in text_of(*await tom.says("/redeem Wel-come"))
    assert await tom.credits() == Credits(1_050)
    assert "as often as it may be" in text_of(*await tom.says("/redeem WELCOME"))
    await ann.says("/redeem welcome")
    assert "as often as it may be" in text_of(*await bob.says("/redeem welcome"))
    assert [await one.credits() for one in (tom, ann, bob)] == [
        Credits(1_050),
        Credits(1_050),
        Credits(1_000),
    ]
    taken = await owner.screen("/promo add 10 credits code welcome")
    assert "That code exists already" in text_of(*await owner.presses(button(taken, "Yes")))
    assert len(owner.app.services.pricing.deals.promotions.all) == 1


async def test_codes_in_bulk_as_a_file_each_good_once(owner: Service) -> None:
    shown = await promoted(owner, "50 credits codes 1,200 until 2026-03-09 each 2")
    codes = codes_in(shown)
    assert len(set(codes)) == 1_200
    tom, ann = owner.someone("7"), owner.someone("8")
    for code in (codes[0], codes[1_199]):
        assert "50 Credits have arrived." in text_of(*await tom.says(f"/redeem {code.lower()}"))
    assert "used before" in text_of(*await ann.says(f"/redeem {codes[0]}"))
    assert "as often as it may be" in text_of(*await tom.says(f"/redeem {codes[2]}"))
    assert "50 Credits have arrived." in text_of(*await ann.says(f"/redeem {codes[2]}"))
    kept = str(await owner.app.services.base.db.fetch(sa.select(schema.code)))
    assert codes[0] not in kept
    logged = await owner.app.services.base.db.fetch(sa.select(schema.admin_log.c.after))
    assert json.loads(logged[0].after)["codes"] == 1_200
    listed = await owner.screen("/promo")
    assert "Used 3 times." in listed.lines


async def test_a_code_for_lower_prices_is_for_its_holder_alone(
    owner: Service, clock: TestClock
) -> None:
    await promoted(owner, "20% off gpt-4 code STUDENT for 30 days")
    tom, ann = owner.someone("7"), owner.someone("8")
    told = text_of(*await tom.says("/redeem student"))
    assert "GPT-4 Turbo — 4 Credits / 1K tokens" in told
    assert "5 Credits" not in told
    assert "You already have what that code gives" in text_of(*await tom.says("/redeem student"))
    assert "4 Credits / 1K tokens" in text_of(await tom.screen("/model gpt-4"))
    assert "5 Credits / 1K tokens" in text_of(await ann.screen("/model gpt-4"))
    clock.advance(days=31)
    assert "5 Credits / 1K tokens" in text_of(await tom.screen("/model gpt-4"))
    assert "too old" in text_of(*await ann.says("/redeem student"))


async def test_codes_to_sell_are_orders_as_ever(owner: Service) -> None:
    shown = await promoted(owner, "$90 codes 3 for 10 days")
    code = codes_in(shown)[0]
    tom = owner.someone("7")
    assert "10,000 Credits have arrived." in text_of(*await tom.says(f"/redeem {code}"))
    (order,) = await owner.app.services.payments.orders.list_for_people(
        [(await tom.person()).id], 5
    )
    assert (order.bought, order.bonus) == (Credits(9_000), Credits(1_000))
    assert await acts(owner) == ["codes"]
    assert owner.app.services.pricing.deals.promotions.all == ()


async def test_a_code_of_an_ended_or_coming_promotion_gives_nothing(
    owner: Service, clock: TestClock
) -> None:
    (code,) = codes_in(await promoted(owner, "50 credits codes 1 from 2026-03-02"))
    tom = owner.someone("7")
    assert "isn't good yet" in text_of(*await tom.says(f"/redeem {code}"))
    clock.advance(days=1)
    listed = await owner.screen("/promo")
    ending = (await owner.presses(button(listed, "End 1")))[-1]
    await owner.presses(button(ending, "Yes, end it"))  # type: ignore[arg-type]
    assert "taken back" in text_of(*await tom.says(f"/redeem {code}"))
    assert await tom.credits() == Credits(1_000)


# --- tiers --------------------------------------------------------------------------------------


async def test_tiers_are_defined_given_and_taken_back_from_chat(owner: Service) -> None:
    tom = owner.someone("7")
    assert "There are no tiers here." in text_of(await tom.screen("/tier"))
    await owner.screen("/tier add Silver topups 1000 in 30 days 5% off")
    shown = await owner.screen("/tier add Gold spending 8 within 7 days, 20% off, 5% bonus once 9")
    assert shown.table[0] == (
        "Gold",
        "8 Credits spent within 7 days",
        "20 % off prices, 5 % more on top-ups, 9 asks at once",
    )
    told = text_of(await tom.screen("/tier"))
    assert "You have no tier yet." in told
    assert "Gold: 0 of 8 Credits" in told
    tom.openai.script(EXAMPLE)
    assert "8 Credits" in (await tom.answer("/ask gpt-4 " + "why " * 990)).footer
    assert "Your tier: Gold" in text_of(await tom.screen("/tier"))
    assert "4 Credits / 1K tokens" in text_of(await tom.screen("/model gpt-4"))
    assert "has no tier now" in text_of(await owner.screen("/tier set telegram:7 none"))
    assert "5 Credits / 1K tokens" in text_of(await tom.screen("/model gpt-4"))
    assert "has the tier Silver now" in text_of(await owner.screen("/tier set telegram:7 silver"))
    assert "4.75 Credits / 1K tokens" in text_of(await tom.screen("/model gpt-4"))
    assert "has the tier Gold now" in text_of(await owner.screen("/tier set telegram:7 auto"))
    await owner.screen("/tier add gold topups 5 in 30 days 10% off")
    assert [tier.name for tier in owner.app.services.pricing.deals.tiers.all] == ["Gold", "Silver"]
    await owner.screen("/tier remove GOLD")
    assert "You have no tier yet." in text_of(await tom.screen("/tier"))
    assert await acts(owner) == [*["tier"] * 2, *["tier-set"] * 3, "tier", "tier-remove"]


async def test_another_process_hears_of_both(owner: Service) -> None:
    await owner.screen("/tier add Gold topups 5 in 30 days 10% off")
    await promoted(owner, "20% off all models")
    deals = owner.app.services.pricing.deals
    deals.tiers.all, deals.promotions.all = (), ()
    await deals.load()
    assert deals.tiers.all[0].name == "Gold"
    assert deals.promotions.all[0].models == frozenset()


# --- nobody else --------------------------------------------------------------------------------


async def test_neither_people_nor_support_nor_a_forged_button_change_anything(
    owner: Service,
) -> None:
    await owner.gives_role("telegram:8", "support")
    tom, ann = owner.someone("7"), owner.someone("8")
    await ann.person()
    card = await owner.screen("/promo add 50% off all models")
    for other in (tom, ann):
        for text in (
            "/promo",
            "/promo add 90% off gpt-4",
            "/tier add Mine topups 1 in 1 days 90% off",
            "/tier set telegram:7 Gold",
            "/tier remove Gold",
        ):
            assert "for the operator only" in text_of(*await other.says(text)), text
        pressed = await other.presses(button(card, "Yes, start it"))
        assert "somebody else" in text_of(*pressed)
    # A button of somebody who was an admin when it was made.
    await owner.gives_role("telegram:8", "admin")
    theirs = button(await ann.screen("/promo add 90% off all models"), "Yes, start it")
    await owner.gives_role("telegram:8", "support")
    assert "somebody else" in text_of(*await ann.presses(theirs))
    assert (
        owner.app.services.pricing.deals.promotions.all,
        owner.app.services.pricing.deals.tiers.all,
    ) == ((), ())
    rows = await owner.app.services.base.db.fetch(sa.select(schema.admin_log.c.act))
    assert {row.act for row in rows} == {"role"}


async def test_it_reads_in_chinese(owner: Service) -> None:
    await owner.screen("/tier add Gold topups 1000 in 30 days 5% off")
    zh = owner.someone("9", "zh-CN")
    assert "您还没有等级" in text_of(await zh.screen("/tier"))


# --- what is written ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind", "percent", "models", "span", "limits", "codes"),
    [
        ("20% off gpt-4", "discount", 20, {"gpt-4"}, (0, None), (None, None), (0, "")),
        ("20％ OFF all models", "discount", 20, set(), (0, None), (None, None), (0, "")),
        (
            "gpt-4 and claude 7 % off for 3 days total 1,000",
            *("discount", 7, {"gpt-4", "claude-3"}, (0, 3 * DAY), (1_000, None), (0, "")),
        ),
        (
            "until 2026-03-02 15% bonus each 1",
            *("bonus", 15, set(), (0, TODAY + 2 * DAY - 1 - NOON_MS), (None, 1), (0, "")),
        ),
        (
            "50 credits codes 20 from 2026-03-04 till 2026-03-05 10:30",
            *("credits", 0, set()),
            (TODAY + 3 * DAY - NOON_MS, TODAY + 4 * DAY + 37_800_000 - NOON_MS),
            *((None, None), (20, "")),
        ),
        ("1,000 credits code hello", "credits", 0, set(), (0, None), (None, 1), (0, "HELLO")),
    ],
)
def test_what_is_understood(
    text: str,
    kind: str,
    percent: int,
    models: set[str],
    span: tuple[int, int | None],
    limits: tuple[int | None, int | None],
    codes: tuple[int, str],
) -> None:
    draft = parse_draft(text, id_="pro_1", catalogue=brief.catalogue(), now_ms=NOON_MS, zone="UTC")
    one, (starts, ends) = draft.promotion, span
    assert (one.kind, one.percent, one.models) == (kind, percent, models)
    assert (one.starts_at - NOON_MS, one.ends_at) == (
        starts,
        None if ends is None else ends + NOON_MS,
    )
    assert (one.total, one.per_person) == limits
    assert (draft.codes, draft.word) == codes
    assert one.needs_code is bool(draft.codes or draft.word)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "gpt-4",
        "100% off gpt-4",
        "0% off",
        "20% off 10% off",
        "20% off 15% bonus",
        "101% bonus",
        "15% bonus gpt-4",
        "50 credits",
        "0 credits code HELLO",
        "50 credits codes 20 code HELLO",
        "50 credits codes 10001",
        "$10",
        "$10 code HELLO",
        "$10 codes 5 total 3",
        "20% off until 2026-02-30",
        "20% off until 2026-02-20",
        "20% off from 2026-03-10 until 2026-03-05",
        "20% off until 2026-03-10 for 3 days",
        "20% off total 0",
    ],
)
def test_what_is_not_understood(text: str) -> None:
    with pytest.raises(UsageError):
        parse_draft(text, id_="", catalogue=brief.catalogue(), now_ms=NOON_MS, zone="UTC")


def test_a_model_that_there_is_not_is_named() -> None:
    with pytest.raises(UnknownModel):
        parse_draft(
            "20% off gtp-4", id_="", catalogue=brief.catalogue(), now_ms=NOON_MS, zone="UTC"
        )


@pytest.mark.parametrize(
    "text",
    [
        "Gold",
        "Gold topups 10 in 30 days",
        "Gold topups 0 in 30 days 5% off",
        "Gold topups 10 in 0 days 5% off",
        "Gold topups 10 in 30 days 0% off",
        "Gold topups 10 in 30 days 100% off",
        "Gold topups 10 in 30 days 5% off 6% off",
        "Gold topups 10 in 30 days 5% off and a hug",
        "none topups 10 in 30 days 5% off",
        "Gold likes 10 in 30 days 5% off",
    ],
)
async def test_a_tier_that_is_mistyped_is_none(
    sqlite_url: str, clock: TestClock, text: str
) -> None:
    async with service.running(sqlite_url, clock) as tom:
        owner = tom.someone("1")
        assert "Write it like this" in text_of(*await owner.says(f"/tier add {text}"))
        assert owner.app.services.pricing.deals.tiers.all == ()
