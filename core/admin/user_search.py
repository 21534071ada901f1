"""A person as the operator sees them: found by whatever is known of them, on one page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from core import chart
from core.db import schema
from core.earnings.contributions import Contributions
from core.earnings.types import Contribution
from core.ledger.ledger import Ledger
from core.money import Credits
from core.payment_records import PaymentRecords, RecordLine
from core.users.referrals import Referrals
from core.users.service import Users, find_survivor
from core.users.types import Person, UnknownPerson

#: The end of a key by which its contributor is found.
_TAIL_CHARS = 4
#: How many orders and payouts the card of a person shows.
_NEWEST_COUNT = 3


@dataclass(frozen=True, slots=True)
class UserDetails:
    """What is known of a person; amounts in Credits, times in milliseconds UTC."""

    person: Person
    #: `telegram:7`, each by which they write; none once they are erased.
    names: tuple[str, ...]
    #: Available by pocket, reserved by running asks and withdrawals, owed.
    pockets: dict[chart.Pocket, Credits]
    held: Credits
    owed: Credits
    #: Charged answers, their Credits, and when the last one came (ms UTC).
    ask_count: int
    spent: Credits
    last_ask_at: int
    #: How many people were merged into this one.
    merged_count: int
    #: How many people they invited; the id of whoever invited them, or empty.
    friend_count: int
    inviter: str
    order_count: int
    newest_orders: tuple[RecordLine, ...]
    newest_payouts: tuple[RecordLine, ...]
    keys: tuple[Contribution, ...]
    erased_at: int


class UserSearch:
    """Searches people by whatever is known of them, and collects their details."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        users: Users,
        referrals: Referrals,
        contributions: Contributions,
        payment_records: PaymentRecords,
    ) -> None:
        self._db, self._ledger, self._users = ledger.db, ledger, users
        self._referrals, self._contributions = referrals, contributions
        self._payment_records = payment_records

    async def list_newest(self, limit: int, *, before: str = "") -> list[Person]:
        """The newest people; `before` is the id where the last page ended."""
        table = schema.person.c
        statement = sa.select(table.id).where(
            table.merged_into.is_(None), table.erased_at.is_(None)
        )
        if before:
            statement = statement.where(table.id < before)
        rows = await self._db.fetch(statement.order_by(table.id.desc()).limit(limit))
        return [await self._users.find(row.id) for row in rows]

    async def count_people(self) -> int:
        """How many there are, whoever became a part of somebody counted with them."""
        table = schema.person
        statement = sa.select(sa.func.count()).select_from(table)
        rows = await self._db.fetch(
            statement.where(table.c.merged_into.is_(None), table.c.erased_at.is_(None))
        )
        return int(rows[0][0])

    async def find(self, text: str) -> list[Person]:
        """People by `telegram:7`, its bare id, a person's, order's or payout's id, or the end of a
        contributed key; raises `UnknownPerson`."""
        person_ids = dict.fromkeys(
            [(await find_survivor(self._db, id_))[0] for id_ in await self._find_person_ids(text)]
        )
        if not person_ids:
            raise UnknownPerson(text)
        return [await self._users.find(id_) for id_ in person_ids]

    async def get_details(self, person: Person) -> UserDetails:
        """The details of a person as they are now."""
        person_ids = await self._users.list_merged_ids(person.id)
        balances = await self._ledger.read_balances(
            [*chart.pockets(person.id), chart.owed(person.id)]
        )
        usage, person_columns = schema.usage.c, schema.person.c
        usage_row = await self._db.fetch(
            sa.select(
                sa.func.count().label("asks"),
                sa.func.coalesce(sa.func.sum(usage.charge), 0).label("spent"),
                sa.func.coalesce(sa.func.max(usage.at), 0).label("last"),
            ).where(usage.person.in_(person_ids))
        )
        person_row = await self._db.fetch(
            sa.select(person_columns.erased_at).where(person_columns.id == person.id)
        )
        stats = await self._referrals.get_stats(person)
        by_pocket = {
            name: balances[account.code]
            for name, account in zip(chart.POCKETS, chart.pockets(person.id), strict=True)
        }
        return UserDetails(
            person=person,
            names=tuple(
                f"{platform}:{id_}"
                for platform, id_ in await self._users.list_identities(person.id)
            ),
            pockets={name: Credits(balance.available) for name, balance in by_pocket.items()},
            held=Credits(sum(balance.held for balance in by_pocket.values())),
            owed=Credits(-balances[chart.owed(person.id).code].posted),
            ask_count=int(usage_row[0].asks),
            spent=Credits(int(usage_row[0].spent)),
            last_ask_at=int(usage_row[0].last),
            merged_count=len(person_ids) - 1,
            friend_count=stats.joined_count,
            inviter=await self._referrals.find_inviter(person.id),
            order_count=await self._payment_records.count_orders(person_ids),
            newest_orders=tuple(
                await self._payment_records.list_newest_orders(person_ids, _NEWEST_COUNT)
            ),
            newest_payouts=await self._list_newest_payouts(person_ids),
            keys=tuple(await self._contributions.list_for_contributor(person.id)),
            erased_at=int(person_row[0].erased_at or 0),
        )

    # --- helpers --------------------------------------------------------------------------------

    async def _find_person_ids(self, text: str) -> list[str]:
        """People's ids that a text may mean."""
        query = text.strip()
        person, payout = schema.person.c, schema.payout.c
        key, name = schema.key.c, schema.identity.c
        prefix = query.partition("_")[0]
        statement: sa.Select[Any]
        if ":" in query:
            return [(await self._users.find(query)).id]
        if prefix == "ord":
            return await self._payment_records.find_buyers(query)
        if prefix == "usr":
            statement = sa.select(person.id).where(person.id == query)
        elif prefix == "out":
            statement = sa.select(payout.person).where(payout.id == query)
        else:
            statement = sa.select(name.person).where(name.external_id == query)
            tail = query.removeprefix("…")
            if len(tail) == _TAIL_CHARS:
                contributors = sa.select(key.owner).where(key.tail == tail, key.owner.is_not(None))
                statement = sa.select(sa.union(statement, contributors).subquery().c.person)
        return [str(row[0]) for row in await self._db.fetch(statement.limit(10))]

    async def _list_newest_payouts(self, person_ids: Sequence[str]) -> tuple[RecordLine, ...]:
        payout = schema.payout.c
        rows = await self._db.fetch(
            sa.select(payout.id, payout.state, payout.created_at, payout.credits)
            .where(payout.person.in_(person_ids))
            .order_by(payout.id.desc())
            .limit(_NEWEST_COUNT)
        )
        return tuple(
            RecordLine(row.id, row.state, row.created_at, Credits(int(row.credits))) for row in rows
        )
