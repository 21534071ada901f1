"""Evidence: what an operator hands a processor when a payment is disputed, in its language,
English.

The order, its cash, what was delivered for it and when; never a word of what was asked or answered.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from core.asks.repository import AskHistory, DeliveredAnswer
from core.clock import Clock, as_datetime
from core.db.database import Database
from core.money import NanoUsd, format_decimal
from core.users.service import find_person, find_survivor, list_merged_ids
from core.users.types import Person
from payments.dispute_service import DisputeService
from payments.offer import to_cents
from payments.order_search import CashReceipt, OrderSearch
from payments.orders import Orders, current_entitlement
from payments.refunds import PART_PREFIX
from payments.types import Cash, Dispute, Order

#: Figures of an order's history that are cash, in the order's unit.
_CASH_FIGURES = frozenset({"amount", "paid", "refunded", "cash", "bad_debt", "fee"})


class EvidenceBuilder:
    """The builder of the evidence that an operator hands in against a dispute."""

    def __init__(
        self,
        *,
        orders: Orders,
        order_search: OrderSearch,
        disputes: DisputeService,
        db: Database,
        history: AskHistory,
        clock: Clock,
        terms: str,
    ) -> None:
        """`terms` as buyers read them."""
        self._orders, self._order_search, self._disputes = orders, order_search, disputes
        self._db, self._history = db, history
        self._clock, self._terms = clock, terms

    async def build_evidence(self, order: Order) -> str:
        """The text to paste, and the same as JSON at its end."""
        person_id, _ = await find_survivor(self._db, order.person)
        person = await find_person(self._db, person_id)
        receipts = await self._order_search.list_receipts([order])
        since = min((one.at_ms for one in receipts), default=order.created_at)
        person_ids = await list_merged_ids(self._db, person_id)
        answers = await self._history.list_delivered(person_ids, since)
        disputes = await self._disputes.list_disputes(order.id)
        history = [
            (at, what, _format_figures(order, facts))
            for at, what, facts in await self._orders.list_events(order.id)
        ]
        document = {
            "prepared_at": _format_time(self._clock.now_ms()),
            "order": _order_json(order),
            "disputes": [_dispute_json(one) for one in disputes],
            "customer": {"id": person.id, "since": _format_time(person.created_at)},
            "cash": [_receipt_json(one) for one in receipts],
            "history": [
                {"at": _format_time(at), "what": what, **facts} for at, what, facts in history
            ],
            "delivered": [_delivery_json(one) for one in answers],
            "terms": self._terms,
        }
        lines = [
            *_heading(order, disputes, person, document["prepared_at"]),
            *_cash_lines(order, receipts),
            *_delivery_lines(answers, since),
            *_section("Terms that the customer can read at any time (/terms)", [self._terms]),
            *_section("History of the order", [_event_line(*one) for one in history]),
            *_section("The same as JSON", [json.dumps(document, indent=1)]),
        ]
        return "\n".join(lines) + "\n"


# --- as text ------------------------------------------------------------------------------------


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return ["", title.upper(), *lines]


def _heading(
    order: Order, disputes: Sequence[Dispute], person: Person, prepared_at: object
) -> list[str]:
    return [
        f"Evidence for order {order.id}, paid through {order.gateway} ({order.external_id or '-'})",
        f"Prepared {prepared_at}. All times are UTC.",
        *(
            f"Dispute {one.id} of payment {one.payment}: {_format_cash(one.amount)},"
            f" {one.reason or 'no reason told'}, {one.state}"
            for one in disputes
        ),
        *_section(
            "The customer",
            [f"Account {person.id}, used since {_format_time(person.created_at)}"],
        ),
        *_section(
            "What was bought",
            [
                "Credits: prepaid use of language models through a chat bot, delivered at once.",
                "Each answer is charged in Credits when it has been shown.",
                f"Ordered {_format_time(order.created_at)} for {_format_cash(order.amount)}.",
            ],
        ),
    ]


def _cash_lines(order: Order, receipts: Sequence[CashReceipt]) -> list[str]:
    entitlement = current_entitlement(order)
    lines = [
        f"{_format_time(one.at_ms)}  {'given back' if one.is_refund else 'paid'}"
        f"{' (did not reach the payer)' if one.has_failed else ''}  {_format_cash(one.amount)}"
        f"  receipt {one.id}  {order.gateway}: {one.external_id}"
        for one in receipts
    ]
    lines.append(
        f"Credits given for it as it stands: {entitlement.total.units:,}"
        f" ({entitlement.bought.units:,} bought, {entitlement.bonus.units:,} bonus)"
    )
    return _section("Payments and refunds", lines)


def _delivery_lines(answers: Sequence[DeliveredAnswer], since: int) -> list[str]:
    charged = sum(one.charge.units for one in answers)
    lines = [
        f"Since the payment ({_format_time(since)}) the customer got {len(answers):,} answers,",
        f"charged at {charged:,} Credits together.",
        *(
            f"{_format_time(one.at)}  {one.model}  {_format_size(one)}  {one.charge.units:,}"
            " Credits  delivered"
            f" {_format_time(one.delivered_at) if one.delivered_at else 'as it was written'}"
            for one in answers
        ),
    ]
    return _section("What was delivered", lines)


def _format_size(delivery: DeliveredAnswer) -> str:
    if delivery.seconds is not None:
        return f"{delivery.seconds.units:,} s of audio"
    return f"{delivery.input.units:,} tokens in, {delivery.output.units:,} out"


def _format_figures(order: Order, facts: Mapping[str, int | str]) -> dict[str, int | str]:
    """What an event of an order's history tells, its cash as it is written: `$10.00`."""
    return {
        name: _format_cash(type(order.amount)(int(value))) if _is_cash(name) else value
        for name, value in facts.items()
    }


def _is_cash(figure: str) -> bool:
    return figure in _CASH_FIGURES or figure.startswith(PART_PREFIX)


def _event_line(at: int, what: str, facts: Mapping[str, Any]) -> str:
    figures = ", ".join(f"{name} {value}" for name, value in facts.items())
    return f"{_format_time(at)}  {what}  {figures}"


def _format_cash(amount: Cash) -> str:
    if isinstance(amount, NanoUsd):
        return f"${to_cents(amount) // 100:,}.{to_cents(amount) % 100:02}"
    return f"{amount.units:,} Stars"


def _format_time(at_ms: int) -> str:
    return as_datetime(at_ms).strftime("%Y-%m-%d %H:%M:%S")


# --- as JSON ------------------------------------------------------------------------------------


def _amount_json(amount: Cash) -> dict[str, str]:
    return {"amount": format_decimal(amount), "unit": amount.NAME}


def _order_json(order: Order) -> dict[str, Any]:
    return {
        "id": order.id,
        "gateway": order.gateway,
        "checkout": order.external_id,
        "ordered_at": _format_time(order.created_at),
        "bought": order.bought.units,
        "bonus": order.bonus.units,
        **_amount_json(order.amount),
    }


def _dispute_json(dispute: Dispute) -> dict[str, Any]:
    return {
        "id": dispute.id,
        "payment": dispute.payment,
        "state": dispute.state,
        "reason": dispute.reason,
        **_amount_json(dispute.amount),
    }


def _receipt_json(receipt: CashReceipt) -> dict[str, Any]:
    return {
        "receipt": receipt.id,
        "at": _format_time(receipt.at_ms),
        "what": "given back" if receipt.is_refund else "paid",
        "failed": receipt.has_failed,
        "gateway_id": receipt.external_id,
        **_amount_json(receipt.amount),
    }


def _delivery_json(delivery: DeliveredAnswer) -> dict[str, Any]:
    return {
        "answer": delivery.ask,
        "asked_at": _format_time(delivery.at),
        "model": delivery.model,
        "tokens_in": delivery.input.units,
        "tokens_out": delivery.output.units,
        "audio_seconds": None if delivery.seconds is None else delivery.seconds.units,
        "credits": delivery.charge.units,
        "delivered_at": _format_time(delivery.delivered_at) if delivery.delivered_at else None,
    }
