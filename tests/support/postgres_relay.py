"""What stands between the product and a PostgreSQL, and may swallow what the server says."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit


class PostgresRelay:
    """A port on loopback that is a server's own, until it is muted: what the server then says over
    the connections that there are is lost, as when its machine has lost its power. New connections
    are served."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        host, port = parse_qs(address.query)["host"][0], address.port or 5432
        self._server = Path(host) / f".s.PGSQL.{port}"
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._muted: set[socket.socket] = set()
        here = self._listening.getsockname()[1]
        self.url = address._replace(
            netloc=f"{address.netloc.rpartition('@')[0]}@127.0.0.1:{here}", query=""
        ).geturl()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        for one in (self._listening, *self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    @property
    def count(self) -> int:
        """How many connections came."""
        return len(self._sockets) // 2

    def mute(self) -> None:
        """Nothing more is heard of the server over the connections that there are."""
        self._muted.update(self._sockets)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self._server))
                self._sockets += [client, server]
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        is_servers = source.family == socket.AF_UNIX
        with contextlib.suppress(OSError):
            while said := source.recv(1 << 16):
                if not (is_servers and source in self._muted):
                    target.sendall(said)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
