"""The earning side wired together: contributions of keys, and cashing out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from core.clock import Clock
from core.earning import (
    Addresses,
    Closing,
    Contributions,
    Method,
    Policy,
    Valuer,
    Watching,
    Withdrawals,
)
from core.earning.contributions import InviterOf
from core.ledger import Ledger
from core.pool import Pool, Vault
from core.pricing import Catalogue, Costs, PriceBook
from core.store import Store
from core.upkeep import Chore
from payments import Disburser, Payouts


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

    def chores(self) -> tuple[Chore, ...]:
        """What happens without a request."""
        return (
            Chore("end contributions", 15.0, self.closing.work),
            Chore("forget offers of keys", 600.0, self.contributions.forget_offers),
            Chore("send payouts", 10.0, self.payouts.work),
        )


def open_earning(
    *,
    policy: Policy,
    store: Store,
    ledger: Ledger,
    vault: Vault,
    pool: Pool,
    catalogue: Catalogue,
    costs: Costs,
    prices: PriceBook,
    clock: Clock,
    inviter_of: InviterOf,
    disbursers: Mapping[Method, Disburser],
) -> Earning:
    """Wires it; nothing starts yet."""
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
        withdrawals=withdrawals, addresses=addresses, disbursers=disbursers, clock=clock
    )
    return Earning(
        policy=policy,
        contributions=contributions,
        closing=closing,
        addresses=addresses,
        withdrawals=withdrawals,
        watching=watching,
        payouts=payouts,
        methods=tuple(disbursers) or ("manual",),
    )
