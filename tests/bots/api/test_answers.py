"""What comes over the API when all isn't well: refusals, silence, clients that go, repeats."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, strategies as st

from bots.api import answers
from bots.api.answers import AnswerFollower
from bots.api.chat_replies import ChatReplyWriter
from bots.api.exchange import Exchange
from bots.api.message_replies import MessageReplyWriter
from bots.api.ports import KeptReply
from bots.api.replies import ReplyFacts
from core.asks.api_calls import TokenCapReached, encode_pieces
from core.asks.rate_limit import (
    DailyLimitReached,
    OwnDailyLimitReached,
    RateLimited,
    TooManyConcurrentAsks,
)
from core.asks.types import (
    AskFailure,
    CreditsOwed,
    NoKeyAvailable,
    NotEnoughCredits,
    Outcome,
    QuestionTooLong,
    ServiceStopping,
    TooManyAsks,
)
from core.asks.unpaid_work import UnpaidWorkSpent
from core.ledger.types import LedgerUnavailable
from core.money import Credits, MicroCredits, Tokens
from core.pool.providers.types import ReasoningDelta, TextDelta, ToolCallDelta
from core.pricing.catalogue import Catalogue
from core.pricing.prices import Price
from core.users.limits import FeaturePaused, PersonBlocked
from tests.bots.api.api_support import (
    MODEL,
    SECRET,
    TOKEN,
    FakeRun,
    ask_chat,
    ask_message,
    make_result,
    serving,
)

THE_MODEL = Catalogue.load().find(MODEL)
PRICE = Price("prc", MODEL, "token", MicroCredits(1), MicroCredits(1), 0, "formula")
SHORT = NotEnoughCredits(
    THE_MODEL, PRICE, Credits(90), Credits(7), Credits(5), payable_limit=Tokens(40)
)


@pytest.mark.parametrize(
    ("refusal", "status", "code", "retries", "said"),
    [
        (SHORT, 402, "insufficient_credits", False, "needs 90 Credits; you have 7"),
        (SHORT, 402, "insufficient_credits", False, "answer of 40 tokens"),
        (CreditsOwed(Credits(4)), 402, "credits_owed", False, "owe 4"),
        (TokenCapReached(Credits(5), Credits(6)), 403, "token_limit_reached", False, "5 Credits"),
        (DailyLimitReached(Credits(5)), 403, "daily_limit_reached", False, "5 Credits"),
        (OwnDailyLimitReached(Credits(1)), 403, "daily_limit_reached", False, "1 Credit "),
        (UnpaidWorkSpent(), 403, "daily_limit_reached", False, ""),
        (PersonBlocked(), 403, "account_paused", False, ""),
        (FeaturePaused("asks", "Back at noon."), 403, "account_paused", False, "Back at noon."),
        (RateLimited(3, 17), 429, "rate_limit_exceeded", 17, "3 times"),
        (RateLimited(3, 90), 429, "rate_limit_exceeded", 60, ""),
        (TooManyConcurrentAsks(2), 429, "rate_limit_exceeded", 2, ""),
        (TooManyAsks(), 429, "rate_limit_exceeded", 5, ""),
        (NoKeyAvailable(THE_MODEL), 503, "overloaded", 20, MODEL),
        (ServiceStopping(), 503, "overloaded", 5, ""),
        (LedgerUnavailable(), 503, "overloaded", 5, ""),
        (
            QuestionTooLong(THE_MODEL, Tokens(10**7)),
            400,
            "context_length_exceeded",
            False,
            "10000000",
        ),
        (KeyError("a secret"), 500, None, None, ""),
    ],
)
async def test_each_refusal_has_its_status_and_code(
    refusal: Exception, status: int, code: str | None, retries: int | bool | None, said: str
) -> None:
    async with serving() as api:
        api.asks.refusal = refusal
        answer = await api.post("/v1/chat/completions", ask_chat())
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (status, code)
        assert set(error) == {"message", "type", "param", "code"}
        assert said in error["message"]
        assert "secret" not in answer.text
        assert (answer.headers.get("x-should-retry") == "false") == (retries is False)
        if type(retries) is int:
            assert answer.headers["retry-after"] == str(retries)
        other = await api.post("/v1/messages", ask_message())
        assert other.status_code == (529 if status == 503 else status)
        assert other.json()["type"] == "error"
        assert other.json()["request_id"] == other.headers["request-id"]
        assert other.json()["error"]["message"] == error["message"]


@pytest.mark.parametrize(
    ("ending", "status", "code"),
    [
        ({"outcome": Outcome.REFUSED, "failure": AskFailure.SUPPLIER}, 503, "overloaded"),
        (
            {"outcome": Outcome.REFUSED, "failure": AskFailure.TOO_LONG},
            400,
            "context_length_exceeded",
        ),
        ({"outcome": Outcome.REFUSED, "failure": AskFailure.CONTENT}, 400, "content_filter"),
        ({"outcome": Outcome.TIMED_OUT, "failure": AskFailure.SUPPLIER}, 504, "timeout"),
        ({"outcome": Outcome.STOPPED, "finish_reason": ""}, 503, "stopped"),
    ],
)
@pytest.mark.parametrize("streams", [False, True])
async def test_an_answer_that_never_began_is_a_status(
    ending: dict[str, Any], status: int, code: str, streams: bool
) -> None:
    async def fail(run: FakeRun) -> None:
        run.end(**ending)

    async with serving(fail) as api:
        answer = await api.post("/v1/chat/completions", ask_chat(stream=streams))
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        assert answer.headers["x-request-id"] == api.run.id


async def test_silence_is_ended_by_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "FIRST_SILENCE_SECONDS", 0.01)
    monkeypatch.setattr(answers, "SILENCE_SECONDS", 0.01)

    async def answer_when_told(run: FakeRun) -> None:
        await told.wait()
        await run.say(TextDelta("at last"))
        run.end()

    for path, body, sign in (
        ("/v1/chat/completions", ask_chat(stream=True), ": keep-alive"),
        ("/v1/messages", ask_message(stream=True), "event: ping"),
    ):
        told = asyncio.Event()
        async with (
            serving(answer_when_told) as api,
            api.client.stream("POST", path, json=body, headers={"x-api-key": SECRET}) as answer,
        ):
            assert answer.status_code == 200
            seen = []
            async for line in answer.aiter_lines():
                seen.append(line)
                if seen.count(sign) == 2:
                    told.set()
        text = "\n".join(seen)
        assert text.index(sign) < text.index("at last")
        assert '"delta":{"role":"assistant"' in text or "message_start" in seen[0]


@pytest.mark.parametrize("streams", [False, True])
async def test_a_client_that_goes_stops_its_ask(streams: bool) -> None:
    async def speak_on(run: FakeRun) -> None:
        await run.say(TextDelta("some"))
        await run.stopped.wait()
        run.end(outcome=Outcome.STOPPED, finish_reason="")

    async with serving(speak_on) as api:
        port = int(api.base.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        body = json.dumps(ask_chat(stream=streams)).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nx-api-key: {SECRET}\r\n"
        writer.write(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        if streams:
            await reader.readuntil(b"some")
        else:
            await api.asks.arrived.wait()
        writer.close()
        await api.run.stopped.wait()
        assert api.run.is_stopped_by_asker


async def test_a_client_that_goes_at_the_end_has_read_all() -> None:
    async def answer(run: FakeRun) -> None:
        await run.say(TextDelta("all"))
        run.end()

    async with serving(answer) as api:
        port = int(api.base.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        body = json.dumps(ask_chat(stream=True)).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nx-api-key: {SECRET}\r\n"
        writer.write(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        await reader.readuntil(b"[DONE]")
        writer.close()
        # Whoever comes next finds the connection's end dealt with.
        assert (await api.get("/v1/credits")).status_code == 200
        assert not api.run.stopped.is_set()


async def test_thoughts_of_which_nothing_is_told_begin_nothing() -> None:
    async def think_and_fail(run: FakeRun) -> None:
        await run.say(ReasoningDelta())
        run.end(outcome=Outcome.REFUSED, failure=AskFailure.SUPPLIER)

    async with serving(think_and_fail) as api:
        answer = await api.post("/v1/chat/completions", ask_chat(stream=True))
        assert answer.status_code == 503


async def test_a_client_that_goes_while_the_last_byte_is_sent_has_read_all() -> None:
    gone = asyncio.Event()

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body" and not message["more_body"]:
            gone.set()
            # Whoever waits for that learns it now.
            for _ in range(3):
                await asyncio.sleep(0)

    async def receive() -> Any:
        await gone.wait()
        return {"type": "http.disconnect"}

    scope = {"path": "/v1/chat/completions", "method": "POST", "headers": []}
    exchange = Exchange(scope, receive, send, lambda: "ask_1")
    run = FakeRun(cast("Any", SimpleNamespace(id="ask_1")))
    facts = ReplyFacts("ask_1", MODEL, 0, 1, includes_usage=True, seal_thought=lambda *_: "")
    await run.say(TextDelta("all"))
    run.end()
    await AnswerFollower(exchange, cast("Any", run), ChatReplyWriter(facts)).send_stream()
    assert exchange.is_finished
    assert not run.stopped.is_set()


def read_blocks(stream: str) -> list[dict[str, Any]]:
    """The blocks of a message's events, each open alone and told to its end."""
    blocks: list[dict[str, Any]] = []
    told, is_open = [""], False
    for line in stream.split("\n"):
        event = json.loads(line.removeprefix("data: ")) if line.startswith("data: ") else {}
        match event.get("type"):
            case "content_block_start":
                assert not is_open
                assert event["index"] == len(blocks)
                blocks.append(event["content_block"])
                told, is_open = [], True
            case "content_block_delta":
                assert is_open
                assert event["index"] == len(blocks) - 1
                told.append(event["delta"].get("text", event["delta"].get("partial_json")))
            case "content_block_stop":
                assert is_open
                is_open, said = False, "".join(told)
                if blocks[-1]["type"] == "text":
                    blocks[-1]["text"] = said
                else:
                    blocks[-1]["input"] = json.loads(said)
    assert not is_open
    return blocks


WOVEN = (
    ToolCallDelta(0, "a", "f", "{"),
    TextDelta("between"),
    ToolCallDelta(1, "b", "g", '{"x":'),
    ToolCallDelta(0, arguments='"y":'),
    ToolCallDelta(2, "c", "h"),
    ToolCallDelta(1, arguments="1}"),
    ToolCallDelta(0, arguments="2}"),
    ToolCallDelta(1, arguments=" "),
    # So it is told where no arguments came.
    ToolCallDelta(2, arguments="{}"),
)


@pytest.mark.parametrize("at_once", [True, False])
async def test_calls_that_a_supplier_weaves_are_told_one_after_the_other(at_once: bool) -> None:
    async def weave(run: FakeRun) -> None:
        for piece in WOVEN:
            await run.say(piece)
            if not at_once:
                # Whoever reads takes each alone.
                while run.feed is not None and run.feed._unread:  # noqa: ASYNC110
                    await asyncio.sleep(0)
        run.end(finish_reason="tool_calls")

    async with serving(weave) as api:
        whole = await api.post("/v1/messages", ask_message())
        told = [(one["type"], one.get("input", one.get("text"))) for one in whole.json()["content"]]
        assert told == [
            ("tool_use", {"y": 2}),
            ("text", "between"),
            ("tool_use", {"x": 1}),
            ("tool_use", {}),
        ]
        chunks = await api.post("/v1/chat/completions", ask_chat(stream=True))
        assert "[DONE]" in chunks.text
        stream = await api.post("/v1/messages", ask_message(stream=True))
        assert stream.status_code == 200
        assert read_blocks(stream.text) == whole.json()["content"]
        assert '"stop_reason":"tool_use"' in stream.text
        assert not api.run.stopped.is_set()


async def test_a_call_is_told_as_it_comes_once_the_one_before_is_whole() -> None:
    facts = ReplyFacts("ask_1", MODEL, 0, 1, includes_usage=True, seal_thought=lambda *_: "")
    writer = MessageReplyWriter(facts)
    assert b"partial_json" in writer.write_pieces([ToolCallDelta(0, "a", "f", '{"x":1}')])
    assert b"partial_json" in writer.write_pieces([ToolCallDelta(1, "b", "f", '{"x":')])
    assert b"partial_json" in writer.write_pieces([ToolCallDelta(1, arguments="1}")])
    # A call that was told to its end takes nothing more.
    assert writer.write_pieces([ToolCallDelta(0, arguments="{}")]) == b""
    assert b"waits" not in writer.write_pieces([ToolCallDelta(2, "c", "f"), TextDelta("waits")])
    assert b"waits" in writer.end(make_result("ask_1"))


@given(st.data())
def test_however_calls_are_woven_a_stream_tells_what_the_whole_does(data: st.DataObject) -> None:
    calls = [
        [ToolCallDelta(at, f"id{at}", "f"), *(ToolCallDelta(at, arguments=one) for one in said)]
        for at in range(data.draw(st.integers(1, 4)))
        for said in [data.draw(st.sampled_from((list('{"a":{"b":"}"}}'), ["{}"], ["{", "}"])))]
    ]
    left: list[list[Any]] = [*calls, [TextDelta("x"), TextDelta(""), TextDelta("y")]]
    pieces = []
    while left:
        one = data.draw(st.sampled_from(left))
        pieces.append(one.pop(0))
        left = [other for other in left if other]
    facts = ReplyFacts("ask_1", MODEL, 0, 1, includes_usage=True, seal_thought=lambda *_: "")
    writer, result = MessageReplyWriter(facts), make_result("ask_1")
    stream = b"".join(writer.write_pieces([one]) for one in pieces) + writer.end(result)
    whole = MessageReplyWriter(facts).build_whole(pieces, result)
    assert read_blocks(stream.decode()) == whole["content"]


async def test_hidden_thoughts_go_out_under_a_seal() -> None:
    async def hide(run: FakeRun) -> None:
        await run.say(ReasoningDelta(redacted="secret thought"), TextDelta("x"))
        run.end()

    async with serving(hide) as api:
        whole = (await api.post("/v1/messages", ask_message())).json()
        stream = (await api.post("/v1/messages", ask_message(stream=True))).text
        block = whole["content"][0]
        assert block["type"] == "redacted_thinking"
        assert block["data"].startswith("cbs1.")
        assert '"type":"redacted_thinking"' in stream
        assert "secret thought" not in stream + json.dumps(whole)
        turns = [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": whole["content"]},
            {"role": "user", "content": "y"},
        ]
        await api.post("/v1/messages", ask_message(messages=turns))
        call = api.run.question.api_call
        assert call is not None
        assert getattr(call.messages[1].parts[0], "redacted", "") == "secret thought"


# --- idempotency --------------------------------------------------------------------------------


async def test_a_repeat_is_answered_once() -> None:
    async def answer(run: FakeRun) -> None:
        await run.say(TextDelta("once"))
        run.end()

    async with serving(answer) as api:
        path, body, key = "/v1/chat/completions", ask_chat(), {"idempotency_key": "k1"}
        first = await api.post(path, body, **key)
        call = api.run.question.api_call
        assert call is not None
        assert call.reply_key is not None
        digest = call.reply_key.digest
        # The service knows it, but the answer isn't there yet.
        api.replies.kept[api.run.id] = KeptReply(digest)
        running = await api.post(path, body, **key)
        assert (running.status_code, running.headers["retry-after"]) == (409, "2")
        assert running.json()["error"]["code"] == "in_progress"
        result = make_result(api.run.id)
        pieces = encode_pieces([TextDelta("once")])
        api.replies.kept[api.run.id] = KeptReply(digest, result, pieces, "key_1")
        api.balances.available = Credits(0)
        again = await api.post(path, body, **key)
        assert again.headers["idempotent-replayed"] == "true"
        assert again.json() == first.json()
        streamed = await api.post(path, ask_chat(stream=True), **key)
        assert "once" in streamed.text
        assert "[DONE]" in streamed.text
        other = await api.post(path, ask_chat("something else"), **key)
        assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_mismatch")
        assert len(api.asks.runs) == 1
        long = await api.post(path, body, idempotency_key="k" * 256)
        assert long.status_code == 400


async def test_a_key_is_one_persons_on_one_path() -> None:
    async with serving() as api:
        await api.post("/v1/chat/completions", ask_chat(), idempotency_key="k")
        await api.post("/v1/messages", ask_message(), idempotency_key="k")
        api.tokens.token = replace(TOKEN, id="tok_2", person="usr_2")
        await api.post("/v1/messages", ask_message(), idempotency_key="k")
        assert len({run.id for run in api.asks.runs}) == 3
        gone = await api.post("/v1/messages", ask_message(), idempotency_key="k")
        assert gone.status_code == 422
