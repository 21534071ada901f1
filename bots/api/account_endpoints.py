"""What programs may look up: the models that they may ask, their person's Credits, and what their
asks were charged. Allowed also when nothing is left to spend: then it is wanted most.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qs

from bots.api.access import AccessControl
from bots.api.errors import ApiError, refuse_request
from bots.api.exchange import Exchange
from bots.api.model_offers import ModelOffers, describe_anthropic_model, describe_openai_model
from bots.api.ports import ApiTokens, PeopleBalances
from bots.api.refusals import refuse_model
from core.api_tokens.types import ApiToken
from core.asks.api_usage import PAGE_ROWS_MAX, ApiUsage, ApiUsageHistory, UsageCursor
from core.clock import DAY_MS, Clock

_PAGE_ROWS: Final = 20
#: No parameter of these routes is longer.
_QUERY_CHARS_MAX: Final = 1_000


class AccountEndpoints:
    """Answers the look-ups of a token."""

    def __init__(
        self,
        *,
        access: AccessControl,
        offers: ModelOffers,
        tokens: ApiTokens,
        balances: PeopleBalances,
        usage_history: ApiUsageHistory,
        clock: Clock,
    ) -> None:
        self._access, self._offers, self._tokens = access, offers, tokens
        self._balances, self._usage_history, self._clock = balances, usage_history, clock

    async def list_models(self, exchange: Exchange) -> None:
        """The models that the token may ask now, in the shape of the client's maker."""
        token = await self._let_in(exchange)
        offered = await self._offers.list_offered(token)
        if exchange.wire == "openai":
            data = [describe_openai_model(*one) for one in offered]
            await exchange.send_json({"object": "list", "data": data})
            return
        data = [describe_anthropic_model(*one) for one in offered]
        await exchange.send_json(_cut_page(data, _read_query(exchange)))

    async def describe_model(self, exchange: Exchange, name: str) -> None:
        """One of them, by its id or another of its names."""
        token = await self._let_in(exchange)
        model = self._offers.find_model(name, token)
        offered = await self._offers.list_offered(token)
        found = next((one for one in offered if one[0].id == model.id), None)
        if found is None:
            raise refuse_model(name, ())
        is_openai = exchange.wire == "openai"
        describe = describe_openai_model if is_openai else describe_anthropic_model
        await exchange.send_json(describe(*found))

    async def describe_credits(self, exchange: Exchange) -> None:
        """What the person can spend, and what of it the token may still today."""
        token = await self._let_in(exchange)
        balance = await self._balances.for_user(token.person)
        used = (await self._tokens.measure_day(token.id)).units
        tomorrow = (self._clock.now_ms() // DAY_MS + 1) * (DAY_MS // 1000)
        told = {
            "object": "credits",
            "available": balance.available.units,
            "held": balance.held.units,
            "token": {
                "name": token.name,
                "per_day": token.per_day.units,
                "used_today": used,
                "left_today": max(0, token.per_day.units - used),
                "resets_at": tomorrow,
            },
        }
        await exchange.send_json(told)

    async def list_usage(self, exchange: Exchange) -> None:
        """What was asked through the API and charged, the newest first."""
        token = await self._let_in(exchange)
        query = _read_query(exchange)
        count = _read_count(query)
        after = _read_cursor(query.get("after", ""))
        rows = await self._usage_history.list_page(token.person, count, after)
        has_more = len(rows) == count
        told = {
            "object": "list",
            "data": [_describe_usage(one) for one in rows],
            "has_more": has_more,
            "next": f"{rows[-1].at}.{rows[-1].ask}" if has_more else None,
        }
        await exchange.send_json(told)

    async def _let_in(self, exchange: Exchange) -> ApiToken:
        token = await self._access.authenticate(exchange)
        self._access.lookups.require(token.person)
        return token


def _describe_usage(row: ApiUsage) -> dict[str, Any]:
    return {
        "request_id": row.ask,
        "created": row.at // 1000,
        "token": row.token,
        "model": row.model,
        "prompt_tokens": row.input.units,
        "cached_tokens": row.cached.units,
        "completion_tokens": row.output.units,
        "credits": row.charge.units,
    }


def _cut_page(data: list[dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
    """A list in Anthropic's pages."""
    names = [one["id"] for one in data]
    after, before = query.get("after_id", ""), query.get("before_id", "")
    if after in names:
        data = data[names.index(after) + 1 :]
    elif before in names:
        data = data[: names.index(before)]
    limit = query.get("limit", "")
    count = max(1, int(limit)) if limit.isdecimal() and len(limit) < 6 else len(data)
    page = data[-count:] if before in names and after not in names else data[:count]
    return {
        "data": page,
        "has_more": len(page) < len(data),
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
    }


def _read_query(exchange: Exchange) -> dict[str, str]:
    """The parameters in a request's address, of several the first."""
    if len(exchange.query) > _QUERY_CHARS_MAX:
        raise ApiError(400, "The address is too long.")
    parsed = parse_qs(exchange.query.decode("latin-1"), max_num_fields=100)
    return {name: values[0] for name, values in parsed.items()}


def _read_count(query: dict[str, str]) -> int:
    limit = query.get("limit", str(_PAGE_ROWS))
    if not (limit.isascii() and limit.isdecimal() and 1 <= int(limit) <= PAGE_ROWS_MAX):
        raise refuse_request(f"limit must be from 1 to {PAGE_ROWS_MAX}.", param="limit")
    return int(limit)


def _read_cursor(text: str) -> UsageCursor | None:
    if not text:
        return None
    at, _, ask = text.partition(".")
    if not (at.isascii() and at.isdecimal() and len(at) < 16 and ask.isascii() and "\0" not in ask):
        raise refuse_request("after is no cursor of ours.", param="after")
    return UsageCursor(int(at), ask)
