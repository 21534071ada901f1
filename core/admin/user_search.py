"""A person as the operator sees them: found by whatever is known of them, on one page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from core import chart
from core.db import schema
from core.db.database import Store
from core.earnings.contributions import Contributions
from core.earnings.types import Contribution
from core.ledger.ledger import Ledger
from core.money import Credits
from core.users.referrals import Invitations
from core.users.service import People, survivor
from core.users.types import Person, UnknownPerson

#: The end of a key by which its contributor is found.
_TAIL = 4
#: How many orders and payouts the card of a person shows.
_NEWEST = 3


@dataclass(frozen=True, slots=True)
class Line:
    """An order or a payout of a person, in one line."""

    id: str
    state: str
    at: int
    credits: Credits


@dataclass(frozen=True, slots=True)
class Dossier:
    """What is known of a person; amounts in Credits, times in milliseconds UTC."""

    person: Person
    #: `telegram:7`, each by which they write; none once they are erased.
    names: tuple[str, ...]
    #: Available by pocket, reserved by running asks and withdrawals, owed.
    pockets: dict[chart.Pocket, Credits]
    held: Credits
    owed: Credits
    #: Charged answers, their Credits, and when the last one came (ms UTC).
    asks: int
    spent: Credits
    last_ask: int
    #: How many people were merged into this one.
    parts: int
    #: How many people they invited; the id of whoever invited them, or empty.
    friends: int
    inviter: str
    orders: int
    newest_orders: tuple[Line, ...]
    newest_payouts: tuple[Line, ...]
    keys: tuple[Contribution, ...]
    erased_at: int


class Dossiers:
    """Searches people by whatever is known of them, and collects their details."""

    def __init__(
        self,
        *,
        store: Store,
        ledger: Ledger,
        people: People,
        invitations: Invitations,
        contributions: Contributions,
    ) -> None:
        self._store, self._ledger, self._people = store, ledger, people
        self._invitations, self._contributions = invitations, contributions

    async def newest(self, most: int, *, before: str = "") -> list[Person]:
        """The newest people; `before` is the id where the last page ended."""
        table = schema.person.c
        statement = sa.select(table.id).where(
            table.merged_into.is_(None), table.erased_at.is_(None)
        )
        if before:
            statement = statement.where(table.id < before)
        rows = await self._store.fetch(statement.order_by(table.id.desc()).limit(most))
        return [await self._people.find(row.id) for row in rows]

    async def find(self, text: str) -> list[Person]:
        """People by `telegram:7`, its bare id, a person's, order's or payout's id, or the end of a
        contributed key; raises `UnknownPerson`."""
        ids = dict.fromkeys(
            [(await survivor(self._store, id_))[0] for id_ in await self._ids(text)]
        )
        if not ids:
            raise UnknownPerson(text)
        return [await self._people.find(id_) for id_ in ids]

    async def of(self, person: Person) -> Dossier:
        """The details of a person as they are now."""
        lineage = await self._people.lineage(person.id)
        purse = await self._ledger.balances([*chart.pockets(person.id), chart.owed(person.id)])
        usage, row = schema.usage.c, schema.person.c
        used = await self._store.fetch(
            sa.select(
                sa.func.count().label("asks"),
                sa.func.coalesce(sa.func.sum(usage.charge), 0).label("spent"),
                sa.func.coalesce(sa.func.max(usage.at), 0).label("last"),
            ).where(usage.person.in_(lineage))
        )
        erased = await self._store.fetch(sa.select(row.erased_at).where(row.id == person.id))
        tally = await self._invitations.tally(person)
        orders = await self._lines(schema.order, "bought", lineage)
        balances = {
            name: purse[account.code]
            for name, account in zip(chart.POCKETS, chart.pockets(person.id), strict=True)
        }
        return Dossier(
            person=person,
            names=tuple(
                f"{platform}:{id_}" for platform, id_ in await self._people.identities(person.id)
            ),
            pockets={name: Credits(balance.available) for name, balance in balances.items()},
            held=Credits(sum(balance.held for balance in balances.values())),
            owed=Credits(-purse[chart.owed(person.id).code].posted),
            asks=int(used[0].asks),
            spent=Credits(int(used[0].spent)),
            last_ask=int(used[0].last),
            parts=len(lineage) - 1,
            friends=tally.came,
            inviter=await self._invitations.inviter_of(person.id),
            orders=await self._count(schema.order, lineage),
            newest_orders=orders,
            newest_payouts=await self._lines(schema.payout, "credits", lineage),
            keys=tuple(await self._contributions.of(person.id)),
            erased_at=int(erased[0].erased_at or 0),
        )

    # --- helpers --------------------------------------------------------------------------------

    async def _ids(self, text: str) -> list[str]:
        """People's ids that a text may mean."""
        word = text.strip()
        person, order, payout = schema.person.c, schema.order.c, schema.payout.c
        key, name = schema.key.c, schema.identity.c
        prefix = word.partition("_")[0]
        found: sa.Select[Any]
        if ":" in word:
            return [(await self._people.find(word)).id]
        if prefix == "usr":
            found = sa.select(person.id).where(person.id == word)
        elif prefix == "ord":
            found = sa.select(order.person).where(order.id == word)
        elif prefix == "out":
            found = sa.select(payout.person).where(payout.id == word)
        else:
            found = sa.select(name.person).where(name.external_id == word)
            tail = word.removeprefix("…")
            if len(tail) == _TAIL:
                owners = sa.select(key.owner).where(key.tail == tail, key.owner.is_not(None))
                found = sa.select(sa.union(found, owners).subquery().c.person)
        return [str(row[0]) for row in await self._store.fetch(found.limit(10))]

    async def _count(self, table: sa.Table, lineage: Sequence[str]) -> int:
        rows = await self._store.fetch(
            sa.select(sa.func.count()).select_from(table).where(table.c.person.in_(lineage))
        )
        return int(rows[0][0])

    async def _lines(
        self, table: sa.Table, amount: str, lineage: Sequence[str]
    ) -> tuple[Line, ...]:
        rows = await self._store.fetch(
            sa.select(
                table.c.id, table.c.state, table.c.created_at, table.c[amount].label("amount")
            )
            .where(table.c.person.in_(lineage))
            .order_by(table.c.id.desc())
            .limit(_NEWEST)
        )
        return tuple(
            Line(row.id, row.state, row.created_at, Credits(int(row.amount))) for row in rows
        )
