"""Pictures that models' rules refuse: after three in a UTC day a person sends none until the next,
and everything else goes on."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from core.asks.types import AskFailure, AskResult, NoKeyAvailable, SentFile
from core.asks.unpaid_work import (
    CONTENT_REFUSALS_MAX,
    PICTURE_REFUSALS_MAX,
    NoOwnKeyAvailable,
    PicturesPaused,
)
from core.db import schema
from tests.core.earnings.world import BRIEFS, Market
from tests.peers.refusals import REFUSALS
from tests.peers.suppliers import Answer as Says, Script
from tests.support import service
from tests.support.databases import TestClock
from tests.support.sent_files import (
    count_sent_pictures,
    decide_whose_keys,
    make_question,
    read_picture,
)
from tests.support.service import Service

REFUSED = REFUSALS["content"]
#: Cut off by the supplier's rules, and billed.
FILTERED = Says("So", finish="filtered")
SEEN = Says("Because.")


@pytest.fixture
async def tom(database_url: str, clock: TestClock) -> AsyncIterator[Service]:
    async with service.running(database_url, clock) as tom:
        yield tom


async def ask(
    someone: Service, *files: SentFile, script: Script = SEEN, is_privileged: bool = False
) -> AskResult:
    someone.openai.always(script)
    someone.clock.advance(seconds=1)  # type: ignore[attr-defined]
    question = await make_question(someone, *files, is_privileged=is_privileged)
    return await (await someone.app.services.asks.asks.start_ask(question)).result


async def send_refused(someone: Service, times: int, *, script: Script = REFUSED) -> None:
    for number in range(times):
        result = await ask(someone, read_picture(64 + number), script=script)
        assert result.failure is AskFailure.CONTENT or script is FILTERED


@pytest.mark.parametrize("script", [REFUSED, FILTERED], ids=["refused", "filtered"])
async def test_three_refusals_pause_pictures_until_the_next_day(
    tom: Service, clock: TestClock, script: Script
) -> None:
    before = await tom.credits()
    await send_refused(tom, PICTURE_REFUSALS_MAX - 1, script=script)
    assert (await ask(tom, read_picture())).text
    await send_refused(tom, 1, script=script)
    calls = len(tom.openai.calls)
    with pytest.raises(PicturesPaused):
        await ask(tom, read_picture())
    assert len(tom.openai.calls) == calls
    assert (await tom.held()).is_zero
    if script is REFUSED:
        spent = before.units - (await tom.credits()).units
        assert spent == (await ask(tom.someone("9"), read_picture())).charge.units
    assert (await ask(tom.someone("8"), read_picture())).text, "it is one person's"
    assert (await ask(tom)).text, "words go on"
    clock.advance(seconds=86_400 - clock.now_ms() // 1_000 % 86_400)
    assert (await ask(tom, read_picture())).text


async def test_pictures_of_before_stay_behind_meanwhile(tom: Service) -> None:
    seen = await ask(tom, read_picture())
    await send_refused(tom, PICTURE_REFUSALS_MAX)
    assert (await ask(tom)).text
    assert sum(count_sent_pictures(tom.openai.calls[-1].body)) == 0
    assert "[photo.jpg, 64 × 48]" in str(tom.openai.calls[-1].body)
    # Asked again, or replied to, it would go whole.
    again = await make_question(tom)
    repeated = replace(again, follows=seen.ask, is_repeat=True, files_of=seen.ask)
    with pytest.raises(PicturesPaused):
        await tom.app.services.asks.asks.start_ask(repeated)
    reply = replace(await make_question(tom), replies_to=seen.ask)
    assert (await (await tom.app.services.asks.asks.start_ask(reply)).result).text
    assert sum(count_sent_pictures(tom.openai.calls[-1].body)) == 0


async def test_admins_are_exempt(tom: Service) -> None:
    for _ in range(PICTURE_REFUSALS_MAX + 1):
        await ask(tom, read_picture(), script=REFUSED, is_privileged=True)
    assert (await ask(tom, read_picture(), is_privileged=True)).text
    with pytest.raises(PicturesPaused):
        await ask(tom, read_picture())


async def test_they_count_among_all_refusals(database_url: str, clock: TestClock) -> None:
    async with service.running(database_url, clock, keys=0, policy=BRIEFS) as tom:
        key = await Market(tom, clock).contributes("ann", "sk-contributed-by-ann-000000", "24")
        await tom.app.services.earnings.contributions.set_takes_files(key, True)
        await decide_whose_keys(tom, shares=True)
        await send_refused(tom, PICTURE_REFUSALS_MAX)
        for _ in range(CONTENT_REFUSALS_MAX - PICTURE_REFUSALS_MAX):
            assert (await ask(tom)).text
            await ask(tom, script=REFUSED)
        with pytest.raises(NoOwnKeyAvailable):
            await ask(tom)
        assert (await ask(tom.someone("8"))).text


async def test_while_pictures_wait_a_model_without_keys_is_told_as_such(tom: Service) -> None:
    await send_refused(tom, PICTURE_REFUSALS_MAX)
    pool = tom.app.services.pool.pool
    await pool.set_key_state(pool.summarize_keys()[0].id, "paused")
    with pytest.raises(NoKeyAvailable):
        await ask(tom)


async def test_accounts_that_are_one_count_together(tom: Service, clock: TestClock) -> None:
    market, other = Market(tom, clock), tom.someone("8")
    await tom.person()
    clock.advance(seconds=1)
    await send_refused(other, PICTURE_REFUSALS_MAX - 1)
    await send_refused(tom, 1)
    assert (await ask(tom, read_picture())).text
    await market.links("7", "8")
    clock.advance(seconds=31)
    for one in (tom, other):
        with pytest.raises(PicturesPaused):
            await ask(one, read_picture())
    assert await count_alerts(tom) == [(await tom.person()).id]


async def count_alerts(tom: Service) -> list[str]:
    """Of whose pictures operators are told, each time."""
    await tom.app.services.admin.monitor.check_service()
    rows = await tom.app.services.base.db.fetch(schema.notice.select())
    told = [json.loads(row.data) for row in rows]
    return [facts["person"] for facts in told if facts.get("what") == "pictures"]


async def test_operators_are_told_once(tom: Service, clock: TestClock) -> None:
    await send_refused(tom, PICTURE_REFUSALS_MAX - 1)
    await send_refused(tom.someone("8"), 1)
    assert await count_alerts(tom) == []
    await send_refused(tom, 1)
    for _ in range(30):  # every ten minutes, as the job does
        assert await count_alerts(tom) == [(await tom.person()).id]
        clock.advance(seconds=600)
    clock.advance(days=1)
    await send_refused(tom, PICTURE_REFUSALS_MAX)
    assert await count_alerts(tom) == [(await tom.person()).id] * 2
