"""The operator's keys: `/pool` shows them, `/pool add` takes one. Dollars may show here.

The key itself is asked for by a prompt: never written behind the command.
"""

from __future__ import annotations

from pydantic import SecretStr

from bots.commands.phrases import money
from bots.commands.refusals import NotUnderstood
from bots.commands.types import Action, Command, Option, Request, Room
from bots.reply import Blank, Prompt, Reply, Said, plain, say
from core.clock import Clock
from core.desk import Facts, logged
from core.pool import Pool, Supplier
from core.units import NanoUsd, usd

_BUDGET_MAX = usd("1000000")
_HOW = say(
    "Write it like this: /pool add openai 50 (dollars that the key may cost, above zero, at most"
    " 1,000,000). The key itself is asked for afterwards. Nothing was changed."
)
_KEY = Blank("key", say("API key"))
_ACCOUNT = Blank(
    "account", say("Account ID"), say("32 characters, 0–9 and a–f"), least=32, most=32, hidden=False
)


class PoolCommands:
    """Keys of the operator's own, from chat."""

    def __init__(self, *, pool: Pool, clock: Clock) -> None:
        self._pool, self._clock = pool, clock

    def room(self) -> Room:
        """Commands and actions."""
        return Room(
            commands=(
                Command(
                    "pool",
                    title=say("Pool"),
                    does=say("Keys, their state and what is left; add one of your own"),
                    usage=say("/pool [add supplier budget]"),
                    options=(
                        Option("supplier", say("Whose key to add"), completes="supplier"),
                        Option("budget", say("Dollars that the key may cost")),
                    ),
                    handler=self.pool,
                    admin=True,
                    prompts=True,
                ),
            ),
            actions=(Action("pool-add", self.add, admin=True),),
        )

    def suggestions(self, typed: str) -> list[tuple[str, Said]]:
        """Suppliers whose name holds what was typed."""
        return [
            (name, plain(supplier.title))
            for name, supplier in self._pool.suppliers.items()
            if typed.strip().casefold() in f"{name} {supplier.title.casefold()}"
        ]

    async def pool(self, request: Request) -> Reply | Prompt:
        """Every key, or the prompt for a new one."""
        words = request.text.split()
        if not words:
            return await self._cards()
        if words[0].casefold() == "add":
            words = words[1:]
        if len(words) != 2:
            raise NotUnderstood(_HOW)
        supplier = self._pool.supplier(words[0].casefold())
        return _asked(supplier, _budget(words[1]))

    async def add(self, request: Request) -> Reply:
        """The key was typed: its supplier is asked about it, then it serves."""
        supplier, budget = str(request.data["supplier"]), NanoUsd(int(request.data["budget"]))
        secret = request.entered["key"]
        account = request.entered.get("account", SecretStr("")).get_secret_value()
        await self._pool.probe(supplier, secret, account=account)
        tail = secret.get_secret_value()[-4:]
        after: Facts = {"supplier": supplier, "tail": tail, "budget": budget.units}
        row = logged(self._clock, actor=request.person.id, act="key", before={}, after=after)
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

    async def _cards(self) -> Reply:
        cards = await self._pool.cards()
        if not cards:
            return Reply(
                lines=(say("There are no keys. Add one: /pool add openai 50"),), private=True
            )
        table = tuple(
            (
                plain(f"{card.supplier} …{card.tail}"),
                plain(card.state),
                plain(money(card.headroom)),
                plain(money(card.used)),
            )
            for card in cards
        )
        heading = (say("Key"), say("State"), say("Left"), say("Used"))
        reasons = tuple(
            plain(f"{card.supplier} …{card.tail}: {card.reason}") for card in cards if card.reason
        )
        return Reply(
            title=say("Pool"),
            table=(heading, *table),
            lines=(
                say("{count} models can be served now.", count=len(self._pool.servable())),
                *reasons,
            ),
            private=True,
        )


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


def _budget(text: str) -> NanoUsd:
    try:
        budget = usd(text.removeprefix("$"))
    except ValueError:
        raise NotUnderstood(_HOW) from None
    if not NanoUsd(0) < budget <= _BUDGET_MAX:
        raise NotUnderstood(_HOW)
    return budget
