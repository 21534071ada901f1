"""What Discord says of the app's own store, by a client of its own: the command line asks too."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar, final

import aiohttp
import discord

from bots.config.settings import DiscordConfig
from bots.discord.client import DiscordClient, DiscordUnavailable, log_in
from payments.gateways.discord_store import PAGE_SIZE, DiscordEntitlement, DiscordSku
from payments.types import GatewayUnavailable

Result = TypeVar("Result")

_log = logging.getLogger(__name__)

_TIMEOUT_SECONDS: Final = 20.0
#: Discord won't do it later either: it was taken back, or its SKU is no consumable.
_PERMANENT_STATUSES: Final = (400, 404)


@final
class DiscordStoreClient:
    """The client of Discord's store, by the library. It logs in when something is asked for the
    first time."""

    def __init__(self, config: DiscordConfig) -> None:
        self._config = config
        self._client: DiscordClient | None = None
        self._logging_in = asyncio.Lock()

    async def get_application_id(self) -> str:
        """See `DiscordStoreApi`."""
        return str((await self._call(_return_client)).application_id)

    async def list_skus(self) -> Sequence[DiscordSku]:
        """See `DiscordStoreApi`."""
        found = await self._call(lambda client: client.fetch_skus())
        return [
            DiscordSku(str(each.id), each.name, each.type.value, each.flags.available)
            for each in found
        ]

    async def fetch_entitlement(self, id_: str) -> DiscordEntitlement | None:
        """See `DiscordStoreApi`."""
        found = await self._call(lambda client: _fetch_entitlement(client, int(id_)))
        return None if found is None else to_entitlement(found)

    async def list_entitlements(
        self, skus: Sequence[str], after: str
    ) -> Sequence[DiscordEntitlement]:
        """See `DiscordStoreApi`."""
        # The library's own paging forgets to ask for deleted ones.
        found = await self._call(
            lambda client: client.http.get_entitlements(
                client.application_id or 0,
                sku_ids=[int(sku) for sku in skus],
                after=int(after),
                limit=PAGE_SIZE,
                exclude_ended=False,
                exclude_deleted=False,
            )
        )
        entitlements = [to_entitlement(discord.Entitlement(None, each)) for each in found]  # type: ignore[arg-type]
        return sorted(entitlements, key=lambda one: int(one.id))

    async def consume_entitlement(self, id_: str) -> None:
        """See `DiscordStoreApi`."""
        await self._call(lambda client: _consume_entitlement(client, int(id_)))

    async def close(self) -> None:
        """See `DiscordStoreApi`."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _call(self, call: Callable[[DiscordClient], Awaitable[Result]]) -> Result:
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                return await call(await self._get_client())
        except (
            DiscordUnavailable,
            discord.DiscordException,
            aiohttp.ClientError,
            OSError,
            TimeoutError,
        ):
            raise GatewayUnavailable("skus") from None

    async def _get_client(self) -> DiscordClient:
        async with self._logging_in:
            if self._client is None:
                client = DiscordClient(self._config)
                try:
                    await log_in(client, self._config)
                except BaseException:
                    await client.close()
                    raise
                self._client = client
            return self._client


def to_entitlement(entitlement: discord.Entitlement) -> DiscordEntitlement:
    """An entitlement of the library's as a value."""
    return DiscordEntitlement(
        id=str(entitlement.id),
        sku_id=str(entitlement.sku_id),
        application_id=str(entitlement.application_id),
        user_id=str(entitlement.user_id or ""),
        guild_id=str(entitlement.guild_id or ""),
        kind=entitlement.type.value,
        deleted=entitlement.deleted,
        consumed=entitlement.consumed,
    )


async def _return_client(client: DiscordClient) -> DiscordClient:
    return client


async def _fetch_entitlement(client: DiscordClient, id_: int) -> discord.Entitlement | None:
    try:
        return await client.fetch_entitlement(id_)
    except discord.NotFound:
        return None


async def _consume_entitlement(client: DiscordClient, id_: int) -> None:
    try:
        await client.http.consume_entitlement(client.application_id or 0, id_)
    except discord.HTTPException as refused:
        if refused.status not in _PERMANENT_STATUSES:
            raise
        _log.warning("an entitlement can't be consumed: %s", refused.code)
