"""The pool: the keys that serve asks. Other packages use this class of `core.pool`.

The ledger keeps the money: the pool only reads how much a key's account may still hold. What it
learns of a key's health stays in this process; what others must know goes into the key's row.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import aclosing

import aiohttp
from pydantic import SecretStr

from core.clock import Clock
from core.db.database import Store
from core.db.writes import Companion
from core.errors import Refusal
from core.ledger.ledger import Ledger
from core.ledger.types import Balance
from core.money import NanoUsd, Seconds, Tokens
from core.pool import health, router
from core.pool.contributed_keys import Contributed
from core.pool.health import Attempt
from core.pool.health_tracker import Conclusions, began_well
from core.pool.key_validation import Examiner, Findings
from core.pool.keys import Keys, check_shape
from core.pool.model_discovery import Checks
from core.pool.providers import http
from core.pool.providers.types import (
    NO_AUDIO,
    Call,
    Clip,
    Fault,
    Finish,
    Limits,
    ListedModel,
    Message,
    Piece,
    SupplierFault,
    Target,
    Text,
    Thinking,
)
from core.pool.router import Rack
from core.pool.suppliers import Supplier
from core.pool.types import (
    OVER,
    Candidate,
    KeyCard,
    KeyRecord,
    KeyRefused,
    State,
    UnknownKey,
    UnknownSupplier,
)
from core.pool.vault import Vault
from core.pricing.catalogue import Catalogue, Model
from core.pricing.costs import Costs

#: The smallest ask, by which menus say that a model can be served: tokens in, tokens out.
_SMALL_ASK = (Tokens(200), Tokens(200))
_SHORT_CLIP = Seconds(60)


class Pool:
    """The pool holds the keys, the suppliers, and the one HTTP session for calls to them."""

    def __init__(
        self,
        *,
        store: Store,
        ledger: Ledger,
        vault: Vault,
        catalogue: Catalogue,
        costs: Costs,
        clock: Clock,
        suppliers: Mapping[str, Supplier],
    ) -> None:
        self._catalogue, self._clock = catalogue, clock
        self._suppliers = suppliers
        self._keys = Keys(store, ledger, vault, clock)
        self._records: dict[str, KeyRecord] = {}
        self._rack = Rack(suppliers=suppliers, catalogue=catalogue, costs=costs, clock=clock)
        self._session: aiohttp.ClientSession | None = None
        self._conclusions = Conclusions(self._keys, clock)
        self._checks = Checks(catalogue, costs, clock, self._keys, self._blamed)
        self.contributed = Contributed(
            keys=self._keys,
            vault=vault,
            suppliers=suppliers,
            catalogue=catalogue,
            costs=costs,
            clock=clock,
        )
        self._examiner = Examiner(catalogue=catalogue, costs=costs, clock=clock)
        self._first_check: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Loads the keys; what models each one lists is asked in the background (see
        `wait_for_first_check`)."""
        self._session = http.session()
        await self.reload()
        self._first_check = asyncio.create_task(self.check_models(), name="pool first check")

    async def stop(self) -> None:
        """Ends the background check and closes every connection; streams that run are broken."""
        if self._first_check is not None:
            self._first_check.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._first_check
            self._first_check = None
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def checked(self, seconds: float) -> None:
        """Waits for the first check of all keys, but not longer than so many seconds."""
        if self._first_check is not None:
            await asyncio.wait({self._first_check}, timeout=seconds)

    # --- keys --------------------------------------------------------------------------------

    @property
    def suppliers(self) -> Mapping[str, Supplier]:
        """Every supplier by its name."""
        return self._suppliers

    def supplier(self, name: str) -> Supplier:
        """The supplier of that name; raises `UnknownSupplier`."""
        if name not in self._suppliers:
            raise UnknownSupplier(name, tuple(self._suppliers))
        return self._suppliers[name]

    async def add_own_key(
        self,
        supplier: str,
        secret: SecretStr,
        budget: NanoUsd,
        *,
        account: str = "",
        also: Sequence[Companion] = (),
    ) -> KeyCard:
        """Takes a key of the operator's own with a budget. `account` is Cloudflare's account id;
        `also` is written with it. Raises `UnknownSupplier`, `KeyRefused`, `DuplicateKey`,
        `BadBudget`."""
        id_ = await self._keys.add(self.supplier(supplier), secret, budget, account, also)
        return await self._card_of(id_)

    async def adopt(
        self, supplier: str, secret: SecretStr, budget: NanoUsd, *, account: str = ""
    ) -> KeyCard:
        """Adds an own key of the settings, or updates its row: its budget and address become those
        given now, and a key that was dead gets another chance. Raises as `add_own_key`."""
        id_ = await self._keys.adopt(self.supplier(supplier), secret, budget, account)
        return await self._card_of(id_)

    async def probe(
        self, supplier: str, secret: SecretStr, *, account: str = ""
    ) -> list[ListedModel]:
        """The models that a key lists, asked of its supplier now; nothing is stored. Raises
        `UnknownSupplier`, `KeyRefused`."""
        at = self.supplier(supplier)
        check_shape(at, secret, account)
        try:
            adapter = at.adapter(self._client())
            return await adapter.models(Target(at.base_url, secret, account))
        except SupplierFault as fault:
            if fault.fault is Fault.MODEL_MISSING and not at.lists:
                return []  # no such list there
            refused = fault.fault is Fault.DEAD
            raise KeyRefused(at.name, "refused" if refused else "unreachable") from None

    async def examine(self, supplier: str, secret: SecretStr, *, account: str = "") -> Findings:
        """What a key is good for, found out by the cheapest real calls; nothing is stored. Raises
        `UnknownSupplier`, `KeyRefused`."""
        return await self._examiner.examine(
            self._client(), self.supplier(supplier), secret, account
        )

    async def cards(self) -> list[KeyCard]:
        """A summary of every key as it is now, the oldest first; without withdrawn ones."""
        await self.reload()
        kept = (record for record in self._records.values() if record.state != "withdrawn")
        return [self._rack.card(record) for record in kept]

    async def listed(self) -> list[KeyRecord]:
        """The record of every key, also of those that don't serve yet or any more."""
        await self.reload()
        return list(self._records.values())

    async def resume(self, key: str, *, also: Sequence[Companion] = ()) -> None:
        """Lets a key serve again, whatever kept it from that; raises `UnknownKey`."""
        await self.set_state(key, "active", also=also)
        record = self._record(key)
        record.refused, record.failures, record.missing = None, 0, {}
        record.blamed_at, record.load.doubted = 0, False

    async def set_state(
        self, key: str, state: State, reason: str = "", *, also: Sequence[Companion] = ()
    ) -> None:
        """Sets a key's state, `also` with it; raises `UnknownKey` when it changed elsewhere."""
        gone = (record := self._record(key)).state == "withdrawn"
        if gone or not await self._keys.change(record, state, reason, also=also):
            await self.reload()
            raise UnknownKey(key)
        self._sort()

    async def set_budget(
        self, key: str, budget: NanoUsd, *, also: Sequence[Companion] = ()
    ) -> KeyCard:
        """Sets an own key's budget, `also` with it; raises `UnknownKey`."""
        record = self._record(key)
        if record.owner is not None or record.state == "withdrawn":
            raise UnknownKey(key)
        await self._keys.set_budget(record, budget, also)
        return self._rack.card(record)

    async def retire(self, key: str, reason: str = "", *, also: Sequence[Companion] = ()) -> None:
        """Withdraws a key for good and destroys its secret; raises `UnknownKey`."""
        record = self._record(key)
        if record.state == "withdrawn":
            raise UnknownKey(key)
        await self._keys.erase(record, reason, also)
        self._sort()

    async def reload(self) -> None:
        """Reads what other processes changed; what was learned in this process stays."""
        changes = {id_: record.changes for id_, record in self._records.items()}
        read = await self._keys.load()
        for fresh in read:
            # Streams that run keep a record, so a known one is refreshed, not replaced.
            known = self._records.setdefault(fresh.id, fresh)
            if known is not fresh:
                known.renew(fresh, changed=known.changes != changes.get(fresh.id, 0))
        self._records = {fresh.id: self._records[fresh.id] for fresh in read}
        self.contributed.records = self._records
        self._sort()

    async def check_models(self) -> None:
        """Asks every key for its list of models, and checks keys again that were refused."""
        due = [
            (record, self._suppliers[record.provider])
            for record in self._rack
            if record.state not in OVER and record.state != "paused"
        ]
        await self._checks.run(self._client(), due)

    # --- asks --------------------------------------------------------------------------------

    def servable(self) -> frozenset[str]:
        """The ids of the models that some healthy key with money can serve now."""
        return frozenset(
            model.id for model in self._catalogue.models.values() if self.serves(model)
        )

    def serves(self, model: Model) -> bool:
        """Whether some healthy key with money can serve this model now."""
        return self._rack.best(router.Wish(model, *_SMALL_ASK, audio=_SHORT_CLIP)) is not None

    def candidate(
        self,
        model: Model,
        input: Tokens,  # noqa: A002
        answer_limit: Tokens,
        *,
        skip: Collection[str] = (),
        own_keys_only: bool = False,
        asker: str = "",
        audio: Seconds = NO_AUDIO,
    ) -> Candidate | None:
        """Chooses the best key for an ask; None when there is none. Nothing is reserved: the ledger
        takes or refuses its hold, and after a refusal the next candidate is chosen with this one in
        `skip_keys`. Until then the key counts as busier. A model that is paid by the second costs
        what `audio` does, whatever the tokens."""
        best = self._rack.best(
            router.Wish(model, input, answer_limit, skip, own_keys_only, asker, audio)
        )
        if best is not None:
            self._records[best.key].load.chosen(self._clock.now_ms())
        return best

    def room(
        self,
        model: Model,
        input: Tokens,  # noqa: A002
        answer_limit: Tokens,
        *,
        own_keys_only: bool = False,
        asker: str = "",
    ) -> Tokens:
        """The longest answer, up to the limit, that some key can still pay for, so that the rest of
        a budget is used up."""
        return self._rack.room(router.Wish(model, input, answer_limit, (), own_keys_only, asker))

    def down(self) -> list[str]:
        """The suppliers whose circuit is open in this process: they fail and aren't called."""
        now = self._clock.now_ms()
        return sorted(name for name, one in self._rack.circuits.items() if now < one.open_until)

    def settled(self, key: str, headroom: Balance | NanoUsd) -> None:
        """Takes a key's balance, or what of it is available, right after a submission."""
        if (record := self._records.get(key)) is not None:
            record.heard(headroom)

    async def stream(
        self,
        candidate: Candidate,
        messages: Sequence[Message],
        answer_limit: Tokens,
        *,
        end_user: str = "",
        clip: Clip | None = None,
    ) -> AsyncGenerator[Piece, None]:
        """Asks the supplier for an answer, or for a transcript of a `clip`. Yields events, a
        `Finish` last; raises `SupplierFault` after the key's health is updated. Leaving early
        closes the connection."""
        attempt = Attempt("answer", self._clock.now_ms(), candidate.route.model)
        record, target, supplier = self._opened(candidate)
        circuit = self._rack.circuits[supplier.name]
        call = Call(candidate.route.model, messages, answer_limit, end_user, clip)
        plain = supplier.custom and self._catalogue.is_local(candidate.route)
        circuit.in_flight += 1
        began, first = self._clock.monotonic(), True
        try:
            pieces = supplier.adapter(self._client(), plain=plain).stream(target, call)
            with record.load.running() as answered:
                async with aclosing(pieces):
                    async for piece in pieces:
                        answered()
                        if isinstance(piece, Limits):
                            self._conclusions.paced(record, piece)
                            continue
                        if first and isinstance(piece, (Text, Thinking)):
                            first = False
                            if clip is None:  # for a clip the time depends on its length
                                seconds = self._clock.monotonic() - began
                                began_well(record, circuit, attempt, seconds)
                        if isinstance(piece, Finish):
                            await self._conclusions.ended_well(record, circuit, attempt)
                        yield piece
        except SupplierFault as fault:
            circuit.failed(fault.fault, attempt, self._clock.now_ms())
            await self._blamed(record, fault, attempt)
            raise
        finally:
            circuit.in_flight -= 1

    async def gave_up(self, candidate: Candidate, began_ms: int) -> None:
        """Records that a call that began then was not answered in time."""
        attempt = Attempt("answer", began_ms)
        self._rack.circuits[candidate.supplier].failed(Fault.TIMEOUT, attempt, self._clock.now_ms())
        if candidate.key in self._records:
            fault = SupplierFault(Fault.TIMEOUT)
            await self._blamed(self._records[candidate.key], fault, attempt)

    async def _blamed(self, record: KeyRecord, fault: SupplierFault, attempt: Attempt) -> None:
        if await self._conclusions.blame(record, fault, attempt):
            self._sort()

    # --- helpers -----------------------------------------------------------------------------

    def _opened(self, candidate: Candidate) -> tuple[KeyRecord, Target, Supplier]:
        """The record, the target and the supplier for a call; raises `SupplierFault` when the key
        can't be used any more."""
        record = self._records.get(candidate.key)
        supplier = self._suppliers.get(candidate.supplier)
        if record is None or supplier is None:
            raise SupplierFault(Fault.BAD_REQUEST, code="gone")
        if not record.healthy(self._clock.now_ms()):  # its cooldown began since it was chosen
            raise SupplierFault(Fault.BAD_REQUEST, code="rests")
        try:
            return record, self._keys.target(record, supplier), supplier
        except Refusal as refusal:  # erased since, altered, or its master key is gone
            record.last_error = refusal.code
            record.cooling_until = self._clock.now_ms() + round(health.MISSING_SECONDS * 1_000)
            raise SupplierFault(Fault.BAD_REQUEST, code=refusal.code) from None

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = http.session()
        return self._session

    def _record(self, key: str) -> KeyRecord:
        if key not in self._records:
            raise UnknownKey(key)
        return self._records[key]

    async def _card_of(self, key: str) -> KeyCard:
        await self.reload()
        return self._rack.card(self._record(key))

    def _sort(self) -> None:
        self._rack.sort(self._records.values())
