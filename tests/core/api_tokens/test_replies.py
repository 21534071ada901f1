"""Replies are kept for a day, and never stand in the way of a settlement."""

from __future__ import annotations

import pytest

from core.api_tokens.replies import ApiReplies, plan_answer, plan_reply
from core.clock import DAY_MS
from core.ledger.ledger import Ledger
from core.ledger.types import CompanionRefused
from tests.support.databases import TestClock


async def test_a_reply_is_planned_answered_and_kept_for_a_day(
    ledger: Ledger, clock: TestClock
) -> None:
    replies = ApiReplies(ledger=ledger)
    assert await replies.find("ask_1") is None
    await ledger.record(plan_reply("ask_1", "usr_1", b"asked", clock.now_ms()))
    waiting = await replies.find("ask_1")
    assert waiting is not None
    assert (waiting.person, bytes(waiting.digest), waiting.answer) == ("usr_1", b"asked", None)
    with pytest.raises(CompanionRefused) as refused:
        await ledger.record(plan_reply("ask_1", "usr_1", b"other", clock.now_ms()))
    assert refused.value.table == "api_reply"
    await ledger.record(plan_answer("ask_1", b"sealed"))
    answered = await replies.find("ask_1")
    assert answered is not None
    assert (bytes(answered.digest), bytes(answered.answer)) == (b"asked", b"sealed")
    clock.at_ms += DAY_MS - 1
    await replies.delete_expired()
    assert await replies.find("ask_1") is not None
    clock.at_ms += 1
    assert await replies.find("ask_1") is None, "it is over before the job has run"
    await replies.delete_expired()
    # Its key may be used again, and a late answer refuses nothing.
    await ledger.record(plan_answer("ask_1", b"late"))
    await ledger.record(plan_reply("ask_1", "usr_1", b"new", clock.now_ms()))
