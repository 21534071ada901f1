"""Accounts and submissions that the ledger's tests share."""

from __future__ import annotations

from core.ledger.types import Account, BalanceLimit, Cascade, Move, Settle, Submission
from core.money import Credits

ISSUED = Account("issued/grant", Credits)
GIFT = Account("user/1/gift", Credits, BalanceLimit.DEBITS_WITHIN_CREDITS)
BOUGHT = Account("user/1/bought", Credits, BalanceLimit.DEBITS_WITHIN_CREDITS)
OWED = Account("owed/1", Credits, BalanceLimit.CREDITS_WITHIN_DEBITS)
SPENT = Account("spent/gpt-4", Credits)


def give(cause: str, amount: int, pocket: Account[Credits] = GIFT) -> Submission:
    return Submission(cause, (Move("gift", ISSUED, pocket, Credits(amount)),))


def hold(cause: str, amount: int) -> Submission:
    plan = Cascade("credits", (GIFT, BOUGHT), SPENT, Credits(amount), pending=True)
    return Submission(cause, (plan,))


def settle(cause: str, amount: int) -> Submission:
    return Submission(f"{cause}/settle", (Settle("credits", f"{cause}/credits", Credits(amount)),))
