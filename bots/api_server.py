"""The API's server, made of the service's parts: the one place that hands them to `bots.api`."""

from __future__ import annotations

import json
from ipaddress import ip_network
from typing import Any

from bots.api.app import API_LIMITS, ApiDependencies, build_api_app
from bots.api.ask_endpoint import AskPorts
from bots.api.model_offers import ModelOffers
from bots.api.ports import KeptReply
from bots.config.settings import ApiConfig
from bots.http import HttpServer, ServerAddress
from bots.services import Services
from core.api_tokens.replies import ApiReplies, build_answer_context
from core.asks.api_usage import ApiUsageHistory
from core.asks.repository import AskRepository
from core.asks.types import AskFailure, AskResult, Outcome
from core.money import NO_TOKENS, Credits, Tokens
from core.pool.vault import Unsealable
from core.users.service import Users


def build_api_server(services: Services, port: int | None = None) -> HttpServer:
    """The server, on the port of the settings unless another is named; it doesn't listen yet."""
    base, settings = services.base, services.base.config.api
    ports = AskPorts(
        tokens=services.api.tokens,
        asks=services.asks.asks,
        replies=UnsealedReplies(
            services.api.replies, services.asks.repository, services.users.users
        ),
        balances=services.users.balances,
        find_person=services.users.users.get_person,
        file_reader=services.asks.file_reader,
        vault=services.pool.vault,
        clock=base.clock,
    )
    offers = ModelOffers(
        catalogue=services.pricing.catalogue,
        deals=services.pricing.deals,
        list_servable_models=services.pool.pool.list_servable_models,
    )
    app = build_api_app(
        ApiDependencies(
            ask_ports=ports,
            offers=offers,
            usage_history=ApiUsageHistory(base.db),
            trusted_proxies=[ip_network(one) for one in settings.api_proxies],
        )
    )
    return HttpServer(app, read_api_address(settings, port), API_LIMITS)


def read_api_address(settings: ApiConfig, port: int | None = None) -> ServerAddress:
    """Where programs are served."""
    return ServerAddress(
        settings.api_host,
        settings.api_port if port is None else port,
        host_setting="CREDITBOT_API_HOST",
        port_setting="CREDITBOT_API_PORT",
    )


class UnsealedReplies:
    """Reads answers that were kept for repeated requests, with the key of the person whose they
    are."""

    def __init__(self, replies: ApiReplies, asks: AskRepository, users: Users) -> None:
        self._replies, self._asks, self._users = replies, asks, users

    async def find_reply(self, ask: str) -> KeptReply | None:
        """What is kept of an ask; None where nothing is, or nothing that can be read."""
        row = await self._replies.find(ask)
        if row is None:
            return None
        if row.answer is None:
            settled = await self._asks.get(ask)
            # Of an ask whose process died nobody knows what was answered, and nothing comes.
            is_lost = settled is not None and settled.result.outcome is Outcome.LOST
            return KeptReply(bytes(row.digest), settled.result if settled and is_lost else None)
        person = await self._users.find(row.person)
        data_key = await self._users.get_data_key(person)
        try:
            kept = json.loads(data_key.unseal(build_answer_context(ask), bytes(row.answer)))
        except Unsealable:
            return None
        return KeptReply(bytes(row.digest), _read_result(ask, kept), kept["pieces"], kept["key"])


def _read_result(ask: str, kept: dict[str, Any]) -> AskResult:
    return AskResult(
        ask=ask,
        outcome=Outcome(kept["outcome"]),
        model="",
        text="",
        prompt_tokens=Tokens(kept["prompt_tokens"]),
        history_tokens=NO_TOKENS,
        output_tokens=Tokens(kept["output_tokens"]),
        cached_tokens=Tokens(kept["cached_tokens"]),
        cache_written_tokens=Tokens(kept["cache_written_tokens"]),
        # Answers that were kept by the version before say nothing of it.
        reasoning_tokens=Tokens(kept.get("reasoning_tokens", 0)),
        charge=Credits(kept["charge"]),
        failure=AskFailure(kept["failure"]),
        finish_reason=kept["finish_reason"],
        stop_sequence=kept["stop_sequence"],
    )
