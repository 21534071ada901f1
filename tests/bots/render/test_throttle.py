"""How fast answers are shown, over hours of virtual time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings, strategies as st

from bots.render.throttle import (
    BURST,
    ChatThrottle,
    ChatThrottles,
    NotDelivered,
    RetryLater,
    ThrottledStream,
)
from tests.bots.render.virtual_time import run
from tests.support.size import size

CLOSE = 1e-6


@dataclass
class Platform:
    """Takes frames as a chat platform would: slowly, and sometimes saying "wait"."""

    waits: list[float]
    takes: list[float]
    sent: list[tuple[float, str]] = field(default_factory=list)
    told: list[tuple[float, float]] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    in_flight: int = 0
    overlaps: int = 0

    async def send(self, frame: str) -> None:
        now = asyncio.get_running_loop().time()
        self.starts.append(now)
        self.overlaps += self.in_flight
        self.in_flight += 1
        try:
            await asyncio.sleep(self.takes.pop() if self.takes else 0)
            wait = self.waits.pop() if self.waits else 0
            if wait:
                self.told.append((asyncio.get_running_loop().time(), wait))
                raise RetryLater(wait if wait > 0 else None)
            self.sent.append((now, frame))
        finally:
            self.in_flight -= 1


frames = st.lists(
    st.tuples(st.floats(0, 5), st.sampled_from(["", "a", "ab", "abc", "abcd"])), max_size=30
)


@settings(max_examples=size(small=250, full=3000))
@given(
    offers=frames,
    waits=st.lists(st.sampled_from([0, 0, 0, 0, -1, 1, 7, 40]), max_size=30),
    takes=st.lists(st.floats(0, 4), max_size=30),
    interval=st.sampled_from([1.0, 3.0]),
    pieces=st.integers(1, 4),
)
def test_the_end_always_lands_and_the_pace_is_kept(
    offers: list[tuple[float, str]],
    waits: list[float],
    takes: list[float],
    interval: float,
    pieces: int,
) -> None:
    platform = Platform(list(waits), list(takes))
    last = [f"end {n}" for n in range(pieces)]

    async def main() -> None:
        budget = ChatThrottle(interval)
        showing = ThrottledStream(platform.send, budget)
        task = asyncio.create_task(showing.run())
        for pause, text in offers:
            await asyncio.sleep(pause)
            showing.put_frame(text)
        showing.finish_with(*last)
        await task

    run(main)
    texts = [text for _, text in platform.sent]
    assert texts[-pieces:] == last
    assert platform.overlaps == 0
    steps = pairwise(platform.starts)
    assert all(later - earlier >= interval - CLOSE for earlier, later in steps)
    for at, wait in platform.told:
        # Growing pauses where nobody said how long begin at a quarter of a second.
        least = wait if wait > 0 else 0.25
        assert not any(at < start < at + least - CLOSE for start in platform.starts)
    assert all(a != b for a, b in pairwise(texts)), "a frame was sent twice"
    assert all(text in {offered for _, offered in offers} for text in texts[:-pieces])


def test_the_newest_text_is_shown_and_the_ones_between_are_dropped() -> None:
    platform = Platform([], [])

    async def main() -> None:
        showing = ThrottledStream(platform.send, ChatThrottle(1.0))
        task = asyncio.create_task(showing.run())
        for number in range(1, 19):
            showing.put_frame("word " * number)
            await asyncio.sleep(0.15)
        showing.finish_with("all of it")
        await task

    run(main)
    shown = [(round(at, 3), text.count("word")) for at, text in platform.sent]
    assert shown == [(0.0, 1), (1.0, 7), (2.0, 14), (3.0, 0)]


def test_the_same_text_again_after_a_pause_is_not_sent_but_a_fading_preview_is() -> None:
    platform = Platform([], [])

    async def main() -> None:
        showing = ThrottledStream(platform.send, ChatThrottle(1.0))
        task = asyncio.create_task(showing.run())
        for _ in range(3):
            showing.put_frame("thinking")
            await asyncio.sleep(9)
        showing.resend_shown()
        await asyncio.sleep(9)
        showing.finish_with("done", "done")
        await task

    run(main)
    assert platform.sent == [
        (0.0, "thinking"),
        (27.0, "thinking"),
        (36.0, "done"),
        (37.0, "done"),
    ]


def test_a_wait_for_one_answer_holds_for_everything_in_the_chat() -> None:
    first, second = Platform([20], []), Platform([], [])

    async def main() -> None:
        budget = ChatThrottle(3.0)
        answers = [ThrottledStream(each.send, budget) for each in (first, second)]
        async with asyncio.TaskGroup() as group:
            for answer in answers:
                group.create_task(answer.run())
                answer.finish_with("end")
            await asyncio.sleep(5)
            await budget.send_with_retries(lambda: second.send("a card"))

    run(main)
    assert first.starts == [0.0, 20.0]
    # The card needs no turn, only room in an open chat; the other answer booked behind the first.
    assert sorted(second.sent) == [(20.0, "a card"), (23.0, "end")]


def test_patience_ends() -> None:
    platform = Platform([400.0] * 5, [])

    async def main() -> float:
        budget = ChatThrottle(1.0)
        showing = ThrottledStream(platform.send, budget, retry_seconds_max=1000)
        showing.finish_with("end")
        with pytest.raises(NotDelivered) as refused:
            await showing.run()
        assert refused.value.waited_seconds == 1200
        assert str(refused.value) == "not_shown(waited_seconds=1200)"
        return asyncio.get_running_loop().time()

    assert run(main) == 800.0


def test_other_failures_come_out() -> None:
    async def show(_: str) -> None:
        raise ValueError("gone")

    async def main() -> None:
        showing = ThrottledStream(show, ChatThrottle(1.0))
        showing.put_frame("a")
        with pytest.raises(ValueError, match="gone"):
            await showing.run()

    run(main)


def test_budgets_are_shared_by_a_chat_and_idle_ones_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bots.render.throttle._CHATS_MAX", 3)

    async def main() -> None:
        budgets = ChatThrottles()
        first = budgets.for_chat("a", 1.0)
        assert budgets.for_chat("a", 1.0) is first
        first.pause(50)
        for chat in "bcde":
            budgets.for_chat(chat, 1.0)
        assert budgets.for_chat("a", 1.0) is first, "a chat that must wait is not forgotten"
        await asyncio.sleep(60)
        for chat in "fghijk":
            budgets.for_chat(chat, 1.0)
        assert budgets.for_chat("a", 1.0) is not first

    run(main)


@settings(max_examples=size(small=100, full=3000))
@given(
    cards=st.lists(st.floats(0, 20), max_size=60),
    answers=st.lists(st.integers(1, 12), max_size=3),
    pause=st.sampled_from([0.0, 7.0]),
)
def test_cards_and_answers_of_a_chat_keep_its_pace_together(
    cards: list[float], answers: list[int], pause: float
) -> None:
    sent: list[float] = []

    async def send(_: object = None) -> None:
        sent.append(asyncio.get_running_loop().time())

    async def send_card(throttle: ChatThrottle, at: float) -> None:
        await asyncio.sleep(at)
        await throttle.send_with_retries(send)

    async def main() -> None:
        throttle = ChatThrottle(3.0)
        async with asyncio.TaskGroup() as group:
            for pieces in answers:
                answer = ThrottledStream(send, throttle)
                answer.finish_with(*map(str, range(pieces)))
                group.create_task(answer.run())
            for at in cards:
                group.create_task(send_card(throttle, at))
            await asyncio.sleep(5)
            throttle.pause(pause)

    run(main)
    assert len(sent) == len(cards) + sum(answers), "nothing is dropped"
    for first, after in zip(sorted(sent), sorted(sent)[BURST:], strict=False):
        assert after - first >= BURST * 3.0 - CLOSE
    if not answers and not pause and len(cards) <= BURST:
        assert sorted(sent) == pytest.approx(sorted(cards), abs=CLOSE), "a few wait for nobody"


def test_a_deletion_waits_for_no_card() -> None:
    async def main() -> float:
        throttle = ChatThrottle(3.0)
        async with asyncio.TaskGroup() as group:
            for _ in range(3 * BURST):
                group.create_task(throttle.wait_room())
            await asyncio.sleep(1)
            await throttle.send_with_retries(lambda: asyncio.sleep(0), is_message=False)
            return asyncio.get_running_loop().time()

    assert run(main) == 1


def test_what_waits_for_a_chat_is_bounded_in_bytes() -> None:
    async def main() -> None:
        throttle = ChatThrottle(1.0)
        with throttle.hold_bytes(5_000_000) as first:
            assert first, "one always may"
            with throttle.hold_bytes(1) as second:
                assert not second
        with throttle.hold_bytes(2_000_000) as one, throttle.hold_bytes(2_000_000) as two:
            assert one
            assert two
            with throttle.hold_bytes(1) as third:
                assert not third
            assert not throttle.is_idle, "what waits isn't forgotten"
        assert throttle.is_idle

    run(main)
