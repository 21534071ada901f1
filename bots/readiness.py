"""Whether this process can serve: what is answered can be written, and some platform is heard."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final, final

from core.admin.alerts import Alerts
from core.errors import Refusal
from core.jobs.scheduler import build_write_probe
from core.ledger.ledger import Ledger

#: A commit that is so young says that the database can be written to.
COMMIT_AGE_SECONDS_MAX: Final = 5.0
#: So long a commit may take, of which that is to be seen.
_PROBE_SECONDS_MAX: Final = 3.0
#: A platform that isn't heard for so long is told to operators.
_SILENCE_SECONDS: Final = 120.0


@final
class PlatformStates:
    """The states of this process's front ends: whether each hears its platform now."""

    def __init__(self, alerts: Alerts) -> None:
        self._alerts = alerts
        self._front_ends: dict[str, Callable[[], bool]] = {}
        self._silent_since: dict[str, float] = {}

    def register(self, platform: str, is_heard: Callable[[], bool]) -> None:
        """`is_heard` says whether the front end hears its platform now."""
        self._front_ends[platform] = is_heard

    def list_states(self) -> Mapping[str, bool]:
        """Whether each platform is heard."""
        return {platform: is_heard() for platform, is_heard in self._front_ends.items()}

    async def check_platforms(self) -> None:
        """A job: alerts operators to a platform that isn't heard for a while."""
        now = time.monotonic()
        for platform, is_heard in self.list_states().items():
            if is_heard:
                self._silent_since.pop(platform, None)
            elif now - self._silent_since.setdefault(platform, now) >= _SILENCE_SECONDS:
                await self._alerts.send_alert("platform", platform, {"platform": platform})


@final
class Readiness:
    """The readiness of a process, as `/readyz` tells it."""

    def __init__(self, ledger: Ledger, platform_states: PlatformStates) -> None:
        self._ledger, self._clock = ledger, ledger.clock
        self.platform_states = platform_states
        #: One write at once, however many ask.
        self._probe: asyncio.Task[None] | None = None

    async def describe(self) -> dict[str, bool | str | dict[str, bool]]:
        """`ready`, whether the database is written to, and which platforms are heard: not ready
        where nothing can be written, or where there are platforms and none is heard."""
        is_writable = await self.check_writing()
        heard = dict(self.platform_states.list_states())
        return {
            "ready": is_writable and (not heard or any(heard.values())),
            "database": "written" if is_writable else "unavailable",
            "platforms": heard,
        }

    async def check_writing(self) -> bool:
        """By the last commit; where none came lately, by one that is made for it."""
        if self._is_commit_young():
            return True
        if self._probe is None or self._probe.done():
            self._probe = asyncio.get_running_loop().create_task(self._write(), name="write probe")
        await asyncio.wait((self._probe,), timeout=_PROBE_SECONDS_MAX)
        return self._is_commit_young()

    def _is_commit_young(self) -> bool:
        at = self._ledger.committed_at
        is_young = at is not None and time.monotonic() - at <= COMMIT_AGE_SECONDS_MAX
        return is_young and not self._ledger.is_failing

    async def _write(self) -> None:
        try:
            await self._ledger.record(*build_write_probe(self._clock.now_ms()))
        except Refusal:
            return  # `Ledger.is_failing` says so
