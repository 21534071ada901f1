"""Who gets in, by which header and from where; and what may be looked up."""

from __future__ import annotations

import asyncio
import ipaddress
import json
from dataclasses import replace
from typing import Any, cast

import pytest

from bots.api.access import REQUESTS_AT_ONCE, WRONG_TOKENS_PER_MINUTE, AccessControl
from bots.api.exchange import Exchange
from core.asks.api_usage import ApiUsage, UsageCursor
from core.money import Credits, Tokens
from core.pool.providers.types import TextDelta
from tests.bots.api.api_support import (
    MODEL,
    SECRET,
    TOKEN,
    FakeRun,
    FakeTokens,
    ask_chat,
    ask_message,
    serving,
)
from tests.support.databases import TestClock


async def test_tokens_are_read_from_both_headers_and_nowhere_else() -> None:
    async with serving() as api:
        for headers in ({"authorization": f"bearer {SECRET}"}, {"x-api-key": SECRET}):
            assert (await api.client.get("/v1/credits", headers=headers)).status_code == 200
        api.tokens.asked.clear()
        answer = await api.client.get(f"/v1/credits?key={SECRET}&api_key={SECRET}")
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert answer.headers["x-should-retry"] == "false"
        assert answer.json()["error"]["code"] == "invalid_api_key"
        assert api.tokens.asked == []
        elsewhere = await api.client.get("/v1/models", headers={"x-api-key": "cbk_elsewhere"})
        assert (elsewhere.status_code, elsewhere.json()["error"]["code"]) == (403, "ip_not_allowed")


async def test_wrong_tokens_are_counted_before_they_are_looked_up() -> None:
    async with serving() as api:
        wrong = {"authorization": "Bearer cbk_wrong"}
        for _ in range(WRONG_TOKENS_PER_MINUTE):
            assert (await api.client.get("/v1/models", headers=wrong)).status_code == 401
        asked = len(api.tokens.asked)
        refused = await api.get("/v1/models")
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert len(api.tokens.asked) == asked
        api.clock.advance(seconds=61)
        assert (await api.get("/v1/models")).status_code == 200


async def test_nothing_of_a_body_is_read_for_nobody_and_for_nothing() -> None:
    """The answer is there while the body isn't."""
    async with serving() as api:
        api.balances.available = Credits(0)
        port = int(api.base.rpartition(":")[2])
        for secret, status in (("cbk_wrong", b"401"), (SECRET, b"402")):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            head = f"POST /v1/messages HTTP/1.1\r\nHost: x\r\nx-api-key: {secret}\r\n"
            writer.write(head.encode() + b"Content-Length: 1000000\r\n\r\n{")
            assert (await reader.readline()).split()[1] == status
            writer.close()


async def test_a_person_has_so_many_requests_at_once() -> None:
    async def wait(run: FakeRun) -> None:
        await run.say(TextDelta("x"))
        await go_on.wait()
        run.end()

    go_on = asyncio.Event()
    async with serving(wait) as api, asyncio.TaskGroup() as group:
        streams = [
            api.client.stream(
                "POST",
                "/v1/chat/completions",
                json=ask_chat(stream=True),
                headers={"x-api-key": SECRET},
            )
            for _ in range(REQUESTS_AT_ONCE)
        ]
        opened = await asyncio.gather(*(one.__aenter__() for one in streams))
        more = await api.post("/v1/chat/completions", ask_chat())
        assert (more.status_code, more.headers["retry-after"]) == (429, "2")
        assert (await api.get("/v1/credits")).status_code == 200
        go_on.set()
        for one in opened:
            group.create_task(one.aread())
    assert all(one.status_code == 200 for one in opened)


@pytest.mark.parametrize(
    ("peer", "forwarded", "found"),
    [
        ("203.0.113.9", ["1.2.3.4"], "203.0.113.9"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["1.2.3.4, 198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["1.2.3.4", "198.51.100.7, 10.0.0.2"], "198.51.100.7"),
        ("10.0.0.1", ["1.2.3.4, nonsense"], "10.0.0.1"),
        ("::ffff:10.0.0.1", ["2001:db8::1"], "2001:db8::1"),
    ],
)
def test_addresses_are_believed_from_proxies_alone(
    peer: str, forwarded: list[str], found: str
) -> None:
    control = AccessControl(
        tokens=FakeTokens(),
        clock=TestClock(),
        trusted_proxies=[ipaddress.ip_network("10.0.0.0/8")],
    )
    scope: dict[str, Any] = {
        "path": "/",
        "method": "GET",
        "client": (peer, 1),
        "headers": [(b"x-forwarded-for", one.encode()) for one in forwarded],
    }
    nothing = cast("Any", None)
    assert control.find_address(Exchange(scope, nothing, nothing, lambda: "req_1")) == found


async def test_nobody_on_this_machine_is_believed_unasked() -> None:
    """The server beneath believes what comes from loopback, unless it is told not to."""
    for trusted, found in (((), "127.0.0.1"), (("127.0.0.1/32",), "198.51.100.7")):
        proxies = [ipaddress.ip_network(one) for one in trusted]
        async with serving(trusted_proxies=proxies) as api:
            await api.get("/v1/models", x_forwarded_for="198.51.100.7")
            assert [address for _, address in api.tokens.asked] == [found]


async def test_models_are_those_of_the_token() -> None:
    async with serving() as api:
        api.tokens.token = replace(TOKEN, models=("gpt-5",))
        listed = (await api.get("/v1/models")).json()
        assert [one["id"] for one in listed["data"]] == ["gpt-5"]
        for name in (MODEL, "gpt-5-minny", "whisper-1"):
            for answer in (
                await api.get(f"/v1/models/{name}"),
                await api.post("/v1/chat/completions", ask_chat(model=name)),
            ):
                error = answer.json()["error"]
                assert (answer.status_code, error["code"]) == (404, "model_not_found")
                assert MODEL not in error["message"].replace(repr(name), "")
        one = await api.get("/v1/models/gpt-5", anthropic_version="2023-06-01")
        assert one.json()["type"] == "model"
        assert (await api.get("/v1/models/any%2Fgpt-5")).json()["id"] == "gpt-5"
        dated = await api.post("/v1/chat/completions", ask_chat(model="gpt-5-2025-08-07"))
        assert (dated.status_code, dated.headers["x-model"]) == (200, "gpt-5")
        assert dated.json()["model"] == "gpt-5-2025-08-07"


async def test_names_nearby_are_told() -> None:
    async with serving() as api:
        answer = await api.post("/v1/messages", ask_message(model="gpt-5-minny"))
        assert answer.json()["error"]["type"] == "not_found_error"
        assert MODEL in answer.json()["error"]["message"]


async def test_credits_and_usage_are_told_also_to_whoever_has_none() -> None:
    async with serving() as api:
        api.balances.available = Credits(0)
        told = (await api.get("/v1/credits")).json()
        assert (told["available"], told["held"]) == (0, 30)
        assert (told["token"]["used_today"], told["token"]["left_today"]) == (120, 380)
        api.history.rows = [
            ApiUsage("ask_2", 5_000, "tok", MODEL, Tokens(9), Tokens(4), Tokens(2), Credits(1)),
            ApiUsage("ask_1", 4_000, "tok", MODEL, Tokens(9), Tokens(4), Tokens(2), Credits(1)),
        ]
        page = (await api.get("/v1/usage?limit=1")).json()
        assert (page["data"][0]["request_id"], page["data"][0]["credits"]) == ("ask_2", 1)
        assert (page["has_more"], page["next"]) == (True, "5000.ask_2")
        await api.get(f"/v1/usage?limit=2&after={page['next']}")
        assert api.history.asked[-1] == ("usr_1", 2, UsageCursor(5_000, "ask_2"))
        for wrong in ("limit=0", "limit=101", "limit=x", "after=x"):
            assert (await api.get(f"/v1/usage?{wrong}")).status_code == 400


async def test_paths_and_methods() -> None:
    async with serving() as api:
        assert (await api.client.head("/")).status_code == 200
        unknown = await api.get("/v1/nothing")
        assert (unknown.status_code, set(unknown.json())) == (404, {"error"})
        assert (await api.get("/v1/messages/batches")).json()["type"] == "error"
        assert (await api.get("/v1/messages")).status_code == 405
        preflight = await api.client.options(
            "/v1/chat/completions", headers={"origin": "https://x.example"}
        )
        assert not [name for name in preflight.headers if name.startswith("access-control")]
        beta = await api.client.post(
            "/v1/messages?beta=true",
            json=ask_message(),
            headers={"x-api-key": SECRET, "anthropic-beta": "whatever-2031-01-01"},
        )
        assert beta.status_code == 200


async def test_bodies_that_cannot_be_read() -> None:
    async with serving() as api:
        headers = {"x-api-key": SECRET}
        for body in (b"[" * 100_000, b"{", b"[]", b"\xff", b'{"model":NaN}'):
            answer = await api.client.post("/v1/chat/completions", content=body, headers=headers)
            assert answer.status_code == 400
            assert answer.json()["error"]["type"] == "invalid_request_error"
        large = ask_chat("x" * 400_000)
        assert (await api.post("/v1/chat/completions", large)).status_code == 200
        call = api.run.question.api_call
        assert call is not None
        assert len(call.messages[0].text) == 400_000


async def test_two_words_about_where_a_body_ends_are_one_too_many() -> None:
    """Nothing that reads HTTP for us lets both through; the app doesn't count on that."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    scope = {
        "type": "http",
        "path": "/v1/messages",
        "method": "POST",
        "headers": [(b"content-length", b"2"), (b"transfer-encoding", b"chunked")],
    }
    exchange = Exchange(scope, receive, send, lambda: "req_1")
    with pytest.raises(Exception, match="400"):
        exchange.check_framing()
    await exchange.send_json({"a": 1})
    assert json.loads(sent[-1]["body"]) == {"a": 1}
