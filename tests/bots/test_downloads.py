"""Files are fetched from the platforms' own hosts, and never more of them than is taken, whatever
their senders or their hosts say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import pytest_asyncio
from aiohttp import web
from telegram.error import TelegramError

from bots.chat.attachments import DOWNLOAD_BYTES_MAX
from bots.chat.audio import DownloadFailed
from bots.discord.file_host import DiscordFileHost
from bots.telegram.file_request import BoundedFileRequest

_CHUNK = bytes(1 << 20)


@dataclass
class Host:
    """A host of files, one of which has no end."""

    url: str = ""
    sent_bytes: int = 0
    asked: list[str] = field(default_factory=list)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """`/endless`, `/moved`, `/gone`, `/file`."""
        self.asked.append(request.path)
        match request.path.rpartition("/")[2]:
            case "moved":
                raise web.HTTPFound("/file/bot1/file")
            case "gone":
                raise web.HTTPNotFound
            case "endless":
                # A file's length is a claim, too: none is told.
                answer = web.StreamResponse()
                await answer.prepare(request)
                while True:
                    await answer.write(_CHUNK)
                    self.sent_bytes += len(_CHUNK)
            case _:
                return web.Response(body=b"words")


@pytest_asyncio.fixture
async def host() -> AsyncIterator[Host]:
    made, app = Host(), web.Application()
    app.router.add_get("/{path:.*}", made.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address, port = runner.addresses[0][:2]
    made.url = f"http://{address}:{port}"
    yield made
    await runner.cleanup()


async def test_discord_files_end_at_what_is_taken(host: Host) -> None:
    files = DiscordFileHost(f"{host.url}/api/v10")
    try:
        assert await files.fetch(f"{host.url}/cdn/file?ex=1&hm=a%2Fb") == b"words"
        assert len(await files.fetch(f"{host.url}/cdn/endless")) == DOWNLOAD_BYTES_MAX + 1
        for path in ("moved", "gone"):
            with pytest.raises(DownloadFailed):
                await files.fetch(f"{host.url}/cdn/{path}")
    finally:
        await files.close()
    # No redirect was followed; of the endless one little more came than was read.
    assert host.asked == ["/cdn/file", "/cdn/endless", "/cdn/moved", "/cdn/gone"]
    assert host.sent_bytes < 2 * DOWNLOAD_BYTES_MAX


@pytest.mark.parametrize(
    "address",
    [
        "{host}/file",
        "http://cdn.discordapp.com/a",
        "https://cdn.discordapp.com.example.org/a",
        "https://cdn.discordapp.com@127.0.0.1/a",
        "https://u@cdn.discordapp.com/a",
        "https://cdn.discordapp.com:444/a",
        "https://127.0.0.1/cdn.discordapp.com",
        "file:///etc/passwd",
        "//cdn.discordapp.com/a",
        "https://[/a",
        "",
    ],
)
async def test_other_hosts_than_discords_are_not_asked(host: Host, address: str) -> None:
    files = DiscordFileHost("https://discord.com/api/v10")
    with pytest.raises(DownloadFailed):
        await files.fetch(address.format(host=host.url))
    assert files._session is None
    assert host.asked == []


@pytest.mark.parametrize("name", ["cdn.discordapp.com", "media.discordapp.net"])
def test_discords_own_hosts_are_known(name: str) -> None:
    files = DiscordFileHost("https://discord.com/api/v10")
    assert files._is_own(f"https://{name}/attachments/1/2/a.pdf?ex=6&is=5&hm=4")


async def test_telegram_files_end_at_what_is_taken(host: Host) -> None:
    base = f"{host.url}/file/bot"
    async with BoundedFileRequest(base) as request:
        assert await request.retrieve(f"{base}1/file") == b"words"
        assert len(await request.retrieve(f"{base}1/endless")) == DOWNLOAD_BYTES_MAX + 1
        for address in (f"{base}1/moved", f"{base}1/gone", f"{host.url}/file", "https://[/a"):
            with pytest.raises(TelegramError) as raised:
                await request.retrieve(address)
            assert host.url not in str(raised.value)
    assert len(host.asked) == 4
    assert host.sent_bytes < 2 * DOWNLOAD_BYTES_MAX
