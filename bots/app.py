"""The composition root: the one place that wires core, commands, front ends and chores.

Nothing here starts at import; `build` takes everything it needs, so that tests build the same
service with their own clock and suppliers.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import SecretStr

from bots.commands import Dispatcher
from bots.commands.account import AccountCommands
from bots.commands.admin import AdminCommands
from bots.commands.answers import Answers
from bots.commands.asking import AskCommands
from bots.commands.buttons import Buttons
from bots.commands.choosing import Choosing
from bots.commands.registry import Registry
from bots.commands.start import StartCommands
from bots.landing import Landing
from bots.show import Lanes
from bots.show.screen import Deliverer
from core import ids
from core.asking import (
    Admission,
    Asking,
    Beating,
    Conversations,
    Journal,
    Records,
    Serving,
    Sweeper,
)
from core.clock import Clock, day_of
from core.ledger import Ledger, close_days
from core.people import Owners, People, Welcome
from core.pool import Pool, Supplier, Vault
from core.pricing import Catalogue, Costs, PriceBook
from core.store import Store
from core.units import NanoUsd, Tokens
from core.upkeep import Chore, Chores, give_back

log = logging.getLogger(__name__)

#: Running answers may finish this long after a stop was asked for.
GRACE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class OwnKey:
    """An own key from the settings."""

    supplier: str
    key: SecretStr
    budget: NanoUsd
    account: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a service is built of, beside its database."""

    master_keys: Sequence[bytes]
    admins: Collection[tuple[str, str]]
    welcome: Welcome
    suppliers: Mapping[str, Supplier]
    own_keys: Sequence[OwnKey] = ()
    default_model: str = ""
    history_tokens: Tokens = field(default_factory=lambda: Tokens(4_000))


@dataclass
class App:
    """A service, wired; `start` and `stop` are its life."""

    clock: Clock
    owner: str
    plan: Plan
    store: Store
    ledger: Ledger
    vault: Vault
    catalogue: Catalogue
    costs: Costs
    prices: PriceBook
    pool: Pool
    people: People
    owners: Owners
    conversations: Conversations
    records: Records
    sweeper: Sweeper
    asking: Asking
    front: Dispatcher
    landing: Landing
    chores: Chores

    async def start(self) -> None:
        """Loads prices and keys, adopts the settings' keys, begins to serve."""
        await self.owners.load()
        await self.prices.start()
        for own in self.plan.own_keys:
            await self.pool.adopt(own.supplier, own.key, own.budget, account=own.account)
        await self.pool.start()
        await self.asking.start()
        await self.chores.start()
        give_back()

    async def stop(self, *, grace_seconds: float = GRACE_SECONDS) -> None:
        """Ends cleanly: running asks finish or settle, what was accepted is written (rule 10)."""
        await self.asking.stop(grace_seconds=grace_seconds)
        await self.chores.stop()
        await self.pool.stop()
        await self.ledger.stop()
        await self.store.close()

    def deliver_by(self, platform: str, deliverer: Deliverer) -> None:
        """Saved answers of that platform's chats are landed by this front end."""
        self.landing.by(platform, deliverer)


async def build(
    plan: Plan,
    *,
    store: Store,
    clock: Clock,
    catalogue: Catalogue,
    costs: Costs,
) -> App:
    """Wires a service on an open store; starts the ledger's writer, since the vault needs it."""
    owner = ids.new("proc", clock.now_ms()) + f"@{socket.gethostname()[:32]}:{os.getpid()}"
    ledger = Ledger(store, clock)
    await ledger.start()
    try:
        vault = await Vault.open(plan.master_keys, store, ledger)
    except BaseException:
        await ledger.stop()
        raise
    prices = PriceBook(store, ledger.record, catalogue, costs, clock)
    pool = Pool(
        store=store,
        ledger=ledger,
        vault=vault,
        catalogue=catalogue,
        costs=costs,
        clock=clock,
        suppliers=plan.suppliers,
    )
    people = People(store=store, ledger=ledger, vault=vault, clock=clock, welcome=plan.welcome)
    conversations = Conversations(
        store=store, ledger=ledger, clock=clock, history_tokens=plan.history_tokens
    )
    records = Records(store=store, ledger=ledger, people=people, clock=clock, owner=owner)
    asking = Asking(
        admission=Admission(
            ledger=ledger,
            people=people,
            pool=pool,
            prices=prices,
            conversations=conversations,
            clock=clock,
            owner=owner,
        ),
        serving=Serving(pool=pool, ledger=ledger, costs=costs, clock=clock),
        records=records,
        beating=Beating(store=store, ledger=ledger, clock=clock, owner=owner),
        ledger=ledger,
        pool=pool,
        costs=costs,
        clock=clock,
    )
    sweeper = Sweeper(
        store=store, ledger=ledger, prices=prices, pool=pool, clock=clock, owner=owner
    )

    async def compare() -> None:
        """A custom address may list models that have no price yet."""
        await pool.check_models()
        await prices.refresh(at_most_seconds=0)

    buttons = Buttons(store=store, ledger=ledger, clock=clock)
    answers = Answers(asking=asking, records=records, catalogue=catalogue, lanes=Lanes())
    landing = Landing(records=records, answers=answers)
    choosing = Choosing(
        catalogue=catalogue,
        prices=prices,
        pool=pool,
        people=people,
        ledger=ledger,
        default_model=plan.default_model,
    )
    owners = Owners(store=store, ledger=ledger, clock=clock, admins=plan.admins)
    start = StartCommands(
        people=people,
        ledger=ledger,
        choosing=choosing,
        owners=owners,
        commands=lambda: registry.commands,
    )
    registry = Registry(
        [
            start.first(),
            AskCommands(
                asking=asking,
                records=records,
                conversations=conversations,
                catalogue=catalogue,
                choosing=choosing,
            ).room(),
            choosing.room(),
            AccountCommands(
                ledger=ledger,
                journal=Journal(store),
                people=people,
                catalogue=catalogue,
                prices=prices,
                choosing=choosing,
                clock=clock,
            ).room(),
            start.room(),
            AdminCommands(
                store=store,
                ledger=ledger,
                people=people,
                pool=pool,
                catalogue=catalogue,
                costs=costs,
                prices=prices,
                clock=clock,
            ).room(),
        ]
    )
    return App(
        clock=clock,
        owner=owner,
        plan=plan,
        store=store,
        ledger=ledger,
        vault=vault,
        catalogue=catalogue,
        costs=costs,
        prices=prices,
        pool=pool,
        people=people,
        owners=owners,
        conversations=conversations,
        records=records,
        sweeper=sweeper,
        asking=asking,
        front=Dispatcher(
            people=people,
            registry=registry,
            buttons=buttons,
            answers=answers,
            clock=clock,
            owners=owners,
        ),
        landing=landing,
        chores=Chores(
            store=store,
            ledger=ledger,
            clock=clock,
            owner=owner,
            chores=(
                Chore("sweep asks", 5.0, sweeper.sweep, everywhere=True),
                Chore("land answers", 15.0, landing.land, everywhere=True),
                Chore("read keys again", 5.0, pool.reload, everywhere=True),
                Chore("read owners again", 60.0, owners.load, everywhere=True),
                Chore("compare models", 300.0, compare, everywhere=True),
                Chore("forget buttons", 3_600.0, buttons.forget_expired),
                Chore(
                    "close days",
                    3_600.0,
                    lambda: close_days(store, ledger, clock, day_of(clock.now_ms())),
                ),
            ),
        ),
    )
