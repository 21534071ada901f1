"""Evidence: what an operator hands a processor when a payment is disputed, in its language,
English.

The order, its cash, what was delivered for it and when; never a word of what was asked or answered.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from core.asks.repository import Delivered, Journal
from core.clock import Clock, as_datetime
from core.db.database import Store
from core.money import NanoUsd, decimal_text
from core.users.service import find as find_person, lineage, survivor
from core.users.types import Person
from payments.checkout import Cashier, Receipt
from payments.offer import cents
from payments.orders import standing
from payments.types import Cash, Dispute, Order

#: Figures of an order's history that are cash, in the order's unit.
_CASH_FACTS = frozenset({"amount", "paid", "refunded", "bad_debt"})


class Evidence:
    """The builder of the evidence that an operator hands in against a dispute."""

    def __init__(self, *, cashier: Cashier, store: Store, clock: Clock, terms: str) -> None:
        """`terms` as buyers read them."""
        self._cashier, self._store, self._clock, self._terms = cashier, store, clock, terms

    async def of(self, order: Order) -> str:
        """The text to paste, and the same as JSON at its end."""
        whose, _ = await survivor(self._store, order.person)
        person = await find_person(self._store, whose)
        receipts = await self._cashier.receipts([order])
        since = min((one.at for one in receipts), default=order.created_at)
        people = await lineage(self._store, whose)
        answers = await Journal(self._store).delivered(people, since)
        disputes = await self._cashier.disputes(order.id)
        history = [
            (at, what, facts_of(order, facts))
            for at, what, facts in await self._cashier.orders.history(order.id)
        ]
        told = {
            "prepared_at": _time(self._clock.now_ms()),
            "order": _order(order),
            "disputes": [_dispute(one) for one in disputes],
            "customer": {"id": person.id, "since": _time(person.created_at)},
            "cash": [_receipt(one) for one in receipts],
            "history": [{"at": _time(at), "what": what, **facts} for at, what, facts in history],
            "delivered": [_delivered(one) for one in answers],
            "terms": self._terms,
        }
        lines = [
            *_heading(order, disputes, person, told["prepared_at"]),
            *_cash(order, receipts),
            *_deliveries(answers, since),
            *_section("Terms that the customer can read at any time (/terms)", [self._terms]),
            *_section("History of the order", [_event(*one) for one in history]),
            *_section("The same as JSON", [json.dumps(told, indent=1)]),
        ]
        return "\n".join(lines) + "\n"


# --- as text ------------------------------------------------------------------------------------


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return ["", title.upper(), *lines]


def _heading(
    order: Order, disputes: Sequence[Dispute], person: Person, prepared_at: object
) -> list[str]:
    return [
        f"Evidence for order {order.id}, paid through {order.gateway} ({order.external or '-'})",
        f"Prepared {prepared_at}. All times are UTC.",
        *(
            f"Dispute {one.id} of payment {one.payment}: {_money(one.amount)},"
            f" {one.reason or 'no reason told'}, {one.state}"
            for one in disputes
        ),
        *_section(
            "The customer",
            [f"Account {person.id}, used since {_time(person.created_at)}"],
        ),
        *_section(
            "What was bought",
            [
                "Credits: prepaid use of language models through a chat bot, delivered at once.",
                "Each answer is charged in Credits when it has been shown.",
                f"Ordered {_time(order.created_at)} for {_money(order.amount)}.",
            ],
        ),
    ]


def _cash(order: Order, receipts: Sequence[Receipt]) -> list[str]:
    given = standing(order)
    lines = [
        f"{_time(one.at)}  {'given back' if one.back else 'paid'}"
        f"{' (did not reach the payer)' if one.failed else ''}  {_money(one.amount)}"
        f"  receipt {one.id}  {order.gateway}: {one.external}"
        for one in receipts
    ]
    lines.append(
        f"Credits given for it as it stands: {given.total.units:,}"
        f" ({given.bought.units:,} bought, {given.bonus.units:,} bonus)"
    )
    return _section("Payments and refunds", lines)


def _deliveries(answers: Sequence[Delivered], since: int) -> list[str]:
    charged = sum(one.charge.units for one in answers)
    lines = [
        f"Since the payment ({_time(since)}) the customer got {len(answers):,} answers,",
        f"charged at {charged:,} Credits together.",
        *(
            f"{_time(one.at)}  {one.model}  {_size(one)}  {one.charge.units:,} Credits"
            f"  delivered {_time(one.landed_at) if one.landed_at else 'as it was written'}"
            for one in answers
        ),
    ]
    return _section("What was delivered", lines)


def _size(one: Delivered) -> str:
    if one.seconds is not None:
        return f"{one.seconds.units:,} s of audio"
    return f"{one.input.units:,} tokens in, {one.output.units:,} out"


def facts_of(order: Order, facts: Mapping[str, int | str]) -> dict[str, int | str]:
    """What an event of an order's history tells, its cash as it is written: `$10.00`."""
    return {
        name: _money(type(order.amount)(int(value))) if name in _CASH_FACTS else value
        for name, value in facts.items()
    }


def _event(at: int, what: str, facts: Mapping[str, Any]) -> str:
    told = ", ".join(f"{name} {value}" for name, value in facts.items())
    return f"{_time(at)}  {what}  {told}"


def _money(amount: Cash) -> str:
    if isinstance(amount, NanoUsd):
        return f"${cents(amount) // 100:,}.{cents(amount) % 100:02}"
    return f"{amount.units:,} Stars"


def _time(at_ms: int) -> str:
    return as_datetime(at_ms).strftime("%Y-%m-%d %H:%M:%S")


# --- as JSON ------------------------------------------------------------------------------------


def _amount(amount: Cash) -> dict[str, str]:
    return {"amount": decimal_text(amount), "unit": amount.NAME}


def _order(order: Order) -> dict[str, Any]:
    return {
        "id": order.id,
        "gateway": order.gateway,
        "checkout": order.external,
        "ordered_at": _time(order.created_at),
        "bought": order.bought.units,
        "bonus": order.bonus.units,
        **_amount(order.amount),
    }


def _dispute(dispute: Dispute) -> dict[str, Any]:
    return {
        "id": dispute.id,
        "payment": dispute.payment,
        "state": dispute.state,
        "reason": dispute.reason,
        **_amount(dispute.amount),
    }


def _receipt(receipt: Receipt) -> dict[str, Any]:
    return {
        "receipt": receipt.id,
        "at": _time(receipt.at),
        "what": "given back" if receipt.back else "paid",
        "failed": receipt.failed,
        "gateway_id": receipt.external,
        **_amount(receipt.amount),
    }


def _delivered(one: Delivered) -> dict[str, Any]:
    return {
        "answer": one.ask,
        "asked_at": _time(one.at),
        "model": one.model,
        "tokens_in": one.input.units,
        "tokens_out": one.output.units,
        "audio_seconds": None if one.seconds is None else one.seconds.units,
        "credits": one.charge.units,
        "delivered_at": _time(one.landed_at) if one.landed_at else None,
    }
