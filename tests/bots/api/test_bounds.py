"""Requests at the bounds of what the API takes: bodies that come slowly, and many pictures."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import replace
from typing import Any, NoReturn

import pytest

from bots.api.access import REQUESTS_AT_ONCE
from bots.api.app import API_LIMITS
from bots.api.refusals import describe_refusal
from core.asks.types import PicturesUnseen
from core.attachments.types import PICTURES_MAX, FileProblem, FileUnreadable, PictureSize
from core.money import Credits, Tokens
from core.pricing.catalogue import Route
from tests.bots.api import api_support
from tests.bots.api.api_support import SECRET, Api, ask_chat, serving
from tests.bots.api.money_support import PATHS, Shop, selling
from tests.peers.suppliers import Answer, Used
from tests.support import brief
from tests.support.databases import TestClock
from tests.support.pictures import make_png

CHAT, MESSAGES = PATHS


async def trickle(api: Api) -> bytes:
    """Sends a body by single bytes for as long as the server takes any; the first line of what it
    said then, unless that crossed with a last byte."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(api.base.rpartition(":")[2]))
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nx-api-key: {SECRET}\r\nContent-Length: 20000000"
    writer.write(head.encode() + b"\r\n\r\n")
    said = asyncio.create_task(reader.read(-1))
    while not said.done():
        writer.write(b" ")
        await asyncio.wait((said,), timeout=0.01)
    writer.transport.abort()
    try:
        return (await said).partition(b"\r\n")[0]
    except ConnectionResetError:
        return b""


async def test_a_body_that_trickles_is_cut_off_and_holds_no_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However steadily its bytes come: the time is that of all of it."""
    assert API_LIMITS.body_seconds == 30
    monkeypatch.setattr(api_support, "API_LIMITS", replace(API_LIMITS, body_seconds=0.5))
    async with serving() as api:
        said = await asyncio.gather(*(trickle(api) for _ in range(REQUESTS_AT_ONCE)))
        assert set(said) <= {b"HTTP/1.1 408 Request Timeout", b""}
        assert not api.asks.runs
        # Each of a person's places is free again.
        answers = await asyncio.gather(
            *(api.post(CHAT, ask_chat()) for _ in range(REQUESTS_AT_ONCE))
        )
        assert {one.status_code for one in answers} == {200}


def build_album(shop: Shop, name: str, path: str, pictures: int) -> dict[str, Any]:
    """A request of so many pictures, each another."""
    parts: list[dict[str, Any]] = [{"type": "text", "text": f"{name} what are these?"}]
    for number in range(pictures):
        data = base64.b64encode(make_png(40 + number, 30)).decode()
        url = {"url": f"data:image/png;base64,{data}"}
        source = {"type": "base64", "media_type": "image/png", "data": data}
        parts.append(
            {"type": "image_url", "image_url": url}
            if path == CHAT
            else {"type": "image", "source": source}
        )
    return shop.build_body("") | {"messages": [{"role": "user", "content": parts}]}


@pytest.mark.parametrize("path", PATHS)
async def test_as_many_pictures_are_served_as_models_see_and_twenty_are_refused(
    sqlite_url: str, clock: TestClock, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(brief, "GPT_4", replace(brief.GPT_4, context=Tokens(100_000)))
    async with selling(sqlite_url, clock, monkeypatch) as shop:
        asks = shop.service.app.services.asks.asks
        shop.supplier.always(Answer("Ten of them.", usage=Used(2_600, 5)))
        for pictures in (PICTURES_MAX + 1, 20):
            more = await shop.post(path, build_album(shop, "more", path, pictures))
            assert more.status == 400
            assert b"A request may hold 10 pictures at most." in more.content
        assert not shop.supplier.calls
        served = await shop.post(path, build_album(shop, "most", path, PICTURES_MAX))
        assert served.status == 200
        (call,) = shop.supplier.calls
        assert json.dumps(call.body).count("base64") == PICTURES_MAX
        assert list((await shop.check_sums()).values()) == [2_605]
        # The reader of one that can't be read tells so, and what was read before goes, too.
        body = build_album(shop, "damaged", path, PICTURES_MAX)
        text = json.dumps(body).replace(base64.b64encode(make_png(49, 30)).decode(), "AAAA")
        damaged = await shop.post(path, json.loads(text))
        assert (damaged.status, damaged.code) == (400, "invalid_image")
        await shop.check_sums()
        assert await shop.service.held() == Credits(0)
        assert asks._picture_bytes == 0


@pytest.mark.parametrize(("path", "status"), [(CHAT, 503), (MESSAGES, 529)])
async def test_a_picture_that_there_is_no_time_to_read_may_be_sent_again(
    sqlite_url: str, clock: TestClock, monkeypatch: pytest.MonkeyPatch, path: str, status: int
) -> None:
    async def take_too_long(*_: object) -> NoReturn:
        raise FileUnreadable(FileProblem.SLOW)

    async with selling(sqlite_url, clock, monkeypatch) as shop:
        reader = shop.service.app.services.asks.file_reader
        monkeypatch.setattr(reader, "read_picture", take_too_long)
        refused = await shop.post(path, build_album(shop, "slow", path, 1))
        assert (refused.status, refused.code) == (status, "overloaded")
        assert b"\r\nretry-after: 30\r\n" in refused.content
        assert b"x-should-retry" not in refused.content
        assert not shop.supplier.calls
        assert await shop.check_sums() == {}
        assert await shop.service.held() == Credits(0)


async def test_what_a_model_does_not_see_is_refused_before_it_is_read(
    sqlite_url: str, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with selling(sqlite_url, clock, monkeypatch, "anthropic") as shop:
        monkeypatch.setattr(shop.service.app.services.asks.file_reader, "read_picture", None)
        unseen = await shop.post(CHAT, build_album(shop, "unseen", CHAT, 2))
        assert (unseen.status, unseen.code) == (400, "unsupported_content")
        assert b"holds 2 pictures; claude-3 doesn't see pictures." in unseen.content
        assert await shop.check_sums() == {}


def test_a_model_that_sees_fewer_says_how_many() -> None:
    model = replace(brief.GPT_4, routes=(Route("mistral", "x", pictures="mistral"),))
    error = describe_refusal(PicturesUnseen(model, (PictureSize(10, 10),) * 9))
    assert error.message == "A request holds 9 pictures; gpt-4 sees 8 of them at most."
