"""What is done with orders over some gateways, wired as the service wires it."""

from __future__ import annotations

from collections.abc import Mapping

from core.clock import Clock
from core.db.database import Database
from core.ledger.ledger import Ledger
from payments.checkout import CheckoutService
from payments.dispute_service import DisputeService
from payments.fulfillment import Fulfillment, GetPersonId
from payments.gateways.base import Gateway
from payments.movements import Movements
from payments.order_checks import OrderChecks
from payments.order_search import OrderSearch
from payments.orders import Orders
from payments.reconciliation import OrderIntents, Reconciliation
from payments.refunds import Refunds
from payments.transaction_list import TransactionListing
from payments.unmatched import UnmatchedPayments


class OrderServices:
    """Checkout, refunds, disputes, reconciliation and search over the same gateways."""

    def __init__(
        self,
        gateways: Mapping[str, Gateway],
        orders: Orders,
        fulfillment: Fulfillment,
        *,
        db: Database,
        ledger: Ledger,
        clock: Clock,
        get_person_id: GetPersonId | None = None,
    ) -> None:
        self.orders = orders
        self.checkout = CheckoutService(gateways=gateways, orders=orders)
        self.order_search = OrderSearch(ledger=ledger, orders=orders)
        self.refunds = Refunds(
            gateways=gateways, orders=orders, fulfillment=fulfillment, db=db, clock=clock
        )
        self.disputes = DisputeService(
            gateways=gateways, orders=orders, fulfillment=fulfillment, db=db
        )
        self.movements = Movements(ledger=ledger)
        self.unmatched = UnmatchedPayments(
            orders=orders, fulfillment=fulfillment, ledger=ledger, get_person_id=get_person_id
        )
        listing = TransactionListing(
            fulfillment=fulfillment,
            movements=self.movements,
            unmatched=self.unmatched,
            ledger=ledger,
        )
        self.reconciliation = Reconciliation(
            gateways=gateways,
            orders=orders,
            fulfillment=fulfillment,
            transaction_listing=listing,
            order_checks=OrderChecks(ledger=ledger),
            intents=OrderIntents(refunds=self.refunds, disputes=self.disputes, clock=clock),
            clock=clock,
        )
