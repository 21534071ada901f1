"""The operator's commands `/grant` and `/audit`."""

from __future__ import annotations

from bots.chat.command import Action, Command, CommandGroup, Option, Request
from bots.chat.reply import Choice, Reply, plain, say
from bots.commands.errors import UsageError
from bots.commands.text import format_credits
from core.asks.audit import audit_asks
from core.clock import Clock
from core.db.database import Database
from core.earnings.audit import audit_earnings
from core.ledger.audit import check_ledger
from core.ledger.ledger import Ledger
from core.money import Credits
from core.users.balances import grant_gift
from core.users.service import Users

_GRANT_MAX = 100_000_000

_GRANT = say("/grant user Credits reason")
_GRANT_HOW = say(
    "Write it like this: /grant telegram:123 500 for the bug report. Whole Credits, above zero."
    " Nothing was moved."
)


class GrantCommands:
    """The commands that grant Credits and audit the books; every act is authorised again at each
    press."""

    def __init__(
        self,
        *,
        db: Database,
        ledger: Ledger,
        users: Users,
        clock: Clock,
    ) -> None:
        self._db, self._ledger, self._users = db, ledger, users
        self._clock = clock

    def room(self) -> CommandGroup:
        """Commands and actions."""
        return CommandGroup(
            commands=(
                Command(
                    "grant",
                    title=say("Grant"),
                    description=say("Give a person Credits"),
                    usage=_GRANT,
                    options=(
                        Option("user", say("telegram:123 or discord:456"), required=True),
                        Option("credits", say("How many Credits"), required=True),
                        Option("reason", say("Why"), required=True),
                    ),
                    handler=self.grant,
                    admin_only=True,
                ),
                Command(
                    "audit",
                    title=say("Audit"),
                    description=say("Recompute the whole ledger"),
                    handler=self.audit,
                    admin_only=True,
                    support_allowed=True,
                ),
            ),
            actions=(
                Action("audit", self.audit, admin_only=True, support_allowed=True),
                Action("grant-now", self.grant_now, admin_only=True),
                Action("cancel", self.cancel),
            ),
        )

    # --- Credits ------------------------------------------------------------------------------

    async def grant(self, request: Request) -> Reply:
        """Shows whom and how much, in words; a second tap does it."""
        who, _, rest = request.text.strip().partition(" ")
        amount, _, reason = rest.strip().partition(" ")
        if not amount.isascii() or not amount.isdigit() or not 0 < int(amount) <= _GRANT_MAX:
            raise UsageError(_GRANT_HOW)
        if not reason.strip():
            raise UsageError(say("A grant needs a reason. Nothing was moved."))
        person = await self._users.find(who)
        identities = await self._users.list_identities(person.id)
        credits_given = Credits(int(amount))
        data: dict[str, str | int] = {
            "person": person.id,
            "credits": credits_given.units,
            "reason": reason.strip()[:200],
        }
        return Reply(
            lines=(
                say(
                    "Give {credits} to {person}? Reason: {reason}",
                    credits=format_credits(credits_given),
                    person=", ".join(f"{platform}:{id_}" for platform, id_ in identities)
                    or person.id,
                    reason=reason.strip()[:200],
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

    async def grant_now(self, request: Request) -> Reply:
        """Confirmed; the button's id makes it happen once."""
        person = await self._users.find(str(request.data["person"]))
        amount = Credits(int(request.data["credits"]))
        receipt = await grant_gift(
            self._ledger,
            self._clock,
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

    async def cancel(self, request: Request) -> Reply:
        """Nothing happens."""
        del request
        return Reply((say("Cancelled. Nothing was changed."),), replace=True)

    # --- views --------------------------------------------------------------------------------

    async def audit(self, request: Request) -> Reply:
        """The ledger recomputed from its transfers, and the asks against it."""
        del request
        ledger_result, ask_result = await check_ledger(self._db), await audit_asks(self._db)
        findings = [*ledger_result.findings, *ask_result.findings, *await audit_earnings(self._db)]
        totals = say(
            "{accounts} accounts, {transfers} transfers, {holds} holds, {open} asks running.",
            accounts=ledger_result.accounts,
            transfers=ledger_result.transfers,
            holds=ledger_result.holds,
            open=ask_result.open_count,
        )
        if not findings:
            return Reply(title=say("Audit: clean"), lines=(totals,), private=True)
        shown = tuple(plain(finding) for finding in findings[:20])
        return Reply(
            title=say("Audit: {count} findings", count=len(findings)),
            lines=(totals, *shown),
            private=True,
        )
