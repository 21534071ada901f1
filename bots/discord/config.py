"""The configuration of the Discord front end: token, addresses, shards, rate limits."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import SecretStr

#: Where Discord's own servers are.
API_URL = "https://discord.com/api/v10"


@dataclass(frozen=True, slots=True)
class DiscordConfig:
    """The settings of the Discord adapter: token, addresses, shards, rate limits and timeouts in
    seconds."""

    token: SecretStr
    api_url: str = API_URL
    #: Empty: what Discord says itself.
    gateway_url: str = ""
    #: The shards of this process, of how many; nothing: all that Discord recommends.
    shard_ids: tuple[int, ...] = ()
    shard_count: int = 0
    #: Least time between two edits in one channel: a bucket holds about five in five seconds.
    interval_seconds: float = 1.2
    #: An interaction's token lives 15 minutes: it is given up a little before.
    token_seconds: float = 885.0
    #: How long running answers may take to end when the service stops.
    stop_seconds: float = 20.0
    #: How long the first connection to the gateway may take.
    connect_seconds: float = 60.0
