"""What `core` asks of payments: orders, payments, disputes and webhooks are rows that `payments`
alone reads and writes; it fulfils `PaymentRecords`, which `bots.services` hands in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import sqlalchemy as sa

from core.db.writes import Companion
from core.money import Credits


@dataclass(frozen=True, slots=True)
class RecordLine:
    """An order or a payout of a person, in one line; `at` in milliseconds UTC."""

    id: str
    state: str
    at: int
    credits: Credits


@dataclass(frozen=True, slots=True)
class ReceivedPayment:
    """A payment by its gateway, when it came (ms UTC), and whether its order was ever disputed."""

    gateway: str
    at: int
    is_disputed: bool


class PaymentRecords(Protocol):
    """The records of what people bought. `people` are ids, whoever was merged into one included by
    the caller."""

    def select_bought(self, people: sa.CompoundSelect[str], since_ms: int) -> sa.ScalarSelect[Any]:
        """Credits that people bought since then, without what was taken back, as a part of the
        caller's statement."""

    def count_open_disputes(self, connection: sa.Connection) -> int:
        """How many disputes are open, as the caller's transaction sees it."""

    async def count_orders(self, people: Sequence[str]) -> int:
        """How many orders people made, unpaid ones included."""

    async def has_unfinished_order(self, people: Sequence[str]) -> bool:
        """Whether a payment of people may still come."""

    async def has_open_dispute(self, people: Sequence[str]) -> bool:
        """Whether a payment of people is disputed now."""

    async def count_disputed_orders(self, people: Sequence[str]) -> int:
        """How many orders of people are or were disputed."""

    async def list_payments(self, people: Sequence[str]) -> list[ReceivedPayment]:
        """All payments of people."""

    async def list_newest_orders(self, people: Sequence[str], limit: int) -> list[RecordLine]:
        """The newest orders of people, with the Credits that each has bought."""

    async def find_buyers(self, order: str) -> list[str]:
        """Whose order this is; nobody's where there is none."""

    async def count_waiting_webhooks(self) -> int:
        """How many messages of gateways aren't worked through."""

    def select_referral_shares(self) -> sa.Subquery:
        """What inviters have of orders: rows of `referral` (whose order counts) and the `sum` of
        Credits, as a part of the caller's statement."""

    async def audit_refunds(self) -> tuple[int, list[str]]:
        """How many orders were refunded; and what of more was given back than was paid, or of other
        than their refunds say."""

    def build_erasure(self, people: Sequence[str]) -> Sequence[Companion]:
        """The rows of people without what tells who or where they are; amounts stay."""

    async def audit_movements(self) -> list[str]:
        """What gateways' movements and the books differed by, when they were last compared; calls
        no gateway."""
