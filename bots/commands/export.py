"""`/export`: everything that is kept about a person, for them alone. Cash shows in it, because it
was theirs: what they paid, and what they were paid.
"""

from __future__ import annotations

import base64
import json
from typing import Any, Final

from bots.chat.command import Request, action, command
from bots.chat.reply import Reply, ReplyFile, say
from bots.commands.text import format_cash
from bots.services import UserServices
from core import chart
from core.api_tokens.service import ApiTokens
from core.asks.file_repository import KeptFile
from core.asks.repository import AskHistory, ExportedTurn
from core.clock import as_datetime
from core.earnings.contributions import Contributions
from core.earnings.withdrawals import Withdrawals
from core.ledger.ledger import Ledger
from core.money import format_usd
from core.users.types import Person
from payments.orders import Orders

#: More orders or withdrawals than anybody has.
_UNLIMITED: Final = 100_000


class ExportCommands:
    """The command that collects everything that is kept about a person into one file."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        users: UserServices,
        api_tokens: ApiTokens,
        ask_history: AskHistory,
        orders: Orders,
        contributions: Contributions,
        withdrawals: Withdrawals,
    ) -> None:
        self._ledger, self._ask_history, self._orders = ledger, ask_history, orders
        self._users, self._balances, self._api_tokens = users.users, users.balances, api_tokens
        self._contributions, self._withdrawals = contributions, withdrawals

    @command("export", title=say("Export"), description=say("Everything kept about you, as a file"))
    @action("export")
    async def export(self, request: Request) -> Reply:
        """A JSON file for the person alone."""
        person = request.person
        return Reply(
            lines=(say("Everything kept about you. Nobody else gets this file."),),
            file=ReplyFile(f"creditbot-{person.id}.json", await self.build_export(person)),
            private=True,
        )

    async def build_export(self, person: Person, *, with_words: bool = True) -> bytes:
        """The file; without `with_words` nothing of what was asked and answered."""
        person_ids = await self._users.list_merged_ids(person.id)
        document = {
            "person": person.id,
            "since": _format_time(person.created_at),
            "writes_from": [
                f"{platform}:{id_}"
                for platform, id_ in await self._users.list_identities(person.id)
            ],
            "settings": {
                "language": person.language,
                "time_zone": person.zone,
                "model": person.model,
                "footer": person.footer,
                "operator_keys_only": person.own_keys_only,
                "daily_limit": None if person.daily_limit is None else person.daily_limit.units,
                "any_key_sees_files": person.shares_files,
                "files_offered_from": None
                if person.offer_from is None
                else person.offer_from.units,
            },
            "credits": await self._export_credits(person.id),
            "answers": [
                {
                    "at": _format_time(turn.at),
                    "model": turn.model,
                    "credits": turn.charge.units,
                    "tier": turn.tier,
                    "promotion": turn.promotion,
                    "question": turn.question,
                    "edited_question": turn.edited_question,
                    "answer": turn.answer,
                }
                for turn in (await self._list_turns(person_ids) if with_words else ())
            ],
            "files": await self._export_files(person_ids) if with_words else [],
            "orders": await self._export_orders(person_ids),
            "contributions": await self._export_contributions(person),
            "withdrawals": await self._export_withdrawals(person_ids),
            "api_tokens": await self._export_api_tokens(person_ids),
        }
        return json.dumps(document, ensure_ascii=False, indent=1).encode()

    async def _export_credits(self, person: str) -> dict[str, int]:
        """By pocket; what may be spent in advance of contributions, and what is owed."""
        owed = chart.owed(person)
        accounts = {account.code: account for account in self._balances.list_accounts(person)}
        balances = await self._ledger.read_balances([*accounts.values(), owed])
        credits_by_pocket = {"owed": -balances[owed.code].posted}
        for code in accounts:
            pocket = code.rpartition("/")[2]
            credits_by_pocket[pocket] = credits_by_pocket.get(pocket, 0) + balances[code].available
        return credits_by_pocket

    async def _list_turns(self, person_ids: list[str]) -> list[ExportedTurn]:
        """Theirs, and those of everyone who became a part of them, each under its own key."""
        turns = []
        for id_ in person_ids:
            data_key = await self._users.get_data_key(await self._users.find(id_))
            turns += await self._ask_history.list_turns(id_, data_key)
        return sorted(turns, key=lambda turn: turn.at)

    async def _export_files(self, person_ids: list[str]) -> list[dict[str, str]]:
        """What is kept of files, each under the key of whoever sent it."""
        files = []
        for id_ in person_ids:
            data_key = await self._users.get_data_key(await self._users.find(id_))
            files += await self._ask_history.list_kept_files(id_, data_key)
        return [
            {
                "at": _format_time(file.at),
                "until": _format_time(file.until),
                "name": file.name,
                **_export_content(file),
            }
            for file in files
        ]

    async def _export_orders(self, person_ids: list[str]) -> list[dict[str, Any]]:
        return [
            {
                "id": one.id,
                "at": _format_time(one.created_at),
                "by": one.gateway,
                "state": one.state,
                "amount": format_cash(one.amount),
                "paid": format_cash(one.paid),
                "given_back": format_cash(one.refunded),
                "bought": one.bought.units,
                "bonus": one.bonus.units,
            }
            for one in await self._orders.list_for_people(person_ids, _UNLIMITED)
        ]

    async def _export_contributions(self, person: Person) -> list[dict[str, Any]]:
        return [
            {
                "key": f"{one.supplier} …{one.tail}",
                "since": _format_time(one.opened_at),
                "state": one.state,
                "credits": one.credited.units,
                "went_back": one.returned_credits.units,
                "reason": one.reason,
            }
            for one in await self._contributions.list_for_contributor(person.id)
        ]

    async def _export_api_tokens(self, person_ids: list[str]) -> list[dict[str, Any]]:
        return [
            {
                "name": one.name,
                "token": one.label,
                "made": _format_time(one.created_at),
                "expires": _format_time(one.expires_at),
                "revoked": None if revoked_at is None else _format_time(revoked_at),
                "last_used": None if one.last_used_at is None else _format_time(one.last_used_at),
            }
            for one, revoked_at in await self._api_tokens.list_all_tokens(person_ids)
        ]

    async def _export_withdrawals(self, person_ids: list[str]) -> list[dict[str, Any]]:
        return [
            {
                "id": one.id,
                "at": _format_time(one.created_at),
                "credits": one.credits.units,
                "amount": format_usd(one.cash),
                "by": one.method,
                "to": one.hint,
                "state": one.state,
                "reason": one.reason,
            }
            for one in await self._withdrawals.list_for_people(person_ids, _UNLIMITED)
        ]


def _export_content(file: KeptFile) -> dict[str, str]:
    """A file's text; of a picture its JPEG, in base64."""
    if not file.picture:
        return {"text": file.text}
    return {"jpeg": base64.b64encode(file.picture).decode()}


def _format_time(at_ms: int) -> str:
    return as_datetime(at_ms).isoformat()
