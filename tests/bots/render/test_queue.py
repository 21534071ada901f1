"""One lane per conversation."""

from __future__ import annotations

import asyncio

import pytest

from bots.render.queue import ConversationQueue, QueueFull


async def test_a_lane_serves_in_order_and_lanes_do_not_wait_for_each_other() -> None:
    lanes, order, gate = ConversationQueue(waiting_max=5), list[str](), asyncio.Event()

    async def visit(key: str, name: str) -> None:
        async with lanes.enter(key):
            order.append(f"{name} in")
            if key == "a":
                await gate.wait()
            order.append(f"{name} out")

    async with asyncio.TaskGroup() as group:
        for name in ("first", "second", "third"):
            group.create_task(visit("a", name))
        other = group.create_task(visit("b", "other"))
        await other
        assert lanes.count_waiting("a") == 2
        assert lanes.is_busy("a")
        gate.set()
    assert order == [
        "first in",
        "other in",
        "other out",
        "first out",
        "second in",
        "second out",
        "third in",
        "third out",
    ]
    assert len(lanes) == 0, "idle lanes are forgotten"


async def test_too_many_waiting_are_refused_at_once() -> None:
    lanes, gate = ConversationQueue(waiting_max=1), asyncio.Event()

    async def visit() -> None:
        async with lanes.enter("a"):
            await gate.wait()

    inside = [asyncio.create_task(visit()) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(QueueFull) as refused:
        async with lanes.enter("a"):
            raise AssertionError("nobody gets here")
    assert refused.value.waiting == 1
    gate.set()
    await asyncio.gather(*inside)
    async with lanes.enter("a"):
        assert lanes.count_waiting("a") == 0


async def test_one_who_gives_up_waiting_leaves_the_lane_as_it_was() -> None:
    lanes, gate = ConversationQueue(waiting_max=1), asyncio.Event()

    async def visit() -> None:
        async with lanes.enter("a"):
            await gate.wait()

    first, second = asyncio.create_task(visit()), asyncio.create_task(visit())
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait({second})
    assert lanes.count_waiting("a") == 0
    gate.set()
    await first
    assert len(lanes) == 0
