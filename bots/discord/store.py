"""What Discord says of the app's own store, by a client of its own: the command line asks too."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar, final

import aiohttp
import discord

from bots.discord.client import Client, DiscordUnavailable, logged_in
from bots.discord.config import DiscordConfig
from payments.gateways.discord_store import PAGE, Entitled, SkuCard
from payments.types import GatewayUnavailable

Result = TypeVar("Result")

_log = logging.getLogger(__name__)

_SECONDS: Final = 20.0
#: Discord won't do it later either: it was taken back, or its SKU is no consumable.
_NEVER: Final = (400, 404)


@final
class DiscordStore:
    """The client of Discord's store, by the library. It logs in when something is asked for the
    first time."""

    def __init__(self, config: DiscordConfig) -> None:
        self._config = config
        self._client: Client | None = None
        self._logging_in = asyncio.Lock()

    async def application(self) -> str:
        """See `DiscordStoreApi`."""
        return str((await self._asked(_itself)).application_id)

    async def skus(self) -> Sequence[SkuCard]:
        """See `DiscordStoreApi`."""
        found = await self._asked(lambda client: client.fetch_skus())
        return [
            SkuCard(str(each.id), each.name, each.type.value, each.flags.available)
            for each in found
        ]

    async def entitlement(self, id_: str) -> Entitled | None:
        """See `DiscordStoreApi`."""
        found = await self._asked(lambda client: _entitlement(client, int(id_)))
        return None if found is None else entitled(found)

    async def entitlements(self, skus: Sequence[str], after: str) -> Sequence[Entitled]:
        """See `DiscordStoreApi`."""
        # The library's own paging forgets to ask for deleted ones.
        found = await self._asked(
            lambda client: client.http.get_entitlements(
                client.application_id or 0,
                sku_ids=[int(sku) for sku in skus],
                after=int(after),
                limit=PAGE,
                exclude_ended=False,
                exclude_deleted=False,
            )
        )
        told = [entitled(discord.Entitlement(None, each)) for each in found]  # type: ignore[arg-type]
        return sorted(told, key=lambda one: int(one.id))

    async def consume(self, id_: str) -> None:
        """See `DiscordStoreApi`."""
        await self._asked(lambda client: _consumed(client, int(id_)))

    async def close(self) -> None:
        """See `DiscordStoreApi`."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _asked(self, call: Callable[[Client], Awaitable[Result]]) -> Result:
        try:
            async with asyncio.timeout(_SECONDS):
                return await call(await self._in())
        except (
            DiscordUnavailable,
            discord.DiscordException,
            aiohttp.ClientError,
            OSError,
            TimeoutError,
        ):
            raise GatewayUnavailable("skus") from None

    async def _in(self) -> Client:
        async with self._logging_in:
            if self._client is None:
                client = Client(self._config)
                try:
                    await logged_in(client, self._config)
                except BaseException:
                    await client.close()
                    raise
                self._client = client
            return self._client


def entitled(one: discord.Entitlement) -> Entitled:
    """An entitlement of the library's as a value."""
    return Entitled(
        id=str(one.id),
        sku=str(one.sku_id),
        application=str(one.application_id),
        user=str(one.user_id or ""),
        guild=str(one.guild_id or ""),
        kind=one.type.value,
        deleted=one.deleted,
        consumed=one.consumed,
    )


async def _itself(client: Client) -> Client:
    return client


async def _entitlement(client: Client, id_: int) -> discord.Entitlement | None:
    try:
        return await client.fetch_entitlement(id_)
    except discord.NotFound:
        return None


async def _consumed(client: Client, id_: int) -> None:
    try:
        await client.http.consume_entitlement(client.application_id or 0, id_)
    except discord.HTTPException as refused:
        if refused.status not in _NEVER:
            raise
        _log.warning("an entitlement can't be consumed: %s", refused.code)
