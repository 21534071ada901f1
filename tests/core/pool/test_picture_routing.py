"""Which key serves a question with pictures or files: what each route sees and counts, and whose
contributors let them pass.
"""

from __future__ import annotations

from dataclasses import replace

from core.attachments.types import PictureSize
from core.db import schema
from core.db.writes import Insert, Update
from core.money import Tokens, parse_usd
from core.pool.types import MinuteLimit
from core.pricing.catalogue import Model
from tests.core.pool.world import CHEAP, DEAR, HOLD, INPUT, LIMIT, LUNA, World

SQUARE = PictureSize(1_024, 1_024)
ONE = (SQUARE,)


def seeing(cheap: str, dear: str) -> Model:
    """Luna, whose two routes count pictures by these rules."""
    return replace(LUNA, routes=(replace(CHEAP, pictures=cheap), replace(DEAR, pictures=dear)))


async def test_pictures_are_counted_by_each_routes_own_rule(world: World) -> None:
    await world.key()
    await world.key(supplier="groq")
    model = seeing("openai-tiles-2833-5667", "gemini-3")
    text = world.pool.choose_candidate(model, INPUT, LIMIT)
    assert text is not None
    assert (text.supplier, text.hold) == ("openai", HOLD)
    # 1,000 + 25,501 + 1,000 tokens at $1 a million, or 1,000 + 1,120 + 1,000 at $2.
    found = world.pool.choose_candidate(model, INPUT, LIMIT, pictures=ONE)
    assert found is not None
    assert (found.supplier, found.hold) == ("groq", parse_usd("0.00624"))
    other = world.pool.choose_candidate(model, INPUT, LIMIT, pictures=ONE, skip_keys=(found.key,))
    assert other is not None
    assert other.hold == parse_usd("0.027501")


async def test_a_route_that_does_not_see_so_many_is_none(world: World) -> None:
    await world.key()
    await world.key(supplier="groq")
    blind_and_few = seeing("", "groq-qwen3.8")
    found = world.pool.choose_candidate(blind_and_few, INPUT, LIMIT, pictures=ONE * 3)
    assert found is not None
    assert found.supplier == "groq"
    assert world.pool.choose_candidate(blind_and_few, INPUT, LIMIT, pictures=ONE * 4) is None
    assert world.pool.is_servable(blind_and_few, pictures=ONE * 3)
    assert not world.pool.is_servable(blind_and_few, pictures=ONE * 4)
    assert not world.pool.is_servable(LUNA, pictures=ONE)
    assert world.pool.is_servable(LUNA)


async def test_pictures_take_room_from_the_answer(world: World) -> None:
    await world.key()
    just = replace(CHEAP, pictures="gemini-3", context=Tokens(3_120))
    model = replace(LUNA, routes=(just,))
    assert world.pool.choose_candidate(model, INPUT, LIMIT, pictures=ONE) is not None
    assert world.pool.choose_candidate(model, INPUT, LIMIT, pictures=ONE * 2) is None
    limited = replace(just, context=Tokens(100_000), input_limit=Tokens(2_120))
    model = replace(LUNA, routes=(limited,))
    assert world.pool.choose_candidate(model, INPUT, LIMIT, pictures=ONE) is not None
    assert world.pool.choose_candidate(model, INPUT, LIMIT, pictures=ONE * 2) is None


async def test_the_longest_answer_is_what_pictures_leave_of_a_budget(world: World) -> None:
    await world.key(budget="0.002")
    model = seeing("gemini-3", "")
    longest = world.pool.max_affordable_tokens(model, INPUT, LIMIT)
    assert longest == LIMIT
    assert world.pool.max_affordable_tokens(model, INPUT, LIMIT, pictures=ONE) == Tokens(0)
    assert world.pool.max_affordable_tokens(model, Tokens(500), LIMIT, pictures=ONE) == Tokens(
        2_000 - 500 - 1_120
    )


async def test_a_minute_that_pictures_fill_is_small(world: World) -> None:
    cheap, dear = await world.key(), await world.key(supplier="groq")
    model = seeing("gemini-3", "gemini-3")
    limit = MinuteLimit(Tokens(2_000), world.clock.now_ms() + 60_000)
    world.pool._records[cheap.id].minute_limits[CHEAP.model] = limit
    text = world.pool.choose_candidate(model, INPUT, LIMIT)
    pictured = world.pool.choose_candidate(model, INPUT, LIMIT, pictures=ONE)
    assert text is not None
    assert pictured is not None
    assert (text.key, pictured.key) == (cheap.id, dear.id)


async def test_files_pass_only_through_keys_whose_contributors_let_them(world: World) -> None:
    key = (await world.key()).id
    row = dict.fromkeys(
        ("quota", "credited", "fee", "advance", "inviting", "requests", "created_at"), 0
    )
    texts = {"person": "per_bob", "state": "open", "consent": "", "reason": ""}
    returned = {"returned_quota": 0, "returned_credits": 0, "verified": False}
    await world.ledger.record(
        Update(schema.key, {"id": key}, {"owner": "per_bob"}),
        Insert(schema.contribution, {"key": key, **row, **texts, **returned}),
    )
    model = seeing("gemini-3", "")
    for takes_files in (None, False, True):
        change = {"takes_files": takes_files}
        await world.ledger.record(Update(schema.contribution, {"key": key}, change))
        await world.pool.reload()
        is_able = takes_files is True
        assert world.pool.is_servable(model)
        assert world.pool.is_servable(model, has_files=True) is is_able
        assert world.pool.is_servable(model, pictures=ONE) is is_able, "pictures are files"
        found = world.pool.choose_candidate(
            model, INPUT, LIMIT, asker="per_tom", pictures=ONE, has_files=True
        )
        assert (found is not None) is is_able
        longest = world.pool.max_affordable_tokens(model, INPUT, LIMIT, has_files=True)
        assert (longest == LIMIT) is is_able
    await world.key("sk-good-0002")
    await world.ledger.record(Update(schema.contribution, {"key": key}, {"takes_files": False}))
    await world.pool.reload()
    own = world.pool.choose_candidate(model, INPUT, LIMIT, pictures=ONE, has_files=True)
    assert own is not None
    assert own.terms is None, "the operator's own keys take them"
