"""For people who earned nothing."""

from __future__ import annotations


async def nothing(cause: str, merged: str, survivor: str) -> tuple[()]:
    del cause, merged, survivor
    return ()
