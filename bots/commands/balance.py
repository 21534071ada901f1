"""`/balance`: what a person has. Credits only, never what anything cost."""

from __future__ import annotations

from bots.chat.command import Request, action, command
from bots.chat.reply import Choice, Reply, say
from bots.commands.models import ModelCommands
from bots.commands.shortage import ShortageCards
from bots.commands.statement_texts import list_held_apart
from bots.commands.text import compute_average_charge, format_credits
from core.pricing.deals import Deals
from core.users.balances import Balances
from core.users.statement import Statements
from payments.order_search import OrderSearch


class BalanceCommands:
    """The command that shows people what Credits they have, and what is held of them."""

    def __init__(
        self,
        *,
        balances: Balances,
        statements: Statements,
        model_commands: ModelCommands,
        deals: Deals,
        order_search: OrderSearch,
        shortage_cards: ShortageCards,
    ) -> None:
        self._balances, self._deals = balances, deals
        self._statements = statements
        self._model_commands, self._order_search = model_commands, order_search
        self._shortage_cards = shortage_cards

    @command(
        "balance",
        title=say("Balance"),
        description=say("Your Credits"),
        allowed_in_groups=True,
        is_private=True,
    )
    @action("balance")
    async def balance(self, request: Request) -> Reply:
        """One balance, the sum of the pockets."""
        available = (await self._balances.for_user(request.person.id)).available
        lines = [format_credits(available)]
        apart = await self._statements.get_held_apart(request.person.id)
        disputed = await self._order_search.list_held_credits(request.person.id)
        lines += list_held_apart(apart, disputed)
        model = self._model_commands.get_current_model(request.person)
        price = await self._model_commands.find_price(request.person, model)
        cheaper = None
        if price is not None:
            charge = compute_average_charge(price)
            lines.append(
                say(
                    "≈ {count} average answers of {model}",
                    count=max(0, available.units) // charge.units,
                    model=model.name,
                )
            )
            cheaper = await self._shortage_cards.make_balance_choice(
                request, model, charge, available
            )
        tier = self._deals.find_tier(request.person.id)
        if tier is not None:
            lines.append(say("Your tier: {tier}", tier=tier.name))
        return Reply(
            title=say("💎 My Balance"),
            lines=tuple(lines),
            choices=(
                *((sources,) if (sources := self._shortage_cards.list_sources(request)) else ()),
                *(((cheaper,),) if cheaper is not None else ()),
                (
                    Choice(say("Usage"), "usage"),
                    Choice(say("Statement"), "statement", {"period": "30"}),
                    Choice(say("Models"), "models"),
                ),
            ),
            private=True,
        )
