"""Telegram's requests by the library, with downloads that end at what is taken of a file."""

from __future__ import annotations

import asyncio
import functools
import ssl
from typing import Any, Final, final

import httpx
from telegram.request import HTTPXRequest

from bots.chat.attachments import DOWNLOAD_HEADERS, DOWNLOAD_SECONDS, read_bounded
from bots.chat.audio import DownloadFailed

_CONNECTIONS: Final = 128
_CONNECT_SECONDS: Final = 10.0
_SECONDS: Final = 20.0
_UPLOAD_SECONDS: Final = 60.0


@functools.cache
def load_authorities() -> ssl.SSLContext:
    """Whom certificates are to be from, as httpx finds them. Loading them takes 30 ms of the
    processor, and each client would load its own."""
    return httpx.create_ssl_context()


@final
class BoundedFileRequest(HTTPXRequest):
    """The library's requests; its own way of downloading reads whatever comes, and a file's size is
    only a claim."""

    def __init__(self, file_url: str) -> None:
        """Files stand below `file_url` alone."""
        super().__init__(
            connection_pool_size=_CONNECTIONS,
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_SECONDS,
            write_timeout=_SECONDS,
            pool_timeout=_SECONDS,
            media_write_timeout=_UPLOAD_SECONDS,
            httpx_kwargs={"verify": load_authorities()},
        )
        self._file_url = file_url

    async def do_request(
        self, url: str, method: str, *more: Any, **settings: Any
    ) -> tuple[int, bytes]:
        """The status and the body of an answer. What is fetched, not posted, is a file: of one that
        is larger than is taken it gives one byte too many."""
        if method != "GET":
            return await super().do_request(url, method, *more, **settings)
        return 200, await self._download(url)

    async def _download(self, url: str) -> bytes:
        if not url.startswith(self._file_url):
            raise DownloadFailed
        try:
            async with (
                asyncio.timeout(DOWNLOAD_SECONDS),
                self._client.stream(
                    "GET", url, headers=DOWNLOAD_HEADERS, timeout=_SECONDS, follow_redirects=False
                ) as response,
            ):
                if response.status_code != httpx.codes.OK:
                    raise DownloadFailed
                return await read_bounded(response.aiter_raw())
        except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError):
            # Their messages may quote the address, which holds the token.
            raise DownloadFailed from None
