"""The composition root: the one place that wires core, commands, front ends and chores.

Nothing here starts at import; `build` takes everything it needs, so that tests build the same
service with their own clock and suppliers.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass, fields

from bots.chat.callbacks import ButtonRepository
from bots.chat.forms import Forms
from bots.chat.types import Notifier
from bots.commands.answers import AnswerRenderer
from bots.dispatcher import Dispatcher
from bots.earning import Earning, open_earning
from bots.notifications import AnswerRedelivery
from bots.plan import OwnKey, Plan
from bots.register import rooms
from bots.render.queue import ConversationQueue
from bots.repricing import PriceDesk, open_price_desk
from bots.services import Parts
from bots.shop import open_shop
from core import ids
from core.admin.broadcasts import ROUND_SECONDS
from core.admin.monitor import Monitor
from core.asks.admission import Admission
from core.asks.conversations import Conversations
from core.asks.heartbeat import Heartbeat
from core.asks.rate_limit import RateLimiter
from core.asks.recovery import AskRecovery
from core.asks.repository import AskRepository
from core.asks.service import AskService
from core.asks.streaming import AnswerStream
from core.clock import Clock, as_utc_day
from core.db.database import Database
from core.earnings.contributions import has_contributions
from core.jobs.scheduler import Job, Scheduler, create_registration_job, unregister_process
from core.ledger.daily_closings import close_days
from core.ledger.ledger import Ledger
from core.ledger.types import LedgerRefusal
from core.pool.pool import Pool
from core.pool.vault import Vault
from core.pricing.catalogue import Catalogue
from core.pricing.costs import Costs
from core.pricing.deals import Deals
from core.pricing.prices import PriceBook
from core.pricing.promotions import Promotions
from core.pricing.tiers import Tiers
from core.users.balances import Balances, DebtRepayment
from core.users.limits import UserLimits
from core.users.links import Links
from core.users.referrals import Referrals
from core.users.roles import Roles
from core.users.service import Users
from payments.vouchers import has_vouchers

__all__ = ["App", "OwnKey", "Parts", "Plan", "build"]

log = logging.getLogger(__name__)

#: Running answers may finish this long after a stop was asked for.
GRACE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class App(Parts):
    """A service, wired; `start` and `stop` are its life."""

    sweeper: AskRecovery
    asking: AskService
    front: Dispatcher
    landing: AnswerRedelivery
    lookout: Monitor
    chores: Scheduler

    async def start(self) -> None:
        """Loads prices and keys, adopts the settings' keys, begins to serve."""
        await self.owners.load()
        await self.rules.load()
        await self.desk.load()
        await self.prices.start()
        await self.deals.load()
        for own in self.plan.own_keys:
            await self.pool.upsert_own_key(own.supplier, own.key, own.budget, account=own.account)
        await self.pool.start()
        await self.desk.watch.check_price_lists()
        await self.asking.start()
        await self.shop.start()
        await self.chores.run_job_once(create_registration_job(self.vault.master_key_ids))
        await self.chores.start()
        release_memory()

    async def stop(self, *, grace_seconds: float = GRACE_SECONDS) -> None:
        """Ends cleanly: running asks finish or settle, what was accepted is written (rule 10)."""
        await self.asking.stop(grace_seconds=grace_seconds)
        await self.chores.stop()
        await self.shop.stop()
        await self.earning.stop()
        await self.pool.stop()
        with suppress(LedgerRefusal):  # it is known soon enough
            await unregister_process(
                self.ledger, create_registration_job(self.vault.master_key_ids)
            )
        await self.ledger.stop()
        await self.store.close()


async def build(
    plan: Plan,
    *,
    store: Database,
    clock: Clock,
    catalogue: Catalogue,
    costs: Costs,
) -> App:
    """Wires a service on an open store; starts the ledger's writer, since the vault needs it."""
    ledger = Ledger(store, clock)
    await ledger.start()
    try:
        vault = await Vault.open(plan.master_keys, store, ledger)
        trades = bool(plan.gateways) or await has_vouchers(store)
        earns = bool(plan.policy.suppliers) or await has_contributions(store)
    except BaseException:
        await ledger.stop()
        raise
    parts = _parts(plan, store, clock, catalogue, costs, ledger, vault, trades, earns)
    asking = _asking(parts)
    answers = AnswerRenderer(
        ask_service=asking,
        ask_repository=parts.records,
        catalogue=catalogue,
        conversation_queue=ConversationQueue(),
    )
    buttons = ButtonRepository(db=store, ledger=ledger, clock=clock)
    prompts = Forms(db=store, ledger=ledger, clock=clock, buttons=buttons)
    landing = AnswerRedelivery(
        ask_repository=parts.records, answer_renderer=answers, notifiers=parts.deliverers
    )
    lookout = Monitor(
        alerts=parts.alerts,
        db=store,
        pool=parts.pool,
        outcome_counts=asking.outcome_counts,
        clock=clock,
    )
    sweeper = AskRecovery(
        db=store,
        ledger=ledger,
        prices=parts.prices,
        pool=parts.pool,
        clock=clock,
        process_id=parts.owner,
    )
    return App(
        **{field.name: getattr(parts, field.name) for field in fields(parts)},
        sweeper=sweeper,
        asking=asking,
        front=Dispatcher(
            users=parts.people,
            registry=rooms(parts, asking, buttons, prompts),
            buttons=buttons,
            forms=prompts,
            answer_renderer=answers,
            clock=clock,
            roles=parts.owners,
            user_limits=parts.rules,
        ),
        landing=landing,
        lookout=lookout,
        chores=_chores(parts, sweeper, landing, buttons, prompts, lookout),
    )


def _parts(
    plan: Plan,
    store: Database,
    clock: Clock,
    catalogue: Catalogue,
    costs: Costs,
    ledger: Ledger,
    vault: Vault,
    trades: bool,
    earns: bool,
) -> Parts:
    owner = ids.new_id("proc", clock.now_ms()) + f"@{socket.gethostname()[:32]}:{os.getpid()}"
    people = Users(db=store, ledger=ledger, vault=vault, clock=clock, welcome_gift=plan.welcome)
    invitations = Referrals(db=store, ledger=ledger, clock=clock)
    owners = Roles(db=store, ledger=ledger, clock=clock, operators=plan.admins)
    pool = _pool(plan, store, clock, catalogue, costs, ledger, vault)
    desk = _desk(plan, store, ledger, clock, catalogue, costs, pool)
    deals = _deals(plan, store, clock, catalogue, costs, ledger, desk.prices)
    rules = UserLimits(
        db=store, ledger=ledger, clock=clock, default_allowance=plan.usual, deals=deals
    )
    purses = Balances(ledger=ledger, list_lending_keys=pool.contributed_keys.list_advance_keys)
    earning = _earning(
        plan, store, ledger, vault, clock, catalogue, costs, desk, pool, invitations, rules, earns
    )
    deliverers: dict[str, Notifier] = {}
    return Parts(
        clock=clock,
        owner=owner,
        plan=plan,
        store=store,
        ledger=ledger,
        vault=vault,
        catalogue=catalogue,
        costs=costs,
        prices=desk.prices,
        deals=deals,
        pool=pool,
        desk=desk,
        people=people,
        owners=owners,
        rules=rules,
        purses=purses,
        links=_links(store, ledger, people, clock, earning),
        conversations=_conversations(plan, store, ledger, clock),
        records=AskRepository(db=store, ledger=ledger, users=people, clock=clock, process_id=owner),
        shop=open_shop(
            plan,
            store=store,
            ledger=ledger,
            vault=vault,
            people=people,
            purses=purses,
            owners=owners,
            invitations=invitations,
            clock=clock,
            deals=deals,
            deliverers=deliverers,
            cards=desk.cards(),
            trades=trades,
        ),
        earning=earning,
        deliverers=deliverers,
    )


def _earning(
    plan: Plan,
    store: Database,
    ledger: Ledger,
    vault: Vault,
    clock: Clock,
    catalogue: Catalogue,
    costs: Costs,
    desk: PriceDesk,
    pool: Pool,
    invitations: Referrals,
    rules: UserLimits,
    earns: bool,
) -> Earning:
    return open_earning(
        plan,
        store=store,
        ledger=ledger,
        vault=vault,
        pool=pool,
        catalogue=catalogue,
        costs=costs,
        prices=desk.prices,
        clock=clock,
        inviter_of=invitations.find_inviter,
        rules=rules,
        active=earns,
    )


def _conversations(plan: Plan, store: Database, ledger: Ledger, clock: Clock) -> Conversations:
    return Conversations(
        db=store, ledger=ledger, clock=clock, max_history_tokens=plan.history_tokens
    )


def _links(store: Database, ledger: Ledger, people: Users, clock: Clock, earning: Earning) -> Links:
    return Links(
        db=store, ledger=ledger, users=people, clock=clock, get_withdrawable=earning.withdrawable
    )


def _deals(
    plan: Plan,
    store: Database,
    clock: Clock,
    catalogue: Catalogue,
    costs: Costs,
    ledger: Ledger,
    prices: PriceBook,
) -> Deals:
    return Deals(
        prices=prices,
        catalogue=catalogue,
        costs=costs,
        tiers=Tiers(store, ledger.record, clock),
        promotions=Promotions(store, ledger.record, clock),
        clock=clock,
        floor_percent=plan.floor_percent,
    )


def _pool(
    plan: Plan,
    store: Database,
    clock: Clock,
    catalogue: Catalogue,
    costs: Costs,
    ledger: Ledger,
    vault: Vault,
) -> Pool:
    return Pool(
        db=store,
        ledger=ledger,
        vault=vault,
        catalogue=catalogue,
        costs=costs,
        clock=clock,
        suppliers=plan.suppliers,
    )


def _desk(
    plan: Plan,
    store: Database,
    ledger: Ledger,
    clock: Clock,
    catalogue: Catalogue,
    costs: Costs,
    pool: Pool,
) -> PriceDesk:
    markup = plan.pricing.markup_percent
    prices = PriceBook(store, ledger.record, catalogue, costs, clock, markup_percent=markup)
    return open_price_desk(
        plan,
        store=store,
        ledger=ledger,
        catalogue=catalogue,
        costs=costs,
        prices=prices,
        pool=pool,
        clock=clock,
    )


def _asking(parts: Parts) -> AskService:
    return AskService(
        admission=Admission(
            ledger=parts.ledger,
            users=parts.people,
            balances=parts.purses,
            pool=parts.pool,
            prices=parts.prices,
            deals=parts.deals,
            conversations=parts.conversations,
            clock=parts.clock,
            process_id=parts.owner,
        ),
        answer_stream=AnswerStream(
            pool=parts.pool, ledger=parts.ledger, costs=parts.costs, clock=parts.clock
        ),
        repository=parts.records,
        heartbeat=Heartbeat(
            db=parts.store, ledger=parts.ledger, clock=parts.clock, process_id=parts.owner
        ),
        ledger=parts.ledger,
        pool=parts.pool,
        costs=parts.costs,
        clock=parts.clock,
        rate_limiter=RateLimiter(
            limits=parts.rules, deals=parts.deals, db=parts.store, clock=parts.clock
        ),
        deals=parts.deals,
    )


def _chores(
    parts: Parts,
    sweeper: AskRecovery,
    landing: AnswerRedelivery,
    buttons: ButtonRepository,
    prompts: Forms,
    lookout: Monitor,
) -> Scheduler:
    async def compare_models() -> None:
        """A custom address may list models that have no price yet."""
        await parts.pool.check_models()
        await parts.prices.refresh(at_most_seconds=0)

    async def close_yesterday() -> None:
        today = as_utc_day(parts.clock.now_ms())
        await close_days(parts.store, parts.ledger, parts.clock, today)

    debts = DebtRepayment(db=parts.store, ledger=parts.ledger, clock=parts.clock)
    return Scheduler(
        db=parts.store,
        ledger=parts.ledger,
        clock=parts.clock,
        process_id=parts.owner,
        jobs=(
            Job("sweep asks", 5.0, sweeper.recover_lapsed_asks, on_every_process=True),
            Job("land answers", 15.0, landing.redeliver_answers, on_every_process=True),
            Job("read keys again", 5.0, parts.pool.reload, on_every_process=True),
            Job("pass on rests of links", 10.0, parts.links.forward_merged_balances),
            Job("repay what is owed", 60.0, debts.repay_all),
            Job("tell everybody", ROUND_SECONDS, parts.broadcasts.queue_next),
            Job("sweep what erased people left", 60.0, parts.erasing.forfeit_leftovers),
            Job("read owners again", 60.0, parts.owners.load, on_every_process=True),
            Job("read rules again", 5.0, parts.rules.load, on_every_process=True),
            Job("read offers again", 5.0, parts.deals.load, on_every_process=True),
            Job("compare models", 300.0, compare_models, on_every_process=True),
            create_registration_job(parts.vault.master_key_ids),
            Job("forget buttons", 3_600.0, buttons.delete_expired_buttons),
            Job("forget prompts", 3_600.0, prompts.delete_expired_forms),
            Job("look out here", 30.0, lookout.check_process, on_every_process=True),
            Job("look out", 600.0, lookout.check_service),
            Job("audit", 43_200.0, lookout.audit_ledger),
            Job("close days", 3_600.0, close_yesterday),
            *parts.shop.chores(),
            *parts.earning.chores(),
            *parts.desk.chores(),
        ),
    )


def release_memory() -> None:
    """Asks glibc to return freed pages: reading the price package leaves about 20 MB of them.

    What is left (modules, catalogue, prices) lives as long as the process; the collector no longer
    walks it, for each walk stops every answer for tens of milliseconds. Elsewhere than on Linux
    with glibc nothing is returned.
    """
    gc.collect()
    gc.freeze()
    if sys.platform != "linux":
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
