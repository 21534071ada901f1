"""Asks by programs, on both wires: from the token to the answer's last byte.

Who asks, and whether they have anything to spend, is known before a body is read.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote

from cachetools import TTLCache

from bots.api.access import AccessControl
from bots.api.answers import AnswerFollower, replay_answer
from bots.api.chat_replies import ChatReplyWriter
from bots.api.chat_requests import parse_chat_request
from bots.api.errors import ApiError, Wire, refuse_request
from bots.api.exchange import Exchange
from bots.api.message_replies import MessageReplyWriter
from bots.api.message_requests import parse_count_request, parse_messages_request
from bots.api.model_offers import ModelOffers
from bots.api.ports import (
    ApiAsks,
    ApiReplies,
    ApiTokens,
    FindPerson,
    KeptReply,
    PeopleBalances,
)
from bots.api.refusals import refuse_empty_balance
from bots.api.replies import ReplyFacts, ReplyWriter, find_failure, may_ask_anew
from bots.api.requests import ApiRequest, count_pictures, list_texts, read_pictures
from core import ids
from core.api_tokens.types import ApiToken
from core.asks.api_calls import ApiCall, ReplyKey, TokenCap, decode_pieces
from core.asks.drafts import count_call_texts
from core.asks.types import AlreadyAsked, PicturesUnseen, Question
from core.attachments.reader import FileReader
from core.attachments.types import PICTURE_SIDE_MAX, PictureSize
from core.clock import DAY_MS, Clock
from core.money import Credits, Tokens
from core.pool.providers.message_parts import ThinkingPart
from core.pool.thinking_seals import ThinkingSeals
from core.pool.vault import Vault
from core.pricing.catalogue import Model

#: What a longer prompt begins with is digested on a thread.
_INLINE_CHARS_MAX: Final = 1 << 17
#: A derived id has as many characters after its prefix as any other.
_DERIVED_CHARS: Final = 26
#: An ask that runs is asked about again then.
_RUNNING_SECONDS: Final = 2
#: Who had Credits just now isn't looked up again: what an ask may cost is held all the same.
_SOLVENT_SECONDS: Final = 5
_SOLVENT_MAX: Final = 50_000
#: So often a key may be used for what came to nothing; then its last failure is told again.
_ATTEMPTS_MAX: Final = 100
#: Of a body, this says how it is answered, not what is asked.
_MANNER_FIELDS: Final = frozenset(("stream", "stream_options"))


@dataclass(frozen=True, slots=True)
class AskPorts:
    """What asks need of the service."""

    tokens: ApiTokens
    asks: ApiAsks
    replies: ApiReplies
    balances: PeopleBalances
    find_person: FindPerson
    file_reader: FileReader
    vault: Vault
    clock: Clock


class AskEndpoint:
    """Answers requests that ask a model, and those that only count what would be asked."""

    def __init__(self, *, access: AccessControl, offers: ModelOffers, ports: AskPorts) -> None:
        self._access, self._offers, self._ports = access, offers, ports
        self._seals = ThinkingSeals(ports.vault)
        self._solvent: TTLCache[str, bool] = TTLCache(
            maxsize=_SOLVENT_MAX, ttl=_SOLVENT_SECONDS, timer=ports.clock.monotonic
        )

    async def answer_ask(self, exchange: Exchange) -> None:
        """Answers a chat completion or a message; raises `ApiError`, `ClientGone`, and refusals of
        the ask."""
        token = await self._access.authenticate(exchange)
        with self._access.hold_slot(token.person):
            key = exchange.read_idempotency_key()
            kept, failed = await self._find_attempt(exchange, token, key)
            if kept is None:
                await self._check_balance(token.person)

            def parse(body: Any) -> tuple[ApiRequest, bytes]:
                request = self._parse(exchange.wire, body, token)
                return request, self._digest_body(body) if key else b""

            request, digest = await exchange.read_json(parse)
            for one in (kept, failed):
                _check_digest(one, digest)
            if kept is None:
                kept = await self._ask(exchange, token, request, digest)
                _check_digest(kept, digest)
            if kept is not None:
                await self._replay(exchange, token, request, kept)

    async def count_tokens(self, exchange: Exchange) -> None:
        """Says what a request counts as when it is held for; no supplier is asked, and nothing is
        charged."""
        token = await self._access.authenticate(exchange)
        self._access.counts.require(token.person)
        request = await exchange.read_json(
            lambda body: parse_count_request(body, self._open(token))
        )
        model = self._offers.find_model(request.model, token)
        counted = await count_call_texts(model, list_texts(request), request.options)
        # Nobody pays for this, so pictures aren't looked into.
        sizes = _list_largest(request)
        pictures = model.count_pictures(sizes) if sizes else None
        total = counted if pictures is None else counted + pictures
        await exchange.send_json({"input_tokens": total.units})

    async def _find_attempt(
        self, exchange: Exchange, token: ApiToken, key: str
    ) -> tuple[KeptReply | None, KeptReply | None]:
        """Gives a request the id of its ask; what is kept of that, and of the attempt before with
        the same key, which came to nothing. Whoever is named by an attempt first asks: ids of asks
        are there once, for ever."""
        if not key:
            exchange.request_id = ids.new_id("ask", self._ports.clock.now_ms())
            return None, None
        failed: KeptReply | None = None
        for attempt in range(_ATTEMPTS_MAX):
            exchange.request_id = self._name_attempt(token, exchange.path, key, attempt)
            kept = await self._ports.replies.find_reply(exchange.request_id)
            if kept is None or kept.result is None or not may_ask_anew(kept.result):
                return kept, failed
            failed = kept
        return failed, None

    def _name_attempt(self, token: ApiToken, path: str, key: str, attempt: int) -> str:
        """An ask's id; the same request with the same key has the same, and nobody can tell by it
        which key that was. Attempts are counted from 0."""
        kind = ("api ask again", str(attempt)) if attempt else ("api ask",)
        derived = self._ports.vault.derive_id(*kind, token.person, path, key)
        return f"ask_{derived[:_DERIVED_CHARS]}"

    async def _check_balance(self, person: str) -> None:
        if person in self._solvent:
            return
        balance = await self._ports.balances.for_user(person)
        if balance.available <= Credits(0):
            raise refuse_empty_balance(balance.available, balance.held)
        self._solvent[person] = True

    def _parse(self, wire: Wire, body: Any, token: ApiToken) -> ApiRequest:
        if wire == "anthropic":
            return parse_messages_request(body, self._open(token))
        return parse_chat_request(body)

    def _open(self, token: ApiToken) -> Callable[[str], ThinkingPart | None]:
        return lambda sealed: self._seals.open_thought(token.person, sealed)

    def _digest_body(self, body: Any) -> bytes:
        """A keyed digest of what is asked: short questions could be guessed by a plain one."""
        asked = {name: one for name, one in body.items() if name not in _MANNER_FIELDS}
        digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
        return self._ports.vault.fingerprint("api request", digest)

    async def _ask(
        self, exchange: Exchange, token: ApiToken, request: ApiRequest, digest: bytes
    ) -> KeptReply | None:
        """Asks, and sends the answer; gives what is kept of an answer where this was asked
        before."""
        model = self._offers.find_model(request.model, token)
        _check_form(request, model)
        person = await self._ports.find_person(token.person)
        asked = await read_pictures(request, self._ports.file_reader)
        prefix = await self._name_prefix(person.id, model, asked)
        day = self._ports.clock.now_ms() // DAY_MS
        await self._ports.tokens.prepare_day(token.id, day)
        question = Question(
            id=exchange.request_id,
            person=person,
            place=f"api:{token.id}:",
            asked_in="",
            text="",
            model=model,
            api_call=self._build_call(
                TokenCap(token.id, day, token.per_day), model, asked, prefix, digest
            ),
        )
        try:
            run = await self._ports.asks.start_ask(question)
        except AlreadyAsked:
            kept = await self._ports.replies.find_reply(exchange.request_id)
            if kept is None:
                text = "This Idempotency-Key was used before; its answer is kept no longer."
                raise ApiError(422, text, code="idempotency_mismatch") from None
            return kept
        writer = self._build_writer(
            exchange, person.id, asked, run.quote.prompt_tokens, lambda: run.candidate.key
        )
        # A server of somebody's own may call its models anything.
        headers = ((b"x-model", quote(model.id, safe="/:@").encode()),)
        follower = AnswerFollower(exchange, run, writer, headers)
        await (follower.send_stream() if request.streams else follower.send_whole())
        return None

    async def _name_prefix(self, person: str, model: Model, request: ApiRequest) -> str:
        texts = _list_prefix(request)
        names = ("api prefix", person, model.id, *texts)
        if sum(map(len, texts)) > _INLINE_CHARS_MAX:
            return await asyncio.to_thread(self._ports.vault.derive_id, *names)
        return self._ports.vault.derive_id(*names)

    def _build_call(
        self, cap: TokenCap, model: Model, request: ApiRequest, prefix: str, digest: bytes
    ) -> ApiCall:
        options = request.options
        if not model.thinking and (options.effort or options.thinking):
            options = replace(options, effort="", thinking="")
        if request.extra_text:
            options = replace(options, tools_chars=len(request.extra_text))
        return ApiCall(
            cap=cap,
            messages=request.messages,
            options=options,
            answer_limit=request.answer_limit,
            extra_text=request.extra_text,
            prefix=prefix,
            reply_key=ReplyKey(digest) if digest else None,
        )

    def _build_writer(
        self,
        exchange: Exchange,
        person: str,
        request: ApiRequest,
        prompt_tokens: Tokens,
        find_key: Callable[[], str],
    ) -> ReplyWriter:
        """`find_key` gives the key that serves, or served: thoughts are its own."""

        def seal(signature: str, redacted: str) -> str:
            thought = ThinkingPart("", signature, find_key(), redacted)
            return self._seals.seal_thought(person, thought)

        facts = ReplyFacts(
            ask=exchange.request_id,
            model=request.model,
            created=self._ports.clock.now_ms() // 1000,
            prompt_tokens=prompt_tokens.units,
            includes_usage=request.includes_usage,
            seal_thought=seal,
        )
        is_message = exchange.wire == "anthropic"
        return MessageReplyWriter(facts) if is_message else ChatReplyWriter(facts)

    async def _replay(
        self,
        exchange: Exchange,
        token: ApiToken,
        request: ApiRequest,
        kept: KeptReply,
    ) -> None:
        """Sends what was answered before; raises `ApiError` where that failed, or isn't there
        yet."""
        if kept.result is None:
            text = "This request is being answered."
            raise ApiError(409, text, code="in_progress", retry_seconds=_RUNNING_SECONDS)
        failure = find_failure(kept.result)
        if failure is not None:
            raise failure
        pieces = decode_pieces([dict(one) for one in kept.encoded or ()])
        writer = self._build_writer(
            exchange, token.person, request, kept.result.prompt_tokens, lambda: kept.key
        )
        await replay_answer(exchange, writer, pieces, kept.result, streams=request.streams)


def _check_digest(kept: KeptReply | None, digest: bytes) -> None:
    """Raises `ApiError` where something else was asked with the same key."""
    if kept is not None and kept.digest != digest:
        text = "This Idempotency-Key was used with another body."
        raise ApiError(422, text, code="idempotency_mismatch")


def _check_form(request: ApiRequest, model: Model) -> None:
    """Raises `ApiError` where no supplier of a model keeps to the answer's form that is asked for:
    Anthropic's wire knows forms by their schema alone; `PicturesUnseen` where none sees so many
    pictures."""
    form = request.options.json_form
    is_open = form is not None and form.schema is None
    if is_open and all(route.provider == "anthropic" for route in model.routes):
        text = f"{model.id} answers in JSON by a schema alone: give response_format a json_schema."
        raise refuse_request(text, param="response_format", code="unsupported_value")
    # Before any picture is looked into: that takes its time.
    sizes = _list_largest(request)
    if model.count_pictures(sizes) is None:
        raise PicturesUnseen(model, sizes)


def _list_largest(request: ApiRequest) -> tuple[PictureSize, ...]:
    """The sizes of a request's pictures: each as the largest there can be."""
    return (PictureSize(PICTURE_SIDE_MAX, PICTURE_SIDE_MAX),) * count_pictures(request)


def _list_prefix(request: ApiRequest) -> list[str]:
    """What tells whose turns these are: what the client calls them, else how they begin, to the
    first words of the person."""
    if request.prompt_cache_key:
        return [request.prompt_cache_key]
    texts = [request.extra_text]
    for message in request.messages:
        texts += [getattr(part, "text", "") for part in message.content]
        if message.role == "user":
            break
    return texts
