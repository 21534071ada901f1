"""A person's account: `/balance`, `/usage`. Credits only, never what anything cost."""

from __future__ import annotations

from datetime import datetime, timedelta

from bots.chat.command import Request, action, command
from bots.chat.i18n import get_zone
from bots.chat.reply import Choice, Reply, plain, say
from bots.commands.models import ModelCommands
from bots.commands.text import compute_average_charge, format_credits
from bots.render.charts import format_bars
from bots.services import UserServices
from core.asks.repository import AskHistory, ChargedAnswer
from core.clock import Clock, as_datetime, as_ms
from core.money import Credits, sum_amounts
from core.pricing.catalogue import Catalogue
from core.pricing.deals import Deals
from payments.services import PaymentServices

_DAYS = 30
_RECENT_SHOWN = 10


class BalanceCommands:
    """The commands that show people their Credits: what they have and what they spent."""

    def __init__(
        self,
        *,
        users: UserServices,
        ask_history: AskHistory,
        catalogue: Catalogue,
        model_commands: ModelCommands,
        deals: Deals,
        clock: Clock,
        payments: PaymentServices,
    ) -> None:
        self._ask_history = ask_history
        self._users, self._balances = users.users, users.balances
        self._catalogue = catalogue
        self._model_commands, self._deals, self._clock = model_commands, deals, clock
        self._is_selling, self._order_search = payments.checkout.is_selling, payments.order_search

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
        balance = await self._balances.for_user(request.person.id)
        available = balance.available
        lines = [format_credits(available)]
        if balance.held.units:
            lines.append(
                say("{held} more are reserved by answers being written.", held=balance.held)
            )
        for order, credits_ in await self._order_search.list_held_credits(request.person.id):
            lines.append(
                say(
                    "{credits} more are held until the dispute of your payment is decided: order"
                    " {order}.",
                    credits=format_credits(credits_),
                    order=order,
                )
            )
        model = self._model_commands.get_current_model(request.person)
        price = await self._model_commands.find_price(request.person, model)
        if price is not None:
            lines.append(
                say(
                    "≈ {count} average answers of {model}",
                    count=max(0, available.units) // compute_average_charge(price).units,
                    model=model.name,
                )
            )
        tier = self._deals.find_tier(request.person.id)
        if tier is not None:
            lines.append(say("Your tier: {tier}", tier=tier.name))
        return Reply(
            title=say("💎 My Balance"),
            lines=tuple(lines),
            choices=(
                *(((Choice(say("➕ Top up"), "topup"),),) if self._is_selling else ()),
                (Choice(say("Usage"), "usage"), Choice(say("Models"), "models")),
            ),
            private=True,
        )

    @command(
        "usage",
        title=say("Usage"),
        description=say("What your latest answers cost"),
        allowed_in_groups=True,
        is_private=True,
    )
    @action("usage")
    async def usage(self, request: Request) -> Reply:
        """The latest answers, today's sum, and a month as a bar chart in text."""
        tz = get_zone(request.person.zone)
        now = as_datetime(self._clock.now_ms()).astimezone(tz)
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        since = midnight - timedelta(days=_DAYS - 1)
        person_ids = await self._users.list_merged_ids(request.person.id)
        charges = await self._ask_history.list_charges_since(person_ids, as_ms(since))
        if not charges:
            return Reply(
                title=say("Recent Usage"),
                lines=(say("Nothing in the last {days} days.", days=_DAYS),),
                private=True,
            )
        days = _sum_by_day(charges, since, tz=now)
        latest = await self._ask_history.list_latest_charges(person_ids, _RECENT_SHOWN)
        return Reply(
            title=say("Recent Usage"),
            table=tuple(
                (
                    say("{at}", at=as_datetime(one.at)),
                    plain(self._get_model_name(one.model)),
                    say("{charge} Cr", charge=one.charge),
                )
                for one in reversed(latest)
            ),
            lines=(
                say("Spent: {spent} today", spent=format_credits(days[-1])),
                say(
                    "{days} days: {spent}  {bars}",
                    days=_DAYS,
                    spent=format_credits(sum_amounts(Credits, days)),
                    bars=format_bars([day.units for day in days]),
                ),
            ),
            choices=((Choice(say("Balance"), "balance"),),),
            private=True,
        )

    def _get_model_name(self, model: str) -> str:
        return self._catalogue.get_name(model)


def _sum_by_day(charges: list[ChargedAnswer], since: datetime, *, tz: datetime) -> list[Credits]:
    """Credits of each of the last days, the oldest first."""
    days = [Credits(0)] * _DAYS
    for charge in charges:
        at = as_datetime(charge.at).astimezone(tz.tzinfo)
        day = min((at.date() - since.date()).days, _DAYS - 1)
        days[day] += charge.charge
    return days
