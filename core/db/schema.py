"""Every table of the database, for `from core.db import schema`; each is defined in
`core.db.tables`, in the module named after the package that writes it.

Times are milliseconds UTC; amounts are whole units; secrets are sealed. `core.ledger` alone writes
its own tables; rows of the others are companions of submissions, or go through `Ledger.record`.
"""

from __future__ import annotations

from core.db.tables.admin import alert as alert, broadcast as broadcast
from core.db.tables.api import (
    api_pause as api_pause,
    api_reply as api_reply,
    api_spending as api_spending,
    api_token as api_token,
)
from core.db.tables.asks import (
    ask as ask,
    attachment as attachment,
    chat_move as chat_move,
    conversation as conversation,
    shown as shown,
    unpaid_work as unpaid_work,
    usage as usage,
)
from core.db.tables.base import meta as meta, metadata as metadata
from core.db.tables.chat import button as button, chat_update as chat_update, prompt as prompt
from core.db.tables.earnings import (
    contribution as contribution,
    matured as matured,
    payout as payout,
    payout_method as payout_method,
)
from core.db.tables.jobs import admin_log as admin_log, chore as chore, notice as notice
from core.db.tables.ledger import (
    BLOCK as BLOCK,
    account as account,
    block as block,
    book_day as book_day,
    closing as closing,
    day_correction as day_correction,
    hold as hold,
    submission as submission,
    transfer as transfer,
)
from core.db.tables.payments import (
    cancellation as cancellation,
    code as code,
    difference as difference,
    dispute as dispute,
    listing as listing,
    movement as movement,
    order as order,
    order_event as order_event,
    payment as payment,
    refund as refund,
    unmatched_payment as unmatched_payment,
    webhook as webhook,
)
from core.db.tables.pool import key as key, vault_secret as vault_secret
from core.db.tables.pricing import (
    price as price,
    promotion as promotion,
    promotion_holder as promotion_holder,
    promotion_use as promotion_use,
    tier as tier,
    tier_given as tier_given,
)
from core.db.tables.repricing import (
    demand as demand,
    price_bound as price_bound,
    supplier_change as supplier_change,
    supplier_cost as supplier_cost,
    supplier_override as supplier_override,
)
from core.db.tables.users import (
    allowance as allowance,
    erased as erased,
    identity as identity,
    invitation as invitation,
    link as link,
    owner as owner,
    owner_code as owner_code,
    person as person,
    referral as referral,
    switch as switch,
)
