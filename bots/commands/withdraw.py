"""`/withdraw`: earned Credits become money; and what contributors are told without having asked, of
their keys and of what is paid out to them. Cash shows here: a seller must see what is paid.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import SecretStr

from bots.chat.command import Arguments, Request, action, argument, command
from bots.chat.reply import (
    Choice,
    FormField,
    FormRequest,
    Phrase,
    Reply,
    make_copy_choice,
    plain,
    say,
)
from bots.commands.arguments import is_number, parse_count, parse_number
from bots.commands.errors import UsageError
from bots.commands.payout_texts import compose_payout_notification
from bots.commands.text import format_credits, get_supplier_title
from core import ids
from core.clock import as_datetime
from core.earnings.payout_methods import PayoutMethods
from core.earnings.payouts import (
    PAYOUT_CHANGED,
    PAYOUT_METHODS,
    Earnings,
    Payout,
    PayoutMethod,
    PayoutState,
    calculate_due_date,
    convert_to_cash,
)
from core.earnings.termination import KEY_ENDED
from core.earnings.types import EarningPolicy
from core.earnings.withdrawals import Withdrawals
from core.jobs.notifications import Notification
from core.money import Credits, format_usd
from core.pool.health_tracker import KEY_COOLDOWN
from core.users.service import Users

_MORE_THAN_ANYBODY_HAS: Final = 1_000_000_000
_HOW = say("Write it like this: /withdraw, or /withdraw 20000. Nothing was withdrawn.")
_SHOWN_MAX: Final = 5

#: How people read each way to be paid, and what is asked for it.
METHOD_NAMES: Final[dict[PayoutMethod, Phrase]] = {
    "paypal": say("PayPal"),
    "btcpay": say("Bitcoin"),
    "manual": say("Bank transfer"),
    "sandbox": say("Sandbox payout"),
}
_METHOD_FIELDS: Final[dict[PayoutMethod, tuple[FormField, ...]]] = {
    "paypal": (
        FormField(
            "address", say("E-mail address at PayPal"), min_length=5, max_length=127, hidden=False
        ),
    ),
    "btcpay": (
        FormField(
            "address",
            say("Bitcoin address"),
            say("bc1…"),
            min_length=26,
            max_length=90,
            hidden=False,
        ),
    ),
    "manual": (
        FormField("holder", say("Account holder"), min_length=2, max_length=100, hidden=False),
        FormField(
            "address", say("IBAN or account number"), min_length=5, max_length=60, hidden=False
        ),
        FormField(
            "bank", say("Bank, its BIC and country"), min_length=2, max_length=120, hidden=False
        ),
    ),
    "sandbox": (FormField("address", say("Any name"), min_length=2, max_length=60, hidden=False),),
}
_ADDRESS_PATTERNS: Final[dict[PayoutMethod, re.Pattern[str]]] = {
    "paypal": re.compile(r"[^\s@]{1,64}@[^\s@]+\.[^\s@]{2,}"),
    "btcpay": re.compile(r"(bc1|tb1|bcrt1)[a-z0-9]{20,80}|[13mn2][a-km-zA-HJ-NP-Z1-9]{25,39}"),
}

STATE_NAMES: Final[dict[PayoutState, Phrase]] = {
    "requested": say("waits to be approved"),
    "approved": say("approved"),
    "sent": say("on its way"),
    "paid": say("paid"),
    "rejected": say("rejected"),
    "returned": say("came back"),
    "cancelled": say("cancelled"),
}


@dataclass(frozen=True, slots=True)
class WithdrawArguments(Arguments):
    """What follows `/withdraw`."""

    credits: str = argument(say("How many; all of them unless you say"), say("Credits"))


class WithdrawCommands:
    """The commands by which people withdraw earned Credits as money."""

    def __init__(
        self,
        *,
        withdrawals: Withdrawals,
        payout_methods: PayoutMethods,
        users: Users,
        methods: Collection[PayoutMethod],
    ) -> None:
        """`methods`: by which this operator pays."""
        self._withdrawals, self._payout_methods = withdrawals, payout_methods
        self._users, self._methods = users, tuple(methods)

    @property
    def _policy(self) -> EarningPolicy:
        return self._withdrawals.policy

    # --- looking --------------------------------------------------------------------------------

    @command(
        "withdraw",
        title=say("Withdraw"),
        description=say("Earned Credits paid out to you"),
        arguments=WithdrawArguments,
        opens_form=True,
    )
    @action("withdraw")
    async def withdraw(
        self, request: Request, given: WithdrawArguments = WithdrawArguments()
    ) -> Reply:
        """What can be withdrawn, what waits and until when, and what was."""
        requested = _parse_credits(given.credits)
        earnings = await self._withdrawals.get_earnings(request.person.id)
        lines = list(self._earnings_lines(earnings))
        person_ids = await self._users.list_merged_ids(request.person.id)
        earlier = await self._withdrawals.list_for_people(person_ids, _SHOWN_MAX)
        amount = earnings.withdrawable if requested is None else requested
        choices: list[tuple[Choice, ...]] = []
        if amount < self._policy.payout_least:
            least = self._policy.payout_least
            lines.append(
                say("The minimum is {least}; you have {amount}.", least=least, amount=amount)
                if requested is None
                else say(
                    "The minimum is {least}, not {amount}. Nothing was withdrawn.",
                    least=format_credits(least),
                    amount=amount,
                )
            )
        elif amount > earnings.withdrawable:
            lines.append(say("That is more than can be withdrawn now. Nothing was withdrawn."))
        else:
            choices += [
                (
                    Choice(
                        say(
                            "{credits} by {way}",
                            credits=format_credits(amount),
                            way=METHOD_NAMES[method],
                        ),
                        "withdraw-by",
                        {"method": method, "credits": amount.units},
                    ),
                )
                for method in self._methods
            ]
        choices += [
            (
                Choice(
                    say("Cancel {cash}", cash=format_usd(one.cash)),
                    "withdraw-cancel",
                    {"payout": one.id},
                    once=True,
                ),
            )
            for one in earlier
            if one.is_unsent
        ]
        return Reply(
            title=say("Withdraw"),
            lines=tuple(lines),
            table=tuple(_payout_row(one) for one in earlier),
            choices=tuple(choices),
            private=True,
        )

    def _earnings_lines(self, earnings: Earnings) -> tuple[Phrase, ...]:
        withdrawable = earnings.withdrawable
        lines = [
            say(
                "Withdrawable: {credits} → {cash}",
                credits=format_credits(withdrawable),
                cash=format_usd(convert_to_cash(withdrawable)),
            )
        ]
        if not earnings.not_yet_withdrawable.is_zero:
            lines.append(
                say(
                    "Earned too recently: {credits}; all of it can be withdrawn by {day}.",
                    credits=format_credits(earnings.not_yet_withdrawable),
                    day=as_datetime(earnings.all_withdrawable_at).date().isoformat(),
                )
            )
        lines.append(
            say(
                "100 Credits are {rate}. What others paid for with your keys can be withdrawn;"
                " bought Credits and gifts can't.",
                rate=format_usd(convert_to_cash(Credits(100))),
            )
        )
        return tuple(lines)

    # --- asking for it --------------------------------------------------------------------------

    @action("withdraw-by", pausable="payouts")
    async def withdraw_by(self, request: Request) -> Reply | FormRequest:
        """A way was chosen: where to, then everything in words once more."""
        method = self._find_method(request)
        await self._withdrawals.check_may_withdraw(request.person.id, method)
        amount = Credits(int(request.data["credits"]))
        hint = await self._payout_methods.get_hint(request.person.id, method)
        if not hint:
            return _make_address_form(method, amount)
        return self._confirm_card(method, amount, hint, request)

    @action("withdraw-elsewhere", pausable="payouts")
    async def withdraw_elsewhere(self, request: Request) -> FormRequest:
        """Another address than the one that is kept."""
        return _make_address_form(self._find_method(request), Credits(int(request.data["credits"])))

    @action("withdraw-address", pausable="payouts")
    async def withdraw_address(self, request: Request) -> Reply:
        """The address was typed."""
        method = self._find_method(request)
        typed = {name: value.get_secret_value() for name, value in request.entered.items()}
        shape = _ADDRESS_PATTERNS.get(method)
        if shape is not None and not shape.fullmatch(typed["address"]):
            raise UsageError(say("That doesn't look like a valid address. Nothing was kept."))
        whole = "\n".join(value for value in typed.values())
        hint = _mask_address(typed["address"])
        before = await self._payout_methods.get_hint(request.person.id, method)
        await self._payout_methods.save_address(request.person.id, method, SecretStr(whole), hint)
        amount = Credits(int(request.data["credits"]))
        if before:
            await self._withdrawals.check_may_withdraw(request.person.id, method)
        return self._confirm_card(method, amount, hint, request)

    def _confirm_card(
        self, method: PayoutMethod, amount: Credits, hint: str, request: Request
    ) -> Reply:
        cash = convert_to_cash(amount)
        data: dict[str, str | int] = {"method": method, "credits": amount.units}
        return Reply(
            title=say("Withdraw"),
            lines=(
                say(
                    "{credits} become {cash}, paid by {way} to {hint}, within 3–5 business days:"
                    " by {day} at the latest.",
                    credits=format_credits(amount),
                    cash=format_usd(cash),
                    way=METHOD_NAMES[method],
                    hint=hint,
                    day=as_datetime(calculate_due_date(request.at_ms)).date().isoformat(),
                ),
            ),
            choices=(
                (
                    Choice(
                        say("Yes, withdraw {credits}", credits=format_credits(amount)),
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

    @action("withdraw-now", pausable="payouts")
    async def withdraw_now(self, request: Request) -> Reply:
        """Confirmed; the button's id makes it happen once."""
        payout = await self._withdrawals.request_payout(
            request.person.id,
            Credits(int(request.data["credits"])),
            self._find_method(request),
            cause=request.button,
            at_ms=ids.time_of_id(request.button),
        )
        return Reply(
            title=say("Withdrawal requested"),
            lines=(
                say(
                    "{credits} are reserved; {cash} will be paid to {hint}. You'll hear about"
                    " each step here.",
                    credits=format_credits(payout.credits),
                    cash=format_usd(payout.cash),
                    hint=payout.hint,
                ),
                say("Receipt {receipt}", receipt=payout.id),
            ),
            choices=((make_copy_choice(payout.id),),),
            private=True,
            replace=True,
        )

    @action("withdraw-cancel")
    async def withdraw_cancel(self, request: Request) -> Reply:
        """Taken back while it isn't sent."""
        person_ids = await self._users.list_merged_ids(request.person.id)
        payout = await self._withdrawals.cancel_payout(str(request.data["payout"]), person_ids)
        return Reply(
            (say("Cancelled. {credits} are yours again.", credits=format_credits(payout.credits)),),
            private=True,
            replace=True,
        )

    def _find_method(self, request: Request) -> PayoutMethod:
        """Raises `UsageError` for one that isn't offered any more."""
        for method in self._methods:
            if method == request.data["method"]:
                return method
        raise UsageError(
            say(
                "Payouts no longer go that way here. Nothing was withdrawn. Choose another:"
                " /withdraw"
            )
        )


def _make_address_form(method: PayoutMethod, amount: Credits) -> FormRequest:
    return FormRequest(
        title=say("Where should it be sent?"),
        lines=(
            say(
                "{way}. It is sealed, and only whoever pays sees it again.",
                way=METHOD_NAMES[method],
            ),
        ),
        fields=_METHOD_FIELDS[method],
        action="withdraw-address",
        data={"method": method, "credits": amount.units},
    )


def _parse_credits(text: str) -> Credits | None:
    typed = text.strip()
    if not typed:
        return None
    if is_number(typed) and typed[0].isdecimal():
        count = parse_count(typed)
        return Credits(_MORE_THAN_ANYBODY_HAS if count is None else count)
    return Credits(parse_number(typed, _HOW, most=_MORE_THAN_ANYBODY_HAS))


def _payout_row(payout: Payout) -> tuple[Phrase, ...]:
    return (
        say("{at}", at=as_datetime(payout.created_at)),
        plain(format_usd(payout.cash)),
        STATE_NAMES[payout.state],
        plain(payout.id),
    )


def _mask_address(address: str) -> str:
    """`b•••@example.org`, `DE••••1234`: enough to know it again."""
    name, at, host = address.partition("@")
    if at:
        return f"{name[:1]}•••@{host}"
    bare = "".join(address.split())
    return f"{bare[:2]}••••{bare[-4:]}" if len(bare) > 8 else f"{bare[:1]}•••"


EARNING_KINDS: Final = frozenset({KEY_ENDED, KEY_COOLDOWN, PAYOUT_CHANGED})

_TERMINATION_TEXTS: Final[Mapping[str, Phrase]] = {
    "withdrawn": say("You took it back."),
    "dead": say("Its supplier refused it twice, at different times."),
    "exhausted": say("It is used up."),
    "stolen": say(
        "It was reported stolen: what it brought and was not paid out is forfeited. If that is"
        " wrong, write to the operator."
    ),
}

NotificationText = tuple[Phrase, tuple[Phrase, ...]]


def compose_earning_notification(notification: Notification) -> NotificationText:
    """Title and lines of a notification about keys or payouts."""
    if notification.kind == KEY_ENDED:
        return _compose_key_ended(notification)
    if notification.kind == KEY_COOLDOWN:
        return _compose_key_cooldown(notification)
    if notification.facts["what"] == "moved":
        return _compose_address_changed(notification)
    return compose_payout_notification(notification)


def _key_name(notification: Notification) -> str:
    title = get_supplier_title(str(notification.facts["supplier"]))
    return f"{title} …{notification.facts['tail']}"


def _compose_key_ended(notification: Notification) -> NotificationText:
    kept, returned, due = (
        Credits(int(notification.facts[name])) for name in ("kept", "returned", "due")
    )
    lines = [_TERMINATION_TEXTS[str(notification.facts["reason"])]]
    if notification.facts["reason"] != "stolen":
        lines.append(say("It earned {credits}.", credits=format_credits(kept)))
    if not returned.is_zero:
        lines.append(
            say(
                "{credits} that it wasn't used for were taken back.",
                credits=format_credits(returned),
            )
        )
    if not due.is_zero:
        lines.append(
            say(
                "You had spent {credits} of it in advance: they were taken from what you have; what"
                " was missing is owed.",
                credits=format_credits(due),
            )
        )
    return say("Your key {key} has ended", key=_key_name(notification)), tuple(lines)


def _compose_key_cooldown(notification: Notification) -> NotificationText:
    why = (
        say(
            "Its account there has no money or has reached its limit. It will be tried again later."
        )
        if notification.facts["state"] == "parked"
        else say("Its supplier asked for a pause. It goes on by itself.")
    )
    return say("Your key {key} is paused", key=_key_name(notification)), (
        why,
        say("Your keys: /keys"),
    )


def _compose_address_changed(notification: Notification) -> NotificationText:
    method_name = next(
        METHOD_NAMES[one] for one in PAYOUT_METHODS if one == notification.facts["method"]
    )
    return say("Your payout address was changed"), (
        say(
            "{way}: {hint}. If that wasn't you, write to the operator now: payouts there wait for"
            " 72 hours.",
            way=method_name,
            hint=str(notification.facts["hint"]),
        ),
    )
