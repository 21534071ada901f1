"""The library's client, told our addresses and as little as it needs; and how to log it in."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Final, final

import aiohttp
import discord
import yarl
from discord.gateway import DiscordWebSocket
from discord.http import Route

from bots.chat.types import BotAddress, PlatformUnavailable
from bots.config.settings import DiscordConfig
from bots.discord.file_host import DiscordFileHost
from bots.render.pace import FairPace
from core.errors import describe_failure

_log = logging.getLogger(__name__)

_START_ATTEMPTS: Final = 4
_START_PAUSE_SECONDS: Final = 0.5
#: Requests a second by the bot's own right, over all channels: Discord takes fifty in any.
_PER_SECOND: Final = 40.0
_BURST: Final = 10.0
#: Where a bot is invited to a server, with its commands.
_INVITE: Final = "https://discord.com/oauth2/authorize?scope=bot+applications.commands"


#: The event that is being read, or of which something is handled, as it came.
_RAW_EVENT: ContextVar[Mapping[str, Any] | None] = ContextVar("raw event", default=None)


def get_raw_event() -> Mapping[str, Any]:
    """The event as it came that an interaction or a message was made of; only while the client
    hands that on."""
    return _RAW_EVENT.get() or {}


class DiscordUnavailable(PlatformUnavailable):
    """Discord could not be started: the token is not taken, or nobody answers."""

    code = "discord_unavailable"


def _intents() -> discord.Intents:
    """No privileged one: mentions of the bot and direct messages show their words without it."""
    intents = discord.Intents.none()
    intents.guilds = True  # which channels are threads
    intents.guild_messages = intents.dm_messages = True
    return intents


@final
class DiscordClient(discord.AutoShardedClient):
    """The library's client, which passes interactions and messages on; it keeps no messages and no
    members."""

    def __init__(
        self,
        config: DiscordConfig,
        *,
        on_interaction_created: Callable[[discord.Interaction], None] = lambda _: None,
        on_message_written: Callable[[discord.Message], None] = lambda _: None,
        on_message_edited: Callable[[discord.Message], None] = lambda _: None,
        on_connected: Callable[[], None] = lambda: None,
        on_purchase: Callable[[discord.Entitlement], None] = lambda _: None,
        on_reversal: Callable[[discord.Entitlement], None] = lambda _: None,
    ) -> None:
        # The library's own switches, for tests and proxies.
        Route.BASE = config.api_url
        if config.gateway_url:
            DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(config.gateway_url)
        self._interaction_callback, self._message_callback, self._connected_callback = (
            on_interaction_created,
            on_message_written,
            on_connected,
        )
        self._edit_callback = on_message_edited
        self._purchase_callback, self._reversal_callback = on_purchase, on_reversal
        super().__init__(
            intents=_intents(),
            allowed_mentions=discord.AllowedMentions.none(),
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
            max_messages=None,
            guild_ready_timeout=0.0,
            **_shard_options(config),
        )
        self._pace = FairPace(_PER_SECOND, burst=_BURST)
        self._send_request = self.http.request
        # What answers an interaction goes another way, which Discord doesn't count.
        self.http.request = self._send_in_turn  # type: ignore[method-assign]
        self._file_host = DiscordFileHost(config.api_url)
        self.http.get_from_cdn = self._file_host.fetch  # type: ignore[method-assign]
        #: How many events nobody could read, in this process.
        self.unreadable_count = 0
        # An event that the library can't read would end its connection for good.
        self._connection.parsers = {
            name: self._guard_parser(name, parse)
            for name, parse in self._connection.parsers.items()
        }

    async def close(self) -> None:
        """See the library: ends all connections."""
        await super().close()
        await self._pace.close()
        await self._file_host.close()

    async def _send_in_turn(self, route: Route, **more: Any) -> Any:
        """What goes to a channel waits for that channel's turn."""
        if route.channel_id is not None:
            await self._pace.wait_turn(str(route.channel_id))
        return await self._send_request(route, **more)

    def _guard_parser(self, name: str, parse: Callable[[Any], None]) -> Callable[[Any], None]:
        def parse_guarded(data: Any) -> None:
            # What the library does of it later, in tasks that begin here, knows it, too.
            token = _RAW_EVENT.set({"kind": name, "data": data})
            try:
                parse(data)
            except Exception as failure:  # noqa: BLE001 - whatever the library stumbles over
                self.unreadable_count += 1
                _log.warning("an event %s could not be read: %s", name, describe_failure(failure))
            finally:
                _RAW_EVENT.reset(token)

        return parse_guarded

    def replay_event(self, event: Mapping[str, Any]) -> None:
        """Reads an event once more that came before, perhaps to another process."""
        parse = self._connection.parsers.get(event["kind"])
        if parse is None:
            raise ValueError("an event of a kind that isn't known any more")
        parse(event["data"])

    async def on_interaction(self, interaction: discord.Interaction) -> None:
        """The library's event."""
        self._interaction_callback(interaction)

    async def on_message(self, message: discord.Message) -> None:
        """The library's event."""
        self._message_callback(message)

    async def on_raw_message_edit(self, event: discord.RawMessageUpdateEvent) -> None:
        """The library's event; of messages that it keeps none, it tells what is there now."""
        self._edit_callback(event.message)

    async def on_entitlement_create(self, entitlement: discord.Entitlement) -> None:
        """The library's event; only shard 0 hears of it."""
        self._purchase_callback(entitlement)

    async def on_entitlement_update(self, entitlement: discord.Entitlement) -> None:
        """The library's event."""
        (self._reversal_callback if entitlement.deleted else self._purchase_callback)(entitlement)

    async def on_entitlement_delete(self, entitlement: discord.Entitlement) -> None:
        """The library's event."""
        self._reversal_callback(entitlement)

    async def on_shard_connect(self, _: int) -> None:
        """The library's event."""
        self._connected_callback()

    async def on_shard_resumed(self, _: int) -> None:
        """The library's event."""
        _log.info("the gateway goes on where it broke off")

    async def on_error(self, event_method: str, /, *_: Any, **__: Any) -> None:
        """What failed and where, never with what was said."""
        failure = sys.exc_info()[1]
        if failure is not None:
            _log.error("%s failed: %s", event_method, describe_failure(failure))


def _shard_options(config: DiscordConfig) -> dict[str, Any]:
    if not config.shard_count:
        return {}
    ids = config.shard_ids or tuple(range(config.shard_count))
    return {"shard_ids": list(ids), "shard_count": config.shard_count}


async def log_in(client: DiscordClient, config: DiscordConfig) -> None:
    """Proves the token; raises DiscordUnavailable."""
    for attempt in range(_START_ATTEMPTS):
        try:
            await client.login(config.token.get_secret_value())
            if config.gateway_url and not config.shard_count:
                # How many shards is Discord's to say, where they are is not.
                client.shard_count, _, _ = await client.http.get_bot_gateway()
        except discord.LoginFailure:
            raise DiscordUnavailable(token_refused=True) from None
        except (discord.HTTPException, aiohttp.ClientError, OSError, TimeoutError) as failure:
            _log.warning("Discord does not answer: %s", describe_failure(failure))
            await asyncio.sleep(_START_PAUSE_SECONDS * 2**attempt)
        else:
            return
    raise DiscordUnavailable(token_refused=False)


async def fetch_bot_address(config: DiscordConfig) -> BotAddress:
    """Whose token it is, with the address that invites the bot; raises DiscordUnavailable."""
    client = DiscordClient(config)
    try:
        await log_in(client, config)
        assert client.user is not None, "known once logged in"
        return BotAddress(client.user.name, f"{_INVITE}&client_id={client.application_id}")
    finally:
        await client.close()


def describe_unavailable(unavailable: DiscordUnavailable) -> str:
    """What an operator does about it."""
    if unavailable.token_refused:
        return (
            "Discord refuses CREDITBOT_DISCORD_TOKEN. The right one is in the developer portal,"
            " under Bot."
        )
    return "Discord doesn't answer. Check the network, and CREDITBOT_DISCORD_API_URL if it is set."
