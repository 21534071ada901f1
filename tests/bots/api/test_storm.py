"""A storm of calls by clients that stay, repeat and vanish at any moment, before suppliers that
answer, break and lie: what each is charged, by the supplier's own log of what it sent.

One Credit is one token. Where a client's leaving races with the last bytes, the charge lies between
what it had read and what was sent.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import Literal, get_args

import pytest

from core.pricing.token_counter import count_message_tokens, count_tokens
from tests.bots.api.money_support import PATHS, Reply, Shop, Wire, selling
from tests.peers.supplier_tools import Called
from tests.peers.suppliers import Answer, Refuse, Used
from tests.support.databases import TestClock
from tests.support.size import size

CALLS = size(small=50, full=10_000)
AT_ONCE = 12

#: When the client leaves. early: before its body ends; body: right after it; silent: while the
#: supplier says nothing yet; middle: with all read that was sent; racing: somewhere, while it is
#: sent; end: with all read, at once.
Leave = Literal["never", "early", "body", "silent", "middle", "racing", "end"]
#: What the supplier does. lie: tells an impossible usage.
Manner = Literal["whole", "untold", "lie", "length", "filtered", "break", "fail", "cut", "refuse"]
_FREE = ("break", "fail", "cut", "refuse")


@dataclass(frozen=True)
class Plan:
    """One call of the storm, and what its supplier does."""

    name: str
    path: str
    streams: bool
    leave: Leave
    manner: Manner
    answer: Answer | Refuse
    limit: int
    key: str
    #: More requests with the same key: none, at the same time, afterwards.
    repeats: Literal["", "along", "after"]
    #: So many bytes are read before a racing client leaves.
    bytes_read: int


def make_plan(dice: random.Random, number: int) -> Plan:
    name = f"call{number}"
    manner, leave = dice.choice(get_args(Manner)), dice.choice(get_args(Leave))
    kind = dice.choice(("text", "calls", "thoughts", "all"))
    texts, thoughts, calls = _make_texts(dice, number, kind)
    pieces = len(texts) + 2 * len(calls)
    limit, words = dice.choice((20, 60, 400)), 3 * (len(texts) + len(thoughts) + len(calls))
    told: Used | None = Used(dice.randint(15, 60), dice.randint(1, min(words, limit) + 5))
    told = {"untold": None, "lie": Used(10**6, 10**6)}.get(manner, told)
    answer: Answer | Refuse = Answer(
        text="",
        chunks=texts,
        usage=told,
        thoughts=thoughts,
        calls=calls,
        finish={"length": "length", "filtered": "filtered"}.get(manner, "stop"),  # type: ignore[arg-type]
        breaks_after=dice.randint(1, pieces - 1) if manner == "break" else None,
        fails_after=dice.randint(1, pieces - 1) if manner == "fail" else None,
        cut=manner == "cut",
    )
    assert isinstance(answer, Answer)
    if manner == "refuse":
        answer = dice.choice((Refuse(500), Refuse(400, code="context_length_exceeded")))
    elif leave == "silent":
        answer = replace(answer, before=asyncio.Event())
    elif leave == "middle":
        answer = replace(answer, hangs_after=dice.randint(1, pieces - 1), breaks_after=None)
        answer = replace(answer, fails_after=None)
    repeats = dice.choice(("", "along", "after")) if leave in ("never", "end") else ""
    return Plan(
        name=name,
        path=dice.choice(PATHS),
        streams=leave == "racing" or dice.random() < 0.6,
        leave=leave,
        manner=manner,
        answer=answer,
        limit=limit,
        key=f"key {name}" if repeats or dice.random() < 0.3 else "",
        repeats=repeats,  # type: ignore[arg-type]
        bytes_read=dice.randint(1, 4_000),
    )


def _make_texts(
    dice: random.Random, number: int, kind: str
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[Called, ...]]:
    """Texts, thoughts and calls, in each of which a word stands that is nowhere else."""
    words = (f"w{number}x{n}q " for n in range(1_000))
    texts = tuple(next(words) for _ in range(dice.randint(2, 12)))
    thoughts = tuple(next(words) for _ in range(dice.randint(1, 5)))
    calls = tuple(
        Called(f"tool{n}", ('{"a": "', next(words), '"}'), id=f"call_{number}_{n}")
        for n in range(dice.randint(1, 3))
    )
    has_thoughts, has_calls = kind in ("thoughts", "all"), kind in ("calls", "all")
    return (
        () if kind == "calls" else texts,
        thoughts if has_thoughts else (),
        calls if has_calls else (),
    )


# --- the reference ------------------------------------------------------------------------------


async def reckon(shop: Shop, plan: Plan, reply: Reply) -> tuple[int, int]:
    """The least and the most that a call may be charged, from what its supplier sent."""
    sent = shop.find_sent(plan.name)
    if sent is None or plan.leave in ("early", "silent"):
        return 0, 0
    prompt = (await count_message_tokens(shop.model, [_ask(plan), ""])).units
    hold = prompt + plan.limit
    said = prompt + (await count_tokens(shop.model, sent.text)).units
    told = said
    if sent.used is not None:
        told = sent.used.input + sent.used.output
        if plan.manner == "lie":
            told = min(told, said)
    told, said = min(told, hold), min(said, hold)
    whole = (told if sent.text.strip() else 0) if plan.manner not in _FREE else 0
    if plan.leave in ("never", "end"):
        return whole, whole
    if plan.leave == "middle" and plan.streams:
        return said, said
    # It raced: it may have left before anything came, or after all had.
    read, received = _find_read(sent.texts, reply), 0
    if read:
        received = min(hold, prompt + (await count_tokens(shop.model, read)).units)
    # Tokens of a text's beginning may be one more than those beginnings have in the whole.
    ends = [whole] if sent.is_ended or plan.manner in _FREE else []
    return min(max(0, received - 2), *ends, said), max(said, *ends, 0)


def _find_read(texts: list[str], reply: Reply) -> str:
    """What was sent up to the last word that the client had read."""
    words = [re.search(r"w\d+x\d+q", text) for text in texts]
    read = [n for n, word in enumerate(words) if word and word[0].encode() in reply.content]
    return "".join(texts[: max(read) + 1]) if read else ""


def _ask(plan: Plan) -> str:
    return f"{plan.name} why?"


# --- the clients --------------------------------------------------------------------------------


async def play(shop: Shop, plan: Plan) -> Reply:
    """One client from its first byte to its last."""
    body = shop.build_body(_ask(plan), max_tokens=plan.limit, stream=plan.streams)
    if plan.leave == "never":
        return await _play_repeated(shop, plan, body)
    reader, writer = await shop.open()
    head, content = shop.encode(plan.path, body, plan.key)
    writer.writelines((head, content[:-1] if plan.leave == "early" else content))
    read = b""
    if plan.leave == "silent" and plan.manner != "refuse":
        await shop.supplier.wait_for(lambda: shop.count_calls(plan.name) > 0)
    elif plan.leave == "middle" and plan.manner != "refuse":
        read = await _read_all_sent(shop, plan, reader)
    elif plan.leave == "racing":
        while len(read) < plan.bytes_read and (chunk := await reader.read(97)):
            read += chunk
    elif plan.leave == "end" or (plan.manner == "refuse" and plan.leave in ("silent", "middle")):
        read = await reader.read(-1)
    writer.transport.abort()
    if plan.repeats and plan.leave == "end":
        await _repeat(shop, plan, body)
    return Reply(read)


async def _read_all_sent(shop: Shop, plan: Plan, reader: asyncio.StreamReader) -> bytes:
    """Waits until the supplier hangs, and for a stream until all that it sent was read."""
    assert isinstance(plan.answer, Answer)
    read, pieces = b"", len(plan.answer.thoughts) + (plan.answer.hangs_after or 0)

    def is_all_sent() -> bool:
        sent = shop.find_sent(plan.name)
        return sent is not None and len(sent.texts) == pieces

    await shop.supplier.wait_for(is_all_sent)
    sent = shop.find_sent(plan.name)
    assert sent is not None
    if plan.streams:
        run = shop.runs[plan.name]
        while run.text != sent.text:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.005)
        words = re.findall(r"w\d+x\d+q", "".join(sent.texts[len(plan.answer.thoughts) :]))
        while words and words[-1].encode() not in read:
            chunk = await reader.read(1 << 16)
            assert chunk, (plan, sent, read)
            read += chunk
    return read


async def _play_repeated(shop: Shop, plan: Plan, body: dict[str, object]) -> Reply:
    if plan.repeats != "along":
        reply = await shop.post(plan.path, body, plan.key)
        if plan.repeats:
            await _repeat(shop, plan, body)
        return reply
    both = await asyncio.gather(*(shop.post(plan.path, body, plan.key) for _ in range(3)))
    first = [one for one in both if one.status != 409 and not one.is_replayed]
    # A failure is repeated in its own words.
    assert len(first) == 1 or plan.manner in _FREE or first[0].status >= 400, (plan, both)
    return first[0]


async def _repeat(shop: Shop, plan: Plan, body: dict[str, object]) -> None:
    """The same again is answered for nothing, or asked anew where it came to nothing by no doing of
    its own; another body with the same key is refused."""
    calls = shop.count_calls(plan.name)
    again = await shop.post(plan.path, body, plan.key)
    is_refused = isinstance(plan.answer, Refuse) and plan.answer.status == 400
    if plan.manner in _FREE and not is_refused:
        assert not again.is_replayed
        assert shop.count_calls(plan.name) > calls
        calls = shop.count_calls(plan.name)
    else:
        assert again.is_replayed or again.status >= 400, again
    # One that vanished may be known to be gone only now.
    assert again.code != "idempotency_mismatch", again
    other = await shop.post(plan.path, {**body, "temperature": 0.5}, plan.key)
    assert (other.status, other.code) == (422, "idempotency_mismatch")
    assert shop.count_calls(plan.name) == calls


# --- the storm ----------------------------------------------------------------------------------


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
async def test_each_call_is_charged_what_its_supplier_sent(
    database_url: str, clock: TestClock, monkeypatch: pytest.MonkeyPatch, wire: Wire
) -> None:
    dice = random.Random(f"storm {wire}")
    plans = {plan.name: plan for plan in (make_plan(dice, n) for n in range(CALLS))}
    async with selling(database_url, clock, monkeypatch, wire) as shop:

        def choose(body: dict[str, object]) -> Answer | Refuse:
            found = re.search(r"call\d+ ", str(body["messages"]))
            assert found
            return plans[found[0][:-1]].answer

        shop.supplier.by_body = choose
        places = asyncio.Semaphore(AT_ONCE)

        async def take_turn(plan: Plan) -> Reply:
            async with places:
                return await play(shop, plan)

        replies = await asyncio.gather(*map(take_turn, plans.values()))
        # Whoever left at once may be heard of only now.
        await shop.post(PATHS[0], shop.build_body("last "), "")
        await shop.settle()
        charges, causes = await shop.check_sums(), await shop.read_causes()
        # Of what was asked anew the last alone may have cost something.
        assert {run.id for run in shop.runs.values()} >= {one for one in charges if charges[one]}
        seen: Counter[str] = Counter()
        wrong = []
        for plan, reply in zip(plans.values(), replies, strict=True):
            run = shop.runs.get(plan.name)
            if run is None:
                assert shop.count_calls(plan.name) == 0
                assert plan.leave in ("early", "body", "racing"), plan
                continue
            charge = charges.get(run.id, 0)
            least, most = await reckon(shop, plan, reply)
            if not least <= charge <= most:
                result = run.result.result()
                wrong.append((plan, least, charge, most, result, shop.find_sent(plan.name)))
            outcome = run.result.result().outcome.value
            seen[outcome] += 1
            if outcome == "stopped":
                assert charge or causes.get(run.id) == "stopped"
            if outcome == "broken":
                assert not charge
                assert causes[run.id] == "broken"
            if plan.leave not in ("never", "end") and outcome == "stopped":
                sent = shop.find_sent(plan.name)
                assert sent is None or sent.is_closed or sent.is_ended, plan
        assert not wrong, wrong[:3]
        assert {"done", "stopped", "broken", "refused", "length", "filtered"} <= set(seen), seen
