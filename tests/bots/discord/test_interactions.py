"""In a crowd everybody is acknowledged first; then they are served, in the order they came."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from bots.discord import interactions
from bots.discord.interactions import WAITING_MAX, AdmissionGate

#: Turns of the loop in which anybody who may go in has gone in.
TURNS = 200


async def _served(door: AdmissionGate, guests: int) -> tuple[list[int], list[asyncio.Task[None]]]:
    served: list[int] = []

    async def come(number: int) -> None:
        await door.wait_turn()
        served.append(number)

    tasks = [asyncio.create_task(come(number)) for number in range(guests)]
    for _ in range(TURNS):
        await asyncio.sleep(0)
    return served, tasks


async def test_nobody_is_served_while_a_crowd_waits_to_be_acknowledged() -> None:
    door = AdmissionGate()
    with contextlib.ExitStack() as crowd:
        for _ in range(WAITING_MAX):
            crowd.enter_context(door.count_acknowledgement())
        with door.count_acknowledgement():
            served, tasks = await _served(door, 5)
            assert served == []
        await asyncio.gather(*tasks)
        assert served == [0, 1, 2, 3, 4], "in the order they came, though a few still wait"


async def test_a_crowd_without_end_keeps_nobody_waiting_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(interactions, "PATIENCE_SECONDS", 0.01)
    door = AdmissionGate()
    with contextlib.ExitStack() as crowd:
        for _ in range(WAITING_MAX + 1):
            crowd.enter_context(door.count_acknowledgement())
        served, tasks = await _served(door, 3)
        await asyncio.gather(*tasks)
    assert served == [0, 1, 2]


async def test_who_gives_up_waiting_holds_nobody_up() -> None:
    door = AdmissionGate()
    with contextlib.ExitStack() as crowd:
        for _ in range(WAITING_MAX + 1):
            crowd.enter_context(door.count_acknowledgement())
        served, tasks = await _served(door, 3)
        tasks[0].cancel()
        await asyncio.gather(tasks[0], return_exceptions=True)
    await asyncio.gather(*tasks[1:])
    assert served == [1, 2]
