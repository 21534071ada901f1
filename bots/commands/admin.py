"""The owner's commands: `/setprice /grant /audit`. Dollars may show here."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal, InvalidOperation

from bots.commands.desk import margin_line
from bots.commands.phrases import in_credits, price_line
from bots.commands.refusals import NotUnderstood
from bots.commands.types import Action, Command, Option, Request, Room
from bots.reply import Choice, Reply, Said, plain, say
from core.asking import check
from core.clock import Clock
from core.desk import grant
from core.earning import check_earning
from core.ledger import Ledger, audit
from core.people import People
from core.pool import Pool
from core.pricing import Catalogue, Costs, Model, Price, PriceBook
from core.store import Store
from core.units import Credits, MicroCredits

_GRANT_MAX = 100_000_000
_PRICE_MAX = Decimal(100_000)

_SETPRICE = say("/setprice model price [price out]")
_SETPRICE_HOW = say(
    "Write it like this: /setprice gpt-4 5 (Credits per 1K tokens, or per minute of"
    " audio; at most three decimals), or with a second price for answers: /setprice gpt-4 5 15."
    " Nothing was changed."
)
_GRANT = say("/grant user Credits reason")
_GRANT_HOW = say(
    "Write it like this: /grant telegram:123 500 for the bug report. Whole Credits, above zero."
    " Nothing was moved."
)


class AdminCommands:
    """What the operator does from chat; every act is authorised again at each press."""

    def __init__(
        self,
        *,
        store: Store,
        ledger: Ledger,
        people: People,
        pool: Pool,
        catalogue: Catalogue,
        costs: Costs,
        prices: PriceBook,
        clock: Clock,
    ) -> None:
        self._store, self._ledger, self._people, self._pool = store, ledger, people, pool
        self._catalogue, self._costs, self._prices = catalogue, costs, prices
        self._clock = clock

    def room(self) -> Room:
        """Commands and actions."""
        return Room(
            commands=(
                Command(
                    "setprice",
                    title=say("Set price"),
                    does=say("Set a model's price in Credits per 1K tokens"),
                    usage=_SETPRICE,
                    options=(
                        Option("model", say("The model's name"), required=True, completes="model"),
                        Option("price", say("Credits per 1K tokens"), required=True),
                        Option("price-out", say("Credits per 1K tokens of the answer")),
                    ),
                    handler=self.setprice,
                    admin=True,
                ),
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
                Action("price-now", self.price_now, admin=True),
                Action("grant-now", self.grant_now, admin=True),
                Action("cancel", self.cancel),
            ),
        )

    # --- prices -------------------------------------------------------------------------------

    async def setprice(self, request: Request) -> Reply:
        """A new price; one that moves by more than half asks first."""
        model, inward, outward = self._wanted(request.text)
        await self._prices.refresh()
        old = self._prices.current(model.id)
        if old is None or not _moves_by_half(old, inward, outward):
            return await self._change(request, model, inward, outward)
        data: dict[str, str | int] = {
            "model": model.id,
            "inward": inward.units,
            "outward": outward.units,
        }
        return Reply(
            lines=(
                say(
                    "That moves {model} by more than half: from {old} to {new}.",
                    model=model.name,
                    old=price_line(old),
                    new=price_line(replace(old, input_rate=inward, output_rate=outward)),
                ),
            ),
            choices=(
                (
                    Choice(say("Yes, change it"), "price-now", data, once=True),
                    Choice(say("Cancel"), "cancel"),
                ),
            ),
            private=True,
        )

    async def price_now(self, request: Request) -> Reply:
        """Confirmed."""
        return await self._change(
            request,
            self._catalogue.find(str(request.data["model"])),
            MicroCredits(int(request.data["inward"])),
            MicroCredits(int(request.data["outward"])),
            pressed=True,
        )

    async def _change(
        self,
        request: Request,
        model: Model,
        inward: MicroCredits,
        outward: MicroCredits,
        *,
        pressed: bool = False,
    ) -> Reply:
        old = self._prices.current(model.id)
        new = await self._prices.change(
            model.id, inward, outward, set_by=request.person.id, per=model.per
        )
        lines = [
            _changed(model, old, new),
            margin_line(self._costs, model, new, self._clock.now_ms()),
            say("Questions asked before keep the price that they were quoted."),
        ]
        return Reply(lines=tuple(lines), private=True, replace=pressed)

    def _wanted(self, text: str) -> tuple[Model, MicroCredits, MicroCredits]:
        words = text.split()
        prices: list[MicroCredits] = []
        while len(words) > 1 and len(prices) < 2 and (rate := _rate(words[-1])) is not None:
            prices.insert(0, rate)
            words.pop()
        if not words or not prices:
            raise NotUnderstood(_SETPRICE_HOW)
        model = self._catalogue.find(" ".join(words))
        if model.per == "second":
            rate = _a_second(prices[0])
            return model, rate, rate
        return model, prices[0], prices[-1]

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


def _rate(text: str) -> MicroCredits | None:
    """Credits per 1K tokens as micro-Credits per token; None when it isn't such a number."""
    try:
        per_token = Decimal(text) * 1_000
    except InvalidOperation:
        return None
    if not per_token.is_finite() or per_token != int(per_token):
        return None
    return MicroCredits(int(per_token)) if 0 < per_token <= _PRICE_MAX * 1_000 else None


def _a_second(rate: MicroCredits) -> MicroCredits:
    """What was meant as Credits a minute, rounded down so that no minute costs a Credit more."""
    return MicroCredits(max(1, rate.units * 1_000 // 60))


def _moves_by_half(old: Price, inward: MicroCredits, outward: MicroCredits) -> bool:
    return any(
        2 * abs(new.units - was.units) > was.units
        for was, new in ((old.input_rate, inward), (old.output_rate, outward))
    )


def _changed(model: Model, old: Price | None, new: Price) -> Said:
    if old is None:
        return say("{model}: {new}", model=model.name, new=price_line(new))
    return say(
        "{model}: {new} (before: {old})",
        model=model.name,
        new=price_line(new),
        old=price_line(old),
    )
