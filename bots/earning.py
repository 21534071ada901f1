"""The earning side wired together: contributions of keys, and cashing out."""

from __future__ import annotations

from dataclasses import dataclass

from bots.chat.command import Room
from bots.commands.admin.payouts import PayoutCards, PayoutCommands
from bots.commands.contribute import ContributeCommands
from bots.commands.my_keys import KeysCommands
from bots.commands.withdraw import WithdrawCommands
from bots.plan import Plan
from core.clock import Clock
from core.db.database import Store
from core.earnings.contributions import Contributions, InviterOf
from core.earnings.payout_methods import Addresses
from core.earnings.payouts import Method
from core.earnings.statistics import Watching
from core.earnings.termination import Closing
from core.earnings.types import Policy
from core.earnings.valuation import Valuer
from core.earnings.withdrawals import Withdrawals
from core.jobs.scheduler import Chore
from core.ledger.ledger import Ledger
from core.money import Credits
from core.pool.pool import Pool
from core.pool.vault import Vault
from core.pricing.catalogue import Catalogue
from core.pricing.costs import Costs
from core.pricing.prices import PriceBook
from core.users.limits import Rules
from core.users.service import People
from payments.payouts import Payouts


@dataclass(frozen=True, slots=True)
class Earning:
    """Everything about keys of other people's, and what they are paid for them."""

    policy: Policy
    contributions: Contributions
    closing: Closing
    addresses: Addresses
    withdrawals: Withdrawals
    watching: Watching
    payouts: Payouts
    #: By which people are paid.
    methods: tuple[Method, ...]
    #: Whether anybody's key is taken, or ever was.
    active: bool
    pool: Pool
    store: Store
    clock: Clock

    async def withdrawable(self, person: str) -> Credits:
        """What a person could withdraw now."""
        return (await self.withdrawals.earnings(person)).withdrawable

    async def stop(self) -> None:
        """Closes the gateways' connections."""
        await self.payouts.close()

    def chores(self) -> tuple[Chore, ...]:
        """What happens without a request."""
        return (
            Chore("end contributions", 15.0, self.closing.work),
            Chore("forget offers of keys", 600.0, self.contributions.forget_offers),
            Chore("send payouts", 10.0, self.payouts.work),
        )

    def contribute(self, catalogue: Catalogue) -> ContributeCommands:
        """Its commands, which also complete suppliers' names."""
        return ContributeCommands(
            contributions=self.contributions,
            pool=self.pool,
            catalogue=catalogue,
            clock=self.clock,
        )

    def rooms(self, contribute: ContributeCommands, people: People) -> tuple[Room, ...]:
        """The rooms of contributing, where keys are taken; and of what became of those that were,
        for whoever earned something must come by it."""
        if not self.active:
            return ()
        keys = KeysCommands(
            contributions=self.contributions,
            closing=self.closing,
            watching=self.watching,
            withdrawals=self.withdrawals,
            pool=self.pool,
        )
        withdraw = WithdrawCommands(
            withdrawals=self.withdrawals,
            addresses=self.addresses,
            people=people,
            methods=self.methods,
        )
        cards = PayoutCards(
            withdrawals=self.withdrawals,
            addresses=self.addresses,
            payouts=self.payouts,
            people=people,
            store=self.store,
            clock=self.clock,
        )
        payouts = PayoutCommands(
            withdrawals=self.withdrawals, payouts=self.payouts, cards=cards, clock=self.clock
        )
        taking = (contribute.room(),) if self.policy.suppliers else ()
        return *taking, keys.room(), withdraw.room(), payouts.room()


def open_earning(
    plan: Plan,
    *,
    store: Store,
    ledger: Ledger,
    vault: Vault,
    pool: Pool,
    catalogue: Catalogue,
    costs: Costs,
    prices: PriceBook,
    clock: Clock,
    inviter_of: InviterOf,
    rules: Rules,
    active: bool,
) -> Earning:
    """Wires it; nothing starts yet."""
    policy = plan.policy
    valuer = Valuer(store=store, catalogue=catalogue, prices=prices, costs=costs, clock=clock)
    contributions = Contributions(
        store=store,
        ledger=ledger,
        pool=pool,
        valuer=valuer,
        clock=clock,
        policy=policy,
        inviter_of=inviter_of,
    )
    addresses = Addresses(store=store, ledger=ledger, vault=vault, clock=clock)
    withdrawals = Withdrawals(
        store=store, ledger=ledger, addresses=addresses, clock=clock, policy=policy
    )
    closing = Closing(
        contributions=contributions,
        ledger=ledger,
        pool=pool,
        clock=clock,
        cancelling=withdrawals.cancelling,
    )
    watching = Watching(store=store, ledger=ledger, clock=clock)
    payouts = Payouts(
        withdrawals=withdrawals,
        addresses=addresses,
        disbursers=plan.disbursers,
        clock=clock,
        paused=lambda: "payouts" in rules.switches,
    )
    return Earning(
        policy=policy,
        contributions=contributions,
        closing=closing,
        addresses=addresses,
        withdrawals=withdrawals,
        watching=watching,
        payouts=payouts,
        methods=tuple(plan.methods),
        active=active,
        pool=pool,
        store=store,
        clock=clock,
    )
