"""The one object graph: what a service is made of, each object made here and once.

`build` makes all of it on an open database. Whoever needs a part alone (a command beside a running
service, a test) calls that part's builder with the parts that it stands on. Nothing starts here but
the ledger's writer, which the vault needs; `bots.app` starts and stops the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bots.chat.i18n import find_nearest_language
from bots.chat.update_inbox import KEPT_UPDATES, build_chat_erasure
from bots.config.settings import Config
from bots.economy_settings import read_economy_settings
from bots.externals import Externals
from bots.repricing_services import RepricingServices, build_repricing
from core.admin.abuse_check import EconomySettings
from core.admin.advice import Advisor
from core.admin.alerts import Alerts
from core.admin.broadcasts import Broadcasts
from core.admin.erasure import Erasure
from core.admin.monitor import Monitor
from core.admin.user_search import UserSearch
from core.api_tokens.replies import ApiReplies
from core.api_tokens.service import ApiTokens
from core.asks.admission import Admission
from core.asks.chat_moves import ChatMoves
from core.asks.conversations import Conversations
from core.asks.file_repository import FileRepository
from core.asks.heartbeat import Heartbeat
from core.asks.rate_limit import RateLimiter
from core.asks.recovery import AskRecovery
from core.asks.repository import AskHistory, AskRepository
from core.asks.reversal import AskReversal
from core.asks.service import AskService
from core.asks.settler import AskSettler
from core.asks.streaming import AnswerStream
from core.asks.unpaid_work import UnpaidWorkBudget
from core.attachments.reader import FileReader
from core.clock import Clock
from core.db.database import Database
from core.db.writes import Companion
from core.earnings.contributions import Contributions, has_contributions
from core.earnings.payout_methods import PAYOUT_ADDRESSES, PayoutMethods
from core.earnings.payouts import PayoutMethod
from core.earnings.statistics import ContributionStatistics
from core.earnings.termination import ContributionTermination
from core.earnings.types import EarningPolicy
from core.earnings.valuation import KeyValuer
from core.earnings.withdrawals import Withdrawals
from core.ledger.account_history import AccountHistory
from core.ledger.ledger import Ledger
from core.payment_records import PaymentRecords
from core.pool.pool import Pool
from core.pool.vault import POOL_SECRETS, Vault
from core.pricing.catalogue import Catalogue
from core.pricing.costs import Costs
from core.pricing.deals import Deals
from core.pricing.prices import PriceBook
from core.pricing.promotions import Promotions
from core.pricing.tiers import Tiers
from core.processes import make_process_id
from core.users.balances import Balances, DebtRepayment
from core.users.limits import UserLimits
from core.users.links import Links
from core.users.referrals import Referrals
from core.users.roles import Roles
from core.users.service import PERSON_KEYS, Users
from core.users.statement import Statements
from core.users.support import SupportDesk
from payments.payment_reader import PaymentReader
from payments.payouts import Payouts
from payments.services import (
    PaymentBase,
    PaymentServices,
    build_payment_services,
    build_voucher_service,
)
from payments.vouchers import Vouchers, has_vouchers
from payments.webhooks import KEPT_WEBHOOKS

#: Whatever any room has the vault seal: what is surveyed, and wrapped anew when keys are rotated.
SEALED_COLUMNS: Final = (
    *POOL_SECRETS,
    *PERSON_KEYS,
    *KEPT_UPDATES,
    *KEPT_WEBHOOKS,
    *PAYOUT_ADDRESSES,
)


@dataclass(frozen=True, slots=True)
class Foundation:
    """What every part stands on: settings, the clock, an open database, the ledger."""

    config: Config
    ledger: Ledger
    payment_records: PaymentRecords
    #: This process, by a name that no other has: whose asks and jobs are whose.
    process_id: str

    @property
    def db(self) -> Database:
        """The database that the ledger writes."""
        return self.ledger.db

    @property
    def clock(self) -> Clock:
        """The clock that dates what is written."""
        return self.ledger.clock


@dataclass(frozen=True, slots=True)
class PricingServices:
    """Which models there are, what they cost suppliers, and what they cost people."""

    catalogue: Catalogue
    costs: Costs
    prices: PriceBook
    deals: Deals


@dataclass(frozen=True, slots=True)
class PoolServices:
    """Suppliers' keys, and the vault that seals them."""

    vault: Vault
    pool: Pool


@dataclass(frozen=True, slots=True)
class UserServices:
    """People: who they are, what they may do, what they have, whom they brought."""

    users: Users
    roles: Roles
    limits: UserLimits
    balances: Balances
    debts: DebtRepayment
    referrals: Referrals
    statements: Statements
    support_desk: SupportDesk


@dataclass(frozen=True, slots=True)
class EarningServices:
    """Keys of other people's, and what those are paid for them."""

    policy: EarningPolicy
    contributions: Contributions
    termination: ContributionTermination
    payout_methods: PayoutMethods
    withdrawals: Withdrawals
    statistics: ContributionStatistics
    payouts: Payouts
    #: By which ways people are paid.
    methods: tuple[PayoutMethod, ...]
    #: Whether anybody's key is taken, or ever was.
    is_active: bool

    @property
    def takes_keys(self) -> bool:
        """Whether keys may be contributed now."""
        return bool(self.policy.suppliers)

    async def plan_merge(self, cause: str, merged: str, survivor: str) -> Sequence[Companion]:
        """What changes of earnings where one person becomes a part of another."""
        return (
            *await self.withdrawals.plan_merge(cause, merged, survivor),
            *await self.contributions.plan_merge(merged, survivor),
        )


@dataclass(frozen=True, slots=True)
class AskServices:
    """Asks from admission to settlement, and what is kept of them."""

    asks: AskService
    repository: AskRepository
    reversal: AskReversal
    history: AskHistory
    conversations: Conversations
    file_repository: FileRepository
    recovery: AskRecovery
    chat_moves: ChatMoves
    file_reader: FileReader


@dataclass(frozen=True, slots=True)
class ApiServices:
    """What programs ask by, and replies to them that are kept."""

    tokens: ApiTokens
    replies: ApiReplies


@dataclass(frozen=True, slots=True)
class AdminServices:
    """What operators see and do, beside prices, payments and payouts."""

    alerts: Alerts
    broadcasts: Broadcasts
    erasure: Erasure
    monitor: Monitor
    user_search: UserSearch
    advisor: Advisor


@dataclass(frozen=True, slots=True)
class Services:
    """All that a service is made of, but for chat."""

    base: Foundation
    externals: Externals
    pricing: PricingServices
    pool: PoolServices
    users: UserServices
    links: Links
    repricing: RepricingServices
    earnings: EarningServices
    payments: PaymentServices
    api: ApiServices
    asks: AskServices
    admin: AdminServices

    @property
    def rewards_inviters(self) -> bool:
        """Whether invitations earn something."""
        return self.earnings.takes_keys or self.payments.inviter_percent > 0

    async def read_economy_settings(self) -> EconomySettings:
        """What the economy check reckons with."""
        return await read_economy_settings(
            self.base.config, self.externals.gateways, self.base.db, self.base.clock.now_ms()
        )


async def build(config: Config, *, db: Database, clock: Clock, externals: Externals) -> Services:
    """Makes everything on an open database; starts the ledger's writer."""
    base = await build_foundation(config, db=db, clock=clock)
    try:
        vault = await open_vault(base)
        is_trading = bool(externals.gateways) or await has_vouchers(db)
        is_earning = bool(config.earnings.contributions) or await has_contributions(db)
    except BaseException:
        await base.ledger.stop()
        raise
    pricing = build_pricing(base, externals)
    pool = build_pool(base, externals, pricing, vault)
    users = build_users(base, pricing, pool)
    repricing = build_repricing(
        ledger=base.ledger,
        settings=config.pricing,
        catalogue=pricing.catalogue,
        costs=pricing.costs,
        prices=pricing.prices,
        pool=pool.pool,
    )
    earnings = build_earnings(base, externals, pricing, pool, users, is_active=is_earning)
    asks = build_asks(base, pricing, pool, users)
    return Services(
        base=base,
        externals=externals,
        pricing=pricing,
        pool=pool,
        users=users,
        links=Links(ledger=base.ledger, users=users.users, plan_earnings_merge=earnings.plan_merge),
        repricing=repricing,
        earnings=earnings,
        payments=build_payments(base, externals, pricing, vault, users, is_trading=is_trading),
        api=build_api(base, vault, users),
        asks=asks,
        admin=build_admin(base, pricing, pool, users, earnings, asks),
    )


async def build_foundation(
    config: Config, *, db: Database, clock: Clock, ledger: Ledger | None = None
) -> Foundation:
    """The ledger on an open database, its writer started; stopped by `ledger.stop`. Whoever has a
    `ledger` of another kind brings it."""
    ledger = ledger or Ledger(db, clock)
    await ledger.start()
    return Foundation(config, ledger, PaymentReader(db), make_process_id(clock.now_ms()))


def build_vault(config: Config) -> Vault:
    """The vault of the settings' master keys, for whoever only looks at what is sealed."""
    return Vault(config.operator.master_key_bytes)


async def open_vault(base: Foundation) -> Vault:
    """The same for whoever seals: a new database gets its fingerprint key."""
    return await Vault.open(base.config.operator.master_key_bytes, base.db, base.ledger)


def build_pricing(base: Foundation, externals: Externals) -> PricingServices:
    """Models, costs and prices."""
    catalogue, costs, db, record = (
        externals.catalogue,
        externals.costs,
        base.db,
        base.ledger.record,
    )
    prices = PriceBook(
        db,
        record,
        catalogue,
        costs,
        base.clock,
        markup_percent=base.config.pricing.markup_percent,
    )
    deals = Deals(
        prices=prices,
        catalogue=catalogue,
        costs=costs,
        tiers=Tiers(db, record, base.clock, base.payment_records),
        promotions=Promotions(db, record, base.clock),
        clock=base.clock,
        floor_percent=base.config.sales.offer_floor_percent,
    )
    return PricingServices(catalogue, costs, prices, deals)


def build_pool(
    base: Foundation, externals: Externals, pricing: PricingServices, vault: Vault
) -> PoolServices:
    """Keys that an opened vault seals."""
    pool = Pool(
        ledger=base.ledger,
        vault=vault,
        catalogue=pricing.catalogue,
        costs=pricing.costs,
        suppliers=externals.suppliers,
    )
    return PoolServices(vault, pool)


def build_users(base: Foundation, pricing: PricingServices, pool: PoolServices) -> UserServices:
    """People and what belongs to them."""
    db, ledger, config = base.db, base.ledger, base.config
    contributed = pool.pool.contributed_keys
    users = Users(ledger=ledger, vault=pool.vault, welcome_gift=config.users.welcome)
    return UserServices(
        users=users,
        roles=build_roles(base),
        limits=UserLimits(
            ledger=ledger, default_allowance=config.users.allowance, deals=pricing.deals
        ),
        balances=Balances(ledger=ledger, list_lending_keys=contributed.list_advance_keys),
        debts=DebtRepayment(ledger=ledger),
        referrals=Referrals(ledger=ledger, payment_records=base.payment_records),
        statements=Statements(db=db, history=AccountHistory(db)),
        support_desk=SupportDesk(users=users, ledger=ledger),
    )


def build_roles(base: Foundation) -> Roles:
    """Who runs the service."""
    return Roles(ledger=base.ledger, operators=base.config.operator.admins)


def build_earnings(
    base: Foundation,
    externals: Externals,
    pricing: PricingServices,
    pool: PoolServices,
    users: UserServices,
    *,
    is_active: bool,
) -> EarningServices:
    """Contributions of keys, and cashing out."""
    db, ledger, clock, policy = base.db, base.ledger, base.clock, base.config.earnings.policy
    contributions = Contributions(
        ledger=ledger,
        pool=pool.pool,
        valuer=KeyValuer(
            db=db,
            catalogue=pricing.catalogue,
            prices=pricing.prices,
            costs=pricing.costs,
            clock=clock,
        ),
        policy=policy,
        find_inviter=users.referrals.find_inviter,
    )
    payout_methods = PayoutMethods(ledger=ledger, vault=pool.vault)
    withdrawals = Withdrawals(
        ledger=ledger,
        payout_methods=payout_methods,
        policy=policy,
        payment_records=base.payment_records,
    )
    return EarningServices(
        policy=policy,
        contributions=contributions,
        termination=ContributionTermination(
            contributions=contributions,
            ledger=ledger,
            pool=pool.pool,
            plan_cancellation=withdrawals.plan_cancellation,
        ),
        payout_methods=payout_methods,
        withdrawals=withdrawals,
        statistics=ContributionStatistics(ledger=ledger),
        payouts=Payouts(
            withdrawals=withdrawals,
            payout_methods=payout_methods,
            providers=externals.payout_providers,
            clock=clock,
            is_paused=lambda: "payouts" in users.limits.pauses,
        ),
        methods=tuple(externals.payout_methods),
        is_active=is_active,
    )


def build_payments(
    base: Foundation,
    externals: Externals,
    pricing: PricingServices,
    vault: Vault,
    users: UserServices,
    *,
    is_trading: bool = True,
) -> PaymentServices:
    """Orders, and what gateways say of them."""

    async def get_person_id(platform: str, id_: str) -> str:
        """Whoever bought in a platform's store may never have written here."""
        language = find_nearest_language("")
        return (await users.users.get_or_create(platform, id_, language=language)).id

    return build_payment_services(
        _payment_base(base, pricing),
        gateways=externals.gateways,
        vault=vault,
        get_person_id=get_person_id,
        is_trading=is_trading,
    )


def build_vouchers(base: Foundation, pricing: PricingServices) -> Vouchers:
    """Vouchers alone: the command line makes them beside a running service."""
    return build_voucher_service(_payment_base(base, pricing))


def _payment_base(base: Foundation, pricing: PricingServices) -> PaymentBase:
    sales = base.config.sales
    return PaymentBase(
        base.ledger,
        sales.offer,
        pricing.deals,
        withdrawal_days=sales.withdrawal_days,
        stripe_sells=base.config.stripe.managed_payments,
    )


def build_api(base: Foundation, vault: Vault, users: UserServices) -> ApiServices:
    """Tokens of programs, and kept replies; there whether or not the API is served."""
    tokens = ApiTokens(ledger=base.ledger, vault=vault)
    users.users.add_memory(tokens.forget_verified)
    return ApiServices(tokens=tokens, replies=ApiReplies(ledger=base.ledger))


def build_asks(
    base: Foundation, pricing: PricingServices, pool: PoolServices, users: UserServices
) -> AskServices:
    """The road of a question: admitted, streamed, settled; recovered when its process is gone."""
    db, ledger, clock = base.db, base.ledger, base.clock
    repository = AskRepository(ledger=ledger, users=users.users, process_id=base.process_id)
    file_repository = FileRepository(ledger=ledger)
    conversations = Conversations(
        ledger=ledger,
        file_repository=file_repository,
        max_history_tokens=base.config.models.history,
    )
    asks = AskService(
        admission=Admission(
            ledger=ledger,
            users=users.users,
            balances=users.balances,
            pool=pool.pool,
            deals=pricing.deals,
            conversations=conversations,
            process_id=base.process_id,
        ),
        answer_stream=AnswerStream(pool=pool.pool, ledger=ledger, costs=pricing.costs),
        repository=repository,
        heartbeat=Heartbeat(ledger=ledger, process_id=base.process_id),
        rate_limiter=RateLimiter(
            limits=users.limits,
            deals=pricing.deals,
            unpaid_work=UnpaidWorkBudget(
                db=db, clock=clock, per_day=base.config.users.unpaid_work_per_day
            ),
            db=db,
            clock=clock,
        ),
        settler=AskSettler(
            repository=repository,
            balances=users.balances,
            ledger=ledger,
            pool=pool.pool,
            costs=pricing.costs,
        ),
        deals=pricing.deals,
    )
    return AskServices(
        asks=asks,
        repository=repository,
        reversal=AskReversal(ledger=ledger, process_id=base.process_id),
        history=AskHistory(db, file_repository=file_repository),
        conversations=conversations,
        file_repository=file_repository,
        recovery=AskRecovery(
            ledger=ledger, prices=pricing.prices, pool=pool.pool, process_id=base.process_id
        ),
        chat_moves=ChatMoves(ledger=ledger, limits=users.limits),
        file_reader=FileReader(),
    )


def build_admin(
    base: Foundation,
    pricing: PricingServices,
    pool: PoolServices,
    users: UserServices,
    earnings: EarningServices,
    asks: AskServices,
) -> AdminServices:
    """What operators see and do, beside prices, payments and payouts."""
    db, ledger, clock = base.db, base.ledger, base.clock
    alerts = Alerts(ledger=ledger)
    return AdminServices(
        alerts=alerts,
        broadcasts=Broadcasts(ledger=ledger),
        erasure=Erasure(
            ledger=ledger,
            users=users.users,
            contributions=earnings.contributions,
            termination=earnings.termination,
            withdrawals=earnings.withdrawals,
            payment_records=base.payment_records,
            build_chat_erasure=build_chat_erasure,
        ),
        monitor=Monitor(
            alerts=alerts,
            db=db,
            payment_records=base.payment_records,
            pool=pool.pool,
            outcome_counts=asks.asks.outcome_counts,
            usage_gap_counts=asks.asks.usage_gap_counts,
            clock=clock,
        ),
        user_search=UserSearch(
            ledger=ledger,
            users=users.users,
            referrals=users.referrals,
            contributions=earnings.contributions,
            payment_records=base.payment_records,
        ),
        advisor=Advisor(
            db=db, catalogue=pricing.catalogue, costs=pricing.costs, prices=pricing.prices
        ),
    )
