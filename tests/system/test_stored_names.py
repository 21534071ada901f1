"""Names that outlive a version: they stand in databases, under old buttons, in operators' `.env`
files and on their dashboards. A new one is added to `stored_names.txt`; none is renamed.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

from pydantic import SecretStr

from bots import http
from bots.config.settings import setting_names
from core import chart
from core.admin.alerts import ALERT
from core.admin.broadcasts import BROADCAST, BROADCAST_DONE, BROADCAST_PROGRESS
from core.api_tokens.types import (
    API_FIRST_USED,
    API_HALF_SPENT,
    API_PASTE_FOUND,
    API_SHOWN_ONCE,
    API_USED_ELSEWHERE,
)
from core.clock import SystemClock
from core.db import schema
from core.earnings.payouts import PAYOUT_CHANGED
from core.earnings.termination import KEY_ENDED
from core.earnings.types import SAFE_POLICY
from core.money import NanoUsd, Stars
from core.pool.health_tracker import KEY_COOLDOWN
from core.pool.providers.types import Fault
from core.repricing.announcements import PRICE_CHANGED
from core.repricing.model_ends import MODEL_ENDS
from core.repricing.supplier_changes import COST_CHANGED
from core.users.support import SUPPORT_ANSWERED, SUPPORT_ASKED
from payments.cancellations import CANCELLATION_ENDED, CANCELLATION_WAITS
from payments.dispute_steps import CREDITS_HELD, CREDITS_LOST, CREDITS_RELEASED
from payments.fulfillment import ARRIVED_NOT, ON_ITS_WAY, PAID, REFUNDED
from payments.gateways.sandbox import SandboxGateway
from payments.mismatches import PAID_OTHERWISE, UNPROCESSED
from payments.movements import DIFFERENCE
from payments.referral_share import FRIEND_BOUGHT, FRIEND_REFUNDED
from payments.refunds import REFUND_FINISHED
from payments.unmatched import UNMATCHED
from tests.support.service import running

STORED = Path(__file__).with_name("stored_names.txt")


async def test_stored_names_stay(sqlite_url: str) -> None:
    gateway = SandboxGateway(url="http://127.0.0.1:9", secret=SecretStr("s"))
    policy = replace(SAFE_POLICY, suppliers=frozenset({"openai"}))
    clock = SystemClock()
    async with running(
        sqlite_url, clock, gateways={"sandbox": gateway}, policy=policy, api=True
    ) as service:
        app = service.app
        measured = http.build_metrics_registry(
            app.services.asks.asks,
            app.services.pool.pool,
            app.services.admin.monitor,
            app.chat.readiness.platform_states,
        ).collect()
        registry, chores = app.chat.dispatcher._registry, app.scheduler._jobs
        found = {
            "setting": [name.lower() for name, _, _ in setting_names()],
            "table": [
                f"{table.name}.{column.name}"
                for table in schema.metadata.tables.values()
                for column in table.columns
            ],
            "command": [command.name for command in registry.commands],
            "action": list(registry._actions),
            "job": [chore.name for chore in chores if not chore.name.startswith("open with ")],
            "metric": [metric.name for metric in measured],
            "notice": [
                *(
                    ALERT,
                    BROADCAST,
                    COST_CHANGED,
                    PRICE_CHANGED,
                    KEY_ENDED,
                    PAYOUT_CHANGED,
                    KEY_COOLDOWN,
                    MODEL_ENDS,
                ),
                *(API_FIRST_USED, API_USED_ELSEWHERE, API_HALF_SPENT, API_PASTE_FOUND),
                API_SHOWN_ONCE,
                *(CANCELLATION_WAITS, CANCELLATION_ENDED),
                *(BROADCAST_DONE, BROADCAST_PROGRESS, SUPPORT_ASKED, SUPPORT_ANSWERED),
                *(CREDITS_HELD, CREDITS_LOST, CREDITS_RELEASED),
                *(FRIEND_BOUGHT, FRIEND_REFUNDED, PAID, PAID_OTHERWISE, REFUNDED, UNPROCESSED),
                *(ON_ITS_WAY, ARRIVED_NOT, DIFFERENCE, UNMATCHED, REFUND_FINISHED),
            ],
            "fault": [fault.value for fault in Fault],
            "account": accounts(),
        }
    lines = sorted(f"{kind} {name}" for kind, names in found.items() for name in names)
    assert lines == STORED.read_text().splitlines()


def accounts() -> list[str]:
    """The code of every kind of account, as of a person P, a key K, a model M, an order O, a
    supplier or gateway S."""
    made = [
        *chart.pockets("P"),
        *(chart.owed("P"), chart.spent("M"), chart.key_quota("K"), chart.returned_own_budget("K")),
        *(chart.supplier_cost("S"), chart.supplier_cost("S", contributed=True)),
        *(chart.OWN_SUPPLY, chart.OVERRUN, chart.CONTRIBUTED_SUPPLY, chart.ADVANCED),
        *(
            chart.FORFEITED,
            chart.unvested_credits("K"),
            chart.advance("K"),
            chart.referral_reserve("K"),
        ),
        *(chart.key_usage("K", "paid"), chart.key_usage("K", "free"), chart.contribution_fee()),
        *(chart.advance_lender("P", verified=True), chart.advance_lender("P", verified=False)),
        *(
            chart.DISPUTED_CASH,
            chart.BAD_DEBT,
            chart.PAYOUTS,
            chart.PAYOUTS_IN_TRANSIT,
            chart.PAYOUT_FEES,
        ),
        *(chart.disputed_credits("O", "bought"), chart.disputed_credits("O", "gift")),
        *(chart.redeemed_credits(), chart.payout_fee()),
        *(chart.issued(kind) for kind in get_args(chart.IssuedKind)),
        *(made(unit) for made in (chart.sales, chart.gateway_fees) for unit in (NanoUsd, Stars)),
        *(chart.cash("S", NanoUsd), chart.cash("S", Stars)),
    ]
    return [f"{account.code} {account.unit.NAME} {account.limit.name}" for account in made]
