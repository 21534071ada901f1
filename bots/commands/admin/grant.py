"""The operator's commands `/grant` and `/audit`."""

from __future__ import annotations

from bots.chat.command import Action, Command, Option, Request, Room
from bots.chat.reply import Choice, Reply, plain, say
from bots.commands.errors import NotUnderstood
from bots.commands.text import in_credits
from core.asks.audit import check
from core.clock import Clock
from core.db.database import Store
from core.earnings.audit import check_earning
from core.ledger.audit import audit
from core.ledger.ledger import Ledger
from core.money import Credits
from core.users.balances import grant
from core.users.service import People

_GRANT_MAX = 100_000_000

_GRANT = say("/grant user Credits reason")
_GRANT_HOW = say(
    "Write it like this: /grant telegram:123 500 for the bug report. Whole Credits, above zero."
    " Nothing was moved."
)


class AdminCommands:
    """The commands that grant Credits and audit the books; every act is authorised again at each
    press."""

    def __init__(
        self,
        *,
        store: Store,
        ledger: Ledger,
        people: People,
        clock: Clock,
    ) -> None:
        self._store, self._ledger, self._people = store, ledger, people
        self._clock = clock

    def room(self) -> Room:
        """Commands and actions."""
        return Room(
            commands=(
                Command(
                    "grant",
                    title=say("Grant"),
                    does=say("Give a person Credits"),
                    usage=_GRANT,
                    options=(
                        Option("user", say("telegram:123 or discord:456"), required=True),
                        Option("credits", say("How many Credits"), required=True),
                        Option("reason", say("Why"), required=True),
                    ),
                    handler=self.grant,
                    admin=True,
                ),
                Command(
                    "audit",
                    title=say("Audit"),
                    does=say("Recompute the whole ledger"),
                    handler=self.audit,
                    admin=True,
                    support=True,
                ),
            ),
            actions=(
                Action("audit", self.audit, admin=True, support=True),
                Action("grant-now", self.grant_now, admin=True),
                Action("cancel", self.cancel),
            ),
        )

    # --- Credits ------------------------------------------------------------------------------

    async def grant(self, request: Request) -> Reply:
        """Shows whom and how much, in words; a second tap does it."""
        who, _, rest = request.text.strip().partition(" ")
        amount, _, reason = rest.strip().partition(" ")
        if not amount.isascii() or not amount.isdigit() or not 0 < int(amount) <= _GRANT_MAX:
            raise NotUnderstood(_GRANT_HOW)
        if not reason.strip():
            raise NotUnderstood(say("A grant needs a reason. Nothing was moved."))
        person = await self._people.find(who)
        known = await self._people.identities(person.id)
        gift = Credits(int(amount))
        data: dict[str, str | int] = {
            "person": person.id,
            "credits": gift.units,
            "reason": reason.strip()[:200],
        }
        return Reply(
            lines=(
                say(
                    "Give {credits} to {person}? Reason: {reason}",
                    credits=in_credits(gift),
                    person=", ".join(f"{platform}:{id_}" for platform, id_ in known) or person.id,
                    reason=reason.strip()[:200],
                ),
            ),
            choices=(
                (
                    Choice(
                        say("Yes, give {credits}", credits=in_credits(gift)),
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
        person = await self._people.find(str(request.data["person"]))
        amount = Credits(int(request.data["credits"]))
        receipt = await grant(
            self._ledger,
            self._clock,
            cause=request.button,
            person=person,
            amount=amount,
            actor=request.person.id,
            reason=str(request.data["reason"]),
        )
        have = sum(balance.available for balance in receipt.balances.values())
        return Reply(
            lines=(
                say(
                    "Given: {credits}. They have {have} now.",
                    credits=in_credits(amount),
                    have=in_credits(Credits(have)),
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
        found, asks = await audit(self._store), await check(self._store)
        findings = [*found.findings, *asks.findings, *await check_earning(self._store)]
        counted = say(
            "{accounts} accounts, {transfers} transfers, {holds} holds, {open} asks running.",
            accounts=found.accounts,
            transfers=found.transfers,
            holds=found.holds,
            open=asks.open,
        )
        if not findings:
            return Reply(title=say("Audit: clean"), lines=(counted,), private=True)
        shown = tuple(plain(finding) for finding in findings[:20])
        return Reply(
            title=say("Audit: {count} findings", count=len(findings)),
            lines=(counted, *shown),
            private=True,
        )
