"""A supplier on loopback that speaks its wire as the real one does, refusals included.

    supplier = FakeSupplier("openai")
    url = await supplier.start()                      # a Supplier's or Target's base_url
    supplier.script(Answer("Hello", usage=Used(1_000, 500)))       # the next call's answer
    supplier.script(Refuse(429, code="rate_limit_exceeded", retry_after="7"))
    supplier.always(Answer("ok"))                     # whatever was not scripted
    gate = supplier.hold()                            # nobody finishes until gate.set()
    await supplier.arrived(1_000)                     # that many calls are in
    supplier.calls, supplier.calls_of("sk-good")      # what came
    supplier.trouble = lambda key: …                  # a key's next answer, or None: the usual one

An answer may think and call tools: see `supplier_tools`. Keys are `sk-good` and whatever `allow`
names; the wires are openai, anthropic and cloudflare. What pictures cost, who sees and what is
refused of them is that of the supplier that it `plays`; `picture_counts[model]` says it of a model
that this one doesn't have.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

from tests.peers import supplier_pictures, supplier_tools, supplier_wires as wires
from tests.peers.picture_counts import CountPicture, find_count
from tests.peers.prompt_caches import PromptCaches
from tests.peers.server import PeerServer
from tests.peers.supplier_accounts import Accounts
from tests.peers.supplier_tools import Called

Wire = Literal["openai", "anthropic", "cloudflare"]

GOOD_KEY = "sk-good"
ACCOUNT = "0123456789abcdef0123456789abcdef"
SAMPLING = (
    "temperature",
    "top_p",
    "top_k",
    "top_logprobs",
    "frequency_penalty",
    "presence_penalty",
)


@dataclass(frozen=True)
class Used:
    """What an answer says that it used: the whole prompt, the answer, parts of the prompt; what of
    the answer were thoughts, where that is told."""

    input: int
    output: int
    cached: int = 0
    written: int = 0
    thought: int | None = None


@dataclass(frozen=True)
class Answer:
    """An answer, in `chunks` or a text of one chunk. Without usage it counts words."""

    text: str = "Hello there."
    chunks: tuple[str, ...] = ()
    usage: Used | Literal["words"] | None = "words"
    #: What is really billed, where `usage` lies.
    really: Used | None = None
    #: In the wire's own words; an answer that calls tools ends so by itself.
    finish: Literal["stop", "length", "filtered", "tool_calls"] = "stop"
    #: The stop sequence that ended it, where the wire tells it.
    stop_sequence: str = ""
    #: Pieces of reasoning before the answer: their number, or what they say; and whether some of it
    #: is hidden, as Anthropic does.
    thinking: int = 0
    thoughts: tuple[str, ...] = ()
    redacted: bool = False
    #: Tools that are called after the text.
    calls: tuple[Called, ...] = ()
    #: Waits: before the headers, and before each chunk.
    before: asyncio.Event | None = None
    between: asyncio.Event | None = None
    #: After so many chunks the connection breaks, an error event comes, or nothing more comes.
    breaks_after: int | None = None
    fails_after: int | None = None
    hangs_after: int | None = None
    #: The finish and what follows never come.
    cut: bool = False
    #: What its headers say besides.
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def parts(self) -> tuple[str, ...]:
        """The chunks."""
        return self.chunks or ((self.text,) if self.text or not self.calls else ())


@dataclass(frozen=True)
class Heard:
    """What was heard in a file: the seconds billed and the file's own, left out where None."""

    text: str = "hello there"
    seconds: float | None = None
    duration: float | None = None


@dataclass(frozen=True)
class Refuse:
    """An HTTP error in the wire's own shape, or with a body of its own."""

    status: int
    code: str = ""
    type: str = "invalid_request_error"
    message: str = "refused"
    retry_after: str | None = None
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Hang:
    """The connection is taken, and nothing comes."""


@dataclass(frozen=True)
class Drop:
    """The connection is closed before any answer."""


Script = Answer | Heard | Refuse | Hang | Drop


@dataclass(frozen=True)
class Received:
    """A call that came."""

    path: str
    key: str
    headers: dict[str, str]
    body: dict[str, Any]
    #: By the supplier's clock, in seconds.
    at: float = 0.0


@dataclass
class Sent:
    """What was sent of one answer, told before it is written: nobody can have read more."""

    body: dict[str, Any]
    used: Used | None
    request: web.Request = field(repr=False)
    #: Thoughts, texts, names and arguments of tools, in their order.
    texts: list[str] = field(default_factory=list)
    is_ended: bool = False

    @property
    def text(self) -> str:
        """All that counts of it."""
        return "".join(self.texts)

    @property
    def is_closed(self) -> bool:
        """Whether who asked has closed the connection."""
        return self.request.transport is None or self.request.transport.is_closing()


@dataclass(frozen=True)
class Refused:
    """A call that was refused."""

    key: str
    status: int
    at: float
    #: How many calls had come by then, of all keys.
    calls: int


class FakeSupplier(PeerServer):
    """One supplier; see the module."""

    def __init__(
        self,
        wire: Wire = "openai",
        *,
        models: Iterable[str] | None = None,
        strict: bool = True,
        context: int = 1_000_000,
        plays: str = "",
    ) -> None:
        """`models` None serves any model and lists none; `strict` refuses as the real one; `plays`
        is whose rules for pictures hold, by default those of the wire's maker."""
        self.plays = plays or wire
        self.picture_counts: dict[str, CountPicture] = {}
        self.wire, self.strict, self.context = wire, strict, context
        self.models = None if models is None else list(models)
        self.keys = {GOOD_KEY}
        #: By key: the organisation behind it, and what its account can still pay, as text.
        self.organisations: dict[str, str] = {}
        self.balances: dict[str, str] = {}
        self.calls: list[Received] = []
        self.refusals: list[Refused] = []
        #: What was sent of each answer that began, in the order in which they did.
        self.sent: list[Sent] = []
        self.accounts = Accounts()
        #: Fields that it doesn't take, and how it says so.
        self.unknown_fields: dict[str, Refuse] = {}
        #: What a key may use in a minute: input and answer limit of one call together.
        self.minute_limits: dict[str, int] = {}
        #: Counts what answers of no told usage read from a cache; None: there is none.
        self.caches: PromptCaches | None = None
        self.trouble: Callable[[str], Script | None] = lambda _: None
        #: What a call gets by its body, before anything that is scripted.
        self.by_body: Callable[[dict[str, Any]], Script | None] = lambda _: None
        self.lists = 0
        self.finished = 0
        self.listing: Script | None = None
        self._scripts: deque[Script] = deque()
        self._default: Script = Answer()
        self._gate: asyncio.Event | None = None
        self._came = asyncio.Condition()
        self._closing = asyncio.Event()

    def list_routes(self) -> list[web.RouteDef]:
        """See `PeerServer`."""
        routes = [*wires.routes(self.wire, self._call, self._list)]
        if self.wire == "openai":
            routes += [web.post("/v1/audio/transcriptions", self._hear)]
            routes += [web.get("/v1/user/balance", self._balance)]
        return routes

    async def start(self) -> str:
        """Listens on loopback and gives the base URL for the wire's adapter."""
        self.url = await super().start() + wires.PREFIXES[self.wire]
        return self.url

    async def stop(self) -> None:
        """Breaks what is open and stops listening."""
        self._closing.set()
        await super().stop()

    def allow(self, *keys: str) -> None:
        """Takes these keys too."""
        self.keys.update(keys)

    def forbid(self, *keys: str) -> None:
        """Takes these keys no longer."""
        self.keys.difference_update(keys)

    def script(self, *answers: Script) -> None:
        """What the next calls get, one each, in order."""
        self._scripts.extend(answers)

    def always(self, answer: Script) -> None:
        """What a call gets for which nothing is scripted."""
        self._default = answer

    def hold(self) -> asyncio.Event:
        """From now on nobody finishes until the returned event is set."""
        self._gate = asyncio.Event()
        return self._gate

    async def arrived(self, count: int) -> None:
        """Returns when so many calls have come."""
        async with self._came:
            await self._came.wait_for(lambda: len(self.calls) >= count)

    async def wait_for(self, predicate: Callable[[], bool]) -> None:
        """Returns when this holds; it is asked again whenever something came or was sent."""
        async with self._came:
            await self._came.wait_for(predicate)

    def calls_of(self, key: str) -> int:
        """How many calls came with a key."""
        return sum(call.key == key for call in self.calls)

    def count_prompt(self, body: dict[str, Any]) -> int:
        """A prompt's size: its words, and what its pictures cost here."""
        told = wires.plain_system(body), *(json.dumps(one) for one in body.get("tools", ()))
        return sum(len(text.split()) for text in told) + sum(self.count_blocks(body))

    def count_blocks(self, body: dict[str, Any]) -> list[int]:
        """The same of each of its texts and pictures, in their order."""
        count = self._find_count(body)
        texts = [text for text, _ in wires.blocks(body)]
        if count is None:
            return [0 if wires.is_picture(text) else len(text.split()) for text in texts]
        sizes = iter(supplier_pictures.list_sizes(self.wire, body))
        return [
            count(*next(sizes, (1, 1))) if wires.is_picture(text) else len(text.split())
            for text in texts
        ]

    def _find_count(self, body: dict[str, Any]) -> CountPicture | None:
        model = str(body.get("model"))
        return self.picture_counts.get(model) or find_count(self.plays, model)

    async def _list(self, request: web.Request) -> web.StreamResponse:
        self.lists += 1
        if isinstance(self.listing, Refuse):
            return wires.refusal(self.wire, self.listing)
        if isinstance(self.listing, Hang):
            await self._closing.wait()
        if wires.key_of(self.wire, request) not in self.keys:
            return wires.refusal(self.wire, wires.bad_key(self.wire))
        return web.json_response(wires.listing(self.wire, self.models or [], self.context))

    async def _balance(self, request: web.Request) -> web.StreamResponse:
        """DeepSeek's way to tell what an account can still pay."""
        key = wires.key_of(self.wire, request)
        if key not in self.keys:
            return wires.refusal(self.wire, wires.bad_key(self.wire))
        if key not in self.balances:
            return web.json_response({"is_available": True, "balance_infos": []})
        row = {
            "currency": "USD",
            "total_balance": self.balances[key],
            "granted_balance": "0.00",
            "topped_up_balance": self.balances[key],
        }
        return web.json_response({"is_available": True, "balance_infos": [row]})

    async def _call(self, request: web.Request) -> web.StreamResponse:
        key = wires.key_of(self.wire, request)
        content = await request.read()
        body = json.loads(content)
        await self._received(request, key, body)
        script: Script
        if (
            refused := self._refused(key, body, len(content)) or self.accounts.refusal(key)
        ) is not None:
            script = refused
        elif (chosen := self.by_body(body)) is not None:
            script = chosen
        elif self._scripts:
            script = self._scripts.popleft()
        else:
            script = self.trouble(key) or self._default
        if isinstance(script, Answer):
            try:
                return await self._answer(request, key, body, script)
            except ConnectionResetError:  # who asked has left
                return web.Response()
        if isinstance(script, Refuse):
            now = self.accounts.now()
            self.refusals.append(Refused(key, script.status, now, len(self.calls)))
        return await self._failed(request, script)

    async def _hear(self, request: web.Request) -> web.StreamResponse:
        """A transcription. `body` in `calls` has the form's fields, the file as (name, bytes)."""
        key, body = wires.key_of(self.wire, request), await wires.form(request)
        await self._received(request, key, body)
        if key not in self.keys:
            return wires.refusal(self.wire, wires.bad_key(self.wire))
        if self.models is not None and body.get("model") not in self.models:
            return wires.refusal(self.wire, wires.no_model(self.wire, str(body.get("model"))))
        if refused := wires.wrong_file(body):
            return wires.refusal(self.wire, refused)
        script = self._scripts.popleft() if self._scripts else Heard()
        if self._gate is not None:
            await self._gate.wait()
        if isinstance(script, Heard):
            return web.json_response(wires.heard(body, script))
        return await self._failed(request, script)

    async def _received(self, request: web.Request, key: str, body: dict[str, Any]) -> None:
        async with self._came:
            now = self.accounts.now()
            self.calls.append(Received(request.path, key, dict(request.headers), body, now))
            self._came.notify_all()

    async def _failed(self, request: web.Request, script: Script) -> web.StreamResponse:
        if isinstance(script, Refuse):
            return wires.refusal(self.wire, script)
        if isinstance(script, Hang):
            await self._closing.wait()
        return self._drop(request)

    def _refused(self, key: str, body: dict[str, Any], body_bytes: int) -> Refuse | None:
        if key not in self.keys:
            return wires.bad_key(self.wire)
        if self.models is not None and body.get("model") not in self.models:
            return wires.no_model(self.wire, str(body.get("model")))
        if refused := next(
            (self.unknown_fields[one] for one in self.unknown_fields if one in body), None
        ):
            return refused
        sees = self._find_count(body) is not None
        if self.strict and (
            refused := supplier_pictures.find_refusal(
                self.plays, self.wire, body, sees=sees, body_bytes=body_bytes
            )
        ):
            return refused
        prompt = self.count_prompt(body)
        asked = prompt + wires.answer_limit(body)
        if (limit := self.minute_limits.get(key)) is not None and asked > limit:
            return wires.minute_too_small(limit, asked)
        if not self.strict:
            return None
        if prompt > self.context:
            return wires.too_long(self.wire)
        sampling = [name for name in SAMPLING if name in body]
        return wires.wrong_field(self.wire, body, sampling) or supplier_tools.find_refusal(
            self.wire, body, self.organisations.get(key, key)
        )

    async def _answer(
        self, request: web.Request, key: str, body: dict[str, Any], answer: Answer
    ) -> web.StreamResponse:
        if answer.before is not None:
            await answer.before.wait()
        used = answer.usage
        if used == "words":
            said = [*answer.parts, *("".join(one.arguments) for one in answer.calls)]
            words = sum(len(part.split()) for part in said)
            used = Used(self.count_prompt(body), max(1, words) + answer.thinking)
            if self.caches is not None:
                used = self.caches.use(key, body, used)
        thoughts = answer.thoughts or ("hm",) * answer.thinking
        organisation = self.organisations.get(key, key)
        stream = wires.Stream(self.wire, body, used, plays=self.plays, organisation=organisation)
        told = {"Content-Type": "text/event-stream", **answer.headers}
        told |= self.accounts.headers(key)
        if key in self.organisations:
            told[wires.ORGANISATION[self.wire]] = self.organisations[key]
        response = web.StreamResponse(headers=told)
        await response.prepare(request)
        sent = Sent(body, used, request, [*thoughts])
        self.sent.append(sent)
        thinking = stream.thinking(thoughts, is_hidden=answer.redacted)
        await response.write(stream.opening() + thinking)
        billed = answer.really or used or Used(0, 0)
        self.accounts.billed[key] += billed.input
        pieces = [stream.chunk(part) for part in answer.parts]
        texts = [*answer.parts]
        for called in answer.calls:
            pieces += stream.call(called)
            texts += stream.list_call_texts(called)
        for number, (piece, text) in enumerate(zip(pieces, texts, strict=True)):
            if answer.breaks_after == number:
                return self._drop(request)
            if answer.fails_after == number:
                await response.write(stream.failure())
                return response
            if answer.hangs_after == number:
                await self._closing.wait()
            if answer.between is not None:
                await answer.between.wait()
            self.accounts.billed[key] += billed.output // len(pieces)
            sent.texts.append(text)
            async with self._came:
                self._came.notify_all()
            await response.write(piece)
        if self._gate is not None:
            await self._gate.wait()
        if not answer.cut:
            sent.is_ended = True
            finish = "tool_calls" if answer.calls and answer.finish == "stop" else answer.finish
            await response.write(stream.ending(finish, answer.stop_sequence))
        self.finished += 1
        return response

    @staticmethod
    def _drop(request: web.Request) -> web.StreamResponse:
        if request.transport is not None:
            request.transport.abort()
        return web.Response()
