"""Where suppliers' price lists come from: the package as installed, or fetched where that is
allowed.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import metadata, util
from pathlib import Path
from typing import Any, Final

from core.clock import DAY_MS, Clock
from core.errors import describe_failure
from core.pricing import package
from core.pricing.costs import Costs

log = logging.getLogger(__name__)

_PACKAGE: Final = "genai-prices"
_DAY_PATTERN: Final = re.compile(rb"\b20\d\d-[01]\d-[0-3]\d\b")
#: A fetch is given up after so many seconds.
_FETCH_SECONDS: Final = 30.0
#: Lists that were fetched are fetched again when they are older.
_MAX_AGE_MS: Final = 12 * 3_600_000
#: Fetched data with fewer suppliers than so many per cent of the installed data is not used.
_PLAUSIBLE_PERCENT: Final = 50


@dataclass(frozen=True, slots=True)
class PriceData:
    """The price package's data that is in use has a version and an age."""

    version: str
    #: It is at most so many days old, by the newest past day that it names; None if it names none.
    max_age_days: int | None
    #: When it was fetched (milliseconds UTC); None for the installed data.
    fetched_at: int | None = None


class PriceSource:
    """The source of suppliers' price lists says how old they are, and fetches newer ones."""

    def __init__(
        self, costs: Costs, clock: Clock, *, may_fetch: bool = False, url: str = ""
    ) -> None:
        """Lists are fetched only if `may_fetch` says so: from the package's own address, or from a
        copy of its data file at `url`."""
        self._costs, self._clock = costs, clock
        self.may_fetch, self._url = may_fetch, url
        self._fetched_at: int | None = None

    @property
    def is_ready(self) -> bool:
        """Whether costs may be compared yet: until the first fetch, the installed data may be older
        than what was fetched before a restart, and would look like a change."""
        return not self.may_fetch or self._fetched_at is not None

    def describe_data(self, now_ms: int) -> PriceData:
        """The version and the age of the data that is in use."""
        return PriceData(*describe_installed_data(now_ms), self._fetched_at)

    async def fetch_data(self) -> None:
        """Fetches newer lists where that is allowed, at most every twelve hours; when that fails,
        the lists that are there stay."""
        now = self._clock.now_ms()
        recent = self._fetched_at is not None and now - self._fetched_at < _MAX_AGE_MS
        if not self.may_fetch or recent:
            return
        try:
            async with asyncio.timeout(_FETCH_SECONDS):
                found = await asyncio.to_thread(_download_data, self._url)
            bundled = await asyncio.to_thread(package.read_package)
        except Exception as failure:  # noqa: BLE001 - a network or its answer may fail in any way
            log.warning("suppliers' lists could not be fetched: %s", describe_failure(failure))
            return
        if len(found) * 100 < len(bundled) * _PLAUSIBLE_PERCENT:
            log.warning("suppliers' lists were fetched, but are too few to be believed")
            return
        self._costs.renew_data(found)
        self._fetched_at = now


def describe_installed_data(now_ms: int) -> tuple[str, int | None]:
    """The installed package's version, and how old its data is at most, in days."""
    today = datetime.fromtimestamp(now_ms / 1000, UTC).date().isoformat()
    past = [day for day in _list_data_days() if day <= today]
    if not past:
        return metadata.version(_PACKAGE), None
    newest = datetime.fromisoformat(past[-1]).replace(tzinfo=UTC)
    return metadata.version(_PACKAGE), int(now_ms - newest.timestamp() * 1000) // DAY_MS


@cache
def _list_data_days() -> tuple[str, ...]:
    """Every day that the data names, for it carries no date of its own. It is read as text:
    importing it takes half a second."""
    found = util.find_spec("genai_prices")
    folder = Path(found.origin).parent if found is not None and found.origin else None
    text = b"" if folder is None else (folder / "data.py").read_bytes()
    return tuple(sorted({day.decode() for day in _DAY_PATTERN.findall(text)}))


def _download_data(url: str) -> Mapping[str, Any]:
    from genai_prices import UpdatePrices

    snapshot = (UpdatePrices(url=url) if url else UpdatePrices()).fetch()
    return {} if snapshot is None else {provider.id: provider for provider in snapshot.providers}
