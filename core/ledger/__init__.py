"""The ledger: accounts, immutable transfers, submissions; its writer, audit and exports.

Nothing else writes to the database. It knows no account by name: `core.chart` does.
"""

from __future__ import annotations

from core.ledger.audit import Audit, audit
from core.ledger.closing import close_days, posted_on
from core.ledger.export import beancount, csv
from core.ledger.ledger import Ledger
from core.ledger.types import (
    Account,
    AccountMismatch,
    Accrue,
    AnyAccount,
    AtMost,
    Balance,
    Capped,
    Cascade,
    CompanionRefused,
    Entry,
    HoldNotFound,
    HoldResolved,
    IdempotencyConflict,
    InsufficientFunds,
    Kind,
    LedgerBusy,
    LedgerRefusal,
    LedgerUnavailable,
    Limit,
    Move,
    Receipt,
    Settle,
    SettleTooMuch,
    Share,
    Submission,
    SweepOwed,
    Transfer,
)

__all__ = [
    "Account",
    "AccountMismatch",
    "Accrue",
    "AnyAccount",
    "AtMost",
    "Audit",
    "Balance",
    "Capped",
    "Cascade",
    "CompanionRefused",
    "Entry",
    "HoldNotFound",
    "HoldResolved",
    "IdempotencyConflict",
    "InsufficientFunds",
    "Kind",
    "Ledger",
    "LedgerBusy",
    "LedgerRefusal",
    "LedgerUnavailable",
    "Limit",
    "Move",
    "Receipt",
    "Settle",
    "SettleTooMuch",
    "Share",
    "Submission",
    "SweepOwed",
    "Transfer",
    "audit",
    "beancount",
    "close_days",
    "csv",
    "posted_on",
]
