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

from bots.chat.callbacks import Buttons
from bots.chat.forms import Prompts
from bots.chat.types import Deliverer
from bots.commands.answers import Answers
from bots.dispatcher import Dispatcher
from bots.earning import Earning, open_earning
from bots.notifications import Landing
from bots.plan import OwnKey, Plan
from bots.register import rooms
from bots.render.queue import Lanes
from bots.repricing import PriceDesk, open_price_desk
from bots.services import Parts
from bots.shop import open_shop
from core import ids
from core.admin.broadcasts import ROUND_SECONDS
from core.admin.monitor import Lookout
from core.asks.admission import Admission
from core.asks.conversations import Conversations
from core.asks.heartbeat import Beating
from core.asks.rate_limit import Pacing
from core.asks.recovery import Sweeper
from core.asks.repository import Records
from core.asks.service import Asking
from core.asks.streaming import Serving
from core.clock import Clock, day_of
from core.db.database import Store
from core.earnings.contributions import any_contributions
from core.jobs.scheduler import Chore, Chores, closed, opening
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
from core.users.balances import Debts, Purses
from core.users.limits import Rules
from core.users.links import Links
from core.users.referrals import Invitations
from core.users.roles import Owners
from core.users.service import People
from payments.vouchers import any_codes

__all__ = ["App", "OwnKey", "Parts", "Plan", "build"]

log = logging.getLogger(__name__)

#: Running answers may finish this long after a stop was asked for.
GRACE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class App(Parts):
    """A service, wired; `start` and `stop` are its life."""

    sweeper: Sweeper
    asking: Asking
    front: Dispatcher
    landing: Landing
    lookout: Lookout
    chores: Chores

    async def start(self) -> None:
        """Loads prices and keys, adopts the settings' keys, begins to serve."""
        await self.owners.load()
        await self.rules.load()
        await self.desk.load()
        await self.prices.start()
        await self.deals.load()
        for own in self.plan.own_keys:
            await self.pool.adopt(own.supplier, own.key, own.budget, account=own.account)
        await self.pool.start()
        await self.desk.watch.look()
        await self.asking.start()
        await self.shop.start()
        await self.chores.run_once(opening(self.vault.opens_with))
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
            await closed(self.ledger, opening(self.vault.opens_with))
        await self.ledger.stop()
        await self.store.close()


async def build(
    plan: Plan,
    *,
    store: Store,
    clock: Clock,
    catalogue: Catalogue,
    costs: Costs,
) -> App:
    """Wires a service on an open store; starts the ledger's writer, since the vault needs it."""
    ledger = Ledger(store, clock)
    await ledger.start()
    try:
        vault = await Vault.open(plan.master_keys, store, ledger)
        trades = bool(plan.gateways) or await any_codes(store)
        earns = bool(plan.policy.suppliers) or await any_contributions(store)
    except BaseException:
        await ledger.stop()
        raise
    parts = _parts(plan, store, clock, catalogue, costs, ledger, vault, trades, earns)
    asking = _asking(parts)
    answers = Answers(asking=asking, records=parts.records, catalogue=catalogue, lanes=Lanes())
    buttons = Buttons(store=store, ledger=ledger, clock=clock)
    prompts = Prompts(store=store, ledger=ledger, clock=clock, buttons=buttons)
    landing = Landing(records=parts.records, answers=answers, deliverers=parts.deliverers)
    lookout = Lookout(
        alerts=parts.alerts,
        store=store,
        pool=parts.pool,
        ended=asking.ended,
        clock=clock,
    )
    sweeper = Sweeper(
        store=store,
        ledger=ledger,
        prices=parts.prices,
        pool=parts.pool,
        clock=clock,
        owner=parts.owner,
    )
    return App(
        **{field.name: getattr(parts, field.name) for field in fields(parts)},
        sweeper=sweeper,
        asking=asking,
        front=Dispatcher(
            people=parts.people,
            registry=rooms(parts, asking, buttons, prompts),
            buttons=buttons,
            prompts=prompts,
            answers=answers,
            clock=clock,
            owners=parts.owners,
            rules=parts.rules,
        ),
        landing=landing,
        lookout=lookout,
        chores=_chores(parts, sweeper, landing, buttons, prompts, lookout),
    )


def _parts(
    plan: Plan,
    store: Store,
    clock: Clock,
    catalogue: Catalogue,
    costs: Costs,
    ledger: Ledger,
    vault: Vault,
    trades: bool,
    earns: bool,
) -> Parts:
    owner = ids.new("proc", clock.now_ms()) + f"@{socket.gethostname()[:32]}:{os.getpid()}"
    people = People(store=store, ledger=ledger, vault=vault, clock=clock, welcome=plan.welcome)
    invitations = Invitations(store=store, ledger=ledger, clock=clock)
    owners = Owners(store=store, ledger=ledger, clock=clock, admins=plan.admins)
    pool = _pool(plan, store, clock, catalogue, costs, ledger, vault)
    desk = _desk(plan, store, ledger, clock, catalogue, costs, pool)
    deals = _deals(plan, store, clock, catalogue, costs, ledger, desk.prices)
    rules = Rules(store=store, ledger=ledger, clock=clock, usual=plan.usual, deals=deals)
    purses = Purses(ledger=ledger, advances=pool.contributed.advances)
    earning = _earning(
        plan, store, ledger, vault, clock, catalogue, costs, desk, pool, invitations, rules, earns
    )
    deliverers: dict[str, Deliverer] = {}
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
        records=Records(store=store, ledger=ledger, people=people, clock=clock, owner=owner),
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
    store: Store,
    ledger: Ledger,
    vault: Vault,
    clock: Clock,
    catalogue: Catalogue,
    costs: Costs,
    desk: PriceDesk,
    pool: Pool,
    invitations: Invitations,
    rules: Rules,
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
        inviter_of=invitations.inviter_of,
        rules=rules,
        active=earns,
    )


def _conversations(plan: Plan, store: Store, ledger: Ledger, clock: Clock) -> Conversations:
    return Conversations(
        store=store, ledger=ledger, clock=clock, history_tokens=plan.history_tokens
    )


def _links(store: Store, ledger: Ledger, people: People, clock: Clock, earning: Earning) -> Links:
    return Links(store=store, ledger=ledger, people=people, clock=clock, aged=earning.withdrawable)


def _deals(
    plan: Plan,
    store: Store,
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
    store: Store,
    clock: Clock,
    catalogue: Catalogue,
    costs: Costs,
    ledger: Ledger,
    vault: Vault,
) -> Pool:
    return Pool(
        store=store,
        ledger=ledger,
        vault=vault,
        catalogue=catalogue,
        costs=costs,
        clock=clock,
        suppliers=plan.suppliers,
    )


def _desk(
    plan: Plan,
    store: Store,
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


def _asking(parts: Parts) -> Asking:
    return Asking(
        admission=Admission(
            ledger=parts.ledger,
            people=parts.people,
            purses=parts.purses,
            pool=parts.pool,
            prices=parts.prices,
            deals=parts.deals,
            conversations=parts.conversations,
            clock=parts.clock,
            owner=parts.owner,
        ),
        serving=Serving(pool=parts.pool, ledger=parts.ledger, costs=parts.costs, clock=parts.clock),
        records=parts.records,
        beating=Beating(
            store=parts.store, ledger=parts.ledger, clock=parts.clock, owner=parts.owner
        ),
        ledger=parts.ledger,
        pool=parts.pool,
        costs=parts.costs,
        clock=parts.clock,
        pacing=Pacing(rules=parts.rules, deals=parts.deals, store=parts.store, clock=parts.clock),
        deals=parts.deals,
    )


def _chores(
    parts: Parts,
    sweeper: Sweeper,
    landing: Landing,
    buttons: Buttons,
    prompts: Prompts,
    lookout: Lookout,
) -> Chores:
    async def compare_models() -> None:
        """A custom address may list models that have no price yet."""
        await parts.pool.check_models()
        await parts.prices.refresh(at_most_seconds=0)

    async def close_yesterday() -> None:
        today = day_of(parts.clock.now_ms())
        await close_days(parts.store, parts.ledger, parts.clock, today)

    debts = Debts(store=parts.store, ledger=parts.ledger, clock=parts.clock)
    return Chores(
        store=parts.store,
        ledger=parts.ledger,
        clock=parts.clock,
        owner=parts.owner,
        chores=(
            Chore("sweep asks", 5.0, sweeper.sweep, everywhere=True),
            Chore("land answers", 15.0, landing.land, everywhere=True),
            Chore("read keys again", 5.0, parts.pool.reload, everywhere=True),
            Chore("pass on rests of links", 10.0, parts.links.pass_on_rests),
            Chore("repay what is owed", 60.0, debts.repay),
            Chore("tell everybody", ROUND_SECONDS, parts.broadcasts.work),
            Chore("sweep what erased people left", 60.0, parts.erasing.sweep),
            Chore("read owners again", 60.0, parts.owners.load, everywhere=True),
            Chore("read rules again", 5.0, parts.rules.load, everywhere=True),
            Chore("read offers again", 5.0, parts.deals.load, everywhere=True),
            Chore("compare models", 300.0, compare_models, everywhere=True),
            opening(parts.vault.opens_with),
            Chore("forget buttons", 3_600.0, buttons.forget_expired),
            Chore("forget prompts", 3_600.0, prompts.forget_expired),
            Chore("look out here", 30.0, lookout.look_here, everywhere=True),
            Chore("look out", 600.0, lookout.look),
            Chore("audit", 43_200.0, lookout.audited),
            Chore("close days", 3_600.0, close_yesterday),
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
