"""Thousands of generated answers on every wire, each asked for through the real service over real
connections: what is shown, charged and booked, and whether a key is blamed, is what an independent
reference says. A failure names the seeds.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from core.asks import admission, streaming
from core.pool.providers import endings, http
from tests.support.databases import TestClock
from tests.support.size import size
from tests.wires.world import running_world

#: So many services after one another, of each kind of key; so many cases in each.
ROUNDS, CASES = size(small=1, full=40), size(small=100, full=250)
#: At once, so that one waits while another works.
LANES = 2


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endings, "_AFTER_USAGE_SECONDS", 0.1)
    monkeypatch.setattr(endings, "_FOR_USAGE_SECONDS", 0.4)
    monkeypatch.setattr(http, "_DRAIN_SECONDS", 0.05)
    # Each key is asked once: that a short rest is waited out is another test's.
    for module in (admission, streaming):
        monkeypatch.setattr(module, "REST_SECONDS_MAX", 0.0)


@pytest.mark.parametrize("number", range(ROUNDS))
async def test_generated_answers_mean_what_the_reference_says(
    number: int, sqlite_template: Path, tmp_path: Path
) -> None:
    async def run_lane(lane: int) -> list[str]:
        file = tmp_path / f"lane{lane}.db"
        shutil.copyfile(sqlite_template, file)
        contributed = lane % 2 == 1
        url = f"sqlite:///{file}"
        async with running_world(url, TestClock(), contributed=contributed) as world:
            for case in range(CASES):
                await world.try_case(f"{number}/{lane}/{case}")
            return world.found

    found = [line for lane in await asyncio.gather(*map(run_lane, range(LANES))) for line in lane]
    assert not found, f"{len(found)} cases, the first of them:\n" + "\n".join(found[:5])
