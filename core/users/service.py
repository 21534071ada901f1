"""Users: found or created at their first message, with a welcome gift, settings, a data key."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final

import sqlalchemy as sa
from cachetools import TTLCache

from core import chart, ids
from core.api_tokens.repository import plan_token_revocation
from core.clock import DAY_MS
from core.db import schema
from core.db.database import Database
from core.db.prepared import PreparedSelect
from core.db.writes import Companion, Delete, Insert, Update
from core.ledger.ledger import Ledger
from core.ledger.types import CompanionRefused, Submission
from core.money import Credits
from core.pool.vault import DataKey, SealedColumn, Vault
from core.users.types import Person, UnknownPerson, WelcomeGift

#: Another process may change a person's settings; what was read is used for this long.
CACHE_SECONDS = 10.0
#: Takes a platform's place where people are cached by their ids.
_BY_ID = ""
CACHED_PEOPLE_MAX = 20_000

_COLUMNS = tuple(schema.person.c[name] for name in Person.__dataclass_fields__)
_SELECT_BY_ID = PreparedSelect(
    sa.select(*_COLUMNS).where(schema.person.c.id == sa.bindparam("person"))
)
_SELECT_BY_IDENTITY = PreparedSelect(
    sa.select(*_COLUMNS)
    .join(schema.identity, schema.identity.c.person == schema.person.c.id)
    .where(
        schema.identity.c.platform == sa.bindparam("platform"),
        schema.identity.c.external_id == sa.bindparam("external_id"),
    )
)
_SELECT_ERASED = PreparedSelect(
    sa.select(schema.erased.c.at).where(schema.erased.c.fingerprint == sa.bindparam("fingerprint"))
)
_COUNT_CREATED = PreparedSelect(
    sa.select(sa.func.count())
    .select_from(schema.person)
    .where(schema.person.c.id >= sa.bindparam("first"))
)

#: What the vault seals of people.
PERSON_KEYS: Final = (
    SealedColumn(schema.person, "id", "data_key", lambda row: f"person/{row.id}"),
)


class Users:
    """Finds, creates and changes everyone who ever wrote, by platform id."""

    def __init__(self, *, ledger: Ledger, vault: Vault, welcome_gift: WelcomeGift) -> None:
        self._db, self._ledger, self._vault, self._clock = ledger.db, ledger, vault, ledger.clock
        self._welcome_gift = welcome_gift
        self._cache: TTLCache[tuple[str, str], Person] = TTLCache(
            maxsize=CACHED_PEOPLE_MAX, ttl=CACHE_SECONDS, timer=ledger.clock.monotonic
        )
        #: What else here remembers something of people.
        self._other_memories: list[Callable[[], None]] = []
        #: Data keys don't change while a person keeps the same wrapped one.
        self._data_keys: TTLCache[bytes, DataKey] = TTLCache(
            maxsize=CACHED_PEOPLE_MAX, ttl=3600.0, timer=ledger.clock.monotonic
        )

    async def get_or_create(self, platform: str, external_id: str, *, language: str) -> Person:
        """The person who writes from there; created now, with the welcome gift, if new.

        `language` is what the platform reports; it counts only for someone new.
        """
        cached = self._cache.get((platform, external_id))
        if cached is not None:
            return cached
        person = await self._find_by_identity(platform, external_id)
        while person is None:
            with suppress(CompanionRefused):  # another process met them at the same time
                await self._create(platform, external_id, language)
            person = await self._find_by_identity(platform, external_id)
        self._cache[(platform, external_id)] = person
        return person

    async def find(self, text: str) -> Person:
        """The person of `telegram:123` or `usr_…`; raises `UnknownPerson`."""
        return await find_person(self._db, text)

    async def get_person(self, id_: str) -> Person:
        """A person by their id, as they were read just now; raises `UnknownPerson`."""
        cached = self._cache.get((_BY_ID, id_))
        if cached is None:
            cached = self._cache[_BY_ID, id_] = await find_person(self._db, id_)
        return cached

    async def list_identities(self, person: str) -> list[tuple[str, str]]:
        """The (platform, id) pairs by which a person writes, the oldest first."""
        table = schema.identity
        rows = await self._db.fetch(
            sa.select(table.c.platform, table.c.external_id)
            .where(table.c.person == person)
            .order_by(table.c.created_at)
        )
        return [(row.platform, row.external_id) for row in rows]

    def add_memory(self, forget: Callable[[], None]) -> None:
        """Has somebody else's memory of people forgotten, too, when they are linked, parted or
        erased here."""
        self._other_memories.append(forget)

    def clear_cache(self) -> None:
        """Clears the cache, and all else that remembers people, so that everyone is read again."""
        self._cache.clear()
        for forget in self._other_memories:
            forget()

    async def list_merged_ids(self, person: str) -> list[str]:
        """The ids of a person and of everyone who was merged into them."""
        return await list_merged_ids(self._db, person)

    async def unlink_identity(self, platform: str, external_id: str) -> bool:
        """`/unlink`: from now on this identity is a new person, who gets no welcome gift;
        everything stays with the person that it leaves, but for tokens of programs, which end.
        False when it is their only identity."""
        person = await self._find_by_identity(platform, external_id)
        if person is None or len(await self.list_identities(person.id)) < 2:
            return False
        now = self._clock.now_ms()
        new_id, row = self._new_row(now, person.language)
        identity = {"platform": platform, "external_id": external_id}
        await self._ledger.record(
            Insert(schema.person, row),
            Update(schema.identity, identity, {"person": new_id}, {"person": person.id}),
            *plan_token_revocation(now, person.id, new_id),
        )
        self.clear_cache()
        return True

    async def update_settings(self, person: Person, **changes: object) -> None:
        """Changes settings of a person: language, zone, model, footer, own_keys_only, shares_files,
        daily_limit and offer_from (Credits as integers)."""
        await self._ledger.record(Update(schema.person, {"id": person.id}, changes))
        self._cache.clear()

    async def get_data_key(self, person: Person) -> DataKey:
        """The key that seals this person's questions and answers; made anew after an erasure."""
        wrapped = person.data_key
        if wrapped is None:
            wrapped = await self._renew_data_key(person.id)
        key = self._data_keys.get(wrapped)
        if key is None:
            key = self._vault.unwrap_data_key(f"person/{person.id}", wrapped)
            self._data_keys[wrapped] = key
        return key

    async def erase_history(self, person: Person) -> None:
        """Destroys the data key: every question and answer sealed by it is gone for good."""
        await self._ledger.record(Update(schema.person, {"id": person.id}, {"data_key": None}))
        self._cache.clear()

    async def _renew_data_key(self, person: str) -> bytes:
        wrapped, _ = self._vault.create_data_key(f"person/{person}")
        renewal = Update(schema.person, {"id": person}, {"data_key": wrapped}, {"data_key": None})
        if not await self._ledger.try_record(renewal):  # another ask of theirs made one just now
            rows = await self._db.fetch(
                sa.select(schema.person.c.data_key).where(schema.person.c.id == person)
            )
            wrapped = rows[0].data_key
        self._cache.clear()
        return wrapped

    async def _create(self, platform: str, external_id: str, language: str) -> None:
        now = self._clock.now_ms()
        id_, row = self._new_row(now, language)
        was_erased = await self._was_erased(platform, external_id)
        identity = {
            "platform": platform,
            "external_id": external_id,
            "person": id_,
            # A name that is older than its person can't be bound to an invitation.
            "created_at": now - 1 if was_erased else now,
        }
        rows = (Insert(schema.person, row), Insert(schema.identity, identity))
        gift = self._welcome_gift.credits
        if (
            was_erased
            or gift.units == 0
            or await self._count_created_today(now) >= self._welcome_gift.people_per_day
        ):
            await self._ledger.record(*rows)
            return
        await self._ledger.submit(
            Submission(f"person/{id_}/welcome", (chart.give_gift(id_, "welcome", gift),), rows)
        )

    def fingerprint_identity(self, platform: str, external_id: str) -> bytes:
        """The fingerprint by which an erased identity is recognised when it comes back."""
        return self._vault.fingerprint(f"name on {platform}", external_id)

    def build_erasure(
        self, person_ids: Sequence[str], identities: Iterable[tuple[str, str]], now_ms: int
    ) -> list[Companion]:
        """The rows of people who aren't erased yet without names, keys and settings. Whoever comes
        back by one of those `identities` is recognised."""
        rows: list[Companion] = [
            Update(
                schema.person,
                {"id": person},
                {"erased_at": now_ms, "data_key": None, "model": ""},
                {"erased_at": None},
            )
            for person in person_ids
        ]
        for platform, id_ in identities:
            fingerprint = self.fingerprint_identity(platform, id_)
            rows += (
                Delete(schema.identity, {"platform": platform, "external_id": id_}),
                Insert(schema.erased, {"fingerprint": fingerprint, "at": now_ms}, ignore=True),
            )
        return [*rows, Delete(schema.invitation, {"person": tuple(person_ids)})]

    async def _was_erased(self, platform: str, external_id: str) -> bool:
        fingerprint = self.fingerprint_identity(platform, external_id)
        return bool(await self._db.fetch(_SELECT_ERASED, {"fingerprint": fingerprint}))

    def _new_row(self, now: int, language: str) -> tuple[str, dict[str, Any]]:
        id_ = ids.new_id("usr", now)
        wrapped, _ = self._vault.create_data_key(f"person/{id_}")
        return id_, {
            "id": id_,
            "created_at": now,
            "language": language,
            "zone": "Asia/Shanghai" if language == "zh-CN" else "UTC",
            "model": "",
            "footer": True,
            "own_keys_only": False,
            "data_key": wrapped,
        }

    async def _count_created_today(self, now: int) -> int:
        midnight = now - now % DAY_MS
        rows = await self._db.fetch(_COUNT_CREATED, {"first": ids.min_id("usr", midnight)})
        return int(rows[0][0])

    async def _find_by_identity(self, platform: str, external_id: str) -> Person | None:
        return await _fetch_by_identity(self._db, platform, external_id)


async def find_person(db: Database, text: str) -> Person:
    """A person by `telegram:123` or `usr_…`; raises `UnknownPerson`."""
    platform, _, external_id = text.strip().partition(":")
    if external_id:
        person = await _fetch_by_identity(db, platform.lower(), external_id)
    else:
        person = await _fetch_person(db, _SELECT_BY_ID, {"person": text.strip()})
    if person is None:
        raise UnknownPerson(text)
    return person


async def find_survivor(db: Database, person: str) -> tuple[str, Companion]:
    """The person whom somebody was merged into, or themselves; and a companion that refuses the
    submission when that changes before it is written."""
    table = schema.person
    while True:
        rows = await db.fetch(sa.select(table.c.merged_into).where(table.c.id == person))
        next_id = rows[0].merged_into if rows else None
        if next_id is None:
            unchanged = {"merged_into": None}
            return person, Update(table, {"id": person}, unchanged, unchanged)
        person = next_id


async def list_merged_ids(db: Database, person: str) -> list[str]:
    """The ids of a person and of everyone who was merged into them."""
    table = schema.person
    rows = await db.fetch(sa.select(table.c.id).where(table.c.merged_into == person))
    return [person, *(row.id for row in rows)]


async def _fetch_by_identity(db: Database, platform: str, external_id: str) -> Person | None:
    named = {"platform": platform, "external_id": external_id}
    return await _fetch_person(db, _SELECT_BY_IDENTITY, named)


async def _fetch_person(
    db: Database, statement: PreparedSelect, values: dict[str, str]
) -> Person | None:
    rows = await db.fetch(statement, values)
    if not rows:
        return None
    found = dict(rows[0]._mapping)  # noqa: SLF001
    limit, threshold = found.pop("daily_limit"), found.pop("offer_from")
    return Person(
        **found,
        daily_limit=None if limit is None else Credits(limit),
        offer_from=None if threshold is None else Credits(threshold),
    )
