"""What a service is made of, once it is wired: what commands, chores and front ends work with."""

from __future__ import annotations

from dataclasses import dataclass

from bots.chat.types import Notifier
from bots.earning import Earning
from bots.plan import Plan
from bots.repricing import PriceDesk
from bots.shop import Shop
from core.admin.alerts import Alerts
from core.admin.broadcasts import Broadcasts
from core.admin.erasure import Erasure
from core.asks.conversations import Conversations
from core.asks.repository import AskRepository
from core.clock import Clock
from core.db.database import Database
from core.ledger.ledger import Ledger
from core.pool.pool import Pool
from core.pool.vault import Vault
from core.pricing.catalogue import Catalogue
from core.pricing.costs import Costs
from core.pricing.deals import Deals
from core.pricing.prices import PriceBook
from core.users.balances import Balances
from core.users.limits import UserLimits
from core.users.links import Links
from core.users.roles import Roles
from core.users.service import Users


@dataclass(frozen=True, slots=True)
class Parts:
    """What everything else is made of."""

    clock: Clock
    #: This process, by a name that no other has: whose asks and chores are whose.
    owner: str
    plan: Plan
    store: Database
    ledger: Ledger
    vault: Vault
    catalogue: Catalogue
    costs: Costs
    prices: PriceBook
    deals: Deals
    pool: Pool
    #: What prices are decided with.
    desk: PriceDesk
    people: Users
    purses: Balances
    owners: Roles
    rules: UserLimits
    links: Links
    conversations: Conversations
    records: AskRepository
    shop: Shop
    earning: Earning
    #: Front ends that reach people by themselves, by platform, as they start.
    deliverers: dict[str, Notifier]

    @property
    def broadcasts(self) -> Broadcasts:
        """What is told to everybody; likewise."""
        return Broadcasts(db=self.store, ledger=self.ledger, clock=self.clock)

    @property
    def alerts(self) -> Alerts:
        """What owners should know at once; likewise."""
        return Alerts(db=self.store, ledger=self.ledger, clock=self.clock)

    @property
    def erasing(self) -> Erasure:
        """What erases people; it remembers nothing."""
        return Erasure(
            db=self.store,
            ledger=self.ledger,
            users=self.people,
            contributions=self.earning.contributions,
            termination=self.earning.closing,
            withdrawals=self.earning.withdrawals,
            clock=self.clock,
        )
