"""The shop: payments wired together, and their commands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from bots.chat.callbacks import Buttons
from bots.chat.command import Room
from bots.chat.i18n import language_for, render
from bots.chat.types import Deliverer
from bots.commands.admin.disputes import DisputeCommands
from bots.commands.admin.refunds import RefundCommands
from bots.commands.models import Choosing
from bots.commands.redeem import RedeemCommands
from bots.commands.refer import ReferCommands
from bots.commands.topup import PayingCommands, Terms, terms_lines
from bots.notifications import OwnersCards, Telling
from bots.plan import Plan
from bots.platform_payments import SkusTill, StarsTill
from core.admin.broadcasts import Broadcasts
from core.clock import Clock
from core.db.database import Store
from core.jobs.notifications import Notices
from core.jobs.scheduler import Chore
from core.ledger.ledger import Ledger
from core.pool.vault import Vault
from core.pricing.deals import Deals
from core.users.balances import Purses
from core.users.referrals import Invitations
from core.users.roles import Owners
from core.users.service import People
from payments.checkout import Cashier
from payments.evidence import Evidence
from payments.fulfillment import Crediting
from payments.gateways.base import Gateway
from payments.gateways.discord_store import DiscordSkus
from payments.gateways.telegram_stars import TelegramStars
from payments.gateways.voucher import CODE, Code
from payments.offer import Offer
from payments.orders import Orders, Promises
from payments.promo_codes import PromotionCodes
from payments.reconciliation import Listing
from payments.vouchers import Codes
from payments.webhooks import Inbox


@dataclass(frozen=True, slots=True)
class Shop:
    """Everything about money, from a gateway's message to the words in a chat."""

    store: Store
    ledger: Ledger
    clock: Clock
    people: People
    invitations: Invitations
    deliverers: Mapping[str, Deliverer]
    terms: Terms
    #: Those of the settings.
    gateways: Mapping[str, Gateway]
    cashier: Cashier
    codes: Codes
    inbox: Inbox
    notices: Notices
    #: Whether anything is sold: here, or as codes elsewhere.
    trades: bool
    #: Whether keys may be contributed.
    contributing: bool
    #: What front ends do about their platform's own payments, where those are sold by.
    stars: StarsTill | None
    skus: SkusTill | None

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

    def chores(self) -> tuple[Chore, ...]:
        """What happens without a request."""
        notices = Chore("tell notices", 2.0, self.notices.work, everywhere=True)
        if not self.trades:
            return (notices,)
        chores = (
            notices,
            Chore("reconcile payments", 120.0, self.cashier.reconcile, at_start=True),
            Chore("forget webhooks", 3_600.0, self.inbox.forget_old),
        )
        if self.stars is None:
            return chores
        known = Chore("know open orders", 10.0, self.stars.refresh, everywhere=True, at_start=True)
        return (*chores, known)

    def rooms(self, choosing: Choosing) -> tuple[Room, ...]:
        """The rooms of payments, where anything is sold; of inviting, where it earns something."""
        refer = ReferCommands(
            invitations=self.invitations,
            store=self.store,
            ledger=self.ledger,
            percent=self.inviter_percent,
            contributing=self.contributing,
            deliverers=self.deliverers,
        )
        inviting = (refer.room(),) if self.rewards else ()
        redeeming = RedeemCommands(codes=self.codes, ledger=self.ledger, choosing=choosing).room()
        if not self.trades:
            return redeeming, *inviting
        paying = PayingCommands(
            cashier=self.cashier,
            people=self.people,
            choosing=choosing,
            clock=self.clock,
            terms=self.terms,
            sells=bool(self.gateways),
        )
        told = "\n".join(render(line, "en") for line in terms_lines(self.terms))
        disputes = DisputeCommands(
            cashier=self.cashier,
            evidence=Evidence(cashier=self.cashier, store=self.store, clock=self.clock, terms=told),
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
    store: Store,
    ledger: Ledger,
    vault: Vault,
    people: People,
    purses: Purses,
    owners: Owners,
    invitations: Invitations,
    clock: Clock,
    deals: Deals,
    deliverers: Mapping[str, Deliverer],
    cards: OwnersCards = MappingProxyType({}),
    trades: bool = True,
) -> Shop:
    """Wires it; nothing starts yet."""
    gateways, offer = plan.gateways, plan.offer
    orders = _orders(offer, deals, store, ledger, clock)

    async def who(platform: str, id_: str) -> str:
        """Whoever bought in a platform's store may never have written here."""
        return (await people.of(platform, id_, language=language_for(""))).id

    crediting = Crediting(
        orders=orders, store=store, ledger=ledger, clock=clock, offer=offer, who=who
    )
    cashier = Cashier(
        gateways={**gateways, CODE: Code()},
        orders=orders,
        crediting=crediting,
        store=store,
        clock=clock,
        listing=Listing(crediting=crediting, store=store, ledger=ledger),
    )
    inbox = Inbox(
        gateways=gateways,
        crediting=crediting,
        store=store,
        ledger=ledger,
        vault=vault,
        clock=clock,
    )
    telling = Telling(
        people=people,
        purses=purses,
        cashier=cashier,
        buttons=Buttons(store=store, ledger=ledger, clock=clock),
        broadcasts=Broadcasts(store=store, ledger=ledger, clock=clock),
        deliverers=deliverers,
        cards=cards,
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


def _orders(offer: Offer, deals: Deals, store: Store, ledger: Ledger, clock: Clock) -> Orders:
    promises = Promises(offer, deals)
    return Orders(store=store, ledger=ledger, clock=clock, offer=offer, promises=promises)


def _codes(
    orders: Orders, crediting: Crediting, deals: Deals, store: Store, ledger: Ledger, clock: Clock
) -> Codes:
    return Codes(
        orders=orders,
        crediting=crediting,
        store=store,
        ledger=ledger,
        clock=clock,
        promotions=PromotionCodes(deals=deals, store=store, ledger=ledger, clock=clock),
    )


def _notices(
    store: Store, ledger: Ledger, clock: Clock, telling: Telling, owners: Owners
) -> Notices:
    told = telling.tell
    return Notices(store=store, ledger=ledger, clock=clock, tell=told, owners=owners.names)


def _stars(
    gateway: Gateway | None, orders: Orders, inbox: Inbox, people: People, clock: Clock
) -> StarsTill | None:
    if not isinstance(gateway, TelegramStars):
        return None
    return StarsTill(gateway=gateway, orders=orders, inbox=inbox, people=people, clock=clock)


def _skus(gateway: Gateway | None, inbox: Inbox, clock: Clock) -> SkusTill | None:
    if not isinstance(gateway, DiscordSkus):
        return None
    return SkusTill(gateway=gateway, inbox=inbox, clock=clock)
