"""`/users`: a person's card. Support reads; admins give, limit, block, hand out what is kept,
erase. Nobody's questions or answers are shown to anyone but them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from bots.chat.command import Arguments, Request, action, argument, command
from bots.chat.reply import (
    Choice,
    FormField,
    FormRequest,
    Phrase,
    Reply,
    ReplyFile,
    plain,
    say,
    say_count,
)
from bots.commands.admin.limits import make_limit_lines
from bots.commands.admin.person_names import PersonNames
from bots.commands.arguments import parse_number
from bots.commands.erase import list_erasure_losses
from bots.commands.errors import UsageError
from bots.commands.export import ExportCommands
from bots.commands.text import format_credits, get_supplier_title
from bots.commands.topup import ORDER_STATE_NAMES
from bots.commands.withdraw import STATE_NAMES
from bots.services import AdminServices, Foundation, PricingServices, UserServices
from core.admin.user_search import UserDetails
from core.admin_log import Facts, admin_log_row
from core.asks.repository import AskHistory
from core.clock import as_datetime
from core.db.writes import Insert
from core.earnings.types import ContributionState
from core.money import Credits
from core.users.balances import grant_gift
from core.users.limits import Allowance
from core.users.types import Person

_PAGE_SIZE: Final = 8
_ANSWERS_SHOWN: Final = 15
_GRANT_MAX: Final = 100_000_000
_LIMIT_MAX: Final = 10**9
_AMOUNT_FIELD: Final = FormField(
    "credits", say("Credits"), say("A whole number above zero"), hidden=False
)
_REASON_FIELD: Final = FormField("reason", say("Why"), max_length=200, hidden=False)


@dataclass(frozen=True, slots=True)
class UsersArguments(Arguments):
    """What follows `/users`."""

    who: str = argument(
        say("A name, an order's id, or a key's end"),
        say("telegram:123 | id | order | end of a key"),
    )


_PAYOUT_STATE_NAMES: Final = {str(state): name for state, name in STATE_NAMES.items()}
_CONTRIBUTION_STATE_NAMES: Final[Mapping[ContributionState, Phrase]] = {
    "offered": say("not yet lent"),
    "open": say("lent"),
    "closing": say("being taken back"),
    "closed": say("ended"),
}


class UserCommands:
    """The commands that list and find people, show their card, and act from it."""

    def __init__(
        self,
        *,
        users: UserServices,
        admin: AdminServices,
        base: Foundation,
        export_commands: ExportCommands,
        pricing: PricingServices,
        ask_history: AskHistory,
        person_names: PersonNames,
    ) -> None:
        self._deals, self._catalogue = pricing.deals, pricing.catalogue
        self._ask_history = ask_history
        self._users, self._roles, self._user_limits = users.users, users.roles, users.limits
        self._user_search, self._erasure = admin.user_search, admin.erasure
        self._ledger, self._clock = base.ledger, base.clock
        self._export_commands, self._person_names = export_commands, person_names

    # --- looking --------------------------------------------------------------------------------

    @command(
        "users",
        title=say("People"),
        description=say("Find a person, and what they have, ask, buy and contribute"),
        arguments=UsersArguments,
        admin_only=True,
        support_allowed=True,
    )
    async def users(self, request: Request, given: UsersArguments) -> Reply:
        """The newest, or whom the words mean."""
        if not given.who:
            return await self._page_card("", replace_=False)
        found = await self._user_search.find(given.who)
        if len(found) > 1:
            return await self._list_card(found, has_more=False)
        return await self._user_card(request, found[0])

    @action("users", admin_only=True, support_allowed=True)
    async def show_page(self, request: Request) -> Reply:
        """Older ones."""
        return await self._page_card(str(request.data["before"]), replace_=True)

    @action("user", admin_only=True, support_allowed=True)
    async def user(self, request: Request) -> Reply:
        """One of them."""
        return replace(
            await self._user_card(request, await self._get_pressed_person(request)), replace=True
        )

    async def _page_card(self, before: str, *, replace_: bool) -> Reply:
        found = await self._user_search.list_newest(_PAGE_SIZE + 1, before=before)
        card = await self._list_card(found[:_PAGE_SIZE], has_more=len(found) > _PAGE_SIZE)
        return replace(card, replace=replace_)

    async def _list_card(self, found: list[Person], *, has_more: bool) -> Reply:
        names = await self._person_names.describe_all(found)
        choices = [
            (Choice(plain(names[person.id]), "user", {"person": person.id}),) for person in found
        ]
        if has_more:
            choices.append((Choice(say("Older ▸"), "users", {"before": found[-1].id}),))
        return Reply(
            title=say("People"),
            lines=(
                say("People in all: {count}", count=await self._user_search.count_people()),
                say("To find one: /users with an id, a name like telegram:123, or an order."),
            ),
            table=tuple(
                (plain(names[person.id]), say("{at}", at=as_datetime(person.created_at)))
                for person in found
            ),
            choices=tuple(choices),
            private=True,
        )

    async def _user_card(self, request: Request, person: Person) -> Reply:
        details = await self._user_search.get_details(person)
        data = {"person": person.id}
        history = Choice(say("History"), "user-history", data)
        rows: tuple[tuple[Choice, ...], ...] = ((history,),)
        if request.is_admin and not details.erased_at:
            blocked = self._user_limits.get_allowance(person.id).blocked
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
        await self._deals.load_person(person.id)
        tier = self._deals.find_tier(person.id)
        roles = {self._roles.get_role(*name.split(":", 1)) for name in details.names}
        return Reply(
            title=plain(await self._get_name(person)),
            lines=list_user_lines(
                details,
                roles=[role for role in roles if role is not None],
                tier="" if tier is None else tier.name,
                allowance=self._user_limits.get_allowance(person.id),
            ),
            choices=rows,
            private=True,
        )

    @action("user-history", admin_only=True, support_allowed=True)
    async def user_history(self, request: Request) -> Reply:
        """The latest answers: when, which model, how many Credits; never a word of them."""
        person = await self._get_pressed_person(request)
        charges = await self._ask_history.list_latest_charges(
            await self._users.list_merged_ids(person.id), _ANSWERS_SHOWN
        )
        return Reply(
            title=plain(await self._get_name(person)),
            lines=() if charges else (say("No answers yet"),),
            table=tuple(
                (
                    say("{at}", at=as_datetime(one.at)),
                    plain(self._catalogue.get_name(one.model)),
                    format_credits(one.charge),
                )
                for one in charges
            ),
            choices=((Choice(say("‹ Back"), "user", {"person": person.id}),),),
            private=True,
            replace=True,
        )

    # --- acts -----------------------------------------------------------------------------------

    @action("user-grant", admin_only=True)
    async def user_grant(self, request: Request) -> FormRequest:
        """How many, and why."""
        return await self._make_form(
            request, say("Give Credits"), (_AMOUNT_FIELD, _REASON_FIELD), "user-grant-now"
        )

    @action("user-grant-now", admin_only=True)
    async def user_grant_now(self, request: Request) -> Reply:
        """Given, once a form."""
        person, entered = await self._get_pressed_person(request), request.entered
        amount = parse_number(
            entered["credits"].get_secret_value(), say("Nothing was moved."), most=_GRANT_MAX
        )
        await grant_gift(
            self._ledger,
            self._clock,
            cause=request.button,
            person=person,
            amount=Credits(amount),
            actor=request.person.id,
            reason=entered["reason"].get_secret_value().strip(),
        )
        return await self._user_card(request, person)

    @action("user-limit", admin_only=True)
    async def user_limit(self, request: Request) -> FormRequest:
        """Three numbers."""
        person = await self._get_pressed_person(request)
        override = self._user_limits.get_override(person.id)
        usual = say("0: as everyone")
        day = override.per_day
        now = (override.per_minute, override.at_once, None if day is None else day.units)
        labels = (say("Asks a minute"), say("Asks at once"), say("Credits a day"))
        form_fields = tuple(
            FormField(name, label, usual, max_length=10, hidden=False)
            for name, label in zip(("minute", "once", "day"), labels, strict=True)
        )
        lines = tuple(
            say("{label}: {number} now", label=label, number=number)
            for label, number in zip(labels, now, strict=True)
            if number is not None
        )
        return await self._make_form(request, say("Limit"), form_fields, "user-limit-now", lines)

    @action("user-limit-now", admin_only=True)
    async def user_limit_now(self, request: Request) -> Reply:
        """Set."""
        person, entered = await self._get_pressed_person(request), request.entered
        minute, once, day = (
            parse_number(
                entered[name].get_secret_value(),
                say("Nothing was changed."),
                least=0,
                most=_LIMIT_MAX,
            )
            for name in ("minute", "once", "day")
        )
        override = self._user_limits.get_override(person.id)
        new = replace(
            override,
            per_minute=minute or None,
            at_once=once or None,
            per_day=Credits(day) if day else None,
        )
        return await self._set_allowance(request, person, "limit", override, new)

    @action("user-block", admin_only=True)
    async def user_block(self, request: Request) -> FormRequest:
        """Why."""
        lines = (say("They can't ask, buy, contribute or withdraw until you unblock them."),)
        return await self._make_form(
            request, say("Block"), (_REASON_FIELD,), "user-block-now", lines
        )

    @action("user-block-now", admin_only=True)
    async def user_block_now(self, request: Request) -> Reply:
        """Blocked."""
        person = await self._get_pressed_person(request)
        for platform, id_ in await self._users.list_identities(person.id):
            if self._roles.get_role(platform, id_) is not None:
                raise UsageError(
                    say("They help you run this: take their role first. Nothing was changed.")
                )
        override = self._user_limits.get_override(person.id)
        reason = request.entered["reason"].get_secret_value().strip()
        new = replace(override, blocked=True, reason=reason)
        return await self._set_allowance(request, person, "block", override, new)

    @action("user-unblock", admin_only=True)
    async def user_unblock(self, request: Request) -> Reply:
        """As before."""
        person = await self._get_pressed_person(request)
        override = self._user_limits.get_override(person.id)
        new = replace(override, blocked=False, reason="")
        card = await self._set_allowance(request, person, "unblock", override, new)
        return replace(card, replace=True)

    @action("user-export", admin_only=True)
    async def user_export(self, request: Request) -> Reply:
        """What is kept of them but their words, for whoever asked for it in writing."""
        person = await self._get_pressed_person(request)
        row = self._admin_log_row(request, "export", person, {}, {})
        await self._ledger.record(row)
        content = await self._export_commands.build_export(person, with_words=False)
        return Reply(
            lines=(
                say(
                    "Everything kept of them but their questions and answers: those are theirs"
                    " alone, by /export."
                ),
            ),
            file=ReplyFile(f"creditbot-{person.id}.json", content),
            private=True,
        )

    @action("user-erase", admin_only=True)
    async def user_erase(self, request: Request) -> Reply:
        """What would be lost, and once more."""
        person = await self._get_pressed_person(request)
        losses = await self._erasure.get_losses(person, is_own_request=False)
        data = {"person": person.id}
        return Reply(
            title=plain(await self._get_name(person)),
            lines=list_erasure_losses(losses.credits, losses.withdrawable, losses.keys),
            choices=(
                (
                    Choice(say("Yes, erase them"), "user-erase-now", data, once=True),
                    Choice(say("Cancel"), "user", data),
                ),
            ),
            private=True,
            replace=True,
        )

    @action("user-erase-now", admin_only=True)
    async def user_erase_now(self, request: Request) -> Reply:
        """Gone."""
        person = await self._get_pressed_person(request)
        row = self._admin_log_row(request, "erase", person, {}, {})
        await self._erasure.erase_person(person, is_own_request=False, companion=row)
        return replace(await self._user_card(request, person), replace=True)

    # --- helpers --------------------------------------------------------------------------------

    async def _make_form(
        self,
        request: Request,
        title: Phrase,
        form_fields: tuple[FormField, ...],
        action: str,
        lines: tuple[Phrase, ...] = (),
    ) -> FormRequest:
        person = await self._get_pressed_person(request)
        name = plain(await self._get_name(person))
        return FormRequest(title, (name, *lines), form_fields, action, {"person": person.id})

    async def _set_allowance(
        self, request: Request, person: Person, action: str, old: Allowance, new: Allowance
    ) -> Reply:
        row = self._admin_log_row(
            request, action, person, _allowance_facts(old), _allowance_facts(new)
        )
        await self._user_limits.set_allowance(
            person.id, new, actor=request.person.id, companion=row
        )
        return await self._user_card(request, person)

    async def _get_pressed_person(self, request: Request) -> Person:
        return await self._users.find(str(request.data["person"]))

    async def _get_name(self, person: Person) -> str:
        return await self._person_names.describe(person)

    def _admin_log_row(
        self, request: Request, action: str, person: Person, before: Facts, after: Facts
    ) -> Insert:
        return admin_log_row(
            self._clock,
            actor=request.person.id,
            act=action,
            before={"person": person.id, **before},
            after={"person": person.id, **after},
        )


def _allowance_facts(allowance: Allowance) -> Facts:
    return {
        "per_minute": allowance.per_minute or 0,
        "at_once": allowance.at_once or 0,
        "per_day": 0 if allowance.per_day is None else allowance.per_day.units,
        "blocked": int(allowance.blocked),
        "reason": allowance.reason,
    }


_POCKET_NAMES: Final = {
    "gift": say("Gifts"),
    "bought": say("Bought"),
    "earned": say("Earned"),
}


def list_user_lines(
    details: UserDetails, *, roles: Sequence[str], tier: str, allowance: Allowance
) -> tuple[Phrase, ...]:
    """Who they are, what they have, what they did, what they may."""
    return (
        *_identity_lines(details, roles, tier),
        *_balance_lines(details),
        *_activity_lines(details),
        *make_limit_lines(allowance),
    )


def _identity_lines(details: UserDetails, roles: Sequence[str], tier: str) -> list[Phrase]:
    lines = [plain(details.person.id), say("Since {at}", at=as_datetime(details.person.created_at))]
    if details.erased_at:
        lines.append(say("Erased {at}", at=as_datetime(details.erased_at)))
    if len(details.names) > 1:
        lines.append(plain(", ".join(details.names)))
    if details.merged_count:
        lines.append(
            say_count(
                "Includes one linked account",
                "Includes {count} linked accounts",
                details.merged_count,
            )
        )
    lines += [say("Role: {role}", role=role) for role in sorted(roles)]
    if tier:
        lines.append(say("Tier: {tier}", tier=tier))
    if details.inviter:
        lines.append(say("Invited by {person}", person=details.inviter))
    if details.friend_count:
        lines.append(say("Invited {count}", count=details.friend_count))
    return lines


def _balance_lines(details: UserDetails) -> list[Phrase]:
    lines = [
        say("{pocket}: {credits}", pocket=_POCKET_NAMES[name], credits=format_credits(amount))
        for name, amount in details.pockets.items()
    ]
    if details.held.units:
        lines.append(say("Reserved: {credits}", credits=format_credits(details.held)))
    if details.owed.units:
        lines.append(say("Owes: {credits}", credits=format_credits(details.owed)))
    return lines


def _activity_lines(details: UserDetails) -> list[Phrase]:
    answers = (
        say(
            "Answers: {count}, {credits}, the last {at}",
            count=details.ask_count,
            credits=format_credits(details.spent),
            at=as_datetime(details.last_ask_at),
        )
        if details.ask_count
        else say("No answers yet")
    )
    return [
        answers,
        say("Orders: {count}", count=details.order_count),
        *(
            _record_line(one.id, ORDER_STATE_NAMES.get(one.state), one.credits)
            for one in details.newest_orders
        ),
        *(
            _record_line(
                f"{get_supplier_title(one.supplier)} …{one.tail}",
                _CONTRIBUTION_STATE_NAMES[one.state],
                one.credited,
            )
            for one in details.keys
        ),
        *(
            _record_line(one.id, _PAYOUT_STATE_NAMES.get(one.state), one.credits)
            for one in details.newest_payouts
        ),
    ]


def _record_line(what: str, state: Phrase | None, amount: Credits) -> Phrase:
    return say(
        "{what} · {state} · {credits}",
        what=what,
        state=plain("–") if state is None else state,
        credits=format_credits(amount),
    )
