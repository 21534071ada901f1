"""The API on loopback before asks that are scripted."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import httpx

from bots.api.app import API_LIMITS, ApiDependencies, build_api_app
from bots.api.ask_endpoint import AskPorts
from bots.api.model_offers import ModelOffers
from bots.api.ports import ApiRun, KeptReply
from bots.http import HttpServer, ServerAddress
from core.api_tokens.types import ApiToken, InvalidToken, NetworkNotAllowed
from core.asks.api_calls import AnswerFeed
from core.asks.types import AlreadyAsked, AskFailure, AskResult, Outcome, Question
from core.attachments.reader import FileReader
from core.money import Credits, MicroCredits, Tokens
from core.pool.providers.types import AnswerPiece
from core.pool.vault import KEY_BYTES, Vault
from core.pricing.catalogue import Catalogue
from core.pricing.prices import KindPercents, Price
from core.users.balances import SpendableBalance
from core.users.types import Person
from tests.support.databases import TestClock

SECRET = "cbk_right"
MODEL = "gpt-5-mini"
SIGNATURE = "supplier's own signature"


def open_vault() -> Vault:
    """A vault without a database."""
    vault = Vault([b"m" * KEY_BYTES])
    vault._fingerprint_key = b"f" * KEY_BYTES
    return vault


TOKEN = ApiToken(
    id="tok_1",
    person="usr_1",
    name="laptop",
    label="cbk_righ…1234",
    created_at=0,
    expires_at=1 << 60,
    last_used_at=None,
    per_day=Credits(500),
    models=(),
    networks=(),
)


@dataclass
class FakeTokens:
    """One token, and what is said of others."""

    token: ApiToken = TOKEN
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def authenticate(self, secret: str, address: str) -> ApiToken:
        self.asked.append((secret, address))
        if secret == "cbk_elsewhere":
            raise NetworkNotAllowed
        if not hmac.compare_digest(secret, SECRET):
            raise InvalidToken
        return self.token

    async def record_use(self, token: ApiToken, address: str) -> None:
        """Nobody asks."""

    async def measure_day(self, token: str) -> Credits:
        return Credits(120)

    async def prepare_day(self, token: str, day: int) -> None:
        """Nothing is counted."""


class FakeRun:
    """An ask that is served by a test's script."""

    def __init__(self, question: Question) -> None:
        self.question = question
        self.feed: AnswerFeed | None = AnswerFeed()
        self.candidate = SimpleNamespace(key="key_1")
        self.quote = SimpleNamespace(prompt_tokens=Tokens(11))
        self.result: asyncio.Future[AskResult] = asyncio.get_running_loop().create_future()
        self.stopped = asyncio.Event()
        self.is_stopped_by_asker = False

    @property
    def id(self) -> str:
        return self.question.id

    def stop(self, *, by_asker: bool = True) -> None:
        self.is_stopped_by_asker = by_asker
        self.stopped.set()

    async def say(self, *pieces: AnswerPiece) -> None:
        assert self.feed is not None
        for piece in pieces:
            await self.feed.add_piece(piece)

    def end(self, **changes: Any) -> None:
        """Settles it, as what a test says of it."""
        assert self.feed is not None
        self.result.set_result(make_result(self.id, **changes))
        self.feed.close()


def make_result(ask: str, **changes: Any) -> AskResult:
    """How an ask ended."""
    told: dict[str, Any] = {
        "ask": ask,
        "outcome": Outcome.DONE,
        "model": MODEL,
        "text": "",
        "prompt_tokens": Tokens(20),
        "history_tokens": Tokens(0),
        "output_tokens": Tokens(7),
        "charge": Credits(3),
        "failure": AskFailure.NONE,
        "cached_tokens": Tokens(5),
        "cache_written_tokens": Tokens(2),
        "finish_reason": "stop",
    }
    return AskResult(**(told | changes))


Script = Callable[[FakeRun], Awaitable[None]]


@dataclass
class FakeAsks:
    """Serves each question by the script, or refuses it."""

    script: Script
    refusal: Exception | None = None
    runs: list[FakeRun] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def start_ask(self, question: Question) -> ApiRun:
        if self.refusal is not None:
            raise self.refusal
        if any(run.id == question.id for run in self.runs):
            raise AlreadyAsked(question.id)
        run = FakeRun(question)
        self.runs.append(run)

        async def serve() -> None:
            await self.script(run)

        self.tasks.append(asyncio.create_task(serve()))
        self.arrived.set()
        return cast("ApiRun", run)


@dataclass
class FakeReplies:
    """Answers that are kept."""

    kept: dict[str, KeptReply] = field(default_factory=dict)

    async def find_reply(self, ask: str) -> KeptReply | None:
        return self.kept.get(ask)


_BALANCE = Credits(1_000)


@dataclass
class FakeBalances:
    """What the one person has."""

    available: Credits = _BALANCE

    async def for_user(self, person: str) -> SpendableBalance:
        return SpendableBalance(self.available, Credits(30))


class FakeDeals:
    """One price for everything."""

    async def refresh_prices(self) -> None:
        """They stay."""

    async def load_person(self, person: str) -> None:
        """Nobody has a tier."""

    def find_deal(self, person: str, model: str) -> Any:
        price = Price(
            id="prc_1",
            model=model,
            per="token",
            input_rate=MicroCredits(350),
            output_rate=MicroCredits(5_000),
            effective_at=0,
            set_by="formula",
            percents=KindPercents(cached=25),
        )
        return SimpleNamespace(price=price)


@dataclass
class FakeHistory:
    """Rows of usage."""

    rows: list[Any] = field(default_factory=list)
    asked: list[tuple[Any, ...]] = field(default_factory=list)

    async def list_page(self, *asked: Any) -> Sequence[Any]:
        self.asked.append(asked)
        return self.rows[: asked[1]]


def make_person(id_: str) -> Person:
    """Somebody with nothing set."""
    return Person(
        id=id_,
        created_at=0,
        language="en",
        zone="UTC",
        model="",
        footer=True,
        own_keys_only=False,
        daily_limit=None,
        data_key=None,
    )


@dataclass
class Api:
    """The API as a test has it."""

    base: str
    client: httpx.AsyncClient
    tokens: FakeTokens
    asks: FakeAsks
    replies: FakeReplies
    balances: FakeBalances
    history: FakeHistory
    clock: TestClock

    @property
    def run(self) -> FakeRun:
        """The last ask."""
        return self.asks.runs[-1]

    async def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        told = {"authorization": f"Bearer {SECRET}"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        return await self.client.post(path, json=body, headers=told)

    async def get(self, path: str, **headers: str) -> httpx.Response:
        told = {"authorization": f"Bearer {SECRET}"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        return await self.client.get(path, headers=told)


async def _stay_silent(run: FakeRun) -> None:
    run.end()


@contextlib.asynccontextmanager
async def serving(script: Script = _stay_silent, **changes: Any) -> AsyncIterator[Api]:
    """The API, answering by a script."""
    tokens, asks, replies = FakeTokens(), FakeAsks(script), FakeReplies()
    balances, history, clock, reader = FakeBalances(), FakeHistory(), TestClock(), FileReader()
    catalogue = Catalogue.load()

    async def find_person(id_: str) -> Person:
        return make_person(id_)

    services = ApiDependencies(
        ask_ports=AskPorts(
            tokens=tokens,
            asks=asks,
            replies=replies,
            balances=balances,
            find_person=find_person,
            file_reader=reader,
            vault=open_vault(),
            clock=clock,
        ),
        offers=ModelOffers(
            catalogue=catalogue,
            deals=cast("Any", FakeDeals()),
            list_servable_models=lambda: [MODEL, "gpt-5", "whisper-1"],
        ),
        usage_history=cast("Any", history),
        **changes,
    )
    server = HttpServer(build_api_app(services), ServerAddress("127.0.0.1", 0), API_LIMITS)
    base = f"http://127.0.0.1:{await server.start()}"
    try:
        async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=30) as client:
            yield Api(base, client, tokens, asks, replies, balances, history, clock)
    finally:
        for task in asks.tasks:
            task.cancel()
        await asyncio.gather(*asks.tasks, return_exceptions=True)
        await server.stop()
        await reader.close()


def ask_chat(text: str = "why?", **fields: Any) -> dict[str, Any]:
    """A small request for a chat completion."""
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **fields}


def ask_message(text: str = "why?", **fields: Any) -> dict[str, Any]:
    """A small request for a message."""
    return {**ask_chat(text), "max_tokens": 100, **fields}
