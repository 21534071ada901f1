"""The brief's contribution (§§ 2, 7) from the key in the chat to the money at the bank, on each
platform, through the unmodified clients: every figure in the chat and in the ledger.

In small a hundred and two asks and $3.08; in full the brief's own 16,666 and $500. Either leaves
two cents, and its half a half Credit. All pay at the sandbox's checkout, gifts come by `/grant`; so
many questions are asked in the chat, the others behind it.
"""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from core.db import schema
from core.money import parse_usd
from tests.support.config import KEYS
from tests.support.size import size
from tests.system.chats import PLATFORMS
from tests.system.contribution_support import (
    ANN,
    ASKS,
    BOB,
    DOLLARS,
    FEE,
    GROSS,
    NET,
    OWNER,
    TOM,
    Fair,
    cents,
    contributed,
    open_market,
    person,
    shown,
    withdrawn,
)

#: What the supplier charges for an ask of 1,000 tokens.
COST = parse_usd("0.03")
#: What is paid out at least; 0 for the brief's own 10,000.
LEAST = size(small=100, full=0)

PEOPLE = {"owner": OWNER, "bob": BOB, "tom": TOM, "ann": ANN}


async def books(there: Fair, key: str) -> dict[str, int]:
    """What every account stands at, credits less debits, but those at nothing; people and the key
    by their names."""
    names = {await person(there, id_): name for name, id_ in PEOPLE.items()} | {key: "KEY"}
    account = schema.account.c
    rows = await there.market.service.app.services.base.db.fetch(
        sa.select(account.code, (account.credits_posted - account.debits_posted).label("stands"))
    )
    stand = {row.code: int(row.stands) for row in rows if row.stands}
    for id_, name in names.items():
        stand = {code.replace(id_, name): figure for code, figure in stand.items()}
    return stand


def sold(there: Fair, bought: int) -> dict[str, int]:
    """What people who bought so many Credits have left in the books."""
    cash, kept = (
        parse_usd("0.01").multiply_by(bought).units,
        parse_usd("0.01").multiply_by(there.kept).units,
    )
    return {
        "issued/topup": -bought,
        "sales": cash,
        "gateway-fees": -kept,
        "cash/sandbox": kept - cash,
    }


def used_up() -> dict[str, int]:
    """What all the asks have left in the books, whoever paid; two cents of the key are left."""
    cost = COST.multiply_by(ASKS).units
    return {
        "spent/gpt-4": GROSS,
        "use/counted": -GROSS,
        "supplier/openai/contributed": cost,
        "supply/contributed": -cost,
    }


def paid_out(amount: int) -> dict[str, int]:
    """What a withdrawal has left in the books."""
    redeemed, cash = amount * 9 // 10, cents(amount) * 10**7
    return {
        "redeemed/payout": redeemed,
        "fee/payout": amount - redeemed,
        "payouts": -cash,
        "cash/manual": cash,
    }


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("platform", PLATFORMS)
async def test_the_briefs_contribution(platform: str, database_url: str) -> None:
    """$500 in, 16,666 paid asks, 74,997 earned, $674.97 withdrawn and paid."""
    async with open_market(platform, database_url, LEAST) as there:
        key = await contributed(there)
        assert await books(there, key) == {
            "issued/contribution": -GROSS,
            "fee/contribution": FEE,
            "key/KEY/unvested": NET,
            "advanced": -NET,
            "key/KEY/advance": NET,
            "supply/contributed": -parse_usd(DOLLARS).units,
            "key/KEY": parse_usd(DOLLARS).units,
        }
        await there.buys(TOM, GROSS)
        await there.asks(TOM, ASKS)
        await there.market.closes()
        await there.market.closes()
        await there.tells()
        ended = await there.chat(BOB).hears("has ended")
        assert "It is used up." in ended.shown
        assert f"It earned {NET:,} Credits." in ended.shown
        served = (
            sold(there, GROSS)
            | used_up()
            | {
                "issued/contribution": -GROSS,
                "fee/contribution": FEE,
                "use/paid/KEY": GROSS,
            }
        )
        assert await books(there, key) == served | {"user/bob/earned": NET}
        await there.chat(BOB).says("balance", f"{NET:,} Credits")
        await withdrawn(there, NET, shown(NET))
        assert ASKS < 16_666 or shown(NET) == "$674.97"
        assert await books(there, key) == served | paid_out(NET)
        await there.chat(BOB).says("balance", "0 Credits")


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("platform", PLATFORMS)
async def test_half_of_it_paid_by_gifts(platform: str, database_url: str) -> None:
    """What paid asks brought is cash, what gifts paid for is a gift: 37,498 each. The Credit that
    both halves round away goes back with the two cents of the key that stand for it."""
    half = GROSS // 2
    each = half * 9 // 10
    assert NET - 2 * each == 1
    async with open_market(platform, database_url, LEAST) as there:
        key = await contributed(there)
        await there.buys(TOM, half)
        await there.grants(ANN, half)
        await there.asks(TOM, ASKS // 2)
        await there.asks(ANN, ASKS // 2)
        assert await there.market.has(str(BOB)) == {"earned": each, "gift": each}
        await taken_back(there)
        served = (
            sold(there, half)
            | used_up()
            | {
                "issued/grant": -half,
                "issued/contribution": 1 - GROSS,
                "fee/contribution": FEE,
                "use/paid/KEY": half,
                "use/free/KEY": half,
                "user/bob/gift": each,
            }
        )
        assert await books(there, key) == served | {"user/bob/earned": each}
        await there.chat(BOB).says("balance", f"{2 * each:,} Credits")
        await withdrawn(there, each, shown(each))
        assert ASKS < 16_666 or shown(each) == "$337.48"
        assert await books(there, key) == served | paid_out(each)
        await there.chat(BOB).says("withdraw", "Withdrawable: 0 Credits")
        await spends(there, each)


async def taken_back(there: Fair) -> None:
    """Bob takes the rest of his key back."""
    bob = there.chat(BOB)
    card = await bob.says("keys", "My keys")
    card = await bob.presses(card, "OpenAI …0001", "Used: 99 %")
    card = await bob.presses(card, "Take it back", "1 Credit that")
    await bob.presses(card, "Yes, take it back", "Ended: 1 Credit went back.")


async def spends(there: Fair, amount: int) -> None:
    """On another key there is, Bob spends what isn't cash."""
    service, bob = there.market.service, there.chat(BOB)
    service.openai.allow(KEYS[0])
    await service.app.services.pool.pool.add_own_key("openai", SecretStr(KEYS[0]), parse_usd("5"))
    await bob.says("ask", f"5 Credits · {amount - 5:,} left", question="why " * 480)
    assert await there.market.has(str(BOB)) == {"gift": amount - 5}
