"""The chart of accounts: every account's code, unit and floor, and every flow between them.

Functions that are nouns name an account; functions that begin with a verb make the entries of one
flow, for a submission. Codes and entry names stand in the database and never change.

Circulation = Σ pockets (held included) − Σ owed = issued − spent − redeemed − fees − forfeited.
What is lent of contributions (`advanced`, `line/…`) counts against them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from core.ledger.types import (
    Account,
    Accrue,
    AtMost,
    BalanceLimit,
    Capped,
    Cascade,
    Entry,
    Move,
    Settle,
    Share,
    SweepOwed,
)
from core.money import AnyMoney, Credits, Money, NanoUsd, Stars

Pocket = Literal["gift", "bought", "earned"]

#: The order in which an ask draws a person's pockets: gifts, which can't become cash, go first.
POCKETS: tuple[Pocket, ...] = ("gift", "bought", "earned")

IssuedKind = Literal["welcome", "grant", "topup", "bonus", "referral", "code", "contribution"]

#: Accounts are values that every ask names anew: the busiest are cached, not made again.
_cached = lru_cache(maxsize=8_192)

OWN_SUPPLY = Account("supply/own", NanoUsd)
OVERRUN = Account("overrun", NanoUsd)


def pocket(person: str, name: Pocket) -> Account[Credits]:
    """One of a person's pockets, in Credits; never below zero."""
    return Account(f"user/{person}/{name}", Credits, BalanceLimit.DEBITS_WITHIN_CREDITS)


@_cached
def pockets(person: str) -> tuple[Account[Credits], ...]:
    """A person's pockets in the order that an ask draws them."""
    return tuple(pocket(person, name) for name in POCKETS)


def owed(person: str) -> Account[Credits]:
    """What a person owes the platform; repaid before anything else."""
    return Account(f"owed/{person}", Credits, BalanceLimit.CREDITS_WITHIN_DEBITS)


def issued(kind: IssuedKind) -> Account[Credits]:
    """The account that Credits of this kind are issued from; it may go below zero."""
    return Account(f"issued/{kind}", Credits)


@_cached
def spent(model: str) -> Account[Credits]:
    """All Credits that were charged for answers of a model."""
    return Account(f"spent/{model}", Credits)


@_cached
def key_quota(key: str) -> Account[NanoUsd]:
    """The nano-dollars that a key may still cost; a key *is* this account."""
    return Account(f"key/{key}", NanoUsd, BalanceLimit.DEBITS_WITHIN_CREDITS)


@_cached
def supplier_cost(name: str, contributed: bool = False) -> Account[NanoUsd]:
    """The nano-dollars that calls to a supplier have cost, by the operator's own keys or by
    contributed ones."""
    return Account(f"supplier/{name}/contributed" if contributed else f"supplier/{name}", NanoUsd)


def give_gift(person: str, kind: IssuedKind, amount: Credits) -> Move[Credits]:
    """Flow: welcome, grant, bonus, referral, code → the gift pocket."""
    return Move("gift", issued(kind), pocket(person, "gift"), amount)


def fund_own_key(key: str, budget: NanoUsd) -> Move[NanoUsd]:
    """Flow: an own key's budget."""
    return Move("budget", OWN_SUPPLY, key_quota(key), budget)


def returned_own_budget(key: str) -> Account[NanoUsd]:
    """The nano-dollars that were taken back of an own key's budget."""
    return Account(f"supply/own-returned/{key}", NanoUsd)


def reclaim_own_budget(key: str, amount: NanoUsd) -> AtMost[NanoUsd]:
    """Flow: a smaller budget for an own key takes back what is neither used nor held."""
    return AtMost("returned", key_quota(key), returned_own_budget(key), amount)


def hold_credits(
    accounts: tuple[Account[Credits], ...], model: str, amount: Credits
) -> Cascade[Credits]:
    """Flow: an ask's hold on its asker's `spendable_accounts`, in their order."""
    return Cascade("credits", accounts, spent(model), amount, pending=True)


def hold_quota(
    key: str, supplier_name: str, amount: NanoUsd, *, contributed: bool = False
) -> Move[NanoUsd]:
    """Flow: an ask's hold on the key that serves it."""
    supplier_account = supplier_cost(supplier_name, contributed)
    return Move("quota", key_quota(key), supplier_account, amount, pending=True)


def settle_credits(hold: str, charge: Credits) -> Settle[Credits]:
    """Flow: an ask's charge out of its hold, the rest returned."""
    return Settle("charge", f"{hold}/credits", charge)


def settle_quota(hold: str, cost: NanoUsd) -> Settle[NanoUsd]:
    """Flow: a supplier's cost out of a key's hold, the rest returned."""
    return Settle("cost", f"{hold}/quota", cost)


def book_overrun(
    key: str,
    supplier_name: str,
    excess: NanoUsd,
    *,
    contributed: bool = False,
    quota_pays: bool = True,
) -> Cascade[NanoUsd]:
    """Flow: a cost above the hold: it takes what the key has left unless that is spared, and the
    rest is an overrun."""
    supplier_account = supplier_cost(supplier_name, contributed)
    paying = (key_quota(key), OVERRUN) if quota_pays else (OVERRUN,)
    return Cascade("overrun", paying, supplier_account, excess)


def merge_pockets(merged: str, survivor: str, max_amount: Credits) -> tuple[AtMost[Credits], ...]:
    """Flow: two people became one: what each pocket of the one that was merged can give moves to
    the same pocket of the survivor."""
    return tuple(
        AtMost(name, pocket(merged, name), pocket(survivor, name), max_amount) for name in POCKETS
    )


def repay_owed(person: str) -> SweepOwed[Credits]:
    """Flow: what is owed is repaid before anything else."""
    return SweepOwed("repay", pockets(person), owed(person))


CONTRIBUTED_SUPPLY = Account("supply/contributed", NanoUsd)
#: What may be spent of contributions before it vests, lent to their contributors.
ADVANCED = Account("advanced", Credits)
#: Credits that somebody lost for good.
FORFEITED = Account("forfeited", Credits)
#: Where the counts of `key_usage` come from: Credits charged for what contributed keys served.
_COUNTED_USAGE = Account("use/counted", Credits)
#: Of each Credit that was charged for a contributed key's answer, the contributor gets nine tenths,
#: and whoever invited the contributor gets a twentieth of that.
CONTRIBUTOR_SHARE = (9, 10)
INVITER_SHARE = (45, 1_000)

#: How an asker came by a Credit: bought or earned (paid), or given (free).
CreditOrigin = Literal["paid", "free"]
_PAID_POCKETS = ("bought", "earned")


def unvested_credits(key: str) -> Account[Credits]:
    """A contribution's net Credits that its use hasn't earned yet."""
    return Account(f"key/{key}/unvested", Credits, BalanceLimit.DEBITS_WITHIN_CREDITS)


def advance(key: str) -> Account[Credits]:
    """What a contributor may spend of a contribution before it vests; use fills it up again."""
    return Account(f"key/{key}/advance", Credits, BalanceLimit.DEBITS_WITHIN_CREDITS)


def referral_reserve(key: str) -> Account[Credits]:
    """What a contribution will bring to whoever invited its contributor."""
    return Account(f"key/{key}/invited", Credits, BalanceLimit.DEBITS_WITHIN_CREDITS)


def key_usage(key: str, origin: CreditOrigin) -> Account[Credits]:
    """A count of the Credits charged for what a contributed key served, by their origin."""
    return Account(f"use/{origin}/{key}", Credits)


def contribution_fee() -> Account[Credits]:
    """The platform's tenth of what contributions are worth."""
    return Account("fee/contribution", Credits)


def is_paid_pocket(code: str) -> bool:
    """Whether the account of this code is a pocket of Credits that were bought or earned."""
    return code.startswith("user/") and code.endswith(_PAID_POCKETS)


def spendable_accounts(person: str, keys: tuple[str, ...]) -> tuple[Account[Credits], ...]:
    """All accounts that an ask may draw, in order: the pockets, then the advances on the person's
    own contributed `keys`."""
    return (*pockets(person), *(advance(key) for key in keys))


def advance_lender(person: str, *, verified: bool) -> Account[Credits]:
    """The account that lends an advance: without a bound where the supplier reported the key's
    quota, else out of what one person may be lent for all their contributions."""
    if verified:
        return ADVANCED
    return Account(f"line/{person}", Credits, BalanceLimit.DEBITS_WITHIN_CREDITS)


def open_credit_line(person: str, amount: Credits) -> Move[Credits]:
    """Flow: a person gets, once, what they may be lent for contributions that nobody can verify."""
    return Move("line", ADVANCED, advance_lender(person, verified=False), amount)


def open_contribution(
    key: str,
    quota: NanoUsd,
    net: Credits,
    fee: Credits,
    inviter_credits: Credits,
    advance_move: Move[Credits] | None,
) -> tuple[Entry, ...]:
    """Flow: a contribution begins: the key's dollars, its Credits, the fee, what it will bring to
    whoever invited its contributor, and what may be spent of it in advance (`lend_advance`)."""
    moves: list[Entry] = [
        Move("quota", CONTRIBUTED_SUPPLY, key_quota(key), quota),
        Move("net", issued("contribution"), unvested_credits(key), net),
    ]
    if not fee.is_zero:
        moves.append(Move("fee", issued("contribution"), contribution_fee(), fee))
    if not inviter_credits.is_zero:
        moves.append(Move("inviting", issued("referral"), referral_reserve(key), inviter_credits))
    if advance_move is not None:
        moves.append(advance_move)
    return tuple(moves)


def lend_advance(key: str, lender: Account[Credits], amount: Credits) -> Move[Credits]:
    """Flow: an amount of a contribution may be spent in advance."""
    return Move("line", lender, advance(key), amount)


def recall_advance(key: str, lender: Account[Credits], amount: Credits) -> Move[Credits]:
    """Flow: an amount of a contribution may no longer be spent in advance."""
    return Move("line", advance(key), lender, amount)


def lower_contribution(
    key: str, quota: NanoUsd, returned: Credits, fee: Credits
) -> tuple[Entry, ...]:
    """Flow: a part of a contribution ends before it was used: its dollars and its Credits go back
    where they came from, with the fee that was taken of them. Refused when less is left."""
    moves: list[Entry] = []
    if not quota.is_zero:
        moves.append(Move("quota", key_quota(key), CONTRIBUTED_SUPPLY, quota))
    if not returned.is_zero:
        moves.append(Move("unused", unvested_credits(key), issued("contribution"), returned))
    if not fee.is_zero:
        moves.append(Move("fee", contribution_fee(), issued("contribution"), fee))
    return tuple(moves)


def end_contribution(
    key: str,
    contributor: str,
    lender: Account[Credits],
    *,
    covered: Credits,
    kept: Credits,
    unspent_advance: Credits,
    excess_advance: Credits,
    due: Credits,
    inviter_credits: Credits,
) -> tuple[Entry, ...]:
    """Flow: a contribution ends. Of what didn't vest though the key was used, `covered` pays for
    what was spent in advance and `kept` stays with the contributor as a gift. `unspent_advance`
    goes back to the lender; `excess_advance`, by which use filled the advance above what was lent,
    becomes a gift. What is still `due` comes from earned, gift, bought, and the rest is owed."""
    moves: list[Entry] = [
        AtMost("inviting", referral_reserve(key), issued("referral"), inviter_credits)
    ]
    if not covered.is_zero:
        moves.append(Move("covered", unvested_credits(key), lender, covered))
    if not kept.is_zero:
        moves.append(Move("kept", unvested_credits(key), pocket(contributor, "gift"), kept))
    if not unspent_advance.is_zero:
        moves.append(recall_advance(key, lender, unspent_advance))
    if not excess_advance.is_zero:
        moves.append(Move("over", advance(key), pocket(contributor, "gift"), excess_advance))
    if not due.is_zero:
        sources = tuple(pocket(contributor, name) for name in ("earned", "gift", "bought"))
        moves.append(Cascade("due", (*sources, owed(contributor)), lender, due))
    return tuple(moves)


def forfeit_earnings(
    contributor: str, kept: Credits, earnings: tuple[Credits, Credits]
) -> tuple[AtMost[Credits], ...]:
    """Flow: a stolen key's end: what its use brought its contributor (`earnings`: earned, then as
    gifts) is forfeited, `kept` included, as far as it is still there."""
    earned, free = earnings
    parts: tuple[tuple[Pocket, Credits], ...] = (("earned", earned), ("gift", free + kept))
    return tuple(
        AtMost(f"forfeited-{name}", pocket(contributor, name), FORFEITED, amount)
        for name, amount in parts
        if not amount.is_zero
    )


def forfeit_pockets(person: str, max_amount: Credits) -> tuple[AtMost[Credits], ...]:
    """Flow: a person is erased: what each of their pockets can give is forfeited."""
    return tuple(AtMost(name, pocket(person, name), FORFEITED, max_amount) for name in POCKETS)


def vest_charge(
    key: str,
    contributor: str,
    inviter: str,
    advance_amount: Credits,
    origin: CreditOrigin,
    charge: Credits,
) -> Accrue[Credits]:
    """Flow: an answer of a contributed key was charged for. Its contributor's share first fills up
    what they spent in advance; the rest is earned where the charge was paid, else a gift."""
    target = pocket(contributor, "earned" if origin == "paid" else "gift")
    shares = [
        Share(*CONTRIBUTOR_SHARE, unvested_credits(key), ((advance(key), advance_amount),), target)
    ]
    if inviter:
        shares.append(Share(*INVITER_SHARE, referral_reserve(key), (), pocket(inviter, "gift")))
    return Accrue(f"vest-{origin}", _COUNTED_USAGE, key_usage(key, origin), charge, tuple(shares))


def find_pocket(person: str, code: str) -> Account[Credits]:
    """The pocket of this person that has the name of the pocket of a `code`: somebody's who became
    a part of them."""
    name = code.rpartition("/")[2]
    return next(pocket(person, each) for each in POCKETS if each == name)


#: How the entries begin that give a charge back.
RETURNED_ENTRY = "returned-"


def return_charge(
    number: int, model: str, target: Account[Credits], amount: Credits
) -> Move[Credits]:
    """Flow: a part of a charge, the `number`th, goes back where it came from: nobody saw the
    answer."""
    return Move(f"{RETURNED_ENTRY}{number}", spent(model), target, amount)


def turn_earned_into_gift(contributor: str, amount: Credits) -> tuple[Entry, ...]:
    """Flow: an answer of a contributed key wasn't paid for after all: what it earned its
    contributor becomes a gift, though it was spent meanwhile."""
    sources = (pocket(contributor, "earned"), owed(contributor))
    return (
        Cascade("unearned", sources, pocket(contributor, "gift"), amount),
        SweepOwed("unearned-repay", pockets(contributor), owed(contributor)),
    )


#: Cash that a payer's bank took back while a dispute is open; and what was lost by disputes.
DISPUTED_CASH = Account("disputed", NanoUsd)
BAD_DEBT = Account("bad-debt", NanoUsd)


def cash(gateway: str, unit: type[AnyMoney]) -> Account[AnyMoney]:
    """The money that lies at a gateway, in nano-dollars or Stars."""
    return Account(f"cash/{gateway}", unit)


def sales(unit: type[AnyMoney]) -> Account[AnyMoney]:
    """The money that top-ups were sold for, in nano-dollars or Stars."""
    return Account(_unit_code("sales", unit), unit)


def gateway_fees(unit: type[AnyMoney]) -> Account[AnyMoney]:
    """The fees that gateways kept of what was paid, in nano-dollars or Stars."""
    return Account(_unit_code("gateway-fees", unit), unit)


def disputed_credits(order: str, name: Literal["bought", "gift"]) -> Account[Credits]:
    """What is left of an order while it is disputed: still its person's, but not to be spent."""
    return Account(f"order/{order}/disputed-{name}", Credits, BalanceLimit.DEBITS_WITHIN_CREDITS)


def credit_topup(person: str, bought: Credits, bonus: Credits) -> tuple[Entry, ...]:
    """Flow: a top-up brings Credits, bought ones and a bonus; what is owed is repaid at once."""
    moves: list[Entry] = []
    if not bought.is_zero:
        moves.append(Move("bought", issued("topup"), pocket(person, "bought"), bought))
    if not bonus.is_zero:
        moves.append(Move("bonus", issued("bonus"), pocket(person, "gift"), bonus))
    return (*moves, repay_owed(person))


def receive_cash(
    gateway: str, gross: NanoUsd | Stars, fee: NanoUsd | Stars
) -> tuple[Move[NanoUsd] | Move[Stars], ...]:
    """Flow: a payment's cash: what reached the platform, and what the gateway kept; both in the
    same unit. A fee above the payment takes of what lies at the gateway."""
    if isinstance(gross, NanoUsd):
        assert isinstance(fee, NanoUsd)
        return _receive_cash_of_unit(gateway, gross, fee)
    assert isinstance(fee, Stars)
    return _receive_cash_of_unit(gateway, gross, fee)


def _receive_cash_of_unit(
    gateway: str, gross: AnyMoney, fee: AnyMoney
) -> tuple[Move[AnyMoney], ...]:
    unit = type(gross)
    covered = min(fee, gross)
    moves = []
    if gross > covered:
        moves.append(Move("cash", cash(gateway, unit), sales(unit), gross - covered))
    if not covered.is_zero:
        moves.append(Move("fee", gateway_fees(unit), sales(unit), covered))
    if fee > gross:
        moves.append(Move("fee-above", gateway_fees(unit), cash(gateway, unit), fee - gross))
    return tuple(moves)


def book_late_fee(gateway: str, fee: NanoUsd) -> Move[NanoUsd]:
    """Flow: what a gateway kept of a payment, told after the payment was credited."""
    return Move("fee", gateway_fees(NanoUsd), cash(gateway, NanoUsd), fee)


def reverse_topup(
    person: str, bought: Credits, bonus: Credits, *, disputed_order: str = ""
) -> tuple[Entry, ...]:
    """Flow: a refund takes back the Credits of a top-up, first those that a dispute of the order
    holds. What was spent is owed, and whatever else the person has pays that at once."""
    moves: list[Entry] = []
    if not bought.is_zero:
        disputed_accounts = (disputed_credits(disputed_order, "bought"),) if disputed_order else ()
        sources = (*disputed_accounts, pocket(person, "bought"), owed(person))
        moves.append(Cascade("bought", sources, issued("topup"), bought))
    if not bonus.is_zero:
        disputed_accounts = (disputed_credits(disputed_order, "gift"),) if disputed_order else ()
        sources = (*disputed_accounts, pocket(person, "gift"), owed(person))
        moves.append(Cascade("bonus", sources, issued("bonus"), bonus))
    return (*moves, repay_owed(person))


#: The entry that gives, or takes back, what friends' top-ups earn their inviter.
REFERRAL_ENTRY = "referral"


def give_referral_bonus(inviter: str, amount: Credits) -> tuple[Entry, ...]:
    """Flow: what a friend's top-up earns the inviter, as a gift; what they owe is repaid first."""
    if amount.is_zero:
        return ()
    bonus = Move(REFERRAL_ENTRY, issued("referral"), pocket(inviter, "gift"), amount)
    return bonus, _repay_owed_by_inviter(inviter)


def reverse_referral_bonus(inviter: str, amount: Credits) -> tuple[Entry, ...]:
    """Flow: what a friend's top-up earned is taken back. What is spent of it is owed, and paid by
    whatever else the inviter has."""
    if amount.is_zero:
        return ()
    sources = (pocket(inviter, "gift"), owed(inviter))
    return (
        Cascade(REFERRAL_ENTRY, sources, issued("referral"), amount),
        _repay_owed_by_inviter(inviter),
    )


def _repay_owed_by_inviter(inviter: str) -> SweepOwed[Credits]:
    """The inviter's `repay_owed`, by another entry name than the buyer's in the same submission."""
    return SweepOwed("referral-repay", pockets(inviter), owed(inviter))


def hold_cancellation(person: str, bought: Credits, bonus: Credits) -> tuple[Entry, ...]:
    """Flow: a buyer withdraws from a purchase: what is unused of it is held while its cash goes
    back."""
    parts = (
        ("bought", pocket(person, "bought"), issued("topup"), bought),
        ("bonus", pocket(person, "gift"), issued("bonus"), bonus),
    )
    return tuple(
        Move(name, source, target, amount, pending=True)
        for name, source, target, amount in parts
        if not amount.is_zero
    )


def void_cancellation(hold: str) -> Settle[Credits]:
    """Flow: what a cancellation holds goes back to its pocket: the refund takes it, or nothing
    does. `hold` is the name of the pending entry."""
    return Settle(f"released-{hold.rpartition('/')[2]}", hold, Credits(0))


def refund_cash(gateway: str, amount: NanoUsd | Stars) -> Move[NanoUsd] | Move[Stars]:
    """Flow: a refund's cash leaves the gateway and comes off the sales."""
    if isinstance(amount, NanoUsd):
        return Move("cash", sales(NanoUsd), cash(gateway, NanoUsd), amount)
    return Move("cash", sales(Stars), cash(gateway, Stars), amount)


def open_dispute(
    person: str, order: str, gateway: str, amount: NanoUsd, *, bought: Credits, bonus: Credits
) -> tuple[Entry, ...]:
    """Flow: a dispute holds the Credits that are left of an order; the order's cash is gone until
    the dispute is decided."""
    return (
        AtMost("bought", pocket(person, "bought"), disputed_credits(order, "bought"), bought),
        AtMost("bonus", pocket(person, "gift"), disputed_credits(order, "gift"), bonus),
        Move("cash", DISPUTED_CASH, cash(gateway, NanoUsd), amount),
    )


def hold_returned_credits(person: str, order: str, bought: Credits) -> tuple[Entry, ...]:
    """Flow: Credits of a disputed order that came back to their person's pocket after the dispute
    had begun are held with it."""
    if bought.is_zero:
        return ()
    disputed = disputed_credits(order, "bought")
    return (Move("bought-late", pocket(person, "bought"), disputed, bought),)


def credit_disputed_order(order: str, bought: Credits, bonus: Credits) -> tuple[Entry, ...]:
    """Flow: a refund of a disputed order failed: its Credits are held with the dispute."""
    moves: list[Entry] = []
    if not bought.is_zero:
        moves.append(Move("bought", issued("topup"), disputed_credits(order, "bought"), bought))
    if not bonus.is_zero:
        moves.append(Move("bonus", issued("bonus"), disputed_credits(order, "gift"), bonus))
    return tuple(moves)


def release_dispute(
    person: str, order: str, *, bought: Credits, bonus: Credits
) -> tuple[Entry, ...]:
    """Flow: Credits that a dispute held go back to their person; what is owed is repaid."""
    return (
        AtMost("bought-back", disputed_credits(order, "bought"), pocket(person, "bought"), bought),
        AtMost("bonus-back", disputed_credits(order, "gift"), pocket(person, "gift"), bonus),
        repay_owed(person),
    )


def win_dispute(gateway: str, amount: NanoUsd) -> Move[NanoUsd]:
    """Flow: a dispute was won: its cash is at the gateway again."""
    return Move("cash", cash(gateway, NanoUsd), DISPUTED_CASH, amount)


def lose_dispute(
    order: str, amount: NanoUsd, returned: NanoUsd, bought: Credits, bonus: Credits
) -> tuple[Entry, ...]:
    """Flow: a dispute was lost: the Credits that it held go back to where they were issued,
    `returned`, their worth, comes off the sales, and the rest of `amount` is bad debt."""
    moves: list[Entry] = [
        AtMost("bought", disputed_credits(order, "bought"), issued("topup"), bought),
        AtMost("bonus", disputed_credits(order, "gift"), issued("bonus"), bonus),
    ]
    if not returned.is_zero:
        moves.append(Move("returned", sales(NanoUsd), DISPUTED_CASH, returned))
    if returned != amount:
        moves.append(Move("lost", BAD_DEBT, DISPUTED_CASH, amount - returned))
    return tuple(moves)


def reopen_lost_dispute(
    person: str,
    order: str,
    amount: NanoUsd,
    bad_debt: NanoUsd,
    *,
    restored: tuple[Credits, Credits],
    excess: tuple[Credits, Credits],
) -> tuple[Entry, ...]:
    """Flow: a dispute that was lost goes on: its cash is undecided again, and what it took
    (`restored`: bought, bonus) is held. `excess` is what was spent beyond what the order gives now:
    it is owed, as after a refund."""
    moves: list[Entry] = []
    if bad_debt != amount:
        moves.append(Move("returned", DISPUTED_CASH, sales(NanoUsd), amount - bad_debt))
    if not bad_debt.is_zero:
        moves.append(Move("lost", DISPUTED_CASH, BAD_DEBT, bad_debt))
    moves += credit_disputed_order(order, *restored)
    if any(not part.is_zero for part in excess):
        moves += reverse_topup(person, *excess, disputed_order=order)
    return tuple(moves)


def reverse_dispute_refund(
    order: str, gateway: str, amount: NanoUsd, bought: Credits, bonus: Credits
) -> tuple[Entry, ...]:
    """Flow: a dispute that had cost a part of its sum goes on: the part is undecided again, its
    Credits are held."""
    moves: list[Entry] = [Move("part", cash(gateway, NanoUsd), sales(NanoUsd), amount)]
    if not bought.is_zero:
        held = disputed_credits(order, "bought")
        moves.append(Move("part-bought", issued("topup"), held, bought))
    if not bonus.is_zero:
        moves.append(Move("part-bonus", issued("bonus"), disputed_credits(order, "gift"), bonus))
    return tuple(moves)


def book_dispute_fee(gateway: str, fee: NanoUsd, *, is_returned: bool = False) -> Move[NanoUsd]:
    """Flow: what a gateway takes for a dispute, or gives back of that."""
    gateway_cash, expense = cash(gateway, NanoUsd), gateway_fees(NanoUsd)
    if is_returned:
        return Move("dispute-fee", gateway_cash, expense, fee)
    return Move("dispute-fee", expense, gateway_cash, fee)


def _unit_code(name: str, unit: type[Money]) -> str:
    """An account's code for a unit: accounts of cash are in dollars unless their code says so."""
    return name if unit.NAME == NanoUsd.NAME else f"{name}/{unit.NAME.lower()}"


PAYOUTS = Account("payouts", NanoUsd)
PAYOUTS_IN_TRANSIT = Account("payouts-in-transit", NanoUsd)
#: What gateways took for paying out.
PAYOUT_FEES = Account("payout-fees", NanoUsd)
#: Of what is withdrawn nine tenths are redeemed, the rest is the fee.
_REDEEMED_SHARE = (9, 10)


def redeemed_credits() -> Account[Credits]:
    """Credits that were paid out."""
    return Account("redeemed/payout", Credits)


def payout_fee() -> Account[Credits]:
    """The platform's tenth of the Credits that are withdrawn."""
    return Account("fee/payout", Credits)


def hold_withdrawal(person: str, amount: Credits, cap: Credits) -> tuple[Entry, ...]:
    """Flow: a withdrawal holds earned Credits. `cap` is how many may ever have left that pocket:
    only what came in early enough may go."""
    earned, redeemed = pocket(person, "earned"), amount.share_down(*_REDEEMED_SHARE)
    return (
        Capped("redeemed", earned, redeemed_credits(), redeemed, cap),
        Capped("fee", earned, payout_fee(), amount - redeemed, cap),
    )


def settle_withdrawal(payout: str, hold: str, amount: Credits) -> tuple[Settle[Credits], ...]:
    """Flow: the Credits that a withdrawal holds are redeemed for good."""
    redeemed = amount.share_down(*_REDEEMED_SHARE)
    return (
        Settle(f"redeemed-{payout}", f"{hold}/redeemed", redeemed),
        Settle(f"fee-{payout}", f"{hold}/fee", amount - redeemed),
    )


def void_withdrawal(payout: str, hold: str) -> tuple[Settle[Credits], ...]:
    """Flow: the Credits that a withdrawal holds all go back to their pocket."""
    return tuple(
        Settle(f"{part}-{payout}", f"{hold}/{part}", Credits(0)) for part in ("redeemed", "fee")
    )


def send_payout(amount: NanoUsd) -> Move[NanoUsd]:
    """Flow: a payout's dollars are given to its gateway."""
    return Move("cash", PAYOUTS, PAYOUTS_IN_TRANSIT, amount)


def complete_payout(gateway: str, amount: NanoUsd, fee: NanoUsd) -> tuple[Move[NanoUsd], ...]:
    """Flow: a payout has arrived; the gateway's fee for it is paid on top."""
    cash_account = cash(gateway, NanoUsd)
    moves = [Move("cash", PAYOUTS_IN_TRANSIT, cash_account, amount)]
    if not fee.is_zero:
        moves.append(Move("fee", PAYOUT_FEES, cash_account, fee))
    return tuple(moves)


def return_payout(
    person: str,
    credits: Credits,  # noqa: A002
    amount: NanoUsd,
    gateway: str,
) -> tuple[Entry, ...]:
    """Flow: a payout that was sent didn't arrive (`gateway` is empty), or one that was paid came
    back to its `gateway`: the Credits and the dollars are back."""
    earned, redeemed = pocket(person, "earned"), credits.share_down(*_REDEEMED_SHARE)
    cash_account = cash(gateway, NanoUsd) if gateway else PAYOUTS_IN_TRANSIT
    return (
        Move("redeemed", redeemed_credits(), earned, redeemed),
        Move("fee", payout_fee(), earned, credits - redeemed),
        Move("cash", cash_account, PAYOUTS, amount),
        repay_owed(person),
    )
