"""Files that people attached, fetched from Discord's own hosts alone and never more of them than is
taken.

A file's size and its address are what an event says: the library itself would read whatever comes,
from wherever it is sent on to.
"""

from __future__ import annotations

import asyncio
from typing import Final, final

import aiohttp
import yarl

from bots.chat.attachments import DOWNLOAD_HEADERS, DOWNLOAD_SECONDS, read_bounded
from bots.chat.audio import DownloadFailed

#: Where Discord keeps files.
FILE_HOSTS: Final = ("cdn.discordapp.com", "media.discordapp.net")
_OWN_API: Final = "https://discord.com"
_CONNECT_SECONDS: Final = 10.0
_CHUNK_BYTES: Final = 1 << 16


@final
class DiscordFileHost:
    """The hosts of Discord's files; where another address than Discord's stands for its API, that
    one too."""

    def __init__(self, api_url: str) -> None:
        self._origins = {yarl.URL(f"https://{host}") for host in FILE_HOSTS}
        if not api_url.startswith(_OWN_API):
            self._origins.add(yarl.URL(api_url).origin())
        self._session: aiohttp.ClientSession | None = None

    async def fetch(self, url: str) -> bytes:
        """A file's bytes, one too many of what is larger than is taken; raises `DownloadFailed`."""
        if not self._is_own(url):
            raise DownloadFailed
        if self._session is None:
            timeout = aiohttp.ClientTimeout(DOWNLOAD_SECONDS, connect=_CONNECT_SECONDS)
            self._session = aiohttp.ClientSession(
                timeout=timeout, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
            )
        # Addresses are signed: they are asked for as they are.
        address = yarl.URL(url, encoded=True)
        try:
            async with (
                asyncio.timeout(DOWNLOAD_SECONDS),
                self._session.get(
                    address, headers=DOWNLOAD_HEADERS, allow_redirects=False
                ) as response,
            ):
                if response.status != 200:
                    raise DownloadFailed
                return await read_bounded(response.content.iter_chunked(_CHUNK_BYTES))
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            # Their messages may quote the address, by which anybody could fetch the file.
            raise DownloadFailed from None

    async def close(self) -> None:
        """Ends its connections."""
        if self._session is not None:
            await self._session.close()

    def _is_own(self, url: str) -> bool:
        try:
            address = yarl.URL(url, encoded=True)
            return address.user is None and address.origin() in self._origins
        except ValueError:
            return False
