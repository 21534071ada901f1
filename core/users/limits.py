"""Limits: what the operator paused, whom they blocked, how much each person may ask.

The rows are few and read by every ask, so they are kept in memory and read again every few seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, get_args

import sqlalchemy as sa

from core.clock import Clock
from core.db import schema
from core.db.database import Store
from core.db.writes import Companion, Delete, Insert, Update
from core.errors import Refusal
from core.ledger.ledger import Ledger
from core.ledger.types import CompanionRefused
from core.money import Credits
from core.pricing.deals import Deals

Pausable = Literal["asks", "topups", "contributions", "payouts"]
PAUSABLE: tuple[Pausable, ...] = get_args(Pausable)


class Paused(Refusal):
    """The operator paused `feature`; `sentence` is what they say about it and may be empty."""

    code: ClassVar[str] = "paused"

    def __init__(self, what: Pausable, sentence: str) -> None:
        self.what, self.sentence = what, sentence


class Blocked(Refusal):
    """The operator blocked this person from using the service."""

    code: ClassVar[str] = "blocked"


@dataclass(frozen=True, slots=True)
class Allowance:
    """How much a person or a group may ask; None means as everyone, or without a limit."""

    #: Asks a minute, asks at once, Credits a UTC day.
    per_minute: int | None = None
    at_once: int | None = None
    per_day: Credits | None = None
    blocked: bool = False
    #: Why it differs from everyone's.
    reason: str = ""

    def over(self, usual: Allowance) -> Allowance:
        """This allowance, with `defaults` where it sets nothing."""
        return replace(
            self,
            per_minute=usual.per_minute if self.per_minute is None else self.per_minute,
            at_once=usual.at_once if self.at_once is None else self.at_once,
            per_day=usual.per_day if self.per_day is None else self.per_day,
        )


@dataclass(frozen=True, slots=True)
class Switch:
    """A pause of one feature: what people read about it, since when (ms UTC), and by whom."""

    sentence: str
    since: int
    by: str


class Rules:
    """The operator's pauses and allowances, kept in memory and reloaded every few seconds."""

    def __init__(
        self, *, store: Store, ledger: Ledger, clock: Clock, usual: Allowance, deals: Deals
    ) -> None:
        """`default_allowance` is everyone's, from the settings; `deals` knows who has which
        tier."""
        self._store, self._ledger, self._clock, self._deals = store, ledger, clock, deals
        self.usual = usual
        self.switches: Mapping[str, Switch] = {}
        self._allowances: Mapping[str, Allowance] = {}

    async def load(self) -> None:
        """Reads pauses and allowances again, since other processes may have changed them."""
        switches = await self._store.fetch(sa.select(schema.switch))
        self.switches = {row.what: Switch(row.sentence, row.since, row.by) for row in switches}
        rows = await self._store.fetch(sa.select(schema.allowance))
        self._allowances = {row.subject: _allowance(row) for row in rows}

    def check(self, what: Pausable, person: str) -> None:
        """Raises `FeaturePaused` or `PersonBlocked`."""
        switch = self.switches.get(what)
        if switch is not None:
            raise Paused(what, switch.sentence)
        self.check_blocked(person)

    def check_blocked(self, person: str) -> None:
        """Raises `PersonBlocked`."""
        if self.of(person).blocked:
            raise Blocked

    def own(self, subject: str) -> Allowance:
        """What was set for a person (`usr_…`) or a group (`<platform>:<chat>`) alone."""
        return self._allowances.get(subject, Allowance())

    def of(self, subject: str) -> Allowance:
        """What a person may ask: by their override, else by their tier, else as everyone."""
        own, tier = self._allowances.get(subject), self._deals.tier(subject)
        usual = self.usual
        if tier is not None:
            usual = Allowance(tier.per_minute, tier.at_once, tier.per_day).over(usual)
        return usual if own is None else own.over(usual)

    async def pause(self, what: Pausable, sentence: str, *, by: str, also: Companion) -> None:
        """Pauses a feature for everyone but admins; `companion` is written in the same
        submission."""
        row = {"sentence": sentence, "since": self._clock.now_ms(), "by": by}
        await self._keep(schema.switch, {"what": what}, row, also)

    async def go_on(self, what: Pausable, *, also: Companion) -> None:
        """Ends the pause of a feature; `companion` is written in the same submission."""
        await self._ledger.record(Delete(schema.switch, {"what": what}), also)
        await self.load()

    async def allow(self, subject: str, allowance: Allowance, *, by: str, also: Companion) -> None:
        """Sets what a person or a group may ask; `companion` is written in the same submission."""
        now, per_day = self._clock.now_ms(), allowance.per_day
        row = {
            "per_minute": allowance.per_minute,
            "at_once": allowance.at_once,
            "per_day": None if per_day is None else per_day.units,
            "blocked_at": now if allowance.blocked else None,
            "reason": allowance.reason,
            "by": by,
            "at": now,
        }
        await self._keep(schema.allowance, {"subject": subject}, row, also)

    async def _keep(
        self, table: sa.Table, key: Mapping[str, Any], row: Mapping[str, Any], also: Companion
    ) -> None:
        """Updates the row, or inserts it where there was none."""
        try:
            await self._ledger.record(Update(table, key, row), also)
        except CompanionRefused:
            await self._ledger.record(Insert(table, {**key, **row}), also)
        await self.load()


def _allowance(row: sa.Row[Any]) -> Allowance:
    return Allowance(
        per_minute=row.per_minute,
        at_once=row.at_once,
        per_day=None if row.per_day is None else Credits(row.per_day),
        blocked=row.blocked_at is not None,
        reason=row.reason,
    )
