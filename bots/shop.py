"""The shop: payments wired together, and their commands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from bots.chat.callbacks import ButtonRepository
from bots.chat.command import CommandGroup
from bots.chat.i18n import find_nearest_language, render
from bots.chat.types import Notifier
from bots.commands.admin.disputes import DisputeCommands
from bots.commands.admin.refunds import RefundCommands
from bots.commands.models import ModelCommands
from bots.commands.redeem import RedeemCommands
from bots.commands.refer import ReferCommands
from bots.commands.topup import PaymentTerms, TopUpCommands, list_terms
from bots.notifications import NotificationSender, OperatorCards
from bots.plan import Plan
from bots.platform_payments import StarsPayments, StorePurchases
from core.admin.broadcasts import Broadcasts
from core.clock import Clock
from core.db.database import Database
from core.jobs.notifications import NotificationQueue
from core.jobs.scheduler import Job
from core.ledger.ledger import Ledger
from core.pool.vault import Vault
from core.pricing.deals import Deals
from core.users.balances import Balances
from core.users.referrals import Referrals
from core.users.roles import Roles
from core.users.service import Users
from payments.checkout import Cashier
from payments.evidence import EvidenceBuilder
from payments.fulfillment import Fulfillment
from payments.gateways.base import Gateway
from payments.gateways.discord_store import DiscordStoreGateway
from payments.gateways.telegram_stars import TelegramStarsGateway
from payments.gateways.voucher import VOUCHER_GATEWAY, VoucherGateway
from payments.offer import Offer
from payments.orders import Orders, PersonalOffers
from payments.promo_codes import PromoCodes
from payments.reconciliation import TransactionListing
from payments.vouchers import Vouchers
from payments.webhooks import WebhookInbox


@dataclass(frozen=True, slots=True)
class Shop:
    """Everything about money, from a gateway's message to the words in a chat."""

    store: Database
    ledger: Ledger
    clock: Clock
    people: Users
    invitations: Referrals
    deliverers: Mapping[str, Notifier]
    terms: PaymentTerms
    #: Those of the settings.
    gateways: Mapping[str, Gateway]
    cashier: Cashier
    codes: Vouchers
    inbox: WebhookInbox
    notices: NotificationQueue
    #: Whether anything is sold: here, or as codes elsewhere.
    trades: bool
    #: Whether keys may be contributed.
    contributing: bool
    #: What front ends do about their platform's own payments, where those are sold by.
    stars: StarsPayments | None
    skus: StorePurchases | None

    @property
    def inviter_percent(self) -> int:
        """What an inviter gets of a friend's top-up."""
        return self.cashier.orders.offer.inviter_percent if self.trades else 0

    @property
    def rewards(self) -> bool:
        """Whether invitations earn something."""
        return self.contributing or self.inviter_percent > 0

    async def start(self) -> None:
        """Begins to work through what gateways told."""
        await self.inbox.start()

    async def stop(self) -> None:
        """Ends the work and closes the gateways' connections."""
        await self.inbox.stop()
        for gateway in self.gateways.values():
            await gateway.close()

    def chores(self) -> tuple[Job, ...]:
        """What happens without a request."""
        notices = Job("tell notices", 2.0, self.notices.deliver_due, on_every_process=True)
        if not self.trades:
            return (notices,)
        chores = (
            notices,
            Job("reconcile payments", 120.0, self.cashier.reconcile_orders, runs_at_start=True),
            Job("forget webhooks", 3_600.0, self.inbox.delete_old_messages),
        )
        if self.stars is None:
            return chores
        known = Job(
            "know open orders",
            10.0,
            self.stars.refresh_open_orders,
            on_every_process=True,
            runs_at_start=True,
        )
        return (*chores, known)

    def rooms(self, choosing: ModelCommands) -> tuple[CommandGroup, ...]:
        """The rooms of payments, where anything is sold; of inviting, where it earns something."""
        refer = ReferCommands(
            referrals=self.invitations,
            db=self.store,
            ledger=self.ledger,
            percent=self.inviter_percent,
            has_contributions=self.contributing,
            notifiers=self.deliverers,
        )
        inviting = (refer.room(),) if self.rewards else ()
        redeeming = RedeemCommands(
            vouchers=self.codes, ledger=self.ledger, model_commands=choosing
        ).room()
        if not self.trades:
            return redeeming, *inviting
        paying = TopUpCommands(
            cashier=self.cashier,
            users=self.people,
            model_commands=choosing,
            clock=self.clock,
            terms=self.terms,
            is_selling=bool(self.gateways),
        )
        told = "\n".join(render(line, "en") for line in list_terms(self.terms))
        disputes = DisputeCommands(
            cashier=self.cashier,
            evidence_builder=EvidenceBuilder(
                cashier=self.cashier, db=self.store, clock=self.clock, terms=told
            ),
            ledger=self.ledger,
            clock=self.clock,
        )
        return (
            paying.room(),
            redeeming,
            *inviting,
            RefundCommands(cashier=self.cashier).room(),
            disputes.room(),
        )


def open_shop(
    plan: Plan,
    *,
    store: Database,
    ledger: Ledger,
    vault: Vault,
    people: Users,
    purses: Balances,
    owners: Roles,
    invitations: Referrals,
    clock: Clock,
    deals: Deals,
    deliverers: Mapping[str, Notifier],
    cards: OperatorCards = MappingProxyType({}),
    trades: bool = True,
) -> Shop:
    """Wires it; nothing starts yet."""
    gateways, offer = plan.gateways, plan.offer
    orders = _orders(offer, deals, store, ledger, clock)

    async def who(platform: str, id_: str) -> str:
        """Whoever bought in a platform's store may never have written here."""
        return (await people.get_or_create(platform, id_, language=find_nearest_language(""))).id

    crediting = Fulfillment(
        orders=orders, db=store, ledger=ledger, clock=clock, offer=offer, get_person_id=who
    )
    cashier = Cashier(
        gateways={**gateways, VOUCHER_GATEWAY: VoucherGateway()},
        orders=orders,
        fulfillment=crediting,
        db=store,
        clock=clock,
        transaction_listing=TransactionListing(fulfillment=crediting, db=store, ledger=ledger),
    )
    inbox = WebhookInbox(
        gateways=gateways,
        fulfillment=crediting,
        db=store,
        ledger=ledger,
        vault=vault,
        clock=clock,
    )
    telling = NotificationSender(
        users=people,
        balances=purses,
        cashier=cashier,
        buttons=ButtonRepository(db=store, ledger=ledger, clock=clock),
        broadcasts=Broadcasts(db=store, ledger=ledger, clock=clock),
        notifiers=deliverers,
        operator_cards=cards,
    )
    return Shop(
        store=store,
        ledger=ledger,
        clock=clock,
        people=people,
        invitations=invitations,
        deliverers=deliverers,
        terms=plan.terms,
        gateways=gateways,
        cashier=cashier,
        codes=_codes(orders, crediting, deals, store, ledger, clock),
        inbox=inbox,
        notices=_notices(store, ledger, clock, telling, owners),
        stars=_stars(gateways.get("stars"), orders, inbox, people, clock),
        skus=_skus(gateways.get("skus"), inbox, clock),
        trades=trades,
        contributing=bool(plan.policy.suppliers),
    )


def _orders(offer: Offer, deals: Deals, store: Database, ledger: Ledger, clock: Clock) -> Orders:
    promises = PersonalOffers(offer, deals)
    return Orders(db=store, ledger=ledger, clock=clock, offer=offer, personal_offers=promises)


def _codes(
    orders: Orders,
    crediting: Fulfillment,
    deals: Deals,
    store: Database,
    ledger: Ledger,
    clock: Clock,
) -> Vouchers:
    return Vouchers(
        orders=orders,
        fulfillment=crediting,
        db=store,
        ledger=ledger,
        clock=clock,
        promo_codes=PromoCodes(deals=deals, db=store, ledger=ledger, clock=clock),
    )


def _notices(
    store: Database, ledger: Ledger, clock: Clock, telling: NotificationSender, owners: Roles
) -> NotificationQueue:
    told = telling.send_notification
    return NotificationQueue(
        db=store, ledger=ledger, clock=clock, deliver=told, list_operators=owners.list_operators
    )


def _stars(
    gateway: Gateway | None, orders: Orders, inbox: WebhookInbox, people: Users, clock: Clock
) -> StarsPayments | None:
    if not isinstance(gateway, TelegramStarsGateway):
        return None
    return StarsPayments(gateway=gateway, orders=orders, inbox=inbox, users=people, clock=clock)


def _skus(gateway: Gateway | None, inbox: WebhookInbox, clock: Clock) -> StorePurchases | None:
    if not isinstance(gateway, DiscordStoreGateway):
        return None
    return StorePurchases(gateway=gateway, inbox=inbox, clock=clock)
