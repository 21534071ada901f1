"""Whose keys see what people send: the operator's own, and contributed ones only where both the
sender and the contributor let them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest

from bots.chat.types import Card
from core.asks.conversations import FILES_ALONG_SECONDS
from core.asks.types import AskRefusal, AskResult, NoKeyAvailable, NoKeyForFiles, SentFile
from core.earnings.types import EarningPolicy
from tests.core.earnings.world import TAKES_OPENAI, Market
from tests.peers.suppliers import Refuse
from tests.support import service
from tests.support.config import MANY_KEYS
from tests.support.databases import TestClock
from tests.support.pictures import make_jpeg
from tests.support.sent_files import (
    decide_whose_keys,
    make_question,
    read_document,
    read_picture,
    sent_picture,
)
from tests.support.service import Service

ANNS = "sk-contributed-by-ann-000000"
OWN = MANY_KEYS[0]
FILES: dict[str, tuple[SentFile, ...]] = {
    "picture": (read_picture(),),
    "document": (read_document("The sky is blue."),),
    "both": (read_picture(), read_document("The sky is blue.")),
}


@contextlib.asynccontextmanager
async def pooling(
    url: str, clock: TestClock, *, own_keys: int, takes: bool
) -> AsyncIterator[Service]:
    """Keys of the operator's own, and Ann's, who lets files pass or not."""
    policy = EarningPolicy(TAKES_OPENAI)
    async with service.running(url, clock, keys=own_keys, policy=policy) as tom:
        key = await Market(tom, clock).contributes("ann", ANNS, "24")
        await tom.app.services.earnings.contributions.set_takes_files(key, takes)
        tom.openai.calls.clear()  # it was examined
        yield tom


async def ask(someone: Service, *files: SentFile, text: str = "why?") -> AskResult:
    """A question that asks in a conversation of its own where it has files."""
    question = await make_question(someone, *files, text=text)
    return await (await someone.app.services.asks.asks.start_ask(question)).result


async def set_own_keys_only(someone: Service, value: bool) -> None:
    users = someone.app.services.users.users
    await users.update_settings(await someone.person(), own_keys_only=value)


@pytest.mark.parametrize("kind", FILES)
async def test_a_contributed_key_serves_only_where_both_let_it(
    sqlite_url: str, clock: TestClock, kind: str
) -> None:
    contributions, asked = None, 0
    async with pooling(sqlite_url, clock, own_keys=0, takes=False) as tom:
        contributions = tom.app.services.earnings.contributions
        key = tom.app.services.pool.pool.summarize_keys()[0].id
        for takes in (False, True):
            await contributions.set_takes_files(key, takes)
            for shares in (None, False, True):
                for own_keys_only in (False, True):
                    asked += 1
                    someone = tom.someone(str(100 + asked))
                    await decide_whose_keys(someone, shares=shares)
                    await set_own_keys_only(someone, own_keys_only)
                    calls = tom.openai.calls_of(ANNS)
                    if takes and shares and not own_keys_only:
                        assert (await ask(someone, *FILES[kind])).text
                        assert tom.openai.calls_of(ANNS) == calls + 1
                        continue
                    with pytest.raises(AskRefusal) as refused:
                        await ask(someone, *FILES[kind])
                    # To let them see is of use only where somebody does who could be asked.
                    would_help = takes and not shares and not own_keys_only
                    expected = NoKeyForFiles if would_help else NoKeyAvailable
                    assert type(refused.value) is expected, (takes, shares, own_keys_only)
                    assert tom.openai.calls_of(ANNS) == calls
                    assert (await someone.held()).is_zero


async def test_contributed_keys_serve_words_as_before(database_url: str, clock: TestClock) -> None:
    async with pooling(database_url, clock, own_keys=0, takes=False) as tom:
        assert (await ask(tom)).text
        assert tom.openai.calls_of(ANNS) == 1


@pytest.mark.parametrize("kind", FILES)
async def test_with_both_kinds_of_keys_the_operators_alone_are_asked_by_default(
    sqlite_url: str, clock: TestClock, kind: str
) -> None:
    async with pooling(sqlite_url, clock, own_keys=1, takes=True) as tom:
        for number in range(12):
            await ask(tom.someone(str(100 + number)), *FILES[kind])
        assert (tom.openai.calls_of(OWN), tom.openai.calls_of(ANNS)) == (12, 0)


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize(("takes", "shares"), [(True, True), (True, False), (False, True)])
async def test_a_failover_asks_no_other_keys(
    sqlite_url: str, clock: TestClock, kind: str, takes: bool, shares: bool
) -> None:
    async with pooling(sqlite_url, clock, own_keys=1, takes=takes) as tom:
        tom.openai.trouble = lambda key: Refuse(401) if key == OWN else None
        await decide_whose_keys(tom, shares=shares)
        # What Ann's key has done costs it its turn until the other has failed.
        ann = next(one for one in tom.app.services.pool.pool._records.values() if one.contributor)
        ann.failures = 3
        result = await ask(tom, *FILES[kind])
        assert bool(result.text) is (takes and shares)
        assert tom.openai.calls_of(ANNS) == (takes and shares)
        assert tom.openai.calls_of(OWN) == 1


@pytest.mark.parametrize("kind", FILES)
async def test_a_key_that_rests_is_waited_for_or_refused_but_not_passed_by(
    sqlite_url: str, clock: TestClock, kind: str
) -> None:
    async with pooling(sqlite_url, clock, own_keys=1, takes=True) as tom:
        tom.openai.trouble = lambda key: (
            Refuse(429, code="rate_limit_exceeded", retry_after="120") if key == OWN else None
        )
        assert not (await ask(tom.someone("8"), *FILES[kind])).text
        with pytest.raises(NoKeyForFiles):
            await ask(tom, *FILES[kind])
        assert (await ask(tom, text="and in words?")).text
        assert tom.openai.calls_of(ANNS) == 1
        tom.openai.trouble = lambda _: None
        clock.advance(seconds=200)
        assert (await ask(tom, *FILES[kind])).text
        assert tom.openai.calls_of(ANNS) == 1


@pytest.mark.parametrize("kind", FILES)
async def test_nobodys_own_contributed_key_sees_their_files(
    sqlite_url: str, clock: TestClock, kind: str
) -> None:
    async with pooling(sqlite_url, clock, own_keys=0, takes=True) as tom:
        ann = tom.someone("ann")
        for shares in (False, True):
            await decide_whose_keys(ann, shares=shares)
            with pytest.raises(NoKeyAvailable):
                await ask(ann, *FILES[kind])
        assert tom.openai.calls_of(ANNS) == 0


@pytest.mark.parametrize("kind", FILES)
async def test_what_follows_goes_with_the_files_while_they_go_along(
    sqlite_url: str, clock: TestClock, kind: str
) -> None:
    async with pooling(sqlite_url, clock, own_keys=1, takes=True) as tom:
        await ask(tom, *FILES[kind])
        pool = tom.app.services.pool.pool
        own = next(one for one in pool.summarize_keys() if not one.contributor)
        await pool.set_key_state(own.id, "paused")
        clock.advance(seconds=1)
        with pytest.raises(NoKeyForFiles):
            await ask(tom, text="and why?")
        clock.advance(seconds=FILES_ALONG_SECONDS)
        assert (await ask(tom, text="and why?")).text, "the files stay behind"
        assert tom.openai.calls_of(ANNS) == 1


@pytest.mark.parametrize("takes", [False, True])
async def test_no_model_is_offered_for_pictures_that_no_key_may_see(
    sqlite_url: str, clock: TestClock, takes: bool
) -> None:
    async with pooling(sqlite_url, clock, own_keys=0, takes=takes) as tom:
        await decide_whose_keys(tom, shares=True)
        sent = [sent_picture(make_jpeg(64, 48))]
        card = (await tom.says("/ask claude-3 what is it?", attachments=sent))[-1]
        assert isinstance(card, Card)
        assert bool(card.buttons) is takes
        assert ("no model that does can be asked now" in " ".join(card.lines)) is not takes
