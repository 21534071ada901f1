"""The operator's pool: `/pool` shows every key; `add`, `budget`, `pause`, `resume` change one.
Dollars may show here.

The key itself is asked for by a form: never written behind the command.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydantic import SecretStr

from bots.chat.command import Arguments, Request, action, argument, command
from bots.chat.reply import Choice, FormField, FormRequest, Phrase, Reply, plain, say, say_count
from bots.commands.arguments import make_usage_error, normalize, shorten
from bots.commands.errors import UsageError
from bots.commands.text import get_supplier_title
from core.admin_log import Facts, admin_log_row
from core.clock import Clock
from core.db.writes import Insert
from core.earnings.termination import ContributionTermination
from core.money import NanoUsd, format_usd, parse_usd
from core.pool.pool import Pool
from core.pool.suppliers import Supplier
from core.pool.types import BY_OPERATOR, KeySummary, UnknownKey

_BUDGET_MAX: Final = parse_usd("1000000")
_HOW: Final = say(
    "Write it like this: /pool add openai 50 (dollars that the key may cost, above zero, at most"
    " 1,000,000). The key itself is asked for afterwards. Nothing was changed."
)
_HOW_BUDGET: Final = say(
    "Write it like this: /pool budget 1a2b 50 (the key's last four characters, and the dollars that"
    " it may cost in all). Nothing was changed."
)
_HOW_WHICH: Final = say(
    "Which key? Write its last four characters or its id: /pool {act} 1a2b. Nothing was changed."
)
_KEY_FIELD: Final = FormField("key", say("API key"))
_ACCOUNT_FIELD: Final = FormField(
    "account",
    say("Account ID"),
    say("32 characters, 0–9 and a–f"),
    min_length=32,
    max_length=32,
    hidden=False,
)
_BUDGET_FIELD: Final = FormField(
    "budget", say("Dollars that it may cost in all"), max_length=12, hidden=False
)
_STATE_NAMES: Final = {
    "submitted": say("submitted"),
    "validated": say("validated"),
    "active": say("active"),
    "cooling": say("cooling"),
    "parked": say("parked"),
    "exhausted": say("exhausted"),
    "dead": say("dead"),
    "withdrawn": say("withdrawn"),
    "paused": say("paused"),
    "moved": say("address changed"),
}
#: Keys that get a button.
_BUTTONS_MAX: Final = 24


@dataclass(frozen=True, slots=True)
class PoolArguments(Arguments):
    """What follows `/pool`."""

    act: str = argument(
        say("add, budget, pause or resume"),
        say("add supplier budget | budget key dollars | pause key"),
    )
    key: str = argument(
        say("Whose key to add, or a key's last four characters"), completion="supplier"
    )
    budget: str = argument(say("Dollars that the key may cost"))


#: A key is sealed for one address and is sent nowhere else.
_MOVED: Final = say(
    "A key serves only at the address that it was given for. Where that address has changed, set"
    " the old one again, or add the key anew."
)


class PoolCommands:
    """The commands that show and change every key: the operator's own, and those of
    contributors."""

    def __init__(self, *, pool: Pool, termination: ContributionTermination, clock: Clock) -> None:
        self._pool, self._termination, self._clock = pool, termination, clock

    def suggest_suppliers(self, typed: str) -> list[tuple[str, Phrase]]:
        """Suppliers whose name holds what was typed."""
        return [
            (name, plain(supplier.title))
            for name, supplier in self._pool.suppliers.items()
            if typed.strip().casefold() in f"{name} {supplier.title.casefold()}"
        ]

    @command(
        "pool",
        title=say("Pool"),
        description=say("Keys, their state and what is left; add or change one"),
        arguments=PoolArguments,
        admin_only=True,
        opens_form=True,
    )
    async def pool(self, request: Request, given: PoolArguments) -> Reply | FormRequest:
        """Every key, the form for a new one, or one that changes."""
        words = given.words
        match [word.casefold() for word in words[:1]]:
            case []:
                return await self.list_keys(request)
            case ["budget"]:
                if len(words) != 3:
                    raise make_usage_error(say("A key and a budget are needed."), _HOW_BUDGET)
                card = await self._find_key(words[1], "budget")
                return await self._set_budget(request, card, _parse_budget(words[2], _HOW_BUDGET))
            case [("pause" | "resume") as act]:
                if len(words) != 2:
                    raise UsageError(Phrase(_HOW_WHICH.text, {"act": act}))
                card = await self._find_key(words[1], act)
                return await self._set_state(request, card, act)
            case ["add"]:
                words = words[1:]
        if len(words) != 2:
            raise make_usage_error(say("A supplier and a budget are needed."), _HOW)
        supplier = self._pool.get_supplier(words[0].casefold())
        return _make_key_form(supplier, _parse_budget(words[1], _HOW))

    # --- looking --------------------------------------------------------------------------------

    @action("pool", admin_only=True)
    async def list_keys(self, request: Request) -> Reply:
        """Every key."""
        del request
        cards = await self._pool.list_keys()
        if not cards:
            return Reply(
                lines=(say("There are no keys. Add one: /pool add openai 50"),), private=True
            )
        table = tuple(
            (
                plain(_key_name(card)),
                _state_name(card),
                plain(format_usd(card.headroom)),
                plain(format_usd(card.used)),
            )
            for card in cards
        )
        heading = (say("Key"), say("State"), say("Left"), say("Used"))
        reasons = tuple(plain(f"{_key_name(card)}: {card.reason}") for card in cards if card.reason)
        if any(card.state == "moved" for card in cards):
            reasons = (*reasons, _MOVED)
        buttons = [
            Choice(plain(_key_name(card)), "pool-key", {"key": card.id})
            for card in cards[:_BUTTONS_MAX]
        ]
        return Reply(
            title=say("Pool"),
            table=(heading, *table),
            lines=(
                say_count(
                    "{count} model can be served now.",
                    "{count} models can be served now.",
                    len(self._pool.list_servable_models()),
                ),
                *reasons,
            ),
            choices=tuple(tuple(buttons[n : n + 3]) for n in range(0, len(buttons), 3)),
            private=True,
        )

    @action("pool-key", admin_only=True)
    async def pool_key(self, request: Request) -> Reply:
        """One of them."""
        return self._key_card(await self._get_pressed_key(request))

    def _key_card(self, card: KeySummary, *first_lines: Phrase) -> Reply:
        contributor_line = (
            say("Your own key")
            if card.contributor is None
            else say("Contributed by {person}", person=card.contributor)
        )
        lines = [
            *first_lines,
            contributor_line,
            say("State: {state}", state=_state_name(card)),
            say(
                "May cost {budget}: {used} used, {held} held, {left} left.",
                budget=format_usd(card.budget),
                used=format_usd(card.used),
                held=format_usd(card.held),
                left=format_usd(card.headroom),
            ),
            say_count("Serves {count} model.", "Serves {count} models.", card.models),
        ]
        if card.state == "moved":
            lines.append(_MOVED)
        if card.reason:
            lines.append(say("Reason: {reason}", reason=card.reason))
        if card.last_error:
            lines.append(say("Last fault: {fault}", fault=card.last_error))
        data: dict[str, str | int] = {"key": card.id}
        toggle = (
            Choice(say("⏸ Pause"), "pool-pause", data)
            if card.state == "active"
            else Choice(say("▶ Resume"), "pool-resume", data)
        )
        more = (
            (Choice(say("Budget"), "pool-budget", data), Choice(say("Remove"), "pool-remove", data))
            if card.contributor is None
            else (Choice(say("Reported stolen"), "pool-stolen", data),)
        )
        return Reply(
            title=plain(_key_name(card)),
            lines=tuple(lines),
            choices=((toggle, *more), (Choice(say("‹ Back"), "pool"),)),
            private=True,
        )

    # --- a new one ------------------------------------------------------------------------------

    @action("pool-add", admin_only=True)
    async def pool_add(self, request: Request) -> Reply:
        """The key was typed: its supplier is asked about it, then it serves."""
        supplier, budget = str(request.data["supplier"]), NanoUsd(int(request.data["budget"]))
        secret = request.entered["key"]
        account = request.entered.get("account", SecretStr("")).get_secret_value()
        await self._pool.list_key_models(supplier, secret, account_id=account)
        tail = secret.get_secret_value()[-4:]
        after: Facts = {"supplier": supplier, "tail": tail, "budget": budget.units}
        row = self._admin_log_row(request, "key", {}, after)
        card = await self._pool.add_own_key(
            supplier, secret, budget, account_id=account, also=(row,)
        )
        return Reply(
            (
                say(
                    "Added {supplier} …{tail} with {budget}. It serves within seconds: /pool",
                    supplier=get_supplier_title(card.supplier),
                    tail=card.tail,
                    budget=format_usd(card.budget),
                ),
            ),
            private=True,
        )

    # --- changing one ---------------------------------------------------------------------------

    @action("pool-pause", admin_only=True)
    async def pool_pause(self, request: Request) -> Reply:
        """It serves nobody until it is resumed; a contributor can't resume it either."""
        return await self._set_state(request, await self._get_pressed_key(request), "pause")

    @action("pool-resume", admin_only=True)
    async def pool_resume(self, request: Request) -> Reply:
        """It serves again, whatever kept it."""
        return await self._set_state(request, await self._get_pressed_key(request), "resume")

    async def _set_state(self, request: Request, card: KeySummary, action: str) -> Reply:
        state = "paused" if action == "pause" else "active"
        before: Facts = {"key": card.id, "state": card.state}
        row = self._admin_log_row(request, action, before, {"key": card.id, "state": state})
        if action == "pause":
            await self._pool.set_key_state(card.id, "paused", BY_OPERATOR, also=(row,))
        else:
            await self._pool.resume_key(card.id, also=(row,))
        return self._key_card(await self._get_key(card.id))

    @action("pool-budget", admin_only=True)
    async def pool_budget(self, request: Request) -> FormRequest:
        """How much it may cost."""
        card = await self._get_pressed_key(request)
        return FormRequest(
            title=plain(_key_name(card)),
            lines=(
                say(
                    "It may cost {budget}; {used} are used.",
                    budget=format_usd(card.budget),
                    used=format_usd(card.used),
                ),
            ),
            fields=(_BUDGET_FIELD,),
            action="pool-budget-now",
            data={"key": card.id},
        )

    @action("pool-budget-now", admin_only=True)
    async def pool_budget_now(self, request: Request) -> Reply:
        """So much."""
        typed = request.entered["budget"].get_secret_value().strip()
        card = await self._get_pressed_key(request)
        return await self._set_budget(request, card, _parse_budget(typed, _HOW_BUDGET))

    async def _set_budget(self, request: Request, card: KeySummary, budget: NanoUsd) -> Reply:
        if card.contributor is not None:
            raise UsageError(
                say(
                    "Its owner contributed it: what it may cost is theirs to say. Pause it instead."
                )
            )
        unavailable = card.used + card.held
        if budget < unavailable:
            raise UsageError(
                say(
                    "It has used {used} and holds {held}: less than that can't be taken back."
                    " Nothing was changed. To stop it: /pool pause {tail}",
                    used=format_usd(card.used),
                    held=format_usd(card.held),
                    tail=card.tail,
                )
            )
        before: Facts = {"key": card.id, "budget": card.budget.units}
        row = self._admin_log_row(
            request, "budget", before, {"key": card.id, "budget": budget.units}
        )
        changed = await self._pool.set_key_budget(card.id, budget, also=(row,))
        return self._key_card(changed)

    @action("pool-remove", admin_only=True)
    async def pool_remove(self, request: Request) -> Reply:
        """Asks once more."""
        card = await self._get_pressed_key(request)
        return _confirm_card(
            card, say("Remove {key}? It is erased at once.", key=_key_name(card)), "pool-remove-now"
        )

    @action("pool-remove-now", admin_only=True)
    async def pool_remove_now(self, request: Request) -> Reply:
        """Erased; what was not used of its budget goes back."""
        card = await self._get_pressed_key(request)
        if card.contributor is not None:
            raise UnknownKey(card.id)
        row = self._admin_log_row(
            request, "remove", {"key": card.id, "state": card.state}, {"key": card.id}
        )
        await self._pool.revoke_key(card.id, also=(row,))
        return Reply((say("{key} is erased.", key=_key_name(card)),), private=True, replace=True)

    @action("pool-stolen", admin_only=True)
    async def pool_stolen(self, request: Request) -> Reply:
        """Asks once more."""
        card = await self._get_pressed_key(request)
        return _confirm_card(
            card,
            say(
                "Was {key} reported stolen, by its supplier or its true owner? Then it is erased at"
                " once, and what it brought to {person} and was not paid out is forfeited.",
                key=_key_name(card),
                person=card.contributor or "",
            ),
            "pool-stolen-now",
        )

    @action("pool-stolen-now", admin_only=True)
    async def pool_stolen_now(self, request: Request) -> Reply:
        """Ended; what it brought and was not paid out is forfeited."""
        card = await self._get_pressed_key(request)
        before: Facts = {"key": card.id, "state": card.state, "owner": card.contributor or ""}
        row = self._admin_log_row(request, "stolen", before, {"key": card.id})
        await self._termination.forfeit_contribution(card.id, row)
        return Reply(
            (say("{key} is erased, and what it brought is forfeited.", key=_key_name(card)),),
            private=True,
            replace=True,
        )

    # --- helpers --------------------------------------------------------------------------------

    async def _get_pressed_key(self, request: Request) -> KeySummary:
        return await self._get_key(str(request.data["key"]))

    async def _get_key(self, key_id: str) -> KeySummary:
        for card in await self._pool.list_keys():
            if card.id == key_id:
                return card
        raise UnknownKey(key_id)

    async def _find_key(self, word: str, action: str) -> KeySummary:
        """By its id or the end of its secret; of several with the same end none is taken."""
        named = word.removeprefix("…")
        found = [card for card in await self._pool.list_keys() if named in (card.id, card.tail)]
        how = Phrase(_HOW_WHICH.text, {"act": action})
        if not found:
            wrong = say("No key ends in “{typed}”.", typed=shorten(named))
            raise make_usage_error(wrong, how)
        if len(found) > 1:
            raise UsageError(
                say(
                    "Several keys end in {tail}: choose one from the buttons of /pool. Nothing was"
                    " changed.",
                    tail=named,
                )
            )
        return found[0]

    def _admin_log_row(self, request: Request, act: str, before: Facts, after: Facts) -> Insert:
        return admin_log_row(
            self._clock, actor=request.person.id, act=act, before=before, after=after
        )


def _state_name(card: KeySummary) -> Phrase:
    return _STATE_NAMES.get(card.state) or plain(card.state)


def _key_name(card: KeySummary) -> str:
    return f"{get_supplier_title(card.supplier)} …{card.tail}"


def _confirm_card(card: KeySummary, question: Phrase, action: str) -> Reply:
    data: dict[str, str | int] = {"key": card.id}
    choices = (
        Choice(say("Yes, erase it"), action, data, once=True),
        Choice(say("Cancel"), "pool-key", data),
    )
    return Reply((question,), choices=(choices,), private=True, replace=True)


def _make_key_form(supplier: Supplier, budget: NanoUsd) -> FormRequest:
    return FormRequest(
        title=say("A key of {supplier}", supplier=supplier.title),
        lines=(
            say("It may cost {budget}.", budget=format_usd(budget)),
            say("It is checked at its supplier, sealed, and never shown again."),
        ),
        fields=(_KEY_FIELD, _ACCOUNT_FIELD) if supplier.wire == "cloudflare" else (_KEY_FIELD,),
        action="pool-add",
        data={"supplier": supplier.name, "budget": budget.units},
    )


def _parse_budget(text: str, how: Phrase) -> NanoUsd:
    try:
        budget = parse_usd(normalize(text).removeprefix("$"))
    except ValueError:
        wrong = say("“{typed}” is no amount in dollars.", typed=shorten(text))
        raise make_usage_error(wrong, how) from None
    if not NanoUsd(0) < budget <= _BUDGET_MAX:
        wrong = say(
            "“{typed}” is not above zero and at most {most}.",
            typed=shorten(text),
            most=format_usd(_BUDGET_MAX),
        )
        raise make_usage_error(wrong, how)
    return budget
