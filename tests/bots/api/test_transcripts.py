"""What front ends and the libraries beneath them really send, as it was recorded, before a service
whose supplier refuses what the real one refuses: each request is answered in its wire's shape and
paid by one row, or refused by the name of its field.

A file of `transcripts` begins with whose requests it holds, and where they are from: `recorded` by
`tests/clients/wire_recorder.py`, or `quoted` from somebody's notes. A line each follows: the path,
the headers that matter, the body.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from bots.api_server import build_api_server
from core.db import schema
from core.money import Credits
from core.pool.suppliers import SUPPLIERS
from core.pricing.catalogue import Catalogue
from core.pricing.costs import Costs
from tests.peers.supplier_tools import Called
from tests.peers.suppliers import Answer, FakeSupplier
from tests.support import service
from tests.support.databases import TestClock
from tests.support.service import Service, World

TRANSCRIPTS = sorted((Path(__file__).parent / "transcripts").glob("*.jsonl"))
MODELS = {"openai": "gpt-6.1-sol", "anthropic": "claude-sonnet-5-5"}
WELCOME = 1_000_000
#: What is refused, by the name of which field, before whose suppliers: another API's form, and JSON
#: without a schema where nobody says so in words, or of a maker that doesn't know it.
REFUSED = {
    "cursor[2]": ("input", {"openai", "anthropic"}),
    "ai-openai-compatible[4]": ("response_format", {"openai", "anthropic"}),
    "instructor[2]": ("response_format", {"anthropic"}),
}
#: Of Anthropic's streams, in their order.
EVENTS = ("message_start", "content_block_start", "content_block_stop", "message_delta")


@dataclass
class Counter:
    """A service with one supplier, and a program's token."""

    tom: Service
    supplier: FakeSupplier
    client: httpx.AsyncClient
    model: str

    async def read_books(self) -> tuple[int, int, int]:
        """How many rows of usage cost something, how many there are, how often a supplier was
        asked."""
        charge, db = schema.usage.c.charge, self.tom.app.services.base.db
        paid = sa.func.count(sa.case((charge > 0, 1)))
        (row,) = await db.fetch(sa.select(paid.label("paid"), sa.func.count().label("rows")))
        return row.paid, row.rows, len(self.supplier.calls)

    async def replay(self, told: dict[str, Any]) -> httpx.Response:
        """Sends a recorded request, for a model that is served."""
        body = told["body"] | {"model": self.model}
        return await self.client.post(told["path"], json=body, headers=told["headers"])


@contextlib.asynccontextmanager
async def open_counter(url: str, clock: TestClock, wire: str) -> AsyncIterator[Counter]:
    catalogue = Catalogue.load()
    found = catalogue.models[MODELS[wire]]
    model = replace(found, routes=tuple(one for one in found.routes if one.provider == wire))
    async with FakeSupplier(wire, models=[model.routes[0].model]) as supplier:  # type: ignore[arg-type]
        supplier.by_body = answer
        real = replace(SUPPLIERS[wire], base_url=supplier.url, key_shape=r"[!-~]{2,400}")
        if wire == "anthropic":
            real = replace(real, base_url=supplier.url.removesuffix("/v1"))
        world = World(Catalogue([model]), Costs.load(), {wire: real}, 4_000)
        async with service.running(
            url, clock, welcome=WELCOME, supplier=supplier, world=world, api=True
        ) as tom:
            tokens, person = tom.app.services.api.tokens, (await tom.person()).id
            token, secret = await tokens.create_token(person, "front end")
            await tokens.set_day_cap(person, token.id, Credits(WELCOME))
            server = build_api_server(tom.app.services, port=0)
            base = f"http://127.0.0.1:{await server.start()}"
            headers = {"authorization": f"Bearer {secret.get_secret_value()}"}
            try:
                async with httpx.AsyncClient(
                    base_url=base, headers=headers, trust_env=False, timeout=30
                ) as client:
                    yield Counter(tom, supplier, client, model.id)
            finally:
                await server.stop()


def answer(body: dict[str, Any]) -> Answer:
    """Calls the first tool of who asks in words, says something else."""
    last = body["messages"][-1]
    told = json.dumps(last)
    if body.get("tools") and last["role"] == "user" and '"tool_result"' not in told:
        tool = body["tools"][0]
        return Answer("", calls=(Called(tool.get("function", tool)["name"], ("{}",)),))
    return Answer("Sunny.")


def read_transcript(file: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Whose it is, and its requests."""
    head, *requests = (json.loads(line) for line in file.read_text().splitlines())
    return head, requests


def list_requests() -> Iterator[tuple[str, dict[str, Any]]]:
    """All, each with a name."""
    for file in TRANSCRIPTS:
        for number, told in enumerate(read_transcript(file)[1]):
            yield f"{file.stem}[{number}]", told


# --- what an answer must be ---------------------------------------------------------------------


def check_answer(told: dict[str, Any], got: httpx.Response) -> None:
    """An answer of the wire, in the form that was asked for."""
    body = told["body"]
    check = {
        ("/v1/chat/completions", False): check_chat,
        ("/v1/chat/completions", True): check_chat_stream,
        ("/v1/messages", False): check_message,
        ("/v1/messages", True): check_message_stream,
    }[told["path"], bool(body.get("stream"))]
    check(body, got)


def check_chat(body: dict[str, Any], got: httpx.Response) -> None:
    told = got.json()
    (choice,) = told["choices"]
    message = choice["message"]
    assert (told["object"], message["role"]) == ("chat.completion", "assistant")
    assert choice["finish_reason"] == ("tool_calls" if message.get("tool_calls") else "stop")
    assert message.get("tool_calls") or message["content"] == "Sunny."
    assert told["usage"]["credits"] > 0


def check_chat_stream(body: dict[str, Any], got: httpx.Response) -> None:
    assert got.headers["content-type"].startswith("text/event-stream")
    events = [line.removeprefix("data: ") for line in got.text.splitlines() if line]
    assert events[-1] == "[DONE]"
    chunks = [json.loads(one) for one in events[:-1]]
    choices = [one["choices"][0] for one in chunks if one["choices"]]
    (finish,) = (one["finish_reason"] for one in choices if one["finish_reason"])
    calls = [one for one in choices if one["delta"].get("tool_calls")]
    assert finish == ("tool_calls" if calls else "stop")
    assert calls or "".join(one["delta"].get("content") or "" for one in choices) == "Sunny."
    wants = (body.get("stream_options") or {}).get("include_usage") or body.get("usage")
    assert bool(wants) == any(one.get("usage") for one in chunks)


def check_message(body: dict[str, Any], got: httpx.Response) -> None:
    told = got.json()
    assert (told["type"], told["role"]) == ("message", "assistant")
    kinds = {one["type"] for one in told["content"]}
    assert told["stop_reason"] == ("tool_use" if "tool_use" in kinds else "end_turn")
    assert kinds in ({"tool_use"}, {"text"})
    assert told["usage"]["credits"] > 0


def check_message_stream(body: dict[str, Any], got: httpx.Response) -> None:
    assert got.headers["content-type"].startswith("text/event-stream")
    events = [
        json.loads(one.removeprefix("data: "))
        for one in got.text.splitlines()
        if one.startswith("data: ")
    ]
    kinds = [one["type"] for one in events]
    assert [one for one in kinds if one in EVENTS] == list(EVENTS)
    assert (kinds[0], kinds[-1]) == ("message_start", "message_stop")
    told = next(one["content_block"]["type"] for one in events if one["type"] == EVENTS[1])
    assert events[-2]["delta"]["stop_reason"] == ("tool_use" if told == "tool_use" else "end_turn")


def check_refusal(param: str, got: httpx.Response) -> None:
    assert got.status_code == 400
    assert got.json()["error"]["param"] == param


# --- the replays --------------------------------------------------------------------------------


@pytest.mark.parametrize("wire", MODELS)
async def test_each_request_is_answered_and_paid_once_or_refused_by_a_name(
    sqlite_url: str, clock: TestClock, wire: str
) -> None:
    """Before a supplier of each wire: either way any model can be asked."""
    assert set(REFUSED) <= {name for name, _ in list_requests()}
    wrong: dict[str, str] = {}
    async with open_counter(sqlite_url, clock, wire) as counter:
        books = await counter.read_books()
        for name, told in list_requests():
            clock.advance(seconds=3)  # nobody is in haste
            got = await counter.replay(told)
            param, wires = REFUSED.get(name, ("", set()))
            try:
                if wire in wires:
                    check_refusal(param, got)
                else:
                    assert got.status_code == 200
                    check_answer(told, got)
            except (AssertionError, ValueError, KeyError) as error:
                wrong[name] = f"{got.status_code} {got.text[:300]} {error}"
            answered = int(got.status_code == 200)
            books, before = await counter.read_books(), books
            if any(now != then + answered for now, then in zip(books, before, strict=True)):
                wrong[f"{name}, books"] = f"{before} {books}"
    assert not wrong, "\n".join(f"{name}: {one}" for name, one in wrong.items())


def test_transcripts_say_where_they_are_from_and_hold_nothing_of_a_machine() -> None:
    assert len(TRANSCRIPTS) >= 15
    for file in TRANSCRIPTS:
        head, requests = read_transcript(file)
        assert head["source"] in {"recorded", "quoted"}, file.name
        assert requests, file.name
        assert file.stat().st_size < 40_000, file.name
        assert "a-key" not in file.read_text(), file.name
