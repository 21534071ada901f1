"""The earning side wired together: contributions of keys, and cashing out."""

from __future__ import annotations

from dataclasses import dataclass

from bots.chat.command import CommandGroup
from bots.commands.admin.payouts import PayoutCardBuilder, PayoutCommands
from bots.commands.contribute import ContributeCommands
from bots.commands.my_keys import MyKeysCommands
from bots.commands.withdraw import WithdrawCommands
from bots.plan import Plan
from core.clock import Clock
from core.db.database import Database
from core.earnings.contributions import Contributions, FindInviter
from core.earnings.payout_methods import PayoutMethods
from core.earnings.payouts import PayoutMethod
from core.earnings.statistics import ContributionStatistics
from core.earnings.termination import ContributionTermination
from core.earnings.types import EarningPolicy
from core.earnings.valuation import KeyValuer
from core.earnings.withdrawals import Withdrawals
from core.jobs.scheduler import Job
from core.ledger.ledger import Ledger
from core.money import Credits
from core.pool.pool import Pool
from core.pool.vault import Vault
from core.pricing.catalogue import Catalogue
from core.pricing.costs import Costs
from core.pricing.prices import PriceBook
from core.users.limits import UserLimits
from core.users.service import Users
from payments.payouts import Payouts


@dataclass(frozen=True, slots=True)
class Earning:
    """Everything about keys of other people's, and what they are paid for them."""

    policy: EarningPolicy
    contributions: Contributions
    closing: ContributionTermination
    addresses: PayoutMethods
    withdrawals: Withdrawals
    watching: ContributionStatistics
    payouts: Payouts
    #: By which people are paid.
    methods: tuple[PayoutMethod, ...]
    #: Whether anybody's key is taken, or ever was.
    active: bool
    pool: Pool
    store: Database
    clock: Clock

    async def withdrawable(self, person: str) -> Credits:
        """What a person could withdraw now."""
        return (await self.withdrawals.get_earnings(person)).withdrawable

    async def stop(self) -> None:
        """Closes the gateways' connections."""
        await self.payouts.close()

    def chores(self) -> tuple[Job, ...]:
        """What happens without a request."""
        return (
            Job("end contributions", 15.0, self.closing.process_terminations),
            Job("forget offers of keys", 600.0, self.contributions.delete_expired_offers),
            Job("send payouts", 10.0, self.payouts.process_due_payouts),
        )

    def contribute(self, catalogue: Catalogue) -> ContributeCommands:
        """Its commands, which also complete suppliers' names."""
        return ContributeCommands(
            contributions=self.contributions,
            pool=self.pool,
            catalogue=catalogue,
            clock=self.clock,
        )

    def rooms(self, contribute: ContributeCommands, people: Users) -> tuple[CommandGroup, ...]:
        """The rooms of contributing, where keys are taken; and of what became of those that were,
        for whoever earned something must come by it."""
        if not self.active:
            return ()
        keys = MyKeysCommands(
            contributions=self.contributions,
            termination=self.closing,
            statistics=self.watching,
            withdrawals=self.withdrawals,
            pool=self.pool,
        )
        withdraw = WithdrawCommands(
            withdrawals=self.withdrawals,
            payout_methods=self.addresses,
            users=people,
            methods=self.methods,
        )
        cards = PayoutCardBuilder(
            withdrawals=self.withdrawals,
            payout_methods=self.addresses,
            payouts=self.payouts,
            users=people,
            db=self.store,
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
    store: Database,
    ledger: Ledger,
    vault: Vault,
    pool: Pool,
    catalogue: Catalogue,
    costs: Costs,
    prices: PriceBook,
    clock: Clock,
    inviter_of: FindInviter,
    rules: UserLimits,
    active: bool,
) -> Earning:
    """Wires it; nothing starts yet."""
    policy = plan.policy
    valuer = KeyValuer(db=store, catalogue=catalogue, prices=prices, costs=costs, clock=clock)
    contributions = Contributions(
        db=store,
        ledger=ledger,
        pool=pool,
        valuer=valuer,
        clock=clock,
        policy=policy,
        find_inviter=inviter_of,
    )
    addresses = PayoutMethods(db=store, ledger=ledger, vault=vault, clock=clock)
    withdrawals = Withdrawals(
        db=store, ledger=ledger, payout_methods=addresses, clock=clock, policy=policy
    )
    closing = ContributionTermination(
        contributions=contributions,
        ledger=ledger,
        pool=pool,
        clock=clock,
        plan_cancellation=withdrawals.plan_cancellation,
    )
    watching = ContributionStatistics(db=store, ledger=ledger, clock=clock)
    payouts = Payouts(
        withdrawals=withdrawals,
        payout_methods=addresses,
        providers=plan.disbursers,
        clock=clock,
        is_paused=lambda: "payouts" in rules.pauses,
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
