"""Documents at random, whole and damaged: each is asked with its words, or offered, or its problem
is named; and only answers are charged."""

from __future__ import annotations

import asyncio
import collections
import random
from dataclasses import replace

from bots.chat.attachments import SentAttachment
from bots.chat.types import Answer, Card
from core.attachments.reader import READ_SECONDS_MAX
from core.clock import SystemClock
from core.money import Credits
from tests.support.random_documents import RandomDocument, make_random_document
from tests.support.service import Service, running
from tests.support.size import size

FILES = size(small=8, full=5_000)
AT_ONCE = 4
WELCOME = 1_000
#: What the clock adds to waiting for others' files.
_SECONDS_MAX = (AT_ONCE + 1) * READ_SECONDS_MAX


async def test_random_documents_end_in_words_or_a_problem(sqlite_url: str) -> None:
    chance = random.Random(FILES)
    counts: collections.Counter[str] = collections.Counter()
    numbers = iter(range(FILES))
    async with running(sqlite_url, SystemClock(), welcome=WELCOME) as service:

        async def send_some() -> None:
            for number in numbers:
                document = make_random_document(chance)
                person = service.someone(str(1_000 + number))
                counts[await _send(person, f"what is in {number}?", document)] += 1

        await asyncio.gather(*(send_some() for _ in range(AT_ONCE)))
    print(f"{FILES} random documents: {dict(counts)}")
    assert counts["asked"] > FILES // 4


async def _send(person: Service, question: str, document: RandomDocument) -> str:
    """What came of it: asked, offered, or the problem."""
    incoming = replace(person.incoming(question), attachments=(_attach(document),))
    async with asyncio.timeout(_SECONDS_MAX):
        shown = await person._shown(
            person.app.chat.dispatcher.handle_message(incoming), incoming.place
        )
    last = shown[-1]
    calls = [str(one.body["messages"][-1]["content"]) for one in person.openai.calls]
    sent = [one for one in calls if one.startswith(f"{question}\n")]
    left, held = await person.credits(), await person.held()
    assert held == Credits(0)
    if isinstance(last, Answer):
        (words,) = sent
        assert left < Credits(WELCOME)
        if document.is_whole:
            missing = [one for one in document.words if one not in words.replace("\r", "")]
            assert not missing, (document.name, missing[:3], words[:300])
        return "asked"
    assert isinstance(last, Card)
    text = "\n".join(last.lines)
    assert (sent, left) == ([], Credits(WELCOME)), text
    if "The prices hold for ten minutes" in text:
        return "offered"
    assert not document.is_whole, (document.name, text)
    assert document.name in text
    assert "Nothing was asked or charged" in text
    return text.partition("”")[2].partition(".")[0].strip()


def _attach(document: RandomDocument) -> SentAttachment:
    async def fetch() -> bytes:
        return document.content

    return SentAttachment("file", document.name, size=len(document.content), fetch=fetch)
