"""The pool: the keys that serve asks. Other packages use this class of `core.pool`.

The ledger keeps the money: the pool only reads how much a key's account may still hold. What it
learns of a key's health stays in this process; what others must know goes into the key's row.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import aclosing

from pydantic import SecretStr

from core.attachments.types import PictureSize
from core.db.writes import Companion
from core.errors import Refusal
from core.ledger.ledger import Ledger
from core.ledger.types import Balance
from core.money import NanoUsd, Seconds, Tokens
from core.pool import health, router
from core.pool.contributed_keys import ContributedKeys
from core.pool.dialects import Dialects
from core.pool.health import Attempt
from core.pool.health_tracker import HealthTracker, record_first_token
from core.pool.key_validation import KeyValidator, ValidationResult, list_key_models
from core.pool.keys import KeyRepository
from core.pool.model_discovery import ModelDiscovery
from core.pool.prompt_caches import CacheScope, PromptCaches
from core.pool.providers.answer_text import AnswerText, max_answer_bytes
from core.pool.providers.faults import UNKNOWN_CODE
from core.pool.providers.http import SupplierClient
from core.pool.providers.message_parts import CallOptions
from core.pool.providers.tool_messages import keep_own_thinking
from core.pool.providers.types import (
    NO_AUDIO,
    AnswerPiece,
    AudioClip,
    CallTarget,
    ChatMessage,
    Fault,
    Finish,
    ListedModel,
    ModelCall,
    RateLimitInfo,
    ReasoningDelta,
    StreamEvent,
    SupplierFault,
)
from core.pool.rest_queue import RestQueue, Turn
from core.pool.router import Router
from core.pool.suppliers import Supplier
from core.pool.types import (
    FINAL_STATES,
    Candidate,
    KeyRecord,
    KeyState,
    KeySummary,
    UnknownKey,
    UnknownSupplier,
)
from core.pool.vault import Vault
from core.pricing.catalogue import Catalogue, Model
from core.pricing.costs import Costs

#: The smallest ask, by which menus say that a model can be served: tokens in, tokens out.
_SMALL_ASK = (Tokens(200), Tokens(200))
_SHORT_AUDIO = Seconds(60)


class Pool:
    """The pool holds the keys, the suppliers, and the one HTTP client for calls to them."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        vault: Vault,
        catalogue: Catalogue,
        costs: Costs,
        suppliers: Mapping[str, Supplier],
    ) -> None:
        self._catalogue, self._clock = catalogue, ledger.clock
        self._suppliers = suppliers
        self._keys = KeyRepository(ledger, vault)
        self._prompt_caches = PromptCaches(vault, ledger.clock)
        self._dialects = Dialects()
        self._records: dict[str, KeyRecord] = {}
        self._router = Router(
            suppliers=suppliers, catalogue=catalogue, costs=costs, clock=ledger.clock
        )
        self._client = SupplierClient()
        self._rest_queue = RestQueue(ledger.clock)
        #: How many errors in this process were in words that nobody knows, by supplier.
        self.unknown_fault_counts: Counter[str] = Counter()
        self._health_tracker = HealthTracker(self._keys, ledger.clock)
        self._model_discovery = ModelDiscovery(
            catalogue, costs, ledger.clock, self._keys, self._record_failure
        )
        self.contributed_keys = ContributedKeys(
            keys=self._keys,
            vault=vault,
            suppliers=suppliers,
            catalogue=catalogue,
            costs=costs,
            clock=ledger.clock,
        )
        self._key_validator = KeyValidator(catalogue=catalogue, costs=costs, clock=ledger.clock)
        self._first_check: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Loads the keys; what models each one lists is asked in the background (see
        `wait_for_first_check`)."""
        await self.reload()
        self._first_check = asyncio.create_task(self.check_models(), name="pool first check")

    async def stop(self) -> None:
        """Ends the background check and closes every connection; streams that run are broken."""
        if self._first_check is not None:
            self._first_check.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._first_check
            self._first_check = None
        await self._client.aclose()

    async def wait_for_first_check(self, seconds: float) -> None:
        """Waits for the first check of all keys, but not longer than so many seconds."""
        if self._first_check is not None:
            await asyncio.wait({self._first_check}, timeout=seconds)

    # --- keys --------------------------------------------------------------------------------

    @property
    def suppliers(self) -> Mapping[str, Supplier]:
        """Every supplier by its name."""
        return self._suppliers

    def get_supplier(self, name: str) -> Supplier:
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
        account_id: str = "",
        also: Sequence[Companion] = (),
    ) -> KeySummary:
        """Takes a key of the operator's own with a budget. `account` is Cloudflare's account id;
        `also` is written with it. Raises `UnknownSupplier`, `KeyRefused`, `DuplicateKey`,
        `BadBudget`."""
        id_ = await self._keys.add(self.get_supplier(supplier), secret, budget, account_id, also)
        return await self._summarize_key(id_)

    async def upsert_own_key(
        self, supplier: str, secret: SecretStr, budget: NanoUsd, *, account_id: str = ""
    ) -> KeySummary:
        """Adds an own key of the settings, or updates its row: its budget and address become those
        given now, and a key that was dead gets another chance. Raises as `add_own_key`."""
        id_ = await self._keys.upsert_own_key(
            self.get_supplier(supplier), secret, budget, account_id
        )
        return await self._summarize_key(id_)

    async def list_key_models(
        self, supplier: str, secret: SecretStr, *, account_id: str = ""
    ) -> list[ListedModel]:
        """The models that a key lists, asked of its supplier now; nothing is stored. Raises
        `UnknownSupplier`, `KeyRefused`."""
        return await list_key_models(self._client, self.get_supplier(supplier), secret, account_id)

    async def validate_key(
        self, supplier: str, secret: SecretStr, *, account_id: str = ""
    ) -> ValidationResult:
        """What a key is good for, found out by the cheapest real calls; nothing is stored. Raises
        `UnknownSupplier`, `KeyRefused`."""
        return await self._key_validator.validate_key(
            self._client, self.get_supplier(supplier), secret, account_id
        )

    async def list_keys(self) -> list[KeySummary]:
        """A summary of every key as it is now, the oldest first; without withdrawn ones."""
        await self.reload()
        return self.summarize_keys()

    def summarize_keys(self) -> list[KeySummary]:
        """The same as this process knows them, without another look at the database."""
        kept = (record for record in self._records.values() if record.state != "withdrawn")
        return [self._router.summarize_key(record) for record in kept]

    def list_supplier_keys(self, supplier: str) -> set[str]:
        """The ids of all keys of a supplier's that are known here."""
        return {id_ for id_, record in self._records.items() if record.provider == supplier}

    def is_moved(self, key: str) -> bool:
        """Whether a key was given for another address of its supplier, so that it can't serve."""
        record = self._records.get(key)
        return record is not None and self._router.is_moved(record)

    async def list_key_records(self) -> list[KeyRecord]:
        """The record of every key, also of those that don't serve yet or any more."""
        await self.reload()
        return list(self._records.values())

    async def resume_key(self, key: str, *, also: Sequence[Companion] = ()) -> None:
        """Lets a key serve again, whatever kept it from that; raises `UnknownKey`."""
        await self.set_key_state(key, "active", also=also)
        record = self._get_record(key)
        record.rejection, record.failures = None, 0
        record.missing_models, record.resting_models = {}, {}
        record.last_fault_at, record.load.is_doubted = 0, False

    async def set_key_state(
        self, key: str, state: KeyState, reason: str = "", *, also: Sequence[Companion] = ()
    ) -> None:
        """Sets a key's state, `also` with it; raises `UnknownKey` when it changed elsewhere."""
        is_withdrawn = (record := self._get_record(key)).state == "withdrawn"
        if is_withdrawn or not await self._keys.change_state(record, state, reason, also=also):
            await self.reload()
            raise UnknownKey(key)
        self._update_router()

    async def set_key_budget(
        self, key: str, budget: NanoUsd, *, also: Sequence[Companion] = ()
    ) -> KeySummary:
        """Sets an own key's budget, `also` with it; raises `UnknownKey`."""
        record = self._get_record(key)
        if record.contributor is not None or record.state == "withdrawn":
            raise UnknownKey(key)
        await self._keys.set_budget(record, budget, also)
        return self._router.summarize_key(record)

    async def revoke_key(
        self, key: str, reason: str = "", *, also: Sequence[Companion] = ()
    ) -> None:
        """Withdraws a key for good and destroys its secret; raises `UnknownKey`."""
        record = self._get_record(key)
        if record.state == "withdrawn":
            raise UnknownKey(key)
        await self._keys.revoke_key(record, reason, also)
        self._update_router()

    async def reload(self) -> None:
        """Reads what other processes changed; what was learned in this process stays."""
        changes = {id_: record.local_changes for id_, record in self._records.items()}
        fresh_records = await self._keys.load()
        for fresh in fresh_records:
            # Streams that run keep a record, so a known one is refreshed, not replaced.
            known = self._records.setdefault(fresh.id, fresh)
            if known is not fresh:
                known.refresh_from(
                    fresh, changed_here=known.local_changes != changes.get(fresh.id, 0)
                )
        self._records = {fresh.id: self._records[fresh.id] for fresh in fresh_records}
        self.contributed_keys.records = self._records
        self._update_router()

    async def check_models(self) -> None:
        """Asks every key for its list of models, and checks keys again that were refused."""
        due = [
            (record, self._suppliers[record.provider])
            for record in self._router
            if record.state not in FINAL_STATES and record.state != "paused"
        ]
        await self._model_discovery.check_keys(self._client, due)

    # --- asks --------------------------------------------------------------------------------

    def list_servable_models(self) -> frozenset[str]:
        """The ids of the models that some healthy key with money can serve now."""
        return frozenset(
            model.id for model in self._catalogue.models.values() if self.is_servable(model)
        )

    def has_key(self, model: Model) -> bool:
        """Whether there is a key for this model, whether it can serve now or rests."""
        return self._router.has_key(model)

    def is_servable(
        self, model: Model, *, pictures: tuple[PictureSize, ...] = (), has_files: bool = False
    ) -> bool:
        """Whether some healthy key with money can serve this model now, with such pictures and
        files in the question."""
        request = router.RoutingRequest(
            model, *_SMALL_ASK, audio=_SHORT_AUDIO, pictures=pictures, has_files=has_files
        )
        return self._router.choose(request) is not None

    def choose_candidate(
        self,
        model: Model,
        input: Tokens,  # noqa: A002
        answer_limit: Tokens,
        *,
        skip_keys: Collection[str] = (),
        own_keys_only: bool = False,
        asker: str = "",
        audio: Seconds = NO_AUDIO,
        rest_seconds: float = 0.0,
        conversation: str = "",
        pictures: tuple[PictureSize, ...] = (),
        has_files: bool = False,
        by_program: bool = False,
    ) -> Candidate | None:
        """Chooses the best key for an ask; None when there is none. Nothing is reserved: the ledger
        takes or refuses its hold, and after a refusal the next candidate is chosen with this one in
        `skip_keys`. Until then the key counts as busier. A model that is paid by the second costs
        what `audio` does, whatever the tokens. Of keys that cost the same, one is preferred whose
        supplier keeps the `conversation`. With `rest_seconds` it may be a key that rests so long at
        most, for which `wait_for_turn` waits. `input` is the text's alone: each route adds what the
        `pictures` cost there. With pictures or files, and `by_program`, contributed keys serve only
        where their contributors say so."""
        warm_keys = self._prompt_caches.list_keys(conversation, model.routes)
        request = router.RoutingRequest(
            *(model, input, answer_limit, skip_keys, own_keys_only, asker, audio, warm_keys),
            pictures=pictures,
            has_files=has_files,
            by_program=by_program,
        )
        best = self._router.choose(request)
        if best is None and rest_seconds > 0:
            until_ms = self._clock.now_ms() + round(rest_seconds * 1_000)
            best = self._router.choose_resting(request, until_ms)
            if best is not None and not self._rest_queue.has_place(best.key, asker):
                return None
        if best is not None:
            load, now = self._records[best.key].load, self._clock.now_ms()
            load.record_choice(now)
            if by_program:
                load.program_calls.append(now)
        return best

    def max_affordable_tokens(
        self,
        model: Model,
        input: Tokens,  # noqa: A002
        answer_limit: Tokens,
        *,
        own_keys_only: bool = False,
        asker: str = "",
        pictures: tuple[PictureSize, ...] = (),
        has_files: bool = False,
        by_program: bool = False,
    ) -> Tokens:
        """The longest answer, up to the limit, that some key can still pay for, so that the rest of
        a budget is used up."""
        request = router.RoutingRequest(
            *(model, input, answer_limit, (), own_keys_only, asker),
            pictures=pictures,
            has_files=has_files,
            by_program=by_program,
        )
        return self._router.max_affordable_tokens(request)

    def find_answer_room(self, candidate: Candidate, input: Tokens) -> Tokens | None:  # noqa: A002
        """The longest answer that a minute of a candidate's key takes beside so much input; None
        where no bound is known."""
        record = self._records.get(candidate.key)
        if record is None:
            return None
        return record.find_answer_room(candidate.route.model, input, self._clock.now_ms())

    def list_down_suppliers(self) -> list[str]:
        """The suppliers whose circuit is open in this process: they fail and aren't called."""
        now = self._clock.now_ms()
        return sorted(
            name for name, circuit in self._router.circuits.items() if now < circuit.open_until
        )

    def update_headroom(self, key: str, headroom: Balance | NanoUsd) -> None:
        """Takes a key's balance, or what of it is available, right after a submission."""
        if (record := self._records.get(key)) is not None:
            record.update_balance(headroom)

    async def wait_for_turn(self, candidate: Candidate, *, asker: str, until: float) -> Turn | None:
        """Waits while a candidate's key rests shortly, behind those who wait for it already; None
        where it doesn't serve by `until` (the clock's monotonic seconds). The turn is `stream`'s,
        or is passed on."""
        record = self._records.get(candidate.key)
        if record is None:
            return Turn()
        return await self._rest_queue.wait_for_turn(
            record, candidate.route.model, asker=asker, until=until
        )

    async def stream(
        self,
        candidate: Candidate,
        messages: Sequence[ChatMessage],
        answer_limit: Tokens,
        *,
        end_user: str = "",
        clip: AudioClip | None = None,
        turn: Turn | None = None,
        cache_scope: CacheScope | None = None,
        options: CallOptions | None = None,
    ) -> AsyncGenerator[StreamEvent, None]:
        """Asks the supplier for an answer, or for a transcript of a `clip`; `options` as far as it
        takes them. Yields events, a `Finish` last; raises `SupplierFault` after the key's health is
        updated. Leaving early closes the connection. A `turn` is passed on once something came."""
        record, target, supplier = self._resolve_candidate(candidate)
        attempt = Attempt(
            "answer",
            self._clock.now_ms(),
            candidate.route.model,
            limits_each_model=supplier.limits_each_model,
            has_pictures=any(message.list_pictures() for message in messages),
        )
        circuit = self._router.circuits[supplier.name]
        is_local = supplier.custom and self._catalogue.is_local(candidate.route)
        # Whether a server of the operator's own takes what it says is not known.
        cache = self._prompt_caches.describe(None if is_local else cache_scope, candidate, end_user)
        messages, sent = keep_own_thinking(messages, record.id), supplier.choose_options(options)
        call = ModelCall(candidate.route.model, messages, answer_limit, end_user, clip, cache, sent)
        circuit.in_flight += 1
        turn, began, awaits_first_token = turn or Turn(), self._clock.monotonic(), True
        most = None if clip is not None else max_answer_bytes(answer_limit)
        text = AnswerText(most, supplier.list_stops(options), tells_all=options is not None)
        try:
            events = (
                self._dialects.stream(self._client, supplier, target, call, is_local=is_local)
                if supplier.custom
                else supplier.create_adapter(self._client).stream(target, call)
            )
            with record.load.track_call() as mark_answered:
                async with aclosing(events):
                    async for event in events:
                        if awaits_first_token:
                            mark_answered()
                            turn.pass_on()
                            if isinstance(event, AnswerPiece):
                                awaits_first_token = False
                                self._prompt_caches.record_call(cache_scope, candidate, supplier)
                                if clip is None:  # for a clip the time depends on its length
                                    seconds = self._clock.monotonic() - began
                                    record_first_token(record, circuit, attempt, seconds)
                        if isinstance(event, RateLimitInfo):
                            self._health_tracker.record_rate_limit(record, event, attempt)
                            continue
                        for shown in text.read_event(event):
                            if isinstance(shown, Finish):
                                await self._health_tracker.record_success(record, circuit, attempt)
                            elif is_local and isinstance(shown, ReasoningDelta):
                                self._catalogue.mark_thinking(candidate.route)
                            yield shown
                        if text.is_cut:  # a server that heeds no limit: its rest isn't waited for
                            return
        except SupplierFault as fault:
            if fault.code == UNKNOWN_CODE:
                self.unknown_fault_counts[supplier.name] += 1
            circuit.record_failure(fault.kind, attempt, self._clock.now_ms())
            await self._record_failure(record, fault, attempt)
            raise
        finally:
            circuit.in_flight -= 1

    async def record_timeout(self, candidate: Candidate, began_ms: int) -> None:
        """Records that a call that began then was not answered in time."""
        attempt = Attempt("answer", began_ms)
        self._router.circuits[candidate.supplier].record_failure(
            Fault.TIMEOUT, attempt, self._clock.now_ms()
        )
        if candidate.key in self._records:
            fault = SupplierFault(Fault.TIMEOUT)
            await self._record_failure(self._records[candidate.key], fault, attempt)

    async def _record_failure(
        self, record: KeyRecord, fault: SupplierFault, attempt: Attempt
    ) -> None:
        if await self._health_tracker.record_failure(record, fault, attempt):
            self._update_router()

    # --- helpers -----------------------------------------------------------------------------

    def _resolve_candidate(self, candidate: Candidate) -> tuple[KeyRecord, CallTarget, Supplier]:
        """The record, the target and the supplier for a call; raises `SupplierFault` when the key
        can't be used any more."""
        record = self._records.get(candidate.key)
        supplier = self._suppliers.get(candidate.supplier)
        if record is None or supplier is None:
            raise SupplierFault(Fault.BAD_REQUEST, code="gone")
        if not record.is_healthy(self._clock.now_ms()):  # its cooldown began since it was chosen
            raise SupplierFault(Fault.BAD_REQUEST, code="rests")
        try:
            return record, self._keys.build_target(record, supplier), supplier
        except Refusal as refusal:  # erased since, altered, or its master key is gone
            record.last_error = refusal.code
            record.cooling_until = self._clock.now_ms() + round(
                health.MISSING_MODEL_SECONDS * 1_000
            )
            raise SupplierFault(Fault.BAD_REQUEST, code=refusal.code) from None

    def _get_record(self, key: str) -> KeyRecord:
        if key not in self._records:
            raise UnknownKey(key)
        return self._records[key]

    async def _summarize_key(self, key: str) -> KeySummary:
        await self.reload()
        return self._router.summarize_key(self._get_record(key))

    def _update_router(self) -> None:
        self._router.update_keys(self._records.values())
