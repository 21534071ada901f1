"""Telegram is written to at its pace; nobody waits behind what another chat has waiting."""

from __future__ import annotations

import asyncio

from bots.render.pace import FairPace
from bots.telegram.rate_limiter import FairRateLimiter


async def _served(orders: list[str], pace: FairPace, chat: str, number: int) -> None:
    await pace.wait_turn(chat)
    orders.append(f"{chat}{number}")


async def test_a_flood_is_one_place_ahead_of_another_chat() -> None:
    pace, order = FairPace(200, burst=200), []
    flood = [asyncio.create_task(_served(order, pace, "a", n)) for n in range(1_000)]
    while len(order) < 250:  # what may go at once is gone
        await asyncio.gather(flood[len(order)])
    other = asyncio.create_task(_served(order, pace, "b", 0))
    before = len(order)
    await other
    assert order.index("b0") - before <= 2, "its place in the queue"
    for task in flood:
        task.cancel()
    await asyncio.gather(*flood, return_exceptions=True)
    assert [each for each in order if each[0] == "a"] == [f"a{n}" for n in range(len(order) - 1)]
    await pace.close()


async def test_chats_take_turns_and_who_is_gone_takes_none() -> None:
    pace, order = FairPace(1_000, burst=1_000), []
    tasks = [asyncio.create_task(_served(order, pace, chat, n)) for chat in "abc" for n in range(3)]
    await asyncio.sleep(0)
    tasks[4].cancel()  # b1
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == ["a0", "b0", "c0", "a1", "c1", "a2", "b2", "c2"]
    assert not pace._waiting


async def test_what_goes_to_no_chat_waits_for_nobody() -> None:
    limiter = FairRateLimiter()
    asked: list[str] = []

    async def call(name: str) -> bool:
        asked.append(name)
        return True

    assert await limiter.process_request(call, ("getMe",), {}, "getMe", {}, None)
    assert await limiter.process_request(
        call, ("send",), {}, "sendMessage", {"chat_id": 7, "text": "x"}, None
    )
    assert asked == ["getMe", "send"]
    await limiter.shutdown()
