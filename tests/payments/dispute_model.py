"""A plain model of one buyer's orders, payments, refunds and disputes: whole numbers and no ledger.

Cash in cents, Credits as they are. Written from the rules, not from the product: an order gives
what the offer says for what is left of its cash; a dispute holds it, an end lets go or takes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from payments.offer import Offer, from_cents

OFFER = Offer()


@dataclass
class ModelDispute:
    """A dispute as it is recorded: nobody has heard of it while it has no state."""

    payment: str
    cents: int
    state: str = ""
    turn: int = 0
    #: Credits that were spent when it was lost.
    spent: tuple[int, int] = (0, 0)
    bad_debt: int = 0


@dataclass
class ModelOrder:
    """An order of which so much was asked; what is in it now."""

    cents: int
    payments: dict[str, int] = field(default_factory=dict)
    refunds: dict[str, tuple[str, int]] = field(default_factory=dict)
    disputes: dict[str, ModelDispute] = field(default_factory=dict)
    given: tuple[int, int] = (0, 0)
    held: tuple[int, int] = (0, 0)

    @property
    def lost(self) -> int:
        return sum(one.cents for one in self.disputes.values() if one.state == "lost")

    @property
    def remaining(self) -> int:
        paid, back = sum(self.payments.values()), sum(cents for _, cents in self.refunds.values())
        return paid - back - self.lost

    @property
    def is_disputed(self) -> bool:
        return any(one.state == "open" for one in self.disputes.values())

    def worth(self) -> tuple[int, int]:
        """What the offer gives for the cash that is left, above the order's sum at the free
        rate."""
        left = max(0, self.remaining)
        parts = [OFFER.compute_entitlement(from_cents(min(left, self.cents)))]
        if left > self.cents:
            parts.append(OFFER.compute_entitlement_without_pack(from_cents(left - self.cents)))
        return sum(one.bought.units for one in parts), sum(one.bonus.units for one in parts)


class DisputeModel:
    """The buyer's pockets and their orders."""

    def __init__(self) -> None:
        self.orders: dict[str, ModelOrder] = {}
        #: Bought and gift.
        self.pocket = [0, 0]
        self.owed = self.used = 0

    # --- pockets --------------------------------------------------------------------------------

    def _repay(self) -> None:
        for place in (1, 0):
            part = min(self.owed, self.pocket[place])
            self.owed -= part
            self.pocket[place] -= part

    def _give(self, amounts: tuple[int, int]) -> None:
        for place, amount in enumerate(amounts):
            self.pocket[place] += amount
        self._repay()

    def _take(self, order: ModelOrder, amounts: tuple[int, int]) -> None:
        """First what is held of a disputed order, then the pocket; the rest is owed."""
        held = list(order.held)
        for place, amount in enumerate(amounts):
            rest = amount
            if order.is_disputed:
                part = min(rest, held[place])
                held[place] -= part
                rest -= part
            part = min(rest, self.pocket[place])
            self.pocket[place] -= part
            self.owed += rest - part
        order.held = (held[0], held[1])
        self._repay()

    def _hold(self, order: ModelOrder) -> None:
        held = list(order.held)
        for place in (0, 1):
            part = min(max(0, order.given[place] - held[place]), self.pocket[place])
            self.pocket[place] -= part
            held[place] += part
        order.held = (held[0], held[1])

    def spend(self, amount: int) -> None:
        self.pocket[0] -= amount
        self.used += amount

    # --- money ----------------------------------------------------------------------------------

    def pay(self, order: ModelOrder, id_: str, cents: int) -> None:
        order.payments[id_] = cents
        if not any(order.given) and order.remaining < order.cents and len(order.payments) == 1:
            return
        self._give(self._raise(order))

    def refund(self, order: ModelOrder, id_: str, payment: str, cents: int) -> None:
        order.refunds[id_] = (payment, cents)
        self._take(order, self._lower(order))

    def refund_fails(self, order: ModelOrder, id_: str) -> None:
        del order.refunds[id_]
        added = self._raise(order)
        if order.is_disputed:
            order.held = (order.held[0] + added[0], order.held[1] + added[1])
        else:
            self._give(added)

    def _raise(self, order: ModelOrder) -> tuple[int, int]:
        before, worth = order.given, order.worth()
        order.given = (max(before[0], worth[0]), max(before[1], worth[1]))
        return order.given[0] - before[0], order.given[1] - before[1]

    def _lower(self, order: ModelOrder) -> tuple[int, int]:
        before, worth = order.given, order.worth()
        order.given = (min(before[0], worth[0]), min(before[1], worth[1]))
        return before[0] - order.given[0], before[1] - order.given[1]

    # --- disputes -------------------------------------------------------------------------------

    def follow(self, order: ModelOrder, dispute: ModelDispute, target: str) -> None:
        """To that state, by all that lies between."""
        if not dispute.state:
            if target == "won":
                return
            self._hold(order)
            dispute.state = "open"
        if dispute.state == target:
            return
        if dispute.state == "won":
            self._hold(order)
            dispute.state, dispute.turn = "open", dispute.turn + 1
        elif dispute.state == "lost":
            self._undo_loss(order, dispute)
        if target == "won":
            dispute.state = "won"
        elif target == "lost":
            self._lose(order, dispute)
        if not order.is_disputed:
            released, order.held = order.held, (0, 0)
            self._give(released)

    def _undo_loss(self, order: ModelOrder, dispute: ModelDispute) -> None:
        dispute.state, dispute.turn = "open", dispute.turn + 1
        added, excess, held = self._raise(order), [0, 0], list(order.held)
        for place in (0, 1):
            held[place] += max(0, added[place] - dispute.spent[place])
            excess[place] = max(0, dispute.spent[place] - added[place])
        order.held = (held[0], held[1])
        if any(excess):
            self._take(order, (excess[0], excess[1]))
        dispute.spent, dispute.bad_debt = (0, 0), 0

    def _lose(self, order: ModelOrder, dispute: ModelDispute) -> None:
        dispute.state = "lost"
        gone, held = self._lower(order), order.held
        removed = (min(held[0], gone[0]), min(held[1], gone[1]))
        order.held = (held[0] - removed[0], held[1] - removed[1])
        dispute.spent = (gone[0] - removed[0], gone[1] - removed[1])
        dispute.bad_debt = dispute.cents - min(dispute.cents, removed[0])
