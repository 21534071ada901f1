"""Limits: what the operator paused, whom they blocked, how much each person may ask.

The rows are few and read by every ask, so they are kept in memory and read again every few seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, get_args

import sqlalchemy as sa

from core.db import schema
from core.db.writes import Companion, Delete, Insert, Update
from core.errors import Refusal
from core.ledger.ledger import Ledger
from core.ledger.types import CompanionRefused
from core.money import Credits
from core.pricing.deals import Deals

PausableFeature = Literal["asks", "topups", "contributions", "payouts"]
PAUSABLE_FEATURES: tuple[PausableFeature, ...] = get_args(PausableFeature)


class FeaturePaused(Refusal):
    """The operator paused `feature`; `sentence` is what they say about it and may be empty."""

    code: ClassVar[str] = "paused"

    def __init__(self, feature: PausableFeature, sentence: str) -> None:
        self.feature, self.sentence = feature, sentence


class PersonBlocked(Refusal):
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

    def merge_defaults(self, defaults: Allowance) -> Allowance:
        """This allowance, with `defaults` where it sets nothing."""
        return replace(
            self,
            per_minute=defaults.per_minute if self.per_minute is None else self.per_minute,
            at_once=defaults.at_once if self.at_once is None else self.at_once,
            per_day=defaults.per_day if self.per_day is None else self.per_day,
        )


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause of one feature: what people read about it, since when (ms UTC), and by whom."""

    sentence: str
    since: int
    actor: str


class UserLimits:
    """The operator's pauses and allowances, kept in memory and reloaded every few seconds."""

    def __init__(self, *, ledger: Ledger, default_allowance: Allowance, deals: Deals) -> None:
        """`default_allowance` is everyone's, from the settings; `deals` knows who has which
        tier."""
        self._db, self._ledger, self._clock, self._deals = ledger.db, ledger, ledger.clock, deals
        self.default_allowance = default_allowance
        self.pauses: Mapping[str, Pause] = {}
        self._allowances: Mapping[str, Allowance] = {}

    async def load(self) -> None:
        """Reads pauses and allowances again, since other processes may have changed them."""
        pauses = await self._db.fetch(sa.select(schema.switch))
        self.pauses = {row.what: Pause(row.sentence, row.since, row.by) for row in pauses}
        rows = await self._db.fetch(sa.select(schema.allowance))
        self._allowances = {row.subject: _allowance_from_row(row) for row in rows}

    def check_allowed(self, feature: PausableFeature, person: str) -> None:
        """Raises `FeaturePaused` or `PersonBlocked`."""
        pause = self.pauses.get(feature)
        if pause is not None:
            raise FeaturePaused(feature, pause.sentence)
        self.check_not_blocked(person)

    def check_not_blocked(self, person: str) -> None:
        """Raises `PersonBlocked`."""
        if self.get_allowance(person).blocked:
            raise PersonBlocked

    def get_override(self, subject: str) -> Allowance:
        """What was set for a person (`usr_…`) or a group (`<platform>:<chat>`) alone."""
        return self._allowances.get(subject, Allowance())

    def get_allowance(self, subject: str) -> Allowance:
        """What a person may ask: by their override, else by their tier, else as everyone."""
        override, tier = self._allowances.get(subject), self._deals.find_tier(subject)
        defaults = self.default_allowance
        if tier is not None:
            defaults = Allowance(tier.per_minute, tier.at_once, tier.per_day).merge_defaults(
                defaults
            )
        return defaults if override is None else override.merge_defaults(defaults)

    async def pause_feature(
        self, feature: PausableFeature, sentence: str, *, actor: str, companion: Companion
    ) -> None:
        """Pauses a feature for everyone but admins; `companion` is written in the same
        submission."""
        row = {"sentence": sentence, "since": self._clock.now_ms(), "by": actor}
        await self._upsert(schema.switch, {"what": feature}, row, companion)

    async def resume_feature(self, feature: PausableFeature, *, companion: Companion) -> None:
        """Ends the pause of a feature; `companion` is written in the same submission."""
        await self._ledger.record(Delete(schema.switch, {"what": feature}), companion)
        await self.load()

    async def set_allowance(
        self, subject: str, allowance: Allowance, *, actor: str, companion: Companion
    ) -> None:
        """Sets what a person or a group may ask; `companion` is written in the same submission."""
        now, per_day = self._clock.now_ms(), allowance.per_day
        row = {
            "per_minute": allowance.per_minute,
            "at_once": allowance.at_once,
            "per_day": None if per_day is None else per_day.units,
            "blocked_at": now if allowance.blocked else None,
            "reason": allowance.reason,
            "by": actor,
            "at": now,
        }
        await self._upsert(schema.allowance, {"subject": subject}, row, companion)

    async def copy_allowance(self, subject: str, to: str) -> None:
        """What was set for a group holds for it under another id, where nothing is set for that."""
        table = schema.allowance
        rows = await self._db.fetch(sa.select(table).where(table.c.subject == subject))
        if rows:
            row = {**rows[0]._mapping, "subject": to}  # noqa: SLF001 - its public name
            await self._ledger.record(Insert(table, row, ignore=True))
            await self.load()

    async def _upsert(
        self, table: sa.Table, key: Mapping[str, Any], row: Mapping[str, Any], companion: Companion
    ) -> None:
        """Updates the row, or inserts it where there was none."""
        try:
            await self._ledger.record(Update(table, key, row), companion)
        except CompanionRefused as refused:
            if refused.table != table.name:  # what it goes with is no longer possible
                raise
            await self._ledger.record(Insert(table, {**key, **row}), companion)
        await self.load()


def _allowance_from_row(row: sa.Row[Any]) -> Allowance:
    return Allowance(
        per_minute=row.per_minute,
        at_once=row.at_once,
        per_day=None if row.per_day is None else Credits(row.per_day),
        blocked=row.blocked_at is not None,
        reason=row.reason,
    )
