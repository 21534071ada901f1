"""The operator's commands `/grant` and `/audit`."""

from __future__ import annotations

from dataclasses import dataclass

from bots.chat.command import Arguments, Request, action, argument, command
from bots.chat.reply import Choice, Reply, plain, say, say_count
from bots.commands.arguments import make_usage_error, parse_number
from bots.commands.terms import name_clause
from bots.commands.text import format_credits
from bots.services import Foundation
from core.admin.audit import audit_books
from core.money import Credits
from core.users.balances import grant_gift
from core.users.service import Users

_GRANT_MAX = 100_000_000

_GRANT = say("/grant user Credits reason")
_GRANT_HOW = say(
    "Write it like this: /grant telegram:123 500 for the bug report. Nothing was moved."
)


@dataclass(frozen=True, slots=True)
class GrantArguments(Arguments):
    """What follows `/grant`."""

    user: str = argument(say("telegram:123 or discord:456"), say("user"), required=True)
    credits: str = argument(say("How many Credits"), say("Credits"), required=True)
    reason: str = argument(say("Why"), say("reason"), required=True)


class GrantCommands:
    """The commands that grant Credits and audit the books; every act is authorised again at each
    press."""

    def __init__(
        self,
        *,
        base: Foundation,
        users: Users,
    ) -> None:
        self._base, self._users = base, users

    # --- Credits ------------------------------------------------------------------------------

    @command(
        "grant",
        title=say("Grant"),
        description=say("Give a person Credits"),
        arguments=GrantArguments,
        admin_only=True,
    )
    async def grant(self, request: Request, given: GrantArguments) -> Reply:
        """Shows whom and how much, in words; a second tap does it."""
        del request
        if not given.credits:
            raise make_usage_error(say("Say whom, how many Credits, and why."), _GRANT_HOW)
        amount = parse_number(given.credits, _GRANT_HOW, most=_GRANT_MAX)
        if not given.reason:
            raise make_usage_error(say("A grant needs a reason."), _GRANT_HOW)
        person = await self._users.find(given.user)
        identities = await self._users.list_identities(person.id)
        credits_given = Credits(amount)
        data: dict[str, str | int] = {
            "person": person.id,
            "credits": credits_given.units,
            "reason": given.reason[:200],
        }
        return Reply(
            lines=(
                say(
                    "Give {credits} to {person}? Reason: {reason}",
                    credits=format_credits(credits_given),
                    person=", ".join(f"{platform}:{id_}" for platform, id_ in identities)
                    or person.id,
                    reason=given.reason[:200],
                ),
            ),
            choices=(
                (
                    Choice(
                        say("Yes, give {credits}", credits=format_credits(credits_given)),
                        "grant-now",
                        data,
                        once=True,
                    ),
                    Choice(say("Cancel"), "cancel"),
                ),
            ),
            private=True,
        )

    @action("grant-now", admin_only=True)
    async def grant_now(self, request: Request) -> Reply:
        """Confirmed; the button's id makes it happen once."""
        person = await self._users.find(str(request.data["person"]))
        amount = Credits(int(request.data["credits"]))
        receipt = await grant_gift(
            self._base.ledger,
            self._base.clock,
            cause=request.button,
            person=person,
            amount=amount,
            actor=request.person.id,
            reason=str(request.data["reason"]),
        )
        available = sum(balance.available for balance in receipt.balances.values())
        return Reply(
            lines=(
                say(
                    "Given: {credits}. They have {have} now.",
                    credits=format_credits(amount),
                    have=format_credits(Credits(available)),
                ),
            ),
            private=True,
            replace=True,
        )

    @action("cancel")
    async def cancel(self, request: Request) -> Reply:
        """Nothing happens."""
        del request
        return Reply((say("Cancelled. Nothing was changed."),), replace=True)

    # --- views --------------------------------------------------------------------------------

    @command(
        "audit",
        title=say("Audit"),
        description=say("Recompute the whole ledger"),
        admin_only=True,
        support_allowed=True,
    )
    @action("audit", admin_only=True, support_allowed=True)
    async def audit(self, request: Request) -> Reply:
        """The ledger recomputed from its transfers, and the asks against it."""
        del request
        audit = await audit_books(self._base.db, self._base.payment_records)
        totals = say(
            "{accounts} accounts, {transfers} transfers, {holds} holds, {open} asks running.",
            accounts=audit.ledger.accounts,
            transfers=audit.ledger.transfers,
            holds=audit.ledger.holds,
            open=audit.asks.open_count,
        )
        if not audit.findings:
            kept = tuple(
                say("✅ {clause} ({count} checked)", clause=name_clause(one), count=one.checked)
                for one in audit.promise
            )
            return Reply(title=say("Audit: clean"), lines=(totals, *kept), private=True)
        shown = tuple(plain(finding) for finding in audit.findings[:20])
        return Reply(
            title=say_count("Audit: one finding", "Audit: {count} findings", len(audit.findings)),
            lines=(totals, *shown),
            private=True,
        )
