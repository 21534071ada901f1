"""A pool over a real ledger, with suppliers on loopback: what its tests start from."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace

from pydantic import SecretStr

from core import chart
from core.db.database import Database
from core.ledger.ledger import Ledger
from core.ledger.types import Submission
from core.money import NanoUsd, Tokens, parse_usd
from core.pool.pool import Pool
from core.pool.providers.types import ChatMessage, Finish, TextDelta
from core.pool.suppliers import SUPPLIERS, Supplier
from core.pool.types import Candidate, KeySummary
from core.pool.vault import Vault
from core.pricing.catalogue import Catalogue, Model, Route
from core.pricing.costs import Costs
from core.pricing.rates import Rate, Rates
from tests.peers.suppliers import FakeSupplier
from tests.support.databases import TestClock

MASTER = bytes([7]) * 32
ASK = (ChatMessage("user", "Why is the sky blue?"),)
INPUT, LIMIT = Tokens(1_000), Tokens(1_000)

CHEAP, DEAR = Route("openai", "gpt-6-luna"), Route("groq", "openai/gpt-6-luna")
ONLY_CHEAP = Route("openai", "gpt-6-astra")


def model(id_: str, *routes: Route) -> Model:
    return Model(
        id=id_,
        name=id_,
        maker="OpenAI",
        context=Tokens(100_000),
        answer_limit=Tokens(2_000),
        thinking=False,
        features=(),
        routes=routes,
    )


def flat(pico: int) -> Rates:
    return Rates(Rate(pico), Rate(pico), Rate(pico), Rate(pico))


LUNA = model("luna", CHEAP, DEAR)
ASTRA = model("astra", ONLY_CHEAP)
#: An ask of INPUT and LIMIT holds $0.002 at the cheap supplier, $0.004 at the dear one.
HOLD = parse_usd("0.002")


@dataclass
class World:
    pool: Pool
    store: Database
    ledger: Ledger
    vault: Vault
    catalogue: Catalogue
    costs: Costs
    clock: TestClock
    suppliers: Mapping[str, Supplier]
    openai: FakeSupplier
    groq: FakeSupplier

    async def key(
        self, secret: str = "sk-good-0001", budget: str = "1", supplier: str = "openai"
    ) -> KeySummary:
        """An own key that its supplier takes."""
        (self.openai if supplier == "openai" else self.groq).allow(secret)
        return await self.pool.add_own_key(supplier, SecretStr(secret), parse_usd(budget))

    def candidate(self, wanted: Model = LUNA, *, skip: tuple[str, ...] = ()) -> Candidate | None:
        return self.pool.choose_candidate(wanted, INPUT, LIMIT, skip_keys=skip)

    async def ask(self, wanted: Model = LUNA, *, skip: tuple[str, ...] = ()) -> str:
        """An ask served by the first candidate; raises what the pool raises."""
        candidate = self.candidate(wanted, skip=skip)
        assert candidate is not None
        text = ""
        async for piece in self.pool.stream(candidate, ASK, LIMIT, end_user="hash"):
            if isinstance(piece, TextDelta):
                text += piece.text
            else:
                assert isinstance(piece, Finish)
        return text

    async def hold(self, cause: str, candidate: Candidate, amount: NanoUsd) -> None:
        """A hold on a candidate's key, as asking makes it."""
        account = chart.key_quota(candidate.key)
        entry = chart.hold_quota(candidate.key, candidate.supplier, amount)
        receipt = await self.ledger.submit(Submission(cause, (entry,), watch=(account,)))
        self.pool.update_headroom(candidate.key, receipt.balances[account.code])

    async def card(self, key: str) -> KeySummary:
        return next(card for card in await self.pool.list_keys() if card.id == key)

    def another_process(self, suppliers: Mapping[str, Supplier] | None = None) -> Pool:
        """A second pool on the same database, with suppliers of its own if any are given."""
        return Pool(
            ledger=self.ledger,
            vault=self.vault,
            catalogue=self.catalogue,
            costs=self.costs,
            suppliers=suppliers or self.suppliers,
        )


@contextlib.asynccontextmanager
async def made(store: Database, ledger: Ledger, clock: TestClock) -> AsyncIterator[World]:
    async with (
        FakeSupplier("openai", models=[CHEAP.model, ONLY_CHEAP.model]) as openai,
        FakeSupplier("openai", models=[DEAR.model]) as groq,
    ):
        suppliers = {
            "openai": replace(SUPPLIERS["openai"], base_url=openai.url),
            "groq": replace(SUPPLIERS["groq"], base_url=groq.url),
        }
        catalogue = Catalogue((LUNA, ASTRA))
        costs = Costs({CHEAP: flat(1_000_000), DEAR: flat(2_000_000), ONLY_CHEAP: flat(1_000_000)})
        vault = await Vault.open([MASTER], store, ledger)
        pool = Pool(
            ledger=ledger, vault=vault, catalogue=catalogue, costs=costs, suppliers=suppliers
        )
        await pool.start()
        await pool.wait_for_first_check(5)
        yield World(pool, store, ledger, vault, catalogue, costs, clock, suppliers, openai, groq)
        await pool.stop()
