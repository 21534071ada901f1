"""The abuse check: where the settings can be abused for cash, and where honest trade loses money,
each with its arithmetic.

A scenario is calculated per 1,000 Credits that it puts in play: what it takes out in cash beyond
what it paid in, and what answers of others' keys it gets for that, at what they cost. Only cash is
profit: answers are what an operator gives away knowingly (a welcome gift, an advance), within
limits per person that the settings say. `benchmarks/economy` plays the same scenarios on the real
ledger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from core import chart
from core.earnings.payouts import RATE
from core.earnings.types import DISPUTABLE_DAYS, Policy
from core.money import Credits, NanoUsd, usd
from core.pricing.formula import PAR
from core.users.referrals import TOPUP_PERCENT

_DOLLAR: Final = usd("1")
_NOTHING: Final = NanoUsd(0)
#: Every figure is calculated for so many Credits.
PLAYED: Final = Credits(1_000)

Name = Literal[
    "wash",
    "bonus",
    "twice",
    "linked",
    "idle-key",
    "bought",
    "gifts",
    "welcome",
    "advance",
    "advance-to-friend",
    "withdraw-and-revoke",
    "lowered",
    "false-budget",
    "same-key-twice",
    "cheap-answers",
    "chargeback",
    "dispute",
    "referral",
    "dying-referral",
]
NAMES: Final[tuple[Name, ...]] = get_args(Name)


@dataclass(frozen=True, slots=True)
class Way:
    """A pack as it is sold at a gateway: what is paid and what the gateway keeps (nano-dollars),
    what is given for it (Credits)."""

    gateway: str
    pack: str
    cash: NanoUsd
    fee: NanoUsd
    bought: Credits
    bonus: Credits
    #: Whether the payer's bank may take the money back.
    disputable: bool

    def net(self) -> NanoUsd:
        """What 1,000 bought Credits bring the operator, in nano-dollars."""
        return NanoUsd((self.cash - self.fee).units * PLAYED.units // self.bought.units)

    def price(self) -> NanoUsd:
        """What 1,000 bought Credits cost their buyer, in nano-dollars."""
        return NanoUsd(self.cash.units * PLAYED.units // self.bought.units)


@dataclass(frozen=True, slots=True)
class Lowering:
    """The most that the tiers and promotions that run now can do together: per cent off prices, per
    cent more for what is paid, and how much over cost the floor keeps prices."""

    discount: int
    bonus: int
    floor: int


@dataclass(frozen=True, slots=True)
class Economy:
    """The settings and figures that the abuse check calculates with."""

    policy: Policy
    ways: Sequence[Way]
    welcome: Credits
    #: What answers cost at suppliers, in per cent of what is charged for them at par.
    cost_percent: int
    #: The inviter's share of a friend's top-up, given as gift, in per cent.
    inviter_percent: int = TOPUP_PERCENT
    #: None while nothing lowers prices or raises top-ups.
    lowering: Lowering | None = None

    @property
    def answers(self) -> NanoUsd:
        """What answers for 1,000 Credits cost at suppliers, in nano-dollars."""
        return PAR.times(PLAYED.units).share_down(self.cost_percent, 100)


@dataclass(frozen=True, slots=True)
class Farm:
    """A way to abuse the settings that somebody could try, per 1,000 Credits put in play."""

    name: Name
    cash: NanoUsd
    answers: NanoUsd
    #: How the profit comes about, in figures.
    sum: str
    #: Whether it holds only while admins decide payouts as the risk card advises.
    heeding: bool = False

    @property
    def profits(self) -> bool:
        """Whether cash comes out that never came in."""
        return self.cash > NanoUsd(0)


@dataclass(frozen=True, slots=True)
class Trade:
    """Honest trade by a sale channel, per 1,000 bought Credits: all of them spent on contributed
    keys, all that those earn paid out."""

    way: Way
    net: NanoUsd
    out: NanoUsd

    @property
    def loses(self) -> bool:
        """Whether more goes out than came in."""
        return self.net < self.out


@dataclass(frozen=True, slots=True)
class Offered:
    """Honest trade at the lowest price that anybody is offered, with the cheapest Credits that are
    sold: what a dollar of suppliers' cost brings."""

    lowering: Lowering
    #: What a Credit brings at least, all gifts that come with it counted.
    credit: NanoUsd
    brings: NanoUsd

    @property
    def loses(self) -> bool:
        """Whether a dollar of cost brings less than a dollar."""
        return self.brings < _DOLLAR

    @property
    def mending(self) -> int:
        """The floor from which on it doesn't lose, in per cent over cost."""
        return -(-100 * PAR.units // self.credit.units) - 100


def offered(economy: Economy) -> Offered | None:
    """Honest trade at the lowest price; None while nothing is sold or nothing is lowered."""
    lowering = economy.lowering
    if lowering is None or not economy.ways:
        return None
    credit = min(
        (way.cash - way.fee).units
        // (way.bought + way.bonus + way.bought.share_up(lowering.bonus, 100)).units
        for way in economy.ways
    )
    # Of a dollar's cost in percent: the plain price, lowered, but not below the floor.
    plain = 10_000 // economy.cost_percent
    lowest = min(plain, max(100 + lowering.floor, plain * (100 - lowering.discount) // 100))
    return Offered(
        lowering,
        NanoUsd(credit),
        NanoUsd(_DOLLAR.units * lowest // 100 * credit // PAR.units),
    )


def paid_out() -> NanoUsd:
    """What 1,000 bought Credits become at most: 0.9 of them earned, each paid at $0.009."""
    return RATE.times(PLAYED.units).share_down(*chart.NET)


def trades(economy: Economy) -> list[Trade]:
    """Honest trade by each sale channel."""
    out = paid_out() if economy.policy.suppliers else NanoUsd(0)
    return [Trade(way, way.net(), out) for way in economy.ways]


def farms(economy: Economy) -> list[Farm]:
    """Every abuse scenario; see `benchmarks/economy` for what each does. Where nobody may
    contribute, there is no way to cash at all."""
    found = [
        Farm("welcome", _NOTHING, economy.answers, f"0.00: {economy.welcome.units:,} Credits each")
    ]
    contributing = bool(economy.policy.suppliers)
    if contributing:
        found += _lent(economy)
    if contributing and economy.ways:
        found += _bought(economy)
    if any(way.disputable for way in economy.ways):
        found += _disputed(economy, contributing=contributing)
    return sorted(found, key=lambda one: NAMES.index(one.name))


def _lent(economy: Economy) -> list[Farm]:
    """The scenarios that are tried with gifts, and with contributed keys."""
    policy, answers = economy.policy, economy.answers
    friend = answers.share_down(*chart.NET)
    share = policy.advance_percent
    return [
        Farm("gifts", _NOTHING, friend, "0.00: what a gift pays for becomes a gift"),
        Farm(
            "advance",
            _NOTHING,
            answers.share_down(share, 100),
            f"0.00: {share} % may be spent before it vests, and is owed",
        ),
        Farm(
            "advance-to-friend",
            _NOTHING,
            friend.share_down(share, 100),
            "0.00: an advance becomes a friend's gift",
        ),
        Farm("lowered", _NOTHING, _NOTHING, "0.00: with its dollars a key's Credits go"),
        Farm(
            "false-budget",
            _NOTHING,
            answers,
            f"0.00: at most {policy.advance_unverified.units:,} Credits a person, and owed",
        ),
        Farm("same-key-twice", _NOTHING, _NOTHING, "0.00: a key is known again"),
        Farm("dying-referral", _NOTHING, _NOTHING, "0.00: an inviter's part comes with use"),
    ]


def _bought(economy: Economy) -> list[Farm]:
    """The scenarios that are tried with bought Credits."""
    out, answers = paid_out(), economy.answers
    friend = answers.share_down(*chart.NET)
    price = min(way.price() for way in economy.ways)
    richest = max(economy.ways, key=lambda way: way.bonus.units * 1_000 // way.bought.units)
    gift = friend.share_down(richest.bonus.units, richest.bought.units)

    def farm(name: Name, cash: NanoUsd, answers: NanoUsd, paid: NanoUsd = price) -> Farm:
        return Farm(name, cash - paid, answers, f"{_plain(cash)} − {_plain(paid)}")

    return [
        farm("wash", out, _NOTHING),
        farm("bonus", out, gift, richest.price()),
        farm("twice", out, _NOTHING),
        farm("cheap-answers", out, _NOTHING),
        # At twice the price of a key's valuation half of its answers bring all that it is worth.
        farm("idle-key", out.share_down(1, 2), _NOTHING),
        farm("referral", out, answers.share_down(economy.inviter_percent, 100)),
        # What was bought, or earned, is still there to be spent: it just doesn't become cash.
        farm("linked", _NOTHING, answers),
        farm("bought", _NOTHING, answers),
        farm("withdraw-and-revoke", _NOTHING, friend),
    ]


def _disputed(economy: Economy, *, contributing: bool) -> list[Farm]:
    """The scenarios that are tried with a payer's bank."""
    found = [
        Farm(
            "chargeback",
            _NOTHING,
            economy.answers,
            f"0.00: then {DISPUTABLE_DAYS} days not by card",
        )
    ]
    if not contributing:
        return found
    # Whoever waits out the hold days first needs an admin's yes: the risk card advises a no.
    days, out = economy.policy.payout_hold_days, paid_out()
    price = _plain(min(way.price() for way in economy.ways))
    at_once = Farm("dispute", out, _NOTHING, f"{_plain(out)} + {price} − {price}")
    waiting = Farm(
        "dispute",
        _NOTHING,
        economy.answers.share_down(*chart.NET),
        f"0.00: {days} days, then a no",
        heeding=True,
    )
    return [*found, waiting if days else at_once]


def _plain(amount: NanoUsd) -> str:
    cents = amount.units // 10_000_000
    return f"{cents // 100}.{cents % 100:02}"
