"""Of large files only a few are in memory at once, and they hold up no small one."""

from __future__ import annotations

import asyncio

from bots.chat.attachments import SentAttachment
from bots.commands.attachment_readers import BoundedDownloads, DocumentReader
from core.attachments.reader import FileReader


async def test_large_files_wait_before_they_are_fetched() -> None:
    reader, go, fetched = (
        DocumentReader(FileReader(), BoundedDownloads()),
        asyncio.Event(),
        list[int](),
    )

    def attach(size: int) -> SentAttachment:
        async def fetch() -> bytes:
            fetched.append(size)
            if size != 5:
                await go.wait()
            return b"words"

        return SentAttachment("file", "a.txt", size=size, fetch=fetch)

    large = [asyncio.create_task(reader.read(attach(20 << 20))) for _ in range(20)]
    unknown = asyncio.create_task(reader.read(attach(0)))
    await asyncio.sleep(0)  # each has begun
    assert (await reader.read(attach(5))).words == "words"
    assert fetched == [20 << 20] * 8 + [5]
    go.set()
    assert {one.words for one in await asyncio.gather(*large, unknown)} == {"words"}
    assert len(fetched) == 22
