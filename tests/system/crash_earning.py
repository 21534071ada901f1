"""Contributions' lives, each broken off once by SIGKILL, and what must be true of them after all.

A life: a key is examined, agreed on, serves four asks that are paid for; what that brought shall be
paid out; its owner spends of the rest in advance, makes it smaller, and takes it back: a claw-back
that cancels the payout and leaves a debt. Whoever got no answer tries again with a fresh process.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from core.db import schema
from core.db.database import Database
from core.earnings.audit import audit_earnings
from core.ledger.audit import check_ledger
from core.money import parse_usd
from payments.payment_reader import PaymentReader
from tests.core.earnings.world import THOUSAND
from tests.peers.suppliers import FakeSupplier, Hang
from tests.support.databases import NOON_MS
from tests.system.processes_driver import Child, ServiceProcesses
from tests.system.processes_earning import ask_id

#: Twenty average requests: 100 Credits, 10 of them the fee.
QUOTA = "0.6"
FEE, NET = 10, 90
BOUGHT = 1_000
PAID_ASKS, OWNERS_ASKS = 4, 6
#: What stays when it is made smaller: more than was spent in advance.
LEFT = 60
#: What a person may be lent for keys whose quota nobody tells.
LINE = 1_000
#: Beyond every lease.
LATER_MS = 700_000

#: Of what was earned, what shall be paid out.
ASKED_FOR = 10

#: A life, step by step.
STEPS = (
    *("offer", "open", *(f"tom {number}" for number in range(PAID_ASKS)), "withdraw", "own"),
    *(*(f"bob {number}" for number in range(OWNERS_ASKS)), "lower", "back"),
)
_PHASES = ("begun", "written", "committed")
#: Where a life is broken off, and in which of its steps.
POINTS: dict[str, str] = {
    "probe": "offer",
    **{
        f"{what} {phase}": step
        for what, step in (
            ("offered", "offer"),
            ("line", "open"),
            ("contributed", "open"),
            ("settle", "tom 2"),
            ("requested", "withdraw"),
            ("lowered", "lower"),
            ("closing", "back"),
            ("closed", "back"),
        )
        for phase in _PHASES
    },
}
#: What is there of its key then: its contribution, what was credited, its health, its secret.
KEPT: dict[str, list[tuple[str, int, str, bool]]] = {
    "": [],
    "offered": [("offered", 0, "validated", True)],
    "open": [("open", NET, "active", True)],
    "closing": [("closing", NET, "withdrawn", False)],
    "closed": [("closed", NET, "withdrawn", False)],
}


def _leaves(point: str) -> str:
    """In which of these states who is killed there leaves a key."""
    what, _, phase = point.partition(" ")
    before = {"probe": "", "offered": "", "line": "offered", "contributed": "offered"}
    after = {"offered": "offered", "line": "offered", "closing": "closing", "closed": "closed"}
    before["closed"] = "closing"
    return (after if phase == "committed" else before).get(what, "open")


LEAVES = {point: _leaves(point) for point in POINTS}


@dataclass
class Life:
    """One contribution, its owner and who asks."""

    number: int
    verified: bool
    key: str = ""
    bob_id: str = ""
    tom_id: str = ""

    @property
    def bob(self) -> str:
        return f"1{self.number}"

    @property
    def tom(self) -> str:
        return f"2{self.number}"

    @property
    def secret(self) -> str:
        return f"sk-bobs-own-key-{self.number:010}"


class World:
    """One database, one supplier, and a service after the other."""

    def __init__(
        self, processes: ServiceProcesses, supplier: FakeSupplier, store: Database
    ) -> None:
        self._processes, self._supplier, self._store = processes, supplier, store
        self._now = NOON_MS
        self._lives: list[Life] = []
        self.kills: Counter[str] = Counter()
        supplier.always(THOUSAND)

    async def begin(self) -> Child:
        child = await self._processes.start_child(self._now)
        await child.does("still", "still")
        return child

    async def live(self, child: Child, point: str, *, verified: bool) -> Child:
        """A life that is broken off at a point; gives the process that lives."""
        life = Life(len(self._lives), verified)
        self._lives.append(life)
        self._supplier.allow(life.secret)
        self._supplier.organisations[life.secret] = f"org-{life.number}"
        if verified:
            self._supplier.balances[life.secret] = QUOTA
        life.bob_id = (await child.does("meet", "met", who=life.bob, has=0))["person"]
        life.tom_id = (await child.does("meet", "met", who=life.tom, has=BOUGHT))["person"]
        await child.does("own", "owned", serves=False)
        for step in STEPS:
            if step == POINTS[point]:
                await self._kill_at(child, life, step, point)
                child = await self._recover(life, point)
                if "tom" in step:  # who never read it asks something else
                    continue
            await self._step(child, life, step)
        await self._is_whole(life, "closed")
        await self._books_are_right()
        return child

    # --- steps ----------------------------------------------------------------------------------

    async def _step(self, child: Child, life: Life, step: str) -> None:
        do, said, facts = self._told(life, step)
        event = await child.does(do, said, **facts)
        if step == "offer":
            life.key = event["key"]
            self._now = max(self._now, event["at_ms"])

    def _told(self, life: Life, step: str) -> tuple[str, str, dict[str, Any]]:
        """What a child is told, and what it says then."""
        bobs = {"who": life.bob, "key": life.key}
        asks = {"ask": ask_id(f"{life.number} {step}", NOON_MS)}
        told: dict[str, tuple[str, str, dict[str, Any]]] = {
            "offer": ("offer", "offered", {"who": life.bob, "secret": life.secret}),
            "open": ("open", "opened", {**bobs, "quota": QUOTA}),
            "tom": ("ask", "answered", {"who": life.tom, **asks}),
            "withdraw": ("withdraw", "requested", {**bobs, "amount": ASKED_FOR, "at_ms": NOON_MS}),
            "own": ("own", "owned", {"serves": True}),
            "bob": ("ask", "answered", {"who": life.bob, **asks}),
            "lower": ("lower", "lowered", {**bobs, "left": LEFT}),
            "back": ("back", "taken back", bobs),
        }
        return told[step.partition(" ")[0]]

    # --- the kill -------------------------------------------------------------------------------

    async def _kill_at(self, child: Child, life: Life, step: str, point: str) -> None:
        do, _, facts = self._told(life, step)
        if point == "probe":
            self._supplier.script(Hang())
            known = len(self._supplier.calls)
            child.send(do, **facts)
            await self._supplier.arrived(known + 1)
        else:
            await child.does("freeze", "armed", at=point, ask=facts.get("ask", "earning"))
            child.send(do, **facts)
            await child.until("frozen", point=point)
        await child.killed()
        self.kills[point] += 1

    async def _recover(self, life: Life, point: str) -> Child:
        """A fresh process does what is left to do; nothing is half done at any time."""
        await self._is_whole(life, LEAVES[point])
        self._now += LATER_MS
        child = await self.begin()
        for _ in range(2):
            await child.does("chores", "chores done")
        await self._is_whole(life, "closed" if LEAVES[point] == "closing" else LEAVES[point])
        return child

    # --- what must be true ----------------------------------------------------------------------

    async def _is_whole(self, life: Life, state: str) -> None:
        """The audits are clean, and a life's key with all that belongs to it is in this state."""
        found = await check_ledger(self._store)
        earnings = await audit_earnings(self._store, PaymentReader(self._store))
        assert [*found.findings, *earnings] == []
        given, key = schema.contribution, schema.key
        rows = await self._store.fetch(
            sa.select(given.c.state, given.c.credited, key.c.state.label("health"), key.c.sealed)
            .select_from(key.outerjoin(given, given.c.key == key.c.id))
            .where(key.c.owner == life.bob_id)
        )
        kept = [(row.state, row.credited, row.health, row.sealed is not None) for row in rows]
        assert kept == KEPT[state], (state, kept)

    async def _books_are_right(self) -> None:
        """Every account but those of the operator's own key, to the unit: whatever happened, each
        life's Credits came once, went once, and its answers were charged once."""
        account = schema.account.c
        stands = (account.credits_posted - account.debits_posted).label("stands")
        held = account.debits_pending + account.credits_pending
        rows = await self._store.fetch(sa.select(account.code, stands, held.label("held")))
        assert [row.code for row in rows if row.held] == []
        used, own = await self._usage(), await self._own_key()
        told = {
            row.code: int(row.stands)
            for row in rows
            if row.stands and row.code not in {"supply/own", "supplier/openai", f"key/{own}"}
        }
        expected: Counter[str] = Counter()
        for life in self._lives:
            for code, stands_ in _left_by(life, used).items():
                expected[code] += stands_
        wrong = {
            code: (told.get(code, 0), expected[code])
            for code in {*told, *expected}
            if told.get(code, 0) != expected[code]
        }
        assert not wrong, wrong

    async def _usage(self) -> dict[tuple[str, str], tuple[int, int]]:
        """What answers were charged and cost, by person and key."""
        table = schema.usage.c
        rows = await self._store.fetch(
            sa.select(
                table.person,
                table.key,
                sa.func.sum(table.charge).label("charge"),
                sa.func.sum(table.cost).label("cost"),
            ).group_by(table.person, table.key)
        )
        return {(row.person, row.key): (int(row.charge), int(row.cost)) for row in rows}

    async def _own_key(self) -> str:
        owner = schema.key.c.owner
        rows = await self._store.fetch(sa.select(schema.key.c.id).where(owner.is_(None)))
        return str(rows[0].id)


def _left_by(life: Life, used: dict[tuple[str, str], tuple[int, int]]) -> dict[str, int]:
    """Where a life leaves each account, credits less debits. Of its Credits stays what vested, or
    the used share where that is more (nobody paid for an ask that was broken off, but its key did);
    the others went back with their dollars and their part of the fee."""
    charged, cost = used[life.tom_id, life.key]
    spent = sum(charge for (person, _), (charge, _) in used.items() if person == life.bob_id)
    assert charged >= (PAID_ASKS - 1) * 5
    assert spent == OWNERS_ASKS * 5
    unused = parse_usd(QUOTA).units - cost
    returned = min(-(-NET * unused // parse_usd(QUOTA).units), NET - charged * 9 // 10)
    fee = FEE - FEE * returned // NET
    debt = spent - (NET - returned)
    assert debt > 0
    return {
        "issued/topup": -BOUGHT,
        f"user/{life.tom_id}/bought": BOUGHT - charged,
        "issued/contribution": returned - NET - fee,
        "fee/contribution": fee,
        "use/counted": -charged,
        f"use/paid/{life.key}": charged,
        "supply/contributed": -cost,
        "supplier/openai/contributed": cost,
        "spent/gpt-4": charged + spent,
        f"owed/{life.bob_id}": -debt,
        "advanced": 0 if life.verified else -LINE,
        f"line/{life.bob_id}": 0 if life.verified else LINE,
    }
