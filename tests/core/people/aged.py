"""For people who earned nothing."""

from __future__ import annotations

from core.units import Credits


async def nothing(person: str) -> Credits:
    del person
    return Credits(0)
