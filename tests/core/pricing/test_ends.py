"""Models and routes that end: what names mean before, on the day and after, and the shipped
catalogue on each of its days."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest

from core.clock import as_ms
from core.money import Tokens
from core.pricing import files
from core.pricing.catalogue import Catalogue, Model, Route, UnknownModel, normalize_name
from core.pricing.costs import Costs
from core.pricing.files import BadOverlay
from core.pricing.package import _PACKAGE_NAMES, read_package
from tests.support import brief
from tests.support.databases import TestClock

DAY = date(2026, 12, 11)
OLD = replace(brief.GPT_4, id="old", name="Old", aliases=("elder",), nicknames=("ancient",))
NEW = replace(brief.CLAUDE_3, id="new", name="New", aliases=())
NEWEST = replace(brief.LLAMA_3, id="newest", name="Newest", aliases=())
EARS = replace(brief.WHISPER_1, id="ears", name="Ears")
NEW_EARS = replace(
    brief.WHISPER_1, id="new-ears", name="New Ears", routes=(Route("groq", "listener"),)
)


def midnight(day: date) -> int:
    return as_ms(datetime.combine(day, time(), UTC))


def ending(*models: Model, **more: object) -> tuple[Catalogue, TestClock]:
    clock = TestClock(midnight(DAY) - 1)
    return Catalogue(models, clock=clock, **more), clock  # type: ignore[arg-type]


def test_a_model_ends_by_the_clock_and_its_names_lead_on() -> None:
    catalogue, clock = ending(
        replace(OLD, ends=DAY, successor="new"), NEW, retired={"oldest": "old"}, default="old"
    )
    assert catalogue.find("elder").id == catalogue.find("oldest").id == "old"
    assert catalogue.default_model.id == "old"
    assert not catalogue.is_retired("elder")
    clock.advance(seconds=0.001)
    assert list(catalogue.models) == ["new"]
    for name in ("old", "Old", "elder", "oldest", "ancient", "openai/gpt-4", "gpt-4"):
        assert catalogue.find(name).id == "new", name
        assert catalogue.is_retired(name.rpartition("/")[2])
    assert catalogue.default_model.id == "new"
    # What named it in a question still does; its nickname is an ordinary word as before.
    assert [catalogue.is_unambiguous_name(name) for name in ("elder", "oldest", "ancient")] == [
        True, True, False,
    ]  # fmt: skip
    # What was charged for it goes on under its name.
    assert catalogue.get_name("old") == "Old"
    assert catalogue.get_name("unknown") == "unknown"
    clock.advance(days=-1)
    assert catalogue.find("elder").id == "old"


def test_successors_end_too() -> None:
    catalogue, clock = ending(
        replace(OLD, ends=DAY, successor="new"),
        replace(NEW, ends=DAY + timedelta(days=30), successor="newest"),
        NEWEST,
    )
    coming = catalogue.list_coming_ends(31)
    ends = [(one.subject, one.successor and one.successor.id) for one in coming]
    assert ends == [("old", "new"), ("new", "newest")]
    clock.advance(days=1)
    assert catalogue.find("old").id == "new"
    assert [one.subject for one in catalogue.list_coming_ends(30)] == ["new"]
    assert catalogue.list_coming_ends(29) == []
    clock.advance(days=30)
    assert catalogue.find("old").id == catalogue.find("new").id == "newest"
    assert catalogue.list_coming_ends(30) == []


def test_a_route_that_ended_is_not_among_its_models_routes() -> None:
    here, there = Route("groq", "old", ends=DAY), Route("together", "old")
    catalogue, clock = ending(replace(OLD, routes=(here, there), successor="new"), NEW)
    (end,) = catalogue.list_coming_ends(1)
    assert (end.subject, end.route, end.suppliers) == ("groq:old", here, {"groq"})
    assert catalogue.find("old").routes == (here, there)
    clock.advance(days=1)
    assert catalogue.find("old").routes == (there,)


def test_a_model_ends_with_the_last_of_its_routes() -> None:
    first, last = Route("groq", "old", ends=DAY), Route("together", "old", ends=date(2026, 12, 20))
    catalogue, clock = ending(replace(OLD, routes=(first, last), successor="new"), NEW)
    clock.advance(days=8)
    assert catalogue.find("old").routes == (last,)
    clock.advance(days=2)
    assert catalogue.find("old").id == "new"


def test_what_hears_is_never_taken_for_the_first_word_of_a_question() -> None:
    catalogue, clock = ending(OLD, replace(EARS, ends=DAY, successor="new-ears"), NEW_EARS)
    clock.advance(days=1)
    assert catalogue.audio_models == [NEW_EARS]
    assert catalogue.find("ears").id == "new-ears"
    assert not catalogue.is_unambiguous_name("ears")


def test_a_name_without_a_successor_is_unknown_after_its_end() -> None:
    catalogue, clock = ending(replace(OLD, ends=DAY), NEW, default="old")
    assert [one.successor for one in catalogue.list_coming_ends(1)] == [None]
    clock.advance(days=1)
    with pytest.raises(UnknownModel):
        catalogue.find("elder")
    assert not catalogue.is_unambiguous_name("elder")
    assert catalogue.default_model.id == "new"


def test_a_custom_address_sells_on_what_its_maker_ended() -> None:
    catalogue, clock = ending(replace(OLD, ends=DAY, successor="new"), NEW)

    class Listed:
        id, context = "gpt-4", None

    catalogue.add_local_models("openai", [Listed()])
    assert not catalogue.find("gpt-4").local
    clock.advance(days=1)
    catalogue.add_local_models("openai", [Listed()])
    assert catalogue.find("gpt-4").local
    assert catalogue.find("elder").id == "new"
    clock.advance(days=1)
    assert catalogue.find("gpt-4").local


@pytest.mark.parametrize(
    ("models", "reason"),
    [
        ((replace(OLD, ends=DAY, successor="nobody"), NEW), "can't stand in"),
        ((replace(OLD, ends=DAY, successor="ears"), EARS), "can't stand in"),
        ((replace(OLD, successor="new"), replace(NEW, successor="old")), "its own successor"),
    ],
)
def test_a_successor_that_cannot_be_one_is_refused(models: tuple[Model, ...], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Catalogue(models)


def test_an_operators_own_routes_do_not_end_with_those_that_ship(tmp_path: Path) -> None:
    overlay = tmp_path / "models.toml"
    overlay.write_text(
        """
withdrawn = ["gpt-6.1-sol"]
[[model]]
id = "gpt-5"
routes = ["openai:gpt-5-at-home"]
[[model]]
id = "gpt-4o"
name = "Four"
[[model]]
id = "house"
context = 32_000
input = 30_000
routes = [{ route = "openai:house-1", ends = 2026-12-31 }, "groq:house-1@16000"]
"""
    )
    clock = TestClock(midnight(date(2027, 6, 1)))
    catalogue = Catalogue.load(overlay, clock)
    assert catalogue.find("gpt-5").id == "gpt-5"
    assert catalogue.find("Four").id == "gpt-6.1-terra"
    assert [route.provider for route in catalogue.find("house").routes] == ["groq"]
    # Its successor was taken off the menus: nothing stands in.
    with pytest.raises(UnknownModel):
        catalogue.find("o3")
    overlay.write_text("[[model]]\nid = 'gpt-5'\nends = 'soon'")
    with pytest.raises(BadOverlay, match=r"model\.0\.ends"):
        Catalogue.load(overlay)


# --- what goes in -------------------------------------------------------------------------------


def test_a_prompt_has_its_own_limit_where_its_supplier_has_one() -> None:
    one_window = replace(OLD, context=Tokens(1_000))
    apart = replace(OLD, context=Tokens(1_000), input_limit=Tokens(700))
    assert one_window.prompt_limit == Tokens(1_000)
    assert apart.prompt_limit == Tokens(700)
    rooms = [(prompt, model.calculate_answer_room(Tokens(prompt)).units)
             for model in (one_window, apart) for prompt in (700, 701, 1_001)]  # fmt: skip
    assert rooms == [(700, 300), (701, 299), (1_001, 0), (700, 300), (701, 0), (1_001, 0)]
    narrow = Route("groq", "old", Tokens(500))
    assert apart.calculate_answer_room(Tokens(400), narrow) == Tokens(100)
    assert apart.calculate_answer_room(Tokens(400), Route("groq", "old")) == Tokens(600)


@pytest.mark.parametrize(
    ("model", "prompt", "context"),
    [
        ("gpt-5.4-mini", 272_000, 400_000),
        ("gpt-6.1-terra", 922_000, 1_050_000),
        ("codestral-2508", 128_000, 128_000),
        ("minimax-m3", 1_000_000, 1_000_000),
        ("qwen3.8-27b", 262_144, 262_144),
        ("gemini-3.8-flash", 1_000_000, 1_065_536),
    ],
)
def test_what_goes_in_is_what_the_supplier_takes(model: str, prompt: int, context: int) -> None:
    found = Catalogue.load().models[model]
    assert (found.prompt_limit.units, found.context.units) == (prompt, context)


# --- the catalogue that ships -------------------------------------------------------------------

SHIPPED = files.read_catalogue()
END_DAYS = sorted(
    {row.ends for row in SHIPPED.model if row.ends is not None}
    | {
        route.ends
        for row in SHIPPED.model
        for route in row.routes or ()
        if isinstance(route, files.RouteRow)
    }
)
#: Each day on which something changes, the one before and the one after.
DAYS = sorted(
    {date(2026, 11, 29)} | {day + timedelta(days=by) for day in END_DAYS for by in (-1, 0, 1)}
)
NAMES = sorted(
    {*SHIPPED.retired, SHIPPED.default or ""}
    | {
        name
        for row in SHIPPED.model
        for name in (row.id, row.name or "", *(row.aliases or ()), *(row.nicknames or ()))
    }
)


@pytest.mark.parametrize("day", DAYS, ids=str)
def test_every_name_can_be_served_on_every_day(day: date) -> None:
    clock, costs = TestClock(midnight(day)), Costs.load()
    catalogue = Catalogue.load(None, clock)
    for name in NAMES:
        model = catalogue.find(name)
        assert model.routes, name
        assert all(route.ends is None or route.ends > day for route in model.routes), name
        assert any(costs.has_cost(route, model.per) for route in model.routes), name
    assert len(catalogue.models) >= 40
    for model in catalogue.models.values():
        assert catalogue.find(model.id) is model
        assert catalogue.find(model.name) is model


def test_names_of_a_question_stay_names_of_a_question() -> None:
    """Whoever begins a question with a model's name goes on being understood after its end."""
    clock = TestClock(midnight(DAYS[0]))
    catalogue = Catalogue.load(None, clock)
    words = [name for name in NAMES if catalogue.is_unambiguous_name(name)]
    clock.at_ms = midnight(DAYS[-1])
    assert [name for name in words if not catalogue.is_unambiguous_name(name)] == []


@pytest.mark.parametrize(
    ("name", "until", "then"),
    [
        ("gpt-5", "2026-12-11", "gpt-6.1-terra"),
        ("gpt-5-mini", "2026-12-11", "gpt-5.4-mini"),
        ("o1", "2026-12-11", "gpt-6.1-sol"),
        ("gpt-4o", "2027-01-14", "gpt-6.1-terra"),
        ("4o-mini", "2027-01-14", "gpt-6-luna"),
        ("gpt-4.1", "2027-01-14", "gpt-6.1-terra"),
        ("gpt-4.1-mini", "2027-01-14", "gpt-6-luna"),
        ("whisper", "2027-02-26", "gpt-transcribe"),
        ("gemini-2.5-pro", "2026-12-01", "gemini-3.8-flash"),
        ("gemini-2.5-flash", "2026-12-01", "gemini-3.5-flash-lite"),
    ],
)
def test_known_ends(name: str, until: str, then: str) -> None:
    day = date.fromisoformat(until)
    clock = TestClock(midnight(day) - 1)
    catalogue = Catalogue.load(None, clock)
    before = catalogue.find(name)
    assert (before.find_end(), before.successor) == (day, then)
    clock.advance(seconds=1)
    assert catalogue.find(name).id == then
    # The names of the brief go on leading to something that is sold.
    for asked in ("GPT-4", "Claude 3", "Llama 3", "Whisper"):
        assert catalogue.find(asked).routes


def test_every_end_that_ships_has_a_successor() -> None:
    assert len(END_DAYS) >= 5
    for model in Catalogue.load().models.values():
        assert model.find_end() is None or model.successor, model.id


def test_the_catalogue_against_the_price_package() -> None:
    costs, package = Costs.load(), read_package()
    own = {(row.provider, row.model) for row in files.read_cost_overrides()}
    for model in Catalogue.load().models.values():
        for route in model.routes:
            assert costs.has_cost(route, model.per), route
            supplier = package.get(_PACKAGE_NAMES.get(route.provider, route.provider))
            known = supplier.find_model(route.model) if supplier is not None else None
            if known is None:
                assert (route.provider, route.model) in own, route
                continue
            if known.context_window is not None and model.per == "token":
                assert route.context is not None
                limit = route.context if route.input_limit is None else route.input_limit
                assert limit.units <= known.context_window, route


def test_no_two_names_differ_in_blanks_alone() -> None:
    names = [normalize_name(name) for name in SHIPPED.retired]
    assert len(names) == len(set(names))
