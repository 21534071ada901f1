"""The operator's pool: `/pool` shows every key; `add`, `budget`, `pause`, `resume` change one.
Dollars may show here.

The key itself is asked for by a form: never written behind the command.
"""

from __future__ import annotations

from typing import Final

from pydantic import SecretStr

from bots.chat.command import Action, Command, Option, Request, Room
from bots.chat.reply import Blank, Choice, Prompt, Reply, Said, plain, say
from bots.commands.errors import NotUnderstood
from bots.commands.text import money
from core.admin_log import Facts, logged
from core.clock import Clock
from core.db.writes import Insert
from core.earnings.termination import Closing
from core.money import NanoUsd, usd
from core.pool.pool import Pool
from core.pool.suppliers import Supplier
from core.pool.types import BY_OPERATOR, KeyCard, UnknownKey

_BUDGET_MAX: Final = usd("1000000")
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
_KEY: Final = Blank("key", say("API key"))
_ACCOUNT: Final = Blank(
    "account", say("Account ID"), say("32 characters, 0–9 and a–f"), least=32, most=32, hidden=False
)
_BUDGET: Final = Blank("budget", say("Dollars that it may cost in all"), most=12, hidden=False)
#: Keys that get a button.
_BUTTONS_MAX: Final = 24


class PoolCommands:
    """The commands that show and change every key: the operator's own, and those of
    contributors."""

    def __init__(self, *, pool: Pool, closing: Closing, clock: Clock) -> None:
        self._pool, self._closing, self._clock = pool, closing, clock

    def room(self) -> Room:
        """Commands and actions."""
        return Room(
            commands=(
                Command(
                    "pool",
                    title=say("Pool"),
                    does=say("Keys, their state and what is left; add or change one"),
                    usage=say("/pool [add supplier budget | budget key dollars | pause key]"),
                    options=(
                        Option("act", say("add, budget, pause or resume"), leads=True),
                        Option(
                            "key",
                            say("Whose key to add, or a key's last four characters"),
                            completes="supplier",
                        ),
                        Option("budget", say("Dollars that the key may cost")),
                    ),
                    handler=self.pool,
                    admin=True,
                    prompts=True,
                ),
            ),
            actions=(
                Action("pool", self.cards, admin=True),
                Action("pool-add", self.add, admin=True),
                Action("pool-key", self.key, admin=True),
                Action("pool-pause", self.pause, admin=True),
                Action("pool-resume", self.resume, admin=True),
                Action("pool-budget", self.ask_budget, admin=True),
                Action("pool-budget-now", self.budget_now, admin=True),
                Action("pool-remove", self.remove, admin=True),
                Action("pool-remove-now", self.remove_now, admin=True),
                Action("pool-stolen", self.stolen, admin=True),
                Action("pool-stolen-now", self.stolen_now, admin=True),
            ),
        )

    def suggestions(self, typed: str) -> list[tuple[str, Said]]:
        """Suppliers whose name holds what was typed."""
        return [
            (name, plain(supplier.title))
            for name, supplier in self._pool.suppliers.items()
            if typed.strip().casefold() in f"{name} {supplier.title.casefold()}"
        ]

    async def pool(self, request: Request) -> Reply | Prompt:
        """Every key, the form for a new one, or one that changes."""
        words = request.text.split()
        match [word.casefold() for word in words[:1]]:
            case []:
                return await self.cards(request)
            case ["budget"]:
                if len(words) != 3:
                    raise NotUnderstood(_HOW_BUDGET)
                card = await self._named(words[1], "budget")
                return await self._budgeted(request, card, _budget(words[2], _HOW_BUDGET))
            case [("pause" | "resume") as act]:
                if len(words) != 2:
                    raise NotUnderstood(Said(_HOW_WHICH.text, {"act": act}))
                card = await self._named(words[1], act)
                return await self._turned(request, card, act)
            case ["add"]:
                words = words[1:]
        if len(words) != 2:
            raise NotUnderstood(_HOW)
        supplier = self._pool.supplier(words[0].casefold())
        return _asked(supplier, _budget(words[1], _HOW))

    # --- looking --------------------------------------------------------------------------------

    async def cards(self, request: Request) -> Reply:
        """Every key."""
        del request
        cards = await self._pool.cards()
        if not cards:
            return Reply(
                lines=(say("There are no keys. Add one: /pool add openai 50"),), private=True
            )
        table = tuple(
            (
                plain(_name(card)),
                plain(card.state),
                plain(money(card.headroom)),
                plain(money(card.used)),
            )
            for card in cards
        )
        heading = (say("Key"), say("State"), say("Left"), say("Used"))
        reasons = tuple(plain(f"{_name(card)}: {card.reason}") for card in cards if card.reason)
        buttons = [
            Choice(plain(_name(card)), "pool-key", {"key": card.id})
            for card in cards[:_BUTTONS_MAX]
        ]
        return Reply(
            title=say("Pool"),
            table=(heading, *table),
            lines=(
                say("{count} models can be served now.", count=len(self._pool.servable())),
                *reasons,
            ),
            choices=tuple(tuple(buttons[n : n + 3]) for n in range(0, len(buttons), 3)),
            private=True,
        )

    async def key(self, request: Request) -> Reply:
        """One of them."""
        return self._card(await self._pressed(request))

    def _card(self, card: KeyCard, *said: Said) -> Reply:
        whose = (
            say("Your own key")
            if card.owner is None
            else say("Contributed by {person}", person=card.owner)
        )
        lines = [
            *said,
            whose,
            say("State: {state}", state=plain(card.state)),
            say(
                "May cost {budget}: {used} used, {held} held, {left} left.",
                budget=money(card.budget),
                used=money(card.used),
                held=money(card.held),
                left=money(card.headroom),
            ),
            say("Serves {count} models.", count=card.models),
        ]
        if card.reason:
            lines.append(say("Reason: {reason}", reason=card.reason))
        if card.last_error:
            lines.append(say("Last fault: {fault}", fault=card.last_error))
        data: dict[str, str | int] = {"key": card.id}
        turn = (
            Choice(say("⏸ Pause"), "pool-pause", data)
            if card.state == "active"
            else Choice(say("▶ Resume"), "pool-resume", data)
        )
        more = (
            (Choice(say("Budget"), "pool-budget", data), Choice(say("Remove"), "pool-remove", data))
            if card.owner is None
            else (Choice(say("Reported stolen"), "pool-stolen", data),)
        )
        return Reply(
            title=plain(_name(card)),
            lines=tuple(lines),
            choices=((turn, *more), (Choice(say("‹ Back"), "pool"),)),
            private=True,
        )

    # --- a new one ------------------------------------------------------------------------------

    async def add(self, request: Request) -> Reply:
        """The key was typed: its supplier is asked about it, then it serves."""
        supplier, budget = str(request.data["supplier"]), NanoUsd(int(request.data["budget"]))
        secret = request.entered["key"]
        account = request.entered.get("account", SecretStr("")).get_secret_value()
        await self._pool.probe(supplier, secret, account=account)
        tail = secret.get_secret_value()[-4:]
        after: Facts = {"supplier": supplier, "tail": tail, "budget": budget.units}
        row = self._log(request, "key", {}, after)
        card = await self._pool.add_own_key(supplier, secret, budget, account=account, also=(row,))
        return Reply(
            (
                say(
                    "Added {supplier} …{tail} with {budget}. It serves within seconds: /pool",
                    supplier=card.supplier,
                    tail=card.tail,
                    budget=money(card.budget),
                ),
            ),
            private=True,
        )

    # --- changing one ---------------------------------------------------------------------------

    async def pause(self, request: Request) -> Reply:
        """It serves nobody until it is resumed; a contributor can't resume it either."""
        return await self._turned(request, await self._pressed(request), "pause")

    async def resume(self, request: Request) -> Reply:
        """It serves again, whatever kept it."""
        return await self._turned(request, await self._pressed(request), "resume")

    async def _turned(self, request: Request, card: KeyCard, act: str) -> Reply:
        state = "paused" if act == "pause" else "active"
        before: Facts = {"key": card.id, "state": card.state}
        row = self._log(request, act, before, {"key": card.id, "state": state})
        if act == "pause":
            await self._pool.set_state(card.id, "paused", BY_OPERATOR, also=(row,))
        else:
            await self._pool.resume(card.id, also=(row,))
        return self._card(await self._known(card.id))

    async def ask_budget(self, request: Request) -> Prompt:
        """How much it may cost."""
        card = await self._pressed(request)
        return Prompt(
            title=plain(_name(card)),
            lines=(
                say(
                    "It may cost {budget}; {used} are used.",
                    budget=money(card.budget),
                    used=money(card.used),
                ),
            ),
            blanks=(_BUDGET,),
            action="pool-budget-now",
            data={"key": card.id},
        )

    async def budget_now(self, request: Request) -> Reply:
        """So much."""
        typed = request.entered["budget"].get_secret_value().strip()
        card = await self._pressed(request)
        return await self._budgeted(request, card, _budget(typed, _HOW_BUDGET))

    async def _budgeted(self, request: Request, card: KeyCard, budget: NanoUsd) -> Reply:
        if card.owner is not None:
            raise NotUnderstood(
                say(
                    "Its owner contributed it: what it may cost is theirs to say. Pause it instead."
                )
            )
        gone = card.used + card.held
        if budget < gone:
            raise NotUnderstood(
                say(
                    "It has used {used} and holds {held}: less than that can't be taken back."
                    " Nothing was changed. To stop it: /pool pause {tail}",
                    used=money(card.used),
                    held=money(card.held),
                    tail=card.tail,
                )
            )
        before: Facts = {"key": card.id, "budget": card.budget.units}
        row = self._log(request, "budget", before, {"key": card.id, "budget": budget.units})
        changed = await self._pool.set_budget(card.id, budget, also=(row,))
        return self._card(changed)

    async def remove(self, request: Request) -> Reply:
        """Asks once more."""
        card = await self._pressed(request)
        return _sure(
            card, say("Remove {key}? It is erased at once.", key=_name(card)), "pool-remove-now"
        )

    async def remove_now(self, request: Request) -> Reply:
        """Erased; what was not used of its budget goes back."""
        card = await self._pressed(request)
        if card.owner is not None:
            raise UnknownKey(card.id)
        row = self._log(request, "remove", {"key": card.id, "state": card.state}, {"key": card.id})
        await self._pool.retire(card.id, also=(row,))
        return Reply((say("{key} is erased.", key=_name(card)),), private=True, replace=True)

    async def stolen(self, request: Request) -> Reply:
        """Asks once more."""
        card = await self._pressed(request)
        return _sure(
            card,
            say(
                "Was {key} reported stolen, by its supplier or its true owner? Then it is erased at"
                " once, and what it brought to {person} and was not paid out is forfeited.",
                key=_name(card),
                person=card.owner or "",
            ),
            "pool-stolen-now",
        )

    async def stolen_now(self, request: Request) -> Reply:
        """Ended; what it brought and was not paid out is forfeited."""
        card = await self._pressed(request)
        before: Facts = {"key": card.id, "state": card.state, "owner": card.owner or ""}
        row = self._log(request, "stolen", before, {"key": card.id})
        await self._closing.forfeit(card.id, row)
        return Reply(
            (say("{key} is erased, and what it brought is forfeited.", key=_name(card)),),
            private=True,
            replace=True,
        )

    # --- helpers --------------------------------------------------------------------------------

    async def _pressed(self, request: Request) -> KeyCard:
        return await self._known(str(request.data["key"]))

    async def _known(self, key: str) -> KeyCard:
        for card in await self._pool.cards():
            if card.id == key:
                return card
        raise UnknownKey(key)

    async def _named(self, word: str, act: str) -> KeyCard:
        """By its id or the end of its secret; of several with the same end none is taken."""
        named = word.removeprefix("…")
        found = [card for card in await self._pool.cards() if named in (card.id, card.tail)]
        if len(found) != 1:
            raise NotUnderstood(Said(_HOW_WHICH.text, {"act": act}))
        return found[0]

    def _log(self, request: Request, act: str, before: Facts, after: Facts) -> Insert:
        return logged(self._clock, actor=request.person.id, act=act, before=before, after=after)


def _name(card: KeyCard) -> str:
    return f"{card.supplier} …{card.tail}"


def _sure(card: KeyCard, question: Said, action: str) -> Reply:
    data: dict[str, str | int] = {"key": card.id}
    choices = (
        Choice(say("Yes, erase it"), action, data, once=True),
        Choice(say("Cancel"), "pool-key", data),
    )
    return Reply((question,), choices=(choices,), private=True, replace=True)


def _asked(supplier: Supplier, budget: NanoUsd) -> Prompt:
    return Prompt(
        title=say("A key of {supplier}", supplier=supplier.title),
        lines=(
            say("It may cost {budget}.", budget=money(budget)),
            say("It is tried at its supplier, sealed, and shown to nobody again."),
        ),
        blanks=(_KEY, _ACCOUNT) if supplier.wire == "cloudflare" else (_KEY,),
        action="pool-add",
        data={"supplier": supplier.name, "budget": budget.units},
    )


def _budget(text: str, how: Said) -> NanoUsd:
    try:
        budget = usd(text.removeprefix("$"))
    except ValueError:
        raise NotUnderstood(how) from None
    if not NanoUsd(0) < budget <= _BUDGET_MAX:
        raise NotUnderstood(how)
    return budget
