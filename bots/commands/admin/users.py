"""`/users`: a person's card. Support reads; admins give, limit, block, hand out what is kept,
erase. Nobody's questions or answers are shown to anyone but them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from bots.chat.command import Action, Command, Option, Request, Room
from bots.chat.reply import Blank, Choice, File, Prompt, Reply, Said, plain, say
from bots.commands.admin.limits import limit_lines
from bots.commands.erase import erasing_lines
from bots.commands.errors import NotUnderstood
from bots.commands.export import ExportCommands
from bots.commands.text import in_credits
from core.admin.erasure import Erasing
from core.admin.user_search import Dossier, Dossiers
from core.admin_log import Facts, logged
from core.asks.repository import Journal
from core.clock import Clock, as_datetime
from core.db.writes import Insert
from core.ledger.ledger import Ledger
from core.money import Credits
from core.pricing.deals import Deals
from core.users.balances import grant
from core.users.limits import Allowance, Rules
from core.users.roles import Owners
from core.users.service import People
from core.users.types import Person

_PAGE: Final = 8
_ANSWERS: Final = 15
_GRANT_MAX: Final = 100_000_000
_LIMIT_MAX: Final = 10**9
_AMOUNT: Final = Blank("credits", say("Credits"), say("A whole number above zero"), hidden=False)
_REASON: Final = Blank("reason", say("Why"), most=200, hidden=False)


class UserCommands:
    """The commands that list and find people, show their card, and act from it."""

    def __init__(
        self,
        *,
        dossiers: Dossiers,
        people: People,
        owners: Owners,
        rules: Rules,
        ledger: Ledger,
        erasing: Erasing,
        exporting: ExportCommands,
        deals: Deals,
        journal: Journal,
        clock: Clock,
    ) -> None:
        self._deals, self._journal = deals, journal
        self._dossiers, self._people, self._owners = dossiers, people, owners
        self._rules, self._ledger, self._erasing = rules, ledger, erasing
        self._exporting, self._clock = exporting, clock

    def room(self) -> Room:
        """Commands and actions."""
        return Room(
            commands=(
                Command(
                    "users",
                    title=say("People"),
                    does=say("Find a person, and what they have, ask, buy and contribute"),
                    usage=say("/users [telegram:123 | id | order | end of a key]"),
                    options=(Option("who", say("A name, an order's id, or a key's end")),),
                    handler=self.users,
                    admin=True,
                    support=True,
                ),
            ),
            actions=(
                Action("users", self.page, admin=True, support=True),
                Action("user", self.card, admin=True, support=True),
                Action("user-history", self.history, admin=True, support=True),
                Action("user-grant", self.ask_grant, admin=True),
                Action("user-grant-now", self.grant_now, admin=True),
                Action("user-limit", self.ask_limit, admin=True),
                Action("user-limit-now", self.limit_now, admin=True),
                Action("user-block", self.ask_block, admin=True),
                Action("user-block-now", self.block_now, admin=True),
                Action("user-unblock", self.unblock, admin=True),
                Action("user-export", self.export, admin=True),
                Action("user-erase", self.ask_erase, admin=True),
                Action("user-erase-now", self.erase_now, admin=True),
            ),
        )

    # --- looking --------------------------------------------------------------------------------

    async def users(self, request: Request) -> Reply:
        """The newest, or whom the words mean."""
        if not request.text.strip():
            return await self._listed("", replace_=False)
        found = await self._dossiers.find(request.text)
        if len(found) > 1:
            return await self._list(found, more=False)
        return await self._card(request, found[0])

    async def page(self, request: Request) -> Reply:
        """Older ones."""
        return await self._listed(str(request.data["before"]), replace_=True)

    async def card(self, request: Request) -> Reply:
        """One of them."""
        return replace(await self._card(request, await self._pressed(request)), replace=True)

    async def _listed(self, before: str, *, replace_: bool) -> Reply:
        found = await self._dossiers.newest(_PAGE + 1, before=before)
        card = await self._list(found[:_PAGE], more=len(found) > _PAGE)
        return replace(card, replace=replace_)

    async def _list(self, found: list[Person], *, more: bool) -> Reply:
        names = {person.id: await self._name(person) for person in found}
        choices = [
            (Choice(plain(names[person.id]), "user", {"person": person.id}),) for person in found
        ]
        if more:
            choices.append((Choice(say("Older ▸"), "users", {"before": found[-1].id}),))
        return Reply(
            title=say("People"),
            lines=() if found else (say("Nobody has written yet."),),
            table=tuple(
                (plain(names[person.id]), say("{at}", at=as_datetime(person.created_at)))
                for person in found
            ),
            choices=tuple(choices),
            private=True,
        )

    async def _card(self, request: Request, person: Person) -> Reply:
        told = await self._dossiers.of(person)
        data = {"person": person.id}
        history = Choice(say("History"), "user-history", data)
        rows: tuple[tuple[Choice, ...], ...] = ((history,),)
        if request.admin and not told.erased_at:
            blocked = self._rules.of(person.id).blocked
            block = (
                Choice(say("Unblock"), "user-unblock", data)
                if blocked
                else Choice(say("Block"), "user-block", data)
            )
            rows = (
                (
                    Choice(say("Give Credits"), "user-grant", data),
                    Choice(say("Limit"), "user-limit", data),
                    block,
                ),
                (
                    history,
                    Choice(say("Export"), "user-export", data),
                    Choice(say("Erase"), "user-erase", data),
                ),
            )
        await self._deals.know(person.id)
        tier = self._deals.tier(person.id)
        roles = {self._owners.role(*name.split(":", 1)) for name in told.names}
        return Reply(
            title=plain(await self._name(person)),
            lines=card_lines(
                told,
                roles=[role for role in roles if role is not None],
                tier="" if tier is None else tier.name,
                may=self._rules.of(person.id),
            ),
            choices=rows,
            private=True,
        )

    async def history(self, request: Request) -> Reply:
        """The latest answers: when, which model, how many Credits; never a word of them."""
        person = await self._pressed(request)
        served = await self._journal.latest(await self._people.lineage(person.id), _ANSWERS)
        return Reply(
            title=plain(await self._name(person)),
            lines=() if served else (say("No answers yet"),),
            table=tuple(
                (say("{at}", at=as_datetime(one.at)), plain(one.model), in_credits(one.charge))
                for one in served
            ),
            choices=((Choice(say("‹ Back"), "user", {"person": person.id}),),),
            private=True,
            replace=True,
        )

    # --- acts -----------------------------------------------------------------------------------

    async def ask_grant(self, request: Request) -> Prompt:
        """How many, and why."""
        return await self._ask(request, say("Give Credits"), (_AMOUNT, _REASON), "user-grant-now")

    async def grant_now(self, request: Request) -> Reply:
        """Given, once a form."""
        person, entered = await self._pressed(request), request.entered
        amount = _number(entered["credits"].get_secret_value(), most=_GRANT_MAX)
        if not amount:
            raise NotUnderstood(say("Whole Credits, above zero. Nothing was moved."))
        await grant(
            self._ledger,
            self._clock,
            cause=request.button,
            person=person,
            amount=Credits(amount),
            actor=request.person.id,
            reason=entered["reason"].get_secret_value().strip(),
        )
        return await self._card(request, person)

    async def ask_limit(self, request: Request) -> Prompt:
        """Three numbers."""
        person = await self._pressed(request)
        own = self._rules.own(person.id)
        usual = say("0: as everyone")
        day = own.per_day
        now = (own.per_minute, own.at_once, None if day is None else day.units)
        labels = (say("Asks a minute"), say("Asks at once"), say("Credits a day"))
        blanks = tuple(
            Blank(name, label, usual, most=10, hidden=False)
            for name, label in zip(("minute", "once", "day"), labels, strict=True)
        )
        lines = tuple(
            say("{label}: {number} now", label=label, number=number)
            for label, number in zip(labels, now, strict=True)
            if number is not None
        )
        return await self._ask(request, say("Limit"), blanks, "user-limit-now", lines)

    async def limit_now(self, request: Request) -> Reply:
        """Set."""
        person, entered = await self._pressed(request), request.entered
        minute, once, day = (
            _number(entered[name].get_secret_value(), most=_LIMIT_MAX)
            for name in ("minute", "once", "day")
        )
        own = self._rules.own(person.id)
        new = replace(
            own,
            per_minute=minute or None,
            at_once=once or None,
            per_day=Credits(day) if day else None,
        )
        return await self._allowed(request, person, "limit", own, new)

    async def ask_block(self, request: Request) -> Prompt:
        """Why."""
        lines = (say("They can't ask, buy, contribute or withdraw until you unblock them."),)
        return await self._ask(request, say("Block"), (_REASON,), "user-block-now", lines)

    async def block_now(self, request: Request) -> Reply:
        """Blocked."""
        person = await self._pressed(request)
        for platform, id_ in await self._people.identities(person.id):
            if self._owners.role(platform, id_) is not None:
                raise NotUnderstood(
                    say("They help you run this: take their role first. Nothing was changed.")
                )
        own = self._rules.own(person.id)
        reason = request.entered["reason"].get_secret_value().strip()
        new = replace(own, blocked=True, reason=reason)
        return await self._allowed(request, person, "block", own, new)

    async def unblock(self, request: Request) -> Reply:
        """As before."""
        person = await self._pressed(request)
        own = self._rules.own(person.id)
        new = replace(own, blocked=False, reason="")
        card = await self._allowed(request, person, "unblock", own, new)
        return replace(card, replace=True)

    async def export(self, request: Request) -> Reply:
        """What is kept of them but their words, for whoever asked for it in writing."""
        person = await self._pressed(request)
        row = self._log(request, "export", person, {}, {})
        await self._ledger.record(row)
        content = await self._exporting.content(person, words=False)
        return Reply(
            lines=(
                say(
                    "Everything kept of them but their questions and answers: those are theirs"
                    " alone, by /export."
                ),
            ),
            file=File(f"creditbot-{person.id}.json", content),
            private=True,
        )

    async def ask_erase(self, request: Request) -> Reply:
        """What would be lost, and once more."""
        person = await self._pressed(request)
        stakes = await self._erasing.stakes(person, theirs=False)
        data = {"person": person.id}
        return Reply(
            title=plain(await self._name(person)),
            lines=erasing_lines(stakes.credits, stakes.withdrawable, stakes.keys),
            choices=(
                (
                    Choice(say("Yes, erase them"), "user-erase-now", data, once=True),
                    Choice(say("Cancel"), "user", data),
                ),
            ),
            private=True,
            replace=True,
        )

    async def erase_now(self, request: Request) -> Reply:
        """Gone."""
        person = await self._pressed(request)
        row = self._log(request, "erase", person, {}, {})
        await self._erasing.erase(person, theirs=False, also=row)
        return replace(await self._card(request, person), replace=True)

    # --- helpers --------------------------------------------------------------------------------

    async def _ask(
        self,
        request: Request,
        title: Said,
        blanks: tuple[Blank, ...],
        action: str,
        lines: tuple[Said, ...] = (),
    ) -> Prompt:
        person = await self._pressed(request)
        name = plain(await self._name(person))
        return Prompt(title, (name, *lines), blanks, action, {"person": person.id})

    async def _allowed(
        self, request: Request, person: Person, act: str, own: Allowance, new: Allowance
    ) -> Reply:
        row = self._log(request, act, person, _facts(own), _facts(new))
        await self._rules.allow(person.id, new, by=request.person.id, also=row)
        return await self._card(request, person)

    async def _pressed(self, request: Request) -> Person:
        return await self._people.find(str(request.data["person"]))

    async def _name(self, person: Person) -> str:
        names = [f"{platform}:{id_}" for platform, id_ in await self._people.identities(person.id)]
        return names[0] if names else person.id

    def _log(
        self, request: Request, act: str, person: Person, before: Facts, after: Facts
    ) -> Insert:
        return logged(
            self._clock,
            actor=request.person.id,
            act=act,
            before={"person": person.id, **before},
            after={"person": person.id, **after},
        )


def _number(text: str, *, most: int) -> int:
    """A whole number, 0 or more; raises `UsageError`."""
    word = text.strip().replace(",", "").replace(" ", "")
    if not word.isascii() or not word.isdecimal() or len(word) > len(str(most)) or int(word) > most:
        raise NotUnderstood(say("That is no number I can take. Nothing was changed."))
    return int(word)


def _facts(may: Allowance) -> Facts:
    return {
        "per_minute": may.per_minute or 0,
        "at_once": may.at_once or 0,
        "per_day": 0 if may.per_day is None else may.per_day.units,
        "blocked": int(may.blocked),
        "reason": may.reason,
    }


_POCKETS: Final = {
    "gift": say("Gifts"),
    "bought": say("Bought"),
    "earned": say("Earned"),
}


def card_lines(
    told: Dossier, *, roles: Sequence[str], tier: str, may: Allowance
) -> tuple[Said, ...]:
    """Who they are, what they have, what they did, what they may."""
    return (*_who(told, roles, tier), *_has(told), *_did(told), *limit_lines(may))


def _who(told: Dossier, roles: Sequence[str], tier: str) -> list[Said]:
    lines = [plain(told.person.id), say("Since {at}", at=as_datetime(told.person.created_at))]
    if told.erased_at:
        lines.append(say("Erased {at}", at=as_datetime(told.erased_at)))
    if len(told.names) > 1:
        lines.append(plain(", ".join(told.names)))
    if told.parts:
        lines.append(say("Joined from {count} accounts more", count=told.parts))
    lines += [say("Role: {role}", role=role) for role in sorted(roles)]
    if tier:
        lines.append(say("Tier: {tier}", tier=tier))
    if told.inviter:
        lines.append(say("Invited by {person}", person=told.inviter))
    if told.friends:
        lines.append(say("Invited {count}", count=told.friends))
    return lines


def _has(told: Dossier) -> list[Said]:
    lines = [
        say("{pocket}: {credits}", pocket=_POCKETS[name], credits=in_credits(amount))
        for name, amount in told.pockets.items()
    ]
    if told.held.units:
        lines.append(say("Reserved: {credits}", credits=in_credits(told.held)))
    if told.owed.units:
        lines.append(say("Owes: {credits}", credits=in_credits(told.owed)))
    return lines


def _did(told: Dossier) -> list[Said]:
    answers = (
        say(
            "Answers: {count}, {credits}, the last {at}",
            count=told.asks,
            credits=in_credits(told.spent),
            at=as_datetime(told.last_ask),
        )
        if told.asks
        else say("No answers yet")
    )
    return [
        answers,
        say("Orders: {count}", count=told.orders),
        *(plain(f"{one.id} · {one.state} · {one.credits.units:,}") for one in told.newest_orders),
        *(
            plain(f"{one.supplier} …{one.tail} · {one.state} · {one.credited.units:,}")
            for one in told.keys
        ),
        *(plain(f"{one.id} · {one.state} · {one.credits.units:,}") for one in told.newest_payouts),
    ]
