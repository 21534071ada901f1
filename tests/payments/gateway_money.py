"""Plain models of what gateways hold: what their accounts say of each order, read from the peers'
own state, in whole cents. Nothing here knows the product.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Any, Protocol

from tests.peers import btcpay, paypal_webhooks, stripe
from tests.peers.btcpay import FakeBtcPay
from tests.peers.paypal import FakePayPal
from tests.peers.stripe import FakeStripe

#: A message as it goes over the wire: its body, and what proves it at the time of sending.
Wire = tuple[bytes, Callable[[bytes], dict[str, str]]]


class Money(Protocol):
    """What happens at a gateway, at random; each act gives the messages that tell of it."""

    def pay(self, checkout: str) -> list[Wire]:
        """The payer pays, where that can still be."""
        ...

    def act(self, chance: random.Random) -> list[Wire]:
        """Something happens to one of the payments, by whoever is not us."""
        ...

    def decide(self, chance: random.Random) -> list[Wire]:
        """Whatever is undecided is decided."""
        ...

    def list_left(self) -> dict[str, int]:
        """What is left of each order's money, in cents."""
        ...

    def list_credits(self) -> dict[str, int]:
        """The Credits of each order by the offer's rule, below $100 and beside packs: one a cent,
        once it was paid in full."""
        ...


@dataclass
class StripeMoney:
    """An account at Stripe."""

    peer: FakeStripe

    def pay(self, checkout: str) -> list[Wire]:
        if self.peer.sessions[checkout]["status"] != "open":
            return []
        self.peer.pay(checkout)
        session = self.peer.sessions[checkout]
        return [self._tell("checkout.session.completed", session)]

    def act(self, chance: random.Random) -> list[Wire]:
        if not self.peer.intents:
            return []
        intent = chance.choice(list(self.peer.intents))
        acts = (self._refund, self._refund, self._dispute, self._go_on, self._go_on, self._fail)
        return chance.choice(acts)(intent, chance)

    def decide(self, chance: random.Random) -> list[Wire]:
        told = []
        for dispute in self.peer.disputes.values():
            if dispute["status"] not in {"won", "lost"}:
                self._set(dispute, chance.choice(("won", "lost")))
                told.append(self._tell("charge.dispute.closed", dispute))
        for refund in self.peer.refunds.values():
            if refund["status"] == "pending":
                refund["status"] = "succeeded"
                told.append(self._tell("refund.updated", refund))
        return told

    def list_left(self) -> dict[str, int]:
        left: dict[str, int] = {}
        for id_, intent in self.peer.intents.items():
            gone = sum(one["amount"] for one in self._live_refunds(id_))
            gone += sum(
                one["amount"]
                for one in self.peer.disputes.values()
                if one["payment_intent"] == id_ and one["status"] != "won"
            )
            order = intent["metadata"]["order"]
            left[order] = left.get(order, 0) + intent["amount"] - gone
        return left

    def list_credits(self) -> dict[str, int]:
        """None is less than none: a refund that was under way as its charge was disputed costs
        more than was paid."""
        return {order: max(0, cents) for order, cents in self.list_left().items()}

    def _live_refunds(self, intent: str) -> Iterator[dict[str, Any]]:
        for one in self.peer.refunds.values():
            if one["payment_intent"] == intent and one["status"] not in {"failed", "canceled"}:
                yield one

    def _refund(self, intent: str, chance: random.Random) -> list[Wire]:
        """In the dashboard, where nothing of it is disputed."""
        if any(one["payment_intent"] == intent for one in self.peer.disputes.values()):
            return []
        gone = sum(one["amount"] for one in self._live_refunds(intent))
        rest = self.peer.intents[intent]["amount"] - gone
        if rest <= 0:
            return []
        cents = chance.choice((rest, chance.randint(1, rest)))
        status = chance.choice(("succeeded", "pending"))
        refund = self.peer.refunds[self.peer.refund(intent, cents, status=status)]
        return [self._tell("refund.created", refund)]

    def _fail(self, intent: str, chance: random.Random) -> list[Wire]:
        """A refund on its way comes back."""
        pending = [
            one
            for one in self.peer.refunds.values()
            if one["payment_intent"] == intent and one["status"] == "pending"
        ]
        if not pending:
            return []
        refund = chance.choice(pending)
        refund["status"] = "failed"
        return [self._tell("refund.failed", refund)]

    def _dispute(self, intent: str, chance: random.Random) -> list[Wire]:
        """A bank takes back what is left of a payment, all or a part; one at a time."""
        ours = [one for one in self.peer.disputes.values() if one["payment_intent"] == intent]
        gone = sum(one["amount"] for one in self._live_refunds(intent))
        rest = self.peer.intents[intent]["amount"] - gone
        if ours or rest <= 0:
            return []
        dispute = self.peer.disputes[self.peer.dispute(intent)]
        dispute["amount"] = chance.choice((rest, chance.randint(1, rest)))
        self.peer.moves(dispute["id"], -dispute["amount"], fee=chance.choice((0, 1_500)))
        return [self._tell("charge.dispute.created", dispute)]

    def _go_on(self, intent: str, chance: random.Random) -> list[Wire]:
        """A dispute ends, reopens, is appealed."""
        ours = [one for one in self.peer.disputes.values() if one["payment_intent"] == intent]
        if not ours:
            return []
        dispute = chance.choice(ours)
        ended = dispute["status"] in {"won", "lost"}
        self._set(dispute, "needs_response" if ended else chance.choice(("won", "lost")))
        kind = "updated" if ended else "closed"
        return [self._tell(f"charge.dispute.{kind}", dispute)]

    def _set(self, dispute: dict[str, Any], status: str) -> None:
        """A dispute stands otherwise now; what was given back for a won one is taken again."""
        if (dispute["status"] == "won") != (status == "won"):
            sign = 1 if status == "won" else -1
            self.peer.moves(dispute["id"], sign * dispute["amount"])
        dispute["status"] = status

    def _tell(self, kind: str, about: dict[str, Any]) -> Wire:
        return self.peer.event(kind, dict(about)), lambda body: {
            "stripe-signature": stripe.signature(body)
        }


@dataclass
class PayPalMoney:
    """An account at PayPal."""

    peer: FakePayPal

    def pay(self, checkout: str) -> list[Wire]:
        order = self.peer.orders[checkout]
        if order["status"] != "PAYER_ACTION_REQUIRED":
            return []
        self.peer.approve(checkout)
        return [self._tell("CHECKOUT.ORDER.APPROVED", order)]

    def act(self, chance: random.Random) -> list[Wire]:
        if not self.peer.captures:
            return []
        capture = chance.choice(list(self.peer.captures))
        acts = (self._refund, self._refund, self._dispute, self._resolve)
        return chance.choice(acts)(capture, chance)

    def decide(self, chance: random.Random) -> list[Wire]:
        told = []
        for id_, case in self.peer.disputes.items():
            if case["status"] != "RESOLVED":
                told += self._end(id_, chance)
        return told

    def list_left(self) -> dict[str, int]:
        left: dict[str, int] = {}
        for id_, capture in self.peer.captures.items():
            order = capture["custom_id"]
            rest = _to_cents(capture["amount"]["value"]) - self._given_back(id_)
            rest -= sum(
                _to_cents(case["dispute_amount"]["value"])
                for case in self._cases(id_)
                if case["status"] != "RESOLVED"
                or case["dispute_outcome"]["outcome_code"] == "RESOLVED_BUYER_FAVOUR"
            )
            left[order] = left.get(order, 0) + rest
        return left

    def list_credits(self) -> dict[str, int]:
        return self.list_left()

    def _given_back(self, capture: str) -> int:
        return sum(
            _to_cents(one["amount"]["value"])
            for one in self.peer.refunds.values()
            if one["links"][1]["href"].endswith(f"/{capture}") and one["status"] != "FAILED"
        )

    def _cases(self, capture: str) -> list[dict[str, Any]]:
        return [
            case
            for case in self.peer.disputes.values()
            if case["disputed_transactions"][0]["seller_transaction_id"] == capture
        ]

    def _refund(self, capture: str, chance: random.Random) -> list[Wire]:
        rest = _to_cents(self.peer.captures[capture]["amount"]["value"])
        rest -= self._given_back(capture)
        if rest <= 0 or self._cases(capture):
            return []
        cents = chance.choice((rest, chance.randint(1, rest)))
        refund = self.peer.give_back(capture, f"{cents / 100:.2f}")
        return [self._tell("PAYMENT.CAPTURE.REFUNDED", refund)]

    def _dispute(self, capture: str, chance: random.Random) -> list[Wire]:
        if self._cases(capture) or self._given_back(capture):
            return []
        case = self.peer.dispute(capture)
        return [self._tell("CUSTOMER.DISPUTE.CREATED", case)]

    def _resolve(self, capture: str, chance: random.Random) -> list[Wire]:
        """A case ends, or is appealed."""
        cases = self._cases(capture)
        if not cases:
            return []
        (case,) = cases
        if case["status"] == "RESOLVED":
            case["status"] = "UNDER_REVIEW"
            del case["dispute_outcome"]
            return [self._tell("CUSTOMER.DISPUTE.UPDATED", case)]
        return self._end(case["dispute_id"], chance)

    def _end(self, id_: str, chance: random.Random) -> list[Wire]:
        outcome = chance.choice(("RESOLVED_SELLER_FAVOUR", "RESOLVED_BUYER_FAVOUR"))
        return [self._tell("CUSTOMER.DISPUTE.RESOLVED", self.peer.resolve(id_, outcome))]

    @staticmethod
    def _tell(kind: str, about: dict[str, Any]) -> Wire:
        return paypal_webhooks.event(kind, about), paypal_webhooks.headers


@dataclass
class BtcPayMoney:
    """A store at a BTCPay Server."""

    peer: FakeBtcPay

    def pay(self, checkout: str) -> list[Wire]:
        """In parts, with parts of cents, too much; the chain may take its time."""
        chance = random.Random(f"{checkout}/{len(self.peer.payments[checkout])}")
        dollars = chance.choice(("", "", "3.337", "0.004", "9.99", "20"))
        settled = chance.random() < 0.5
        due = Decimal(self.peer.invoices[checkout]["amount"])
        sent = sum(Decimal(one["value"]) for one in self.peer.payments[checkout])
        if not dollars and sent * self.peer.rate >= due:
            dollars = "1"
        self.peer.pay(checkout, dollars, settled=settled)
        return [self._tell("InvoicePaymentSettled" if settled else "InvoiceProcessing", checkout)]

    def act(self, chance: random.Random) -> list[Wire]:
        if not self.peer.invoices:
            return []
        invoice = chance.choice(list(self.peer.invoices))
        if chance.random() < 0.3:
            self.peer.expire(invoice)
            return [self._tell("InvoiceExpired", invoice)]
        return self._confirm(invoice)

    def decide(self, chance: random.Random) -> list[Wire]:
        del chance
        return [told for invoice in self.peer.invoices for told in self._confirm(invoice)]

    def list_left(self) -> dict[str, int]:
        left = {
            self._order_of(invoice): int(self._settled(invoice) * 100)
            for invoice in self.peer.invoices
        }
        for pull in self.peer.pull_payments.values():
            left[pull["name"].split()[0]] -= _to_cents(pull["amount"])
        return left

    def list_credits(self) -> dict[str, int]:
        left = self.list_left()
        for invoice, found in self.peer.invoices.items():
            if self._settled(invoice) < Decimal(found["amount"]):
                left[self._order_of(invoice)] = 0
        return left

    def _confirm(self, invoice: str) -> list[Wire]:
        """The chain has what it was sent."""
        waiting = [
            one["id"] for one in self.peer.payments[invoice] if one["status"] == "Processing"
        ]
        for payment in waiting:
            self.peer.confirm(invoice, payment)
        return [self._tell("InvoicePaymentSettled", invoice) for _ in waiting]

    def _settled(self, invoice: str) -> Decimal:
        """Each payment's worth up to the next nano-dollar."""
        worths = (
            (Decimal(one["value"]) * self.peer.rate).quantize(_NANO, ROUND_CEILING)
            for one in self.peer.payments[invoice]
            if one["status"] == "Settled"
        )
        return sum(worths, start=Decimal(0))

    def _order_of(self, invoice: str) -> str:
        return str(self.peer.invoices[invoice]["metadata"]["orderId"])

    def _tell(self, kind: str, invoice: str) -> Wire:
        return self.peer.event(kind, invoice), lambda body: {"btcpay-sig": btcpay.signature(body)}


_NANO = Decimal("0.000000001")


def _to_cents(value: str) -> int:
    dollars, _, cents = value.partition(".")
    return int(dollars) * 100 + int(cents.ljust(2, "0"))
