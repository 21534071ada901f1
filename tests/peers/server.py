"""What all peers have in common: a server on loopback, at an address of its own."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import ClassVar, Self

from aiohttp import web


class PeerServer:
    """A peer listens on loopback between `start` and `stop`; each says which routes it has."""

    #: Bytes that a body may have.
    BODY_BYTES_MAX: ClassVar[int] = 64 << 20
    #: A crowd connects at once: whom the backlog drops comes a second later.
    BACKLOG: ClassVar[int] = 4_096

    _runner: web.AppRunner | None = None
    #: Where it listens, once started.
    url: str = ""

    def list_routes(self) -> Iterable[web.AbstractRouteDef]:
        """Its routes, with what answers each."""
        raise NotImplementedError

    async def start(self) -> str:
        """Listens, and gives the address."""
        app = web.Application(client_max_size=self.BODY_BYTES_MAX)
        app.add_routes(self.list_routes())
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, backlog=self.BACKLOG).start()
        self.url = "http://{}:{}".format(*self._runner.addresses[0][:2])
        return self.url

    async def stop(self) -> None:
        """Breaks what is open and listens no more."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()
