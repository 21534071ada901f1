"""`/withdraw`: earned Credits become money; and what contributors are told without having asked, of
their keys and of what is paid out to them. Cash shows here: a seller must see what is paid.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final

from pydantic import SecretStr

from bots.chat.command import Action, Command, Option, Request, Room
from bots.chat.reply import Blank, Choice, Prompt, Reply, Said, plain, say
from bots.commands.errors import NotUnderstood
from bots.commands.text import in_credits, money
from core import ids
from core.clock import as_datetime
from core.earnings.payout_methods import Addresses
from core.earnings.payouts import (
    METHODS,
    PAYOUT,
    Earnings,
    Method,
    Payout,
    State,
    cash_of,
    expected_by,
)
from core.earnings.termination import KEY_ENDED
from core.earnings.types import Policy
from core.earnings.withdrawals import Withdrawals
from core.jobs.notifications import Notice
from core.money import Credits, NanoUsd
from core.pool.health_tracker import KEY_RESTS
from core.pool.suppliers import SUPPLIERS
from core.users.service import People

_AMOUNT: Final = re.compile(r"(\d[\d,，]{0,11})")
_HOW = say("Write it like this: /withdraw, or /withdraw 20000. Nothing was withdrawn.")
_SHOWN: Final = 5

#: How people read each way to be paid, and what is asked for it.
WAYS: Final[dict[Method, Said]] = {
    "paypal": say("PayPal"),
    "btcpay": say("Bitcoin"),
    "manual": say("Bank transfer"),
    "sandbox": say("Sandbox payout"),
}
_BLANKS: Final[dict[Method, tuple[Blank, ...]]] = {
    "paypal": (Blank("address", say("E-mail address at PayPal"), least=5, most=127, hidden=False),),
    "btcpay": (
        Blank("address", say("Bitcoin address"), say("bc1…"), least=26, most=90, hidden=False),
    ),
    "manual": (
        Blank("holder", say("Account holder"), least=2, most=100, hidden=False),
        Blank("address", say("IBAN or account number"), least=5, most=60, hidden=False),
        Blank("bank", say("Bank, its BIC and country"), least=2, most=120, hidden=False),
    ),
    "sandbox": (Blank("address", say("Any name"), least=2, most=60, hidden=False),),
}
_SHAPES: Final[dict[Method, re.Pattern[str]]] = {
    "paypal": re.compile(r"[^\s@]{1,64}@[^\s@]+\.[^\s@]{2,}"),
    "btcpay": re.compile(r"(bc1|tb1|bcrt1)[a-z0-9]{20,80}|[13mn2][a-km-zA-HJ-NP-Z1-9]{25,39}"),
}

STATES: Final[dict[State, Said]] = {
    "requested": say("waits to be approved"),
    "approved": say("approved"),
    "sent": say("on its way"),
    "paid": say("paid"),
    "rejected": say("rejected"),
    "returned": say("came back"),
    "cancelled": say("cancelled"),
}


class WithdrawCommands:
    """The commands by which people withdraw earned Credits as money."""

    def __init__(
        self,
        *,
        withdrawals: Withdrawals,
        addresses: Addresses,
        people: People,
        methods: Collection[Method],
    ) -> None:
        """`methods`: by which this operator pays."""
        self._withdrawals, self._addresses = withdrawals, addresses
        self._people, self._methods = people, tuple(methods)

    @property
    def _policy(self) -> Policy:
        return self._withdrawals.policy

    def room(self) -> Room:
        """Commands and actions."""
        return Room(
            commands=(
                Command(
                    "withdraw",
                    title=say("Withdraw"),
                    does=say("Earned Credits paid out to you"),
                    usage=say("/withdraw [Credits]"),
                    options=(Option("credits", say("How many; all that can be unless said")),),
                    handler=self.withdraw,
                    prompts=True,
                ),
            ),
            actions=(
                Action("withdraw", self.withdraw),
                Action("withdraw-by", self.by, pausable="payouts"),
                Action("withdraw-address", self.address, pausable="payouts"),
                Action("withdraw-elsewhere", self.elsewhere, pausable="payouts"),
                Action("withdraw-now", self.now, pausable="payouts"),
                Action("withdraw-cancel", self.cancel),
            ),
        )

    # --- looking --------------------------------------------------------------------------------

    async def withdraw(self, request: Request) -> Reply:
        """What can be withdrawn, what waits and until when, and what was."""
        wanted = _wanted(request.text)
        earnings = await self._withdrawals.earnings(request.person.id)
        lines = list(self._told(earnings))
        people = await self._people.lineage(request.person.id)
        earlier = await self._withdrawals.of(people, _SHOWN)
        amount = earnings.withdrawable if wanted is None else wanted
        choices: list[tuple[Choice, ...]] = []
        if amount < self._policy.payout_least:
            least = self._policy.payout_least
            lines.append(
                say("The least is {least}: {amount} of {least}.", least=least, amount=amount)
            )
        elif amount > earnings.withdrawable:
            lines.append(say("That is more than can be withdrawn now. Nothing was withdrawn."))
        else:
            choices += [
                (
                    Choice(
                        say("{credits} by {way}", credits=in_credits(amount), way=WAYS[method]),
                        "withdraw-by",
                        {"method": method, "credits": amount.units},
                    ),
                )
                for method in self._methods
            ]
        choices += [
            (
                Choice(
                    say("Cancel {cash}", cash=money(one.cash)),
                    "withdraw-cancel",
                    {"payout": one.id},
                    once=True,
                ),
            )
            for one in earlier
            if one.unsent
        ]
        return Reply(
            title=say("Withdraw"),
            lines=tuple(lines),
            table=tuple(_row(one) for one in earlier),
            choices=tuple(choices),
            private=True,
        )

    def _told(self, earnings: Earnings) -> tuple[Said, ...]:
        withdrawable = earnings.withdrawable
        lines = [
            say(
                "Withdrawable: {credits} → {cash}",
                credits=in_credits(withdrawable),
                cash=money(cash_of(withdrawable)),
            )
        ]
        if not earnings.waiting.is_zero:
            lines.append(
                say(
                    "Earned too lately: {credits}; all of it can be withdrawn by {day}.",
                    credits=in_credits(earnings.waiting),
                    day=as_datetime(earnings.all_at).date().isoformat(),
                )
            )
        lines.append(
            say(
                "100 Credits are {rate}. What others paid for with your keys can be withdrawn;"
                " bought Credits and gifts can't.",
                rate=money(cash_of(Credits(100))),
            )
        )
        return tuple(lines)

    # --- asking for it --------------------------------------------------------------------------

    async def by(self, request: Request) -> Reply | Prompt:
        """A way was chosen: where to, then everything in words once more."""
        method = self._method(request)
        await self._withdrawals.may(request.person.id, method)
        amount = Credits(int(request.data["credits"]))
        hint = await self._addresses.hint(request.person.id, method)
        if not hint:
            return _asked(method, amount)
        return self._confirm(method, amount, hint, request)

    async def elsewhere(self, request: Request) -> Prompt:
        """Another address than the one that is kept."""
        return _asked(self._method(request), Credits(int(request.data["credits"])))

    async def address(self, request: Request) -> Reply:
        """The address was typed."""
        method = self._method(request)
        typed = {name: value.get_secret_value() for name, value in request.entered.items()}
        shape = _SHAPES.get(method)
        if shape is not None and not shape.fullmatch(typed["address"]):
            raise NotUnderstood(say("That doesn't look like such an address. Nothing was kept."))
        whole = "\n".join(value for value in typed.values())
        hint = _hint(typed["address"])
        before = await self._addresses.hint(request.person.id, method)
        await self._addresses.keep(request.person.id, method, SecretStr(whole), hint)
        amount = Credits(int(request.data["credits"]))
        if before:
            await self._withdrawals.may(request.person.id, method)
        return self._confirm(method, amount, hint, request)

    def _confirm(self, method: Method, amount: Credits, hint: str, request: Request) -> Reply:
        cash = cash_of(amount)
        data: dict[str, str | int] = {"method": method, "credits": amount.units}
        return Reply(
            title=say("Withdraw"),
            lines=(
                say(
                    "{credits} become {cash}, paid by {way} to {hint}, within 3–5 business days:"
                    " by {day} at the latest.",
                    credits=in_credits(amount),
                    cash=money(cash),
                    way=WAYS[method],
                    hint=hint,
                    day=as_datetime(expected_by(request.at_ms)).date().isoformat(),
                ),
            ),
            choices=(
                (
                    Choice(
                        say("Yes, withdraw {credits}", credits=in_credits(amount)),
                        "withdraw-now",
                        data,
                        once=True,
                    ),
                ),
                (
                    Choice(say("To another address"), "withdraw-elsewhere", data),
                    Choice(say("Cancel"), "cancel"),
                ),
            ),
            private=True,
            replace=True,
        )

    async def now(self, request: Request) -> Reply:
        """Confirmed; the button's id makes it happen once."""
        one = await self._withdrawals.request(
            request.person.id,
            Credits(int(request.data["credits"])),
            self._method(request),
            cause=request.button,
            at_ms=ids.time_of(request.button),
        )
        return Reply(
            title=say("Withdrawal requested"),
            lines=(
                say(
                    "{credits} are reserved; {cash} will be paid to {hint}. You hear of each step"
                    " here.",
                    credits=in_credits(one.credits),
                    cash=money(one.cash),
                    hint=one.hint,
                ),
                say("Receipt {receipt}", receipt=one.id),
            ),
            private=True,
            replace=True,
        )

    async def cancel(self, request: Request) -> Reply:
        """Taken back while it isn't sent."""
        people = await self._people.lineage(request.person.id)
        one = await self._withdrawals.cancel(str(request.data["payout"]), people)
        return Reply(
            (say("Cancelled. {credits} are yours again.", credits=in_credits(one.credits)),),
            private=True,
            replace=True,
        )

    def _method(self, request: Request) -> Method:
        """Raises `UsageError` for one that isn't offered any more."""
        for method in self._methods:
            if method == request.data["method"]:
                return method
        raise NotUnderstood(
            say("Nobody is paid that way here any more. Nothing was withdrawn. Again: /withdraw")
        )


def _asked(method: Method, amount: Credits) -> Prompt:
    return Prompt(
        title=say("Where shall it go?"),
        lines=(say("{way}. It is sealed, and only whoever pays sees it again.", way=WAYS[method]),),
        blanks=_BLANKS[method],
        action="withdraw-address",
        data={"method": method, "credits": amount.units},
    )


def _wanted(text: str) -> Credits | None:
    typed = text.strip()
    if not typed:
        return None
    matched = _AMOUNT.fullmatch(typed)
    if matched is None:
        raise NotUnderstood(_HOW)
    return Credits(int(matched[1].replace(",", "").replace("，", "")))


def _row(one: Payout) -> tuple[Said, ...]:
    return (
        say("{at}", at=as_datetime(one.created_at)),
        plain(money(one.cash)),
        STATES[one.state],
        plain(one.id),
    )


def _hint(address: str) -> str:
    """`b•••@example.org`, `DE••••1234`: enough to know it again."""
    name, at, host = address.partition("@")
    if at:
        return f"{name[:1]}•••@{host}"
    bare = "".join(address.split())
    return f"{bare[:2]}••••{bare[-4:]}" if len(bare) > 8 else f"{bare[:1]}•••"


EARNED: Final = frozenset({KEY_ENDED, KEY_RESTS, PAYOUT})

_ENDS: Final[Mapping[str, Said]] = {
    "withdrawn": say("You took it back."),
    "dead": say("Its supplier refused it twice, at different times."),
    "exhausted": say("It is used up."),
    "stolen": say(
        "It was reported stolen: what it brought and was not paid out is forfeited. If that is"
        " wrong, write to the operator."
    ),
}
_STEPS: Final[Mapping[str, Said]] = {
    "requested": say("Withdrawal requested"),
    "approved": say("Withdrawal approved"),
    "sent": say("Your money is on its way"),
    "paid": say("✅ Paid out"),
    "rejected": say("Withdrawal rejected"),
    "returned": say("Your money came back"),
    "cancelled": say("Withdrawal cancelled"),
}
#: After these the Credits are there again.
_BACK: Final = frozenset({"rejected", "returned", "cancelled"})

Words = tuple[Said, tuple[Said, ...]]


def earned_words(notice: Notice) -> Words:
    """Title and lines of a notification about keys or payouts."""
    if notice.kind == KEY_ENDED:
        return _ended(notice)
    if notice.kind == KEY_RESTS:
        return _rests(notice)
    if notice.facts["what"] == "moved":
        return _moved(notice)
    return _payout(notice)


def _key(notice: Notice) -> str:
    supplier = str(notice.facts["supplier"])
    title = SUPPLIERS[supplier].title if supplier in SUPPLIERS else supplier
    return f"{title} …{notice.facts['tail']}"


def _ended(notice: Notice) -> Words:
    kept, returned, due = (Credits(int(notice.facts[name])) for name in ("kept", "returned", "due"))
    lines = [_ENDS[str(notice.facts["reason"])]]
    if notice.facts["reason"] != "stolen":
        lines.append(say("It brought {credits}.", credits=in_credits(kept)))
    if not returned.is_zero:
        lines.append(
            say("{credits} that it wasn't used for went back.", credits=in_credits(returned))
        )
    if not due.is_zero:
        lines.append(
            say(
                "You had spent {credits} of it in advance: they were taken from what you have; what"
                " was missing is owed.",
                credits=in_credits(due),
            )
        )
    return say("Your key {key} has ended", key=_key(notice)), tuple(lines)


def _rests(notice: Notice) -> Words:
    why = (
        say("Its account there has no money, or has reached its limit. It is tried again later.")
        if notice.facts["state"] == "parked"
        else say("Its supplier asked to wait. It goes on by itself.")
    )
    return say("Your key {key} rests", key=_key(notice)), (why, say("Your keys: /keys"))


def _moved(notice: Notice) -> Words:
    way = next(WAYS[one] for one in METHODS if one == notice.facts["method"])
    return say("Another address for your payouts"), (
        say(
            "{way}: {hint}. If that wasn't you, write to the operator now: payouts there wait for"
            " 72 hours.",
            way=way,
            hint=str(notice.facts["hint"]),
        ),
    )


def _payout(notice: Notice) -> Words:
    facts = notice.facts
    what, reason = str(facts["what"]), str(facts["reason"])
    amount = in_credits(Credits(int(facts["credits"])))
    cash = money(NanoUsd(int(facts["cash"])))
    lines = [say("{credits} → {cash}", credits=amount, cash=cash)]
    if what in _BACK:
        lines.append(say("The Credits are yours again."))
    if reason == "claw-back":
        lines.append(
            say("A key of yours ended, and what you had spent of it in advance is due first.")
        )
    elif reason == "owes":
        lines.append(say("You owe Credits: they repay that first."))
    elif reason:
        lines.append(say("Reason: {reason}", reason=reason))
    return _STEPS[what], (*lines, say("Receipt {receipt}", receipt=str(facts["payout"])))
