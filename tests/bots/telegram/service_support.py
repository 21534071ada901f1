"""What tests of service share."""

from __future__ import annotations

import asyncio
import socket

import uvicorn
from starlette.applications import Starlette

from bots.telegram.adapter import TelegramAdapter


class Served:
    """An HTTP app with the adapter's routes on a real port."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"

    async def __call__(self, telegram: TelegramAdapter) -> uvicorn.Server:
        config = uvicorn.Config(
            Starlette(routes=telegram.build_routes()), log_config=None, lifespan="off", ws="none"
        )
        server = uvicorn.Server(config)
        self.task = asyncio.create_task(server.serve(sockets=[self.socket]))
        return server
