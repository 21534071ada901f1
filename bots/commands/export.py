"""`/export`: everything that is kept about a person, for them alone. Cash shows in it, because it
was theirs: what they paid, and what they were paid.
"""

from __future__ import annotations

import json
from typing import Any, Final

from bots.chat.command import Action, Command, Request, Room
from bots.chat.reply import File, Reply, say
from bots.commands.text import cash_text, money
from core import chart
from core.asks.repository import Journal, Turn
from core.clock import as_datetime
from core.earnings.contributions import Contributions
from core.earnings.withdrawals import Withdrawals
from core.ledger.ledger import Ledger
from core.users.balances import Purses
from core.users.service import People
from core.users.types import Person
from payments.orders import Orders

#: More orders or withdrawals than anybody has.
_ALL: Final = 100_000


class ExportCommands:
    """The command that collects everything that is kept about a person into one file."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        purses: Purses,
        journal: Journal,
        people: People,
        orders: Orders,
        contributions: Contributions,
        withdrawals: Withdrawals,
    ) -> None:
        self._ledger, self._purses, self._journal = ledger, purses, journal
        self._people, self._orders = people, orders
        self._contributions, self._withdrawals = contributions, withdrawals

    def room(self) -> Room:
        """Commands and actions."""
        return Room(
            commands=(
                Command(
                    "export",
                    title=say("Export"),
                    does=say("Everything kept about you, as a file"),
                    handler=self.export,
                ),
            ),
            actions=(Action("export", self.export),),
        )

    async def export(self, request: Request) -> Reply:
        """A JSON file for the person alone."""
        person = request.person
        return Reply(
            lines=(say("Everything kept about you. Nobody else gets this file."),),
            file=File(f"creditbot-{person.id}.json", await self.content(person)),
            private=True,
        )

    async def content(self, person: Person, *, words: bool = True) -> bytes:
        """The file; without `with_words` nothing of what was asked and answered."""
        lineage = await self._people.lineage(person.id)
        told = {
            "person": person.id,
            "since": _at(person.created_at),
            "writes_from": [
                f"{platform}:{id_}" for platform, id_ in await self._people.identities(person.id)
            ],
            "settings": {
                "language": person.language,
                "time_zone": person.zone,
                "model": person.model,
                "footer": person.footer,
                "operator_keys_only": person.own_keys_only,
            },
            "credits": await self._credits(person.id),
            "answers": [
                {
                    "at": _at(turn.at),
                    "model": turn.model,
                    "credits": turn.charge.units,
                    "tier": turn.tier,
                    "promotion": turn.promotion,
                    "question": turn.question,
                    "answer": turn.answer,
                }
                for turn in (await self._turns(lineage) if words else ())
            ],
            "orders": await self._bought(lineage),
            "contributions": await self._contributed(person),
            "withdrawals": await self._withdrawn(lineage),
        }
        return json.dumps(told, ensure_ascii=False, indent=1).encode()

    async def _credits(self, person: str) -> dict[str, int]:
        """By pocket; what may be spent in advance of contributions, and what is owed."""
        owed = chart.owed(person)
        accounts = {account.code: account for account in self._purses.accounts(person)}
        balances = await self._ledger.balances([*accounts.values(), owed])
        told = {"owed": -balances[owed.code].posted}
        for code in accounts:
            pocket = code.rpartition("/")[2]
            told[pocket] = told.get(pocket, 0) + balances[code].available
        return told

    async def _turns(self, lineage: list[str]) -> list[Turn]:
        """Theirs, and those of everyone who became a part of them, each under its own key."""
        turns = []
        for id_ in lineage:
            data_key = await self._people.data_key(await self._people.find(id_))
            turns += await self._journal.turns(id_, data_key)
        return sorted(turns, key=lambda turn: turn.at)

    async def _bought(self, lineage: list[str]) -> list[dict[str, Any]]:
        return [
            {
                "id": one.id,
                "at": _at(one.created_at),
                "by": one.gateway,
                "state": one.state,
                "amount": cash_text(one.amount),
                "paid": cash_text(one.paid),
                "given_back": cash_text(one.refunded),
                "bought": one.bought.units,
                "bonus": one.bonus.units,
            }
            for one in await self._orders.of(lineage, _ALL)
        ]

    async def _contributed(self, person: Person) -> list[dict[str, Any]]:
        return [
            {
                "key": f"{one.supplier} …{one.tail}",
                "since": _at(one.opened_at),
                "state": one.state,
                "credits": one.credited.units,
                "went_back": one.returned_credits.units,
                "reason": one.reason,
            }
            for one in await self._contributions.of(person.id)
        ]

    async def _withdrawn(self, lineage: list[str]) -> list[dict[str, Any]]:
        return [
            {
                "id": one.id,
                "at": _at(one.created_at),
                "credits": one.credits.units,
                "amount": money(one.cash),
                "by": one.method,
                "to": one.hint,
                "state": one.state,
                "reason": one.reason,
            }
            for one in await self._withdrawals.of(lineage, _ALL)
        ]


def _at(at_ms: int) -> str:
    return as_datetime(at_ms).isoformat()
