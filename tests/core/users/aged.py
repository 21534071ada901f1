"""For people who earned nothing."""

from __future__ import annotations

from core.money import Credits


async def nothing(person: str) -> Credits:
    del person
    return Credits(0)
