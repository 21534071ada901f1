"""Which commands there are, in the order of the menus; each group is made here, once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from bots.chat.callbacks import ButtonRepository
from bots.chat.forms import Forms
from bots.chat.i18n import render
from bots.chat.registry import CommandRegistry
from bots.chat.types import Notifier
from bots.commands.admin.alerts import AlertCommands
from bots.commands.admin.broadcast import BroadcastCommands
from bots.commands.admin.disputes import DisputeCommands
from bots.commands.admin.first_steps import FirstSteps, ShopState
from bots.commands.admin.grant import GrantCommands
from bots.commands.admin.limits import LimitCommands
from bots.commands.admin.model_ends import make_model_end_card
from bots.commands.admin.payouts import PayoutCardBuilder, PayoutCommands
from bots.commands.admin.person_names import PersonNames
from bots.commands.admin.pool import PoolCommands
from bots.commands.admin.pricing import PriceBoundCommands, PricingCommands
from bots.commands.admin.promotions import PromotionCommands
from bots.commands.admin.refunds import RefundCommands, make_warning_card
from bots.commands.admin.report import ReportCommands
from bots.commands.admin.setprice import PriceAnnouncementCommands, SetPriceCommands
from bots.commands.admin.suppliers import CostCommands, SupplierCommands
from bots.commands.admin.tiers import TierCommands
from bots.commands.admin.unmatched import UnmatchedCommands, make_unmatched_card
from bots.commands.admin.users import UserCommands
from bots.commands.api_tokens import ApiTokenCommands
from bots.commands.ask import AskCommands
from bots.commands.attachments import QuestionComposer
from bots.commands.balance import BalanceCommands
from bots.commands.cancel import CancellationCommands
from bots.commands.contribute import ContributeCommands
from bots.commands.conversation import ConversationCommands
from bots.commands.drafts import QuestionDrafts
from bots.commands.erase import EraseCommands
from bots.commands.export import ExportCommands
from bots.commands.file_offers import FileOffers
from bots.commands.help import HelpCommands
from bots.commands.link import LinkCommands
from bots.commands.models import ModelCommands
from bots.commands.my_keys import MyKeysCommands
from bots.commands.receipt import ReceiptCommands, Seller
from bots.commands.redeem import RedeemCommands
from bots.commands.refer import ReferCommands
from bots.commands.shortage import ShortageCards
from bots.commands.start import StartCommands
from bots.commands.support import SupportCommands
from bots.commands.terms import PaymentTerms, list_terms
from bots.commands.topup import (
    TopUpCommands,
    list_platform_gateways,
)
from bots.commands.usage import UsageCommands
from bots.commands.voice import VoiceCommands
from bots.commands.withdraw import WithdrawCommands
from bots.config.settings import Config
from bots.notifications import OperatorCards
from bots.sandbox.crowd import CrowdCommands
from bots.services import Services
from core.admin.broadcasts import BROADCAST_DONE, BROADCAST_PROGRESS
from core.audio.measurement import AudioMeasurer
from core.repricing.model_ends import MODEL_ENDS
from core.repricing.supplier_changes import COST_CHANGED
from core.users.support import SUPPORT_ASKED
from payments.cancellations import CANCELLATION_WAITS
from payments.evidence import EvidenceBuilder
from payments.payment_warnings import PAYMENT_WARNED
from payments.unmatched import UNMATCHED

#: Every command in the order of the menus; a service offers those that it has a use for.
MENU: Final = (
    *(
        "start",
        "help",
        "ask",
        "new",
        "stop",
        "models",
        "model",
        "balance",
        "usage",
        "tier",
        "export",
    ),
    *("topup", "paysupport", "terms", "redeem", "refer", "payment", "refund", "unmatched"),
    *("contribute", "keys", "withdraw", "payouts"),
    *("language", "settings", "privacy", "api", "link", "unlink"),
    *("setprice", "pricing", "suppliers"),
    *("grant", "audit", "report", "users", "pause", "limit", "role", "promo", "broadcast", "pool"),
    "crowd",
)


@dataclass(frozen=True, slots=True)
class Commands:
    """All commands, and the cards that some of them make of notifications for operators."""

    registry: CommandRegistry
    operator_cards: OperatorCards


@dataclass(frozen=True, slots=True)
class _Shared:
    """Groups of commands that others use, too."""

    models: ModelCommands
    export: ExportCommands
    set_price: SetPriceCommands
    suppliers: SupplierCommands
    pool: PoolCommands
    contribute: ContributeCommands
    cancellations: CancellationCommands
    drafts: QuestionDrafts
    shortage_cards: ShortageCards
    top_up: TopUpCommands
    support: SupportCommands
    broadcast: BroadcastCommands


def build_commands(
    services: Services,
    *,
    buttons: ButtonRepository,
    forms: Forms,
    notifiers: Mapping[str, Notifier],
) -> Commands:
    """Every group, in the order of the menus; those alone that this service has a use for."""
    shared = _build_shared(services)
    registry: CommandRegistry
    start = StartCommands(
        users=services.users.users,
        balances=services.users.balances,
        model_commands=shared.models,
        roles=services.users.roles,
        referrals=services.users.referrals if services.rewards_inviters else None,
        shortage_cards=shared.shortage_cards,
        first_steps=_build_first_steps(services),
    )
    link = LinkCommands(
        links=services.links,
        users=services.users.users,
        buttons=buttons,
        notifiers=notifiers,
        user_limits=services.users.limits,
    )
    names = PersonNames(users=services.users.users, notifiers=notifiers, clock=services.base.clock)
    registry = CommandRegistry(
        [
            start,
            HelpCommands(commands=lambda: registry.commands),
            *_ask_groups(services, shared),
            *_payment_groups(services, shared, notifiers),
            *_earning_groups(services, shared, names),
            link,
            *_price_groups(services, shared),
            *_operator_groups(services, shared, names),
            forms,
        ],
        menu=[name for name in MENU if name != "topup" or services.payments.checkout.is_selling],
        suggesters={
            "model": shared.models.suggest_models,
            "supplier": shared.pool.suggest_suppliers,
            "contributable": shared.contribute.suggest_contributable,
        },
    )
    operator_cards = {
        COST_CHANGED: shared.suppliers.make_notification_card,
        MODEL_ENDS: make_model_end_card,
        CANCELLATION_WAITS: shared.cancellations.make_operator_card,
        PAYMENT_WARNED: make_warning_card,
        UNMATCHED: make_unmatched_card,
        BROADCAST_DONE: shared.broadcast.make_operator_card,
        BROADCAST_PROGRESS: shared.broadcast.make_operator_card,
        SUPPORT_ASKED: shared.support.make_operator_card,
    }
    return Commands(registry, operator_cards)


def _build_shared(services: Services) -> _Shared:
    base, pricing, repricing = services.base, services.pricing, services.repricing
    earnings, pool = services.earnings, services.pool.pool
    models = ModelCommands(
        catalogue=pricing.catalogue,
        prices=pricing.prices,
        deals=pricing.deals,
        pool=pool,
        users=services.users.users,
        balances=services.users.balances,
        default_model=base.config.models.default_model,
    )
    drafts = QuestionDrafts(services.users.users)
    top_up = TopUpCommands(
        checkout=services.payments.checkout,
        orders=services.payments.orders,
        order_search=services.payments.order_search,
        users=services.users.users,
        model_commands=models,
        clock=base.clock,
        terms=_build_terms(base.config),
    )
    return _Shared(
        models=models,
        top_up=top_up,
        broadcast=BroadcastCommands(broadcasts=services.admin.broadcasts, clock=base.clock),
        support=SupportCommands(support_desk=services.users.support_desk, top_up_commands=top_up),
        drafts=drafts,
        shortage_cards=_build_shortage_cards(services, models, drafts),
        export=ExportCommands(
            ledger=base.ledger,
            users=services.users,
            api_tokens=services.api.tokens,
            ask_history=services.asks.history,
            orders=services.payments.orders,
            contributions=earnings.contributions,
            withdrawals=earnings.withdrawals,
        ),
        set_price=SetPriceCommands(
            catalogue=pricing.catalogue,
            prices=pricing.prices,
            price_changes=repricing.price_changes,
            margins=repricing.margins,
            clock=base.clock,
        ),
        suppliers=_build_supplier_commands(services),
        pool=PoolCommands(pool=pool, termination=earnings.termination, clock=base.clock),
        contribute=ContributeCommands(
            contributions=earnings.contributions,
            pool=pool,
            catalogue=pricing.catalogue,
            clock=base.clock,
        ),
        cancellations=CancellationCommands(
            cancellations=services.payments.cancellations,
            orders=services.payments.orders,
            ledger=base.ledger,
        ),
    )


def _build_shortage_cards(
    services: Services, models: ModelCommands, drafts: QuestionDrafts
) -> ShortageCards:
    return ShortageCards(
        model_commands=models,
        drafts=drafts,
        can_buy_on=lambda platform: bool(
            list_platform_gateways(
                services.payments.checkout.gateways,
                platform,
                telegram_outside=services.base.config.telegram.external_checkout,
            )
        ),
        takes_keys=services.earnings.takes_keys,
    )


def _build_first_steps(services: Services) -> FirstSteps:
    operator = services.base.config.operator
    return FirstSteps(
        pool=services.pool.pool,
        catalogue=services.pricing.catalogue,
        prices=services.pricing.prices,
        shop_state=ShopState(
            is_selling=services.payments.checkout.is_selling,
            has_terms=bool(operator.terms),
            has_support_contact=bool(operator.support_contact),
            takes_keys=services.earnings.takes_keys,
        ),
    )


def _build_supplier_commands(services: Services) -> SupplierCommands:
    repricing, catalogue = services.repricing, services.pricing.catalogue
    return SupplierCommands(
        catalogue=catalogue,
        supplier_changes=repricing.supplier_changes,
        margins=repricing.margins,
        cost_commands=CostCommands(
            catalogue=catalogue,
            cost_overrides=repricing.cost_overrides,
            cost_watch=repricing.cost_watch,
            margins=repricing.margins,
            is_sandbox=services.externals.is_sandbox,
        ),
        source=repricing.source,
        clock=services.base.clock,
    )


def _ask_groups(services: Services, shared: _Shared) -> Iterator[object]:
    """Asking, choosing a model, and what is one's own."""
    clock, catalogue, asks = services.base.clock, services.pricing.catalogue, services.asks
    yield AskCommands(
        ask_service=asks.asks,
        ask_repository=asks.repository,
        model_commands=shared.models,
        composer=QuestionComposer(asks.file_reader),
        file_offers=FileOffers(
            ask_service=asks.asks,
            balances=services.users.balances,
            drafts=shared.drafts,
            model_commands=shared.models,
            users=services.users.users,
        ),
        drafts=shared.drafts,
        shortage_cards=shared.shortage_cards,
    )
    yield ConversationCommands(
        ask_service=asks.asks,
        ask_repository=asks.repository,
        conversations=asks.conversations,
    )
    yield VoiceCommands(
        ask_service=asks.asks,
        ask_repository=asks.repository,
        pool=services.pool.pool,
        catalogue=catalogue,
        measurer=AudioMeasurer(),
        shortage_cards=shared.shortage_cards,
        clock=clock,
    )
    yield shared.models
    yield BalanceCommands(
        balances=services.users.balances,
        statements=services.users.statements,
        model_commands=shared.models,
        deals=services.pricing.deals,
        order_search=services.payments.order_search,
        shortage_cards=shared.shortage_cards,
    )
    yield UsageCommands(
        users=services.users.users,
        balances=services.users.balances,
        statements=services.users.statements,
        order_search=services.payments.order_search,
        ask_history=asks.history,
        catalogue=catalogue,
        clock=clock,
    )
    yield TierCommands(deals=services.pricing.deals, users=services.users.users, clock=clock)
    yield shared.export
    if services.base.config.api.is_on:
        yield ApiTokenCommands(
            api_tokens=services.api.tokens,
            catalogue=catalogue,
            base_url=services.base.config.api.base_url,
        )
    yield EraseCommands(erasure=services.admin.erasure, clock=clock)


def build_seller(config: Config) -> Seller:
    """Who sells, as receipts say it."""
    operator = config.operator
    return Seller(operator.seller_name, operator.seller_tax, config.stripe.managed_payments)


def _build_terms(config: Config) -> PaymentTerms:
    return PaymentTerms(
        config.operator.terms,
        config.operator.support_contact,
        telegram_outside=config.telegram.external_checkout,
        withdrawal_days=config.sales.withdrawal_days,
        seller=build_seller(config),
    )


def _payment_groups(
    services: Services, shared: _Shared, notifiers: Mapping[str, Notifier]
) -> Iterator[object]:
    """Buying, where anything is sold; vouchers; inviting, where it earns something."""
    base, payments = services.base, services.payments
    terms = _build_terms(services.base.config)
    if payments.is_trading:
        yield shared.top_up
        yield shared.support
    yield RedeemCommands(
        vouchers=payments.vouchers, ledger=base.ledger, model_commands=shared.models
    )
    if services.rewards_inviters:
        yield ReferCommands(
            referrals=services.users.referrals,
            ledger=base.ledger,
            percent=payments.inviter_percent,
            has_contributions=services.earnings.takes_keys,
            notifiers=notifiers,
        )
    if payments.is_trading:
        yield shared.cancellations
        yield ReceiptCommands(
            orders=payments.orders,
            order_search=payments.order_search,
            seller=terms.seller,
        )
        yield RefundCommands(
            orders=payments.orders,
            order_search=payments.order_search,
            refunds=payments.refunds,
            disputes=payments.disputes,
        )
        yield UnmatchedCommands(
            unmatched=payments.unmatched,
            gateways=payments.gateways,
            users=services.users.users,
            clock=base.clock,
        )
        yield DisputeCommands(
            orders=payments.orders,
            disputes=payments.disputes,
            evidence_builder=EvidenceBuilder(
                orders=payments.orders,
                order_search=payments.order_search,
                disputes=payments.disputes,
                db=base.db,
                history=services.asks.history,
                clock=base.clock,
                terms="\n".join(render(line, "en") for line in list_terms(terms)),
            ),
            ledger=base.ledger,
        )


def _earning_groups(services: Services, shared: _Shared, names: PersonNames) -> Iterator[object]:
    """Contributing, where keys are taken; and what became of keys, for whoever earned something
    must come by it."""
    base, earnings, users = services.base, services.earnings, services.users.users
    if not earnings.is_active:
        return
    if earnings.takes_keys:
        yield shared.contribute
    yield MyKeysCommands(
        contributions=earnings.contributions,
        termination=earnings.termination,
        statistics=earnings.statistics,
        withdrawals=earnings.withdrawals,
        pool=services.pool.pool,
    )
    yield WithdrawCommands(
        withdrawals=earnings.withdrawals,
        payout_methods=earnings.payout_methods,
        users=users,
        methods=earnings.methods,
    )
    yield PayoutCommands(
        withdrawals=earnings.withdrawals,
        payouts=earnings.payouts,
        cards=PayoutCardBuilder(
            withdrawals=earnings.withdrawals,
            payout_methods=earnings.payout_methods,
            payouts=earnings.payouts,
            users=users,
            base=base,
            person_names=names,
        ),
        clock=base.clock,
    )


def _price_groups(services: Services, shared: _Shared) -> Iterator[object]:
    pricing, repricing = services.pricing, services.repricing
    yield shared.set_price
    yield PricingCommands(
        catalogue=pricing.catalogue,
        prices=pricing.prices,
        suggestions=repricing.suggestions,
        price_changes=repricing.price_changes,
        set_price_commands=shared.set_price,
        bound_commands=PriceBoundCommands(
            catalogue=pricing.catalogue, automatic_pricing=repricing.automatic_pricing
        ),
    )
    yield shared.suppliers
    yield PriceAnnouncementCommands(
        catalogue=pricing.catalogue,
        prices=pricing.prices,
        announcements=repricing.announcements,
    )


def _operator_groups(services: Services, shared: _Shared, names: PersonNames) -> Iterator[object]:
    base, admin, users, pricing = services.base, services.admin, services.users, services.pricing
    clock = base.clock
    yield GrantCommands(base=base, users=users.users)
    yield ReportCommands(
        base=base,
        pool=services.pool.pool,
        pricing=pricing,
        advisor=admin.advisor,
        set_price_commands=shared.set_price,
        read_economy_settings=services.read_economy_settings,
    )
    yield UserCommands(
        users=users,
        admin=admin,
        base=base,
        export_commands=shared.export,
        pricing=pricing,
        ask_history=services.asks.history,
        person_names=names,
    )
    yield LimitCommands(user_limits=users.limits, roles=users.roles, users=users.users, clock=clock)
    yield PromotionCommands(
        deals=pricing.deals,
        vouchers=services.payments.vouchers,
        catalogue=pricing.catalogue,
        prices=pricing.prices,
        ask_history=services.asks.history,
        clock=clock,
    )
    yield AlertCommands(alerts=admin.alerts, clock=clock)
    yield shared.broadcast
    yield shared.pool
    if services.externals.is_sandbox:
        yield CrowdCommands(
            users=users.users,
            balances=users.balances,
            checkout=services.payments.checkout,
            orders=services.payments.orders,
            asks=services.asks,
            pool=services.pool.pool,
            pricing=pricing,
        )
