"""A service whose suppliers answer with the bytes of generated cases, asked one case after another,
with what each brought about compared with what it means.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import SecretStr

from bots.app import build
from bots.config.settings import SupplierConfig
from bots.externals import Externals
from core import ids
from core.asks.types import AskResult, Question, Recording
from core.db.database import Database
from core.earnings.types import BRIEF_POLICY
from core.money import MicroCredits, Seconds, parse_usd
from core.pool.suppliers import SUPPLIERS
from core.pricing.catalogue import Catalogue, Route
from core.pricing.costs import Costs
from core.pricing.prices import KindPercents, NewPrice
from core.pricing.rates import Rate, Rates
from core.users.types import Person
from tests.peers.raw_supplier import RawAnswer, RawSupplier, raw_supplier
from tests.peers.suppliers import FakeSupplier
from tests.support import brief
from tests.support.config import make_config
from tests.support.databases import TestClock
from tests.support.service import Service
from tests.wires import meaning
from tests.wires.cases import Case, draw_case
from tests.wires.encoding import encode_case

#: Both are counted by one encoding, since only one is in memory.
_GPT = replace(brief.GPT_4, tokenizer="o200k")
_THINKER = replace(
    _GPT, id="gpt-t", name="Thinker", aliases=(), thinking=True, routes=(Route("openai", "gpt-t"),)
)
_MODELS = {"chat": _GPT, "messages": brief.CLAUDE_3, "audio": brief.WHISPER_1}
#: Nobody asks more often, lest what nobody paid for is too much of one person's.
_ASKS_EACH = 4
_SECRETS = {
    "openai": ("sk-good-first-000000001", "sk-good-second-00000002"),
    "anthropic": ("sk-ant-first-000000001", "sk-ant-second-00000002"),
}
_SETUP = parse_usd("1000000")


@dataclass(frozen=True)
class Seen:
    """What came of a question: its result, nano-dollars booked to all keys, whether one of them
    doesn't go on as before, and how often one was asked."""

    result: AskResult
    booked: int
    moved: bool
    requests: int


@dataclass
class World:
    """A service, who asks in it, and the server that answers."""

    service: Service
    clock: TestClock
    supplier: RawSupplier
    contributed: bool
    #: What was found, a line for each thing that is not as it should be.
    found: list[str] = field(default_factory=list)
    number: int = 0
    _person: Person = field(init=False)

    async def try_case(self, seed: str) -> None:
        """Asks once, and compares."""
        case = draw_case(seed)
        if case.wire == "audio" and self.contributed:
            return
        expected = meaning.explain_case(case, contributed=self.contributed)
        try:
            seen = await self.try_answer(case, encode_case(case))
        except Exception as failure:
            self.found.append(f"{failure!r}\n    of {case}")
            return
        if wrong := list(_compare(expected, seen)):
            self.found.append(f"{'; '.join(wrong)}\n    of {case}\n    which means {expected}")

    async def try_answer(self, case: Case, answer: RawAnswer) -> Seen:
        """Asks the case's question once, which is answered so."""
        self.supplier.answer, self.supplier.requests = answer, 0
        left, states = self._left(), self._states()
        result = await self._ask(case)
        moved = self._states() != states
        seen = Seen(result, left - self._left(), moved, self.supplier.requests)
        if moved:
            await self._heal()
        return seen

    async def _ask(self, case: Case) -> AskResult:
        if self.number % _ASKS_EACH == 0:
            someone = self.service.someone(str(100 + self.number))
            self._person = await someone.person()
        self.number += 1
        self.clock.advance(seconds=1)
        recording = None
        if case.wire == "audio":
            recording = Recording("a.ogg", Seconds(case.audio_seconds), _read)
        asked = Question(
            id=ids.derive_id("ask", self.clock.now_ms(), "case", str(self.number)),
            person=self._person,
            place=f"telegram:7:{self.number}",
            asked_in=str(self.number),
            text=meaning.write_question(case, self.number),
            model=_THINKER if case.always_thinks else _MODELS[case.wire],
            recording=recording,
        )
        run = await self.service.app.services.asks.asks.start_ask(asked)
        return await run.result

    def _left(self) -> int:
        return sum(record.headroom for record in self._records())

    def _states(self) -> list[object]:
        now = self.clock.now_ms()
        return [
            (
                record.state,
                record.cooling_until > now,
                set(record.missing_models),
                set(record.resting_models),
                record.failures,
            )
            for record in self._records()
        ]

    def _records(self) -> list[Any]:
        return list(self.service.app.services.pool.pool._records.values())

    async def _heal(self) -> None:
        self.clock.advance(seconds=3_700)
        pool = self.service.app.services.pool.pool
        for record in self._records():
            if record.state != "withdrawn":
                await pool.resume_key(record.id)
                record.cooling_until = 0
        for circuit in pool._router.circuits.values():
            circuit.record_success()


async def _read() -> bytes:
    return b"OggS" + bytes(60)


def _compare(expected: meaning.Expected, seen: Seen) -> Iterator[str]:
    result = seen.result
    if result.text not in expected.texts:
        yield f"the text is {result.text!r}"
    if result.outcome.value not in expected.outcomes:
        yield f"the outcome is {result.outcome.value}"
    if result.failure.value not in expected.failures:
        yield f"the failure is {result.failure.value!r}"
    if result.charge.units not in expected.charge:
        yield f"the charge is {result.charge.units}"
    if seen.booked not in expected.booked:
        yield f"{seen.booked} are booked"
    if seen.requests not in expected.requests:
        yield f"{seen.requests} keys were asked"
    if expected.key_moves is not None and seen.moved is not expected.key_moves:
        yield "the key moved" if seen.moved else "the key did not move"


@contextlib.asynccontextmanager
async def running_world(url: str, clock: TestClock, *, contributed: bool) -> AsyncIterator[World]:
    """A world whose keys are the operator's own or contributed; leaves only with clean audits."""
    listed = json.dumps({"data": [{"id": route} for route in _ROUTES]}).encode()
    async with contextlib.AsyncExitStack() as stack:
        supplier = await stack.enter_async_context(raw_supplier(RawAnswer(())))
        supplier.listed = RawAnswer((listed,), content_type="application/json")
        suppliers = {
            "openai": replace(SUPPLIERS["openai"], base_url=supplier.url),
            "anthropic": replace(SUPPLIERS["anthropic"], base_url=supplier.url),
        }
        own = [
            (name, SupplierConfig(key=SecretStr(secret), quota=_SETUP))
            for name in suppliers
            for secret in _SECRETS[name]
        ]
        externals = Externals(
            catalogue=Catalogue((_GPT, _THINKER, brief.CLAUDE_3, brief.WHISPER_1)),
            costs=_costs(),
            suppliers=suppliers,
            own_keys=() if contributed else own,
            gateways={},
            payout_providers={},
            payout_methods=("manual",),
        )
        app = await build(
            make_config(
                welcome=1_000_000, policy=replace(BRIEF_POLICY, suppliers=frozenset(suppliers))
            ),
            db=await Database.open(url, kind="live", clock=clock),
            clock=clock,
            externals=externals,
        )
        await app.start()
        try:
            await _set_prices(app)
            await app.services.pool.pool.wait_for_first_check(5)
            # Nothing is asked of it.
            service = Service(app, FakeSupplier("openai"), clock)
            world = World(service, clock, supplier, contributed)
            if contributed:
                await _contribute(world)
            yield world
            assert await service.findings() == []
        finally:
            await app.stop(grace_seconds=2.0)


_ROUTES = ("gpt-4", "gpt-t", "claude-3", "whisper-1")


def _costs() -> Costs:
    def rates(wire: str) -> Rates:
        plain, cached, written, output = (Rate(one * 1_000) for one in meaning.RATES[wire])
        return Rates(input=plain, output=output, cached=cached, cache_written=written)

    second = Rate(meaning.SECOND_RATE * 1_000)
    return Costs(
        {
            brief.OPENAI: rates("chat"),
            _THINKER.routes[0]: rates("chat"),
            brief.ANTHROPIC: rates("messages"),
            brief.WHISPER: Rates(Rate(0), Rate(0), Rate(0), Rate(0), second=second),
        }
    )


async def _set_prices(app: Any) -> None:
    """The same for every kind of tokens: the reference knows no other prices."""
    prices = app.services.pricing.prices
    for wire, (inward, outward) in meaning.PRICES.items():
        rates = MicroCredits(inward), MicroCredits(outward)
        for model in {_MODELS[wire].id, _THINKER.id if wire == "chat" else _MODELS[wire].id}:
            new = NewPrice(model, *rates, percents=KindPercents())
            await prices.set_prices([new], set_by="admin")
    second = MicroCredits(meaning.SECOND_PRICE)
    await prices.set_price("whisper-1", second, second, set_by="admin", per="second")


async def _contribute(world: World) -> None:
    """Somebody else's keys, two of each supplier."""
    app = world.service.app
    donor = await world.service.someone("8").person()
    for name, secrets in _SECRETS.items():
        wire = "chat" if name == "openai" else "messages"
        well = Case("", wire, 1, ("ok",), (1, 1), told=(meaning.Told(30, 1),))
        if wire == "messages":
            well = replace(well, reason="end_turn")
        for secret in secrets:
            world.supplier.answer = encode_case(well)
            contributions = app.services.earnings.contributions
            offer = await contributions.create_proposal(donor, name, SecretStr(secret), "")
            await contributions.accept_proposal(offer.key, donor, parse_usd("1000"))
