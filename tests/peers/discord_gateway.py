"""The fake Discord's gateway: sessions that can be dropped and resumed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType, web

if TYPE_CHECKING:
    from tests.peers.discord import FakeDiscord

_PRIVILEGED = (1 << 1) | (1 << 8) | (1 << 15)


@dataclass(slots=True)
class Session:
    """What one shard was told, and by which socket it listens now."""

    id: str
    shard: int
    shards: int
    events: list[dict[str, Any]] = field(default_factory=list)
    socket: web.WebSocketResponse | None = None


class Gateway:
    """Tells events, each to the shard whose it is."""

    def __init__(self, fake: FakeDiscord) -> None:
        self._fake = fake
        self.sessions: dict[str, Session] = {}
        self.identified: list[dict[str, Any]] = []
        self.resumed = 0
        #: Sessions that the server forgets: a resume is refused.
        self.forgetful = False

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"op": 10, "d": {"heartbeat_interval": 41_250}})
        async for frame in socket:
            if frame.type is not WSMsgType.TEXT:
                break
            said = json.loads(frame.data)
            match said["op"]:
                case 1:
                    await socket.send_json({"op": 11})
                case 2:
                    await self._identify(socket, said["d"])
                case 6:
                    await self._resume(socket, said["d"])
                case _:
                    pass
        return socket

    async def tell(self, kind: str, data: dict[str, Any], *, guild: int | None = None) -> None:
        """An event; kept for a session whose socket is gone."""
        for session in self.sessions.values():
            if ((guild or 0) >> 22) % session.shards != session.shard:
                continue
            event = {"op": 0, "t": kind, "s": len(session.events) + 1, "d": data}
            session.events.append(event)
            if session.socket is not None and not session.socket.closed:
                await session.socket.send_json(event)

    async def drop(self, code: int = 4000) -> None:
        """Every connection breaks; sessions stay to be resumed."""
        for session in self.sessions.values():
            socket, session.socket = session.socket, None
            if socket is not None:
                await socket.close(code=code)

    async def _identify(self, socket: web.WebSocketResponse, said: dict[str, Any]) -> None:
        if said["token"] != self._fake.token:
            await socket.close(code=4004)
            return
        if said["intents"] & _PRIVILEGED:
            await socket.close(code=4014)
            return
        self.identified.append(said)
        shard, shards = said.get("shard", [0, 1])
        session = Session(f"session{len(self.identified)}", shard, shards, socket=socket)
        # A process that begins anew takes the place of what was there.
        self.sessions = {k: v for k, v in self.sessions.items() if v.shard != shard}
        self.sessions[session.id] = session
        ready = {
            "v": 10,
            "user": self._fake.bot.as_json(),
            "guilds": [],
            "session_id": session.id,
            "resume_gateway_url": self._fake.gateway_url,
            "shard": [shard, shards],
            "application": {"id": str(self._fake.bot.id), "flags": 0},
        }
        await self._first(session, "READY", ready)
        for guild in self._fake.guilds:
            if (guild >> 22) % shards == shard:
                await self._first(session, "GUILD_CREATE", self._fake.guild_json(guild))
        self._fake.changed()

    async def _first(self, session: Session, kind: str, data: dict[str, Any]) -> None:
        event = {"op": 0, "t": kind, "s": len(session.events) + 1, "d": data}
        session.events.append(event)
        assert session.socket is not None
        await session.socket.send_json(event)

    async def _resume(self, socket: web.WebSocketResponse, said: dict[str, Any]) -> None:
        session = self.sessions.get(said["session_id"])
        if session is None or self.forgetful or said["token"] != self._fake.token:
            await socket.send_json({"op": 9, "d": False})
            return
        session.socket = socket
        self.resumed += 1
        for event in session.events[said["seq"] :]:
            await socket.send_json(event)
        await self._first(session, "RESUMED", {})
        self._fake.changed()
