"""The payments' part of the object graph: `bots.services` makes it, on what there is already."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from core import ids
from core.ledger.ledger import Ledger
from core.pool.vault import Vault
from core.pricing.deals import Deals
from payments.cancellations import CancellationPolicy, Cancellations
from payments.checkout import CheckoutService
from payments.dispute_service import DisputeService
from payments.fulfillment import Fulfillment, GetPersonId
from payments.gateways.base import Gateway
from payments.gateways.voucher import VOUCHER_GATEWAY, VoucherGateway
from payments.movements import Movements
from payments.offer import Offer
from payments.order_checks import OrderChecks
from payments.order_search import OrderSearch
from payments.orders import Orders, PersonalOffers
from payments.promo_codes import PromoCodes
from payments.reconciliation import OrderIntents, Reconciliation
from payments.refunds import Refunds
from payments.transaction_list import TransactionListing
from payments.unmatched import UnmatchedPayments
from payments.vouchers import Vouchers
from payments.webhooks import WebhookInbox


@dataclass(frozen=True, slots=True)
class PaymentServices:
    """Everything about money that comes in, from a gateway's message to the ledger."""

    #: Those of the settings.
    gateways: Mapping[str, Gateway]
    orders: Orders
    order_search: OrderSearch
    checkout: CheckoutService
    refunds: Refunds
    cancellations: Cancellations
    disputes: DisputeService
    reconciliation: Reconciliation
    movements: Movements
    unmatched: UnmatchedPayments
    vouchers: Vouchers
    inbox: WebhookInbox
    #: Whether anything is sold: here, or as vouchers elsewhere.
    is_trading: bool

    @property
    def inviter_percent(self) -> int:
        """What an inviter gets of a friend's top-up."""
        return self.orders.offer.inviter_percent if self.is_trading else 0


@dataclass(frozen=True, slots=True)
class PaymentBase:
    """What all services of payments stand on."""

    ledger: Ledger
    #: What everyone is offered; `deals` tell what it is for one person.
    offer: Offer
    deals: Deals
    #: For so many days buyers may withdraw from a purchase.
    withdrawal_days: int = 0
    #: Whether Stripe is the seller of what is bought there.
    stripe_sells: bool = False

    @property
    def sellers(self) -> Mapping[str, str]:
        """Where a purchase that was sold by somebody else is withdrawn from."""
        link = {"stripe": "https://support.link.com"} if self.stripe_sells else {}
        return {"skus": "https://support.discord.com", VOUCHER_GATEWAY: "", **link}

    def build_orders(self, derive_tag: Callable[[str], int] | None = None) -> Orders:
        """The orders of this database; `derive_tag` where their ids are recognized."""
        return Orders(
            ledger=self.ledger,
            offer=self.offer,
            personal_offers=PersonalOffers(self.offer, self.deals),
            derive_tag=derive_tag,
        )

    def build_fulfillment(
        self,
        orders: Orders,
        get_person_id: GetPersonId | None = None,
        gateways: Mapping[str, Gateway] | None = None,
    ) -> Fulfillment:
        """What makes Credits of payments; `gateways` where they speak."""
        return Fulfillment(
            orders=orders,
            ledger=self.ledger,
            offer=self.offer,
            get_person_id=get_person_id,
            gateways=gateways,
        )

    def build_vouchers(self, orders: Orders, fulfillment: Fulfillment) -> Vouchers:
        """Vouchers and promotions' codes."""
        return Vouchers(
            orders=orders,
            fulfillment=fulfillment,
            ledger=self.ledger,
            promo_codes=PromoCodes(deals=self.deals, ledger=self.ledger),
        )


def order_tags(vault: Vault) -> Callable[[str], int]:
    """Makes the tags of orders' ids: keyed by the vault, so nobody else makes them."""

    def derive_tag(beginning: str) -> int:
        return int(vault.derive_id("order", beginning)[:8], 16) & ((1 << ids.TAG_BITS) - 1)

    return derive_tag


def build_payment_services(
    base: PaymentBase,
    *,
    gateways: Mapping[str, Gateway],
    vault: Vault,
    get_person_id: GetPersonId,
    is_trading: bool,
) -> PaymentServices:
    """Orders, and what gateways say of them."""
    ledger, db, clock = base.ledger, base.ledger.db, base.ledger.clock
    orders = base.build_orders(order_tags(vault))
    fulfillment = base.build_fulfillment(orders, get_person_id, gateways)
    movements = Movements(ledger=ledger)
    everywhere = {**gateways, VOUCHER_GATEWAY: VoucherGateway()}
    refunds = Refunds(
        gateways=everywhere, orders=orders, fulfillment=fulfillment, db=db, clock=clock
    )
    unmatched = UnmatchedPayments(
        orders=orders, fulfillment=fulfillment, ledger=ledger, get_person_id=get_person_id
    )
    disputes = DisputeService(gateways=everywhere, orders=orders, fulfillment=fulfillment, db=db)
    return PaymentServices(
        gateways=gateways,
        orders=orders,
        order_search=OrderSearch(ledger=ledger, orders=orders),
        checkout=CheckoutService(gateways=everywhere, orders=orders),
        refunds=refunds,
        cancellations=Cancellations(
            orders=orders,
            refunds=refunds,
            ledger=ledger,
            policy=CancellationPolicy(base.withdrawal_days, base.sellers),
        ),
        disputes=disputes,
        reconciliation=Reconciliation(
            gateways=everywhere,
            orders=orders,
            fulfillment=fulfillment,
            transaction_listing=TransactionListing(
                fulfillment=fulfillment, movements=movements, unmatched=unmatched, ledger=ledger
            ),
            order_checks=OrderChecks(ledger=ledger),
            intents=OrderIntents(refunds=refunds, disputes=disputes, clock=clock),
            clock=clock,
        ),
        movements=movements,
        unmatched=unmatched,
        vouchers=base.build_vouchers(orders, fulfillment),
        inbox=WebhookInbox(gateways=gateways, fulfillment=fulfillment, ledger=ledger, vault=vault),
        is_trading=is_trading,
    )


def build_voucher_service(base: PaymentBase) -> Vouchers:
    """Vouchers alone."""
    orders = base.build_orders()
    return base.build_vouchers(orders, base.build_fulfillment(orders))
