"""Codes of promotions: exactly as often as they may be used, by whoever is faster, wherever."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import sqlalchemy as sa

from core import chart, ids
from core.admin_log import admin_log_row
from core.db import schema
from core.ledger.types import CompanionRefused, LedgerBusy
from core.money import Credits
from core.pricing.promotions import Promotion, PromotionUsedUp
from core.users.types import Person
from payments.promo_codes import CodeRefused, RedeemedPromotion
from payments.vouchers import Vouchers, has_vouchers
from tests.payments.ledger_support import others_change
from tests.support import service
from tests.support.databases import TestClock
from tests.support.service import Service
from tests.support.size import size


@dataclass
class Fair:
    """Two processes at one database."""

    one: Service
    other: Service

    @property
    def codes(self) -> tuple[Vouchers, Vouchers]:
        return self.one.app.services.payments.vouchers, self.other.app.services.payments.vouchers

    async def promote(self, **changes: Any) -> Promotion:
        at = self.one.clock.now_ms()
        one = Promotion(ids.new_id("pro", at), "credits", credits=Credits(50), needs_code=True)
        one = replace(one, **changes)
        row = admin_log_row(self.one.clock, actor="usr_owner", act="promo", before={}, after={})
        for service_ in (self.one, self.other):
            if service_ is self.one:
                await service_.app.services.pricing.deals.promotions.add(one, row, by="usr_owner")
            await service_.app.services.pricing.deals.load()
        return one

    async def end(self, promotion: Promotion) -> None:
        row = admin_log_row(self.one.clock, actor="usr_owner", act="promo-end", before={}, after={})
        await self.one.app.services.pricing.deals.promotions.end_promotion(promotion.id, also=row)

    async def crowd(self, count: int) -> list[Person]:
        return [await self.one.someone(str(100 + number)).person() for number in range(count)]

    async def gifts(self, person: Person) -> int:
        account = chart.pocket(person.id, "gift")
        return (await self.one.app.services.base.ledger.read_balances([account]))[
            account.code
        ].posted


@pytest.fixture
async def fair(database_url: str, clock: TestClock) -> AsyncIterator[Fair]:
    async with (
        service.running(database_url, clock, welcome=0) as one,
        service.running(database_url, clock, welcome=0, supplier=one.openai) as other,
    ):
        yield Fair(one, other)


async def outcomes(*tries: Any) -> Counter[str]:
    found: Counter[str] = Counter()
    for one in await asyncio.gather(*tries, return_exceptions=True):
        assert isinstance(one, RedeemedPromotion | CodeRefused | PromotionUsedUp), repr(one)
        found[one.reason if isinstance(one, CodeRefused) else type(one).__name__] += 1
    return found


async def test_a_word_gives_so_often_to_all_and_once_to_each(fair: Fair) -> None:
    total, people = size(small=6, full=60), size(small=9, full=90)
    promotion = await fair.promote(total=total, per_person=1)
    codes = fair.codes
    await codes[0].save_codes([codes[0].make_shared_promo_code(promotion, "WELCOME")])
    crowd = await fair.crowd(people)
    found = await outcomes(
        *(at.redeem_code(person, "telegram:1:", "welcome") for person in crowd for at in codes)
    )
    assert found == {"RedeemedPromotion": total, "PromotionUsedUp": 2 * people - total}
    gifts = [await fair.gifts(person) for person in crowd]
    assert sorted(gifts) == [0] * (people - total) + [50] * total
    uses = await fair.one.app.services.base.db.fetch(sa.select(schema.promotion_use))
    assert sorted(use.place for use in uses) == list(range(total))


async def test_each_of_many_codes_counts_once_whoever_types_it(fair: Fair) -> None:
    count = size(small=5, full=50)
    promotion = await fair.promote()
    codes = fair.codes
    made = codes[0].generate_promo_codes(promotion, count)
    await codes[0].save_codes(made)
    crowd = await fair.crowd(2)
    found = await outcomes(
        *(
            at.redeem_code(person, "telegram:1:", code.text)
            for code in made
            for person, at in zip(crowd, codes, strict=True)
        )
    )
    assert found == {"RedeemedPromotion": count, "used": count}
    assert sum([await fair.gifts(person) for person in crowd]) == 50 * count
    assert not await has_vouchers(fair.one.app.services.base.db), "nothing is sold"
    assert await codes[0].list_vouchers() == []


async def test_it_is_redeemed_or_ended_and_not_both(fair: Fair) -> None:
    for number in range(size(small=4, full=40)):
        promotion = await fair.promote()
        (code,) = fair.codes[0].generate_promo_codes(promotion, 1)
        await fair.codes[0].save_codes([code])
        (tom,) = await fair.crowd(1)
        before = await fair.gifts(tom)
        redeemed, _ = await asyncio.gather(
            fair.codes[1].redeem_code(tom, "telegram:1:", code.text),
            fair.end(promotion),
            return_exceptions=True,
        )
        got = await fair.gifts(tom) - before
        assert (got == 50) == isinstance(redeemed, RedeemedPromotion), number
        with pytest.raises(CodeRefused):
            await fair.codes[0].redeem_code(tom, "telegram:1:", code.text)


async def test_what_ended_while_it_was_redeemed_gives_nothing(
    fair: Fair, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = await fair.promote()
    held = await fair.promote(kind="bonus", percent=10, credits=Credits(0))
    promotions, (tom,) = fair.one.app.services.pricing.deals.promotions, await fair.crowd(1)
    for promotion in (given, held):
        (code,) = fair.codes[0].generate_promo_codes(promotion, 1)
        await fair.codes[0].save_codes([code])
        find, stands = promotions.find, promotion

        async def late(id_: str, stands: Promotion = stands) -> Promotion | None:
            await fair.end(stands)
            return stands

        monkeypatch.setattr(promotions, "find", late)
        with pytest.raises(CodeRefused) as refused:
            await fair.codes[0].redeem_code(tom, "telegram:1:", code.text)
        assert refused.value.reason == "void"
        monkeypatch.setattr(promotions, "find", find)
    assert await fair.gifts(tom) == 0
    assert await fair.one.app.services.base.db.fetch(sa.select(schema.promotion_holder)) == []


async def test_a_code_for_prices_is_used_up_by_its_first_holder_alone(fair: Fair) -> None:
    promotion = await fair.promote(kind="discount", percent=20, credits=Credits(0))
    codes = fair.codes
    made = codes[0].generate_promo_codes(promotion, 2)
    await codes[0].save_codes(made)
    tom, ann = await fair.crowd(2)
    first = made[0].text
    found = await outcomes(
        *(at.redeem_code(who, "telegram:1:", first) for who in (tom, ann) for at in codes)
    )
    assert found["RedeemedPromotion"] == 1
    assert found["used"] + found["held"] == 3
    # Who has it already doesn't use another one up.
    holders = await fair.one.app.services.base.db.fetch(sa.select(schema.promotion_holder))
    (holder,) = [one for one in (tom, ann) if one.id == holders[0].person]
    other = ann if holder is tom else tom
    with pytest.raises(CodeRefused) as refused:
        await codes[0].redeem_code(holder, "telegram:1:", made[1].text)
    assert refused.value.reason == "held"
    assert isinstance(
        await codes[1].redeem_code(other, "telegram:1:", made[1].text), RedeemedPromotion
    )


async def test_a_word_is_taken_once(fair: Fair) -> None:
    promotion = await fair.promote(per_person=1)
    codes = fair.codes[0]
    await codes.save_codes([codes.make_shared_promo_code(promotion, "WELCOME")])
    with pytest.raises(CompanionRefused):
        await codes.save_codes([codes.make_shared_promo_code(promotion, "WEL-COME")])


async def test_a_code_is_good_within_its_promotions_time_alone(fair: Fair) -> None:
    now, (tom,) = fair.one.clock.now_ms(), await fair.crowd(1)
    hour = 3_600_000
    before = await fair.gifts(tom)
    for start, end, reason in (
        (now + hour, now + 2 * hour, "early"),
        (now - 2 * hour, now - hour, "expired"),
    ):
        promotion = await fair.promote(starts_at=start, ends_at=end)
        (code,) = fair.codes[0].generate_promo_codes(promotion, 1)
        await fair.codes[0].save_codes([code])
        with pytest.raises(CodeRefused) as refused:
            await fair.codes[0].redeem_code(tom, "telegram:1:", code.text)
        assert refused.value.reason == reason
    assert await fair.gifts(tom) == before


async def test_a_word_that_others_keep_using_is_tried_again_and_not_for_ever(fair: Fair) -> None:
    promotion, (tom,) = await fair.promote(), await fair.crowd(1)
    (code,) = fair.codes[0].generate_promo_codes(promotion, 1)
    await fair.codes[0].save_codes([code])
    before = await fair.gifts(tom)
    with others_change("person", before="code/"), pytest.raises(LedgerBusy):
        await fair.codes[0].redeem_code(tom, "telegram:1:", code.text)
    assert await fair.gifts(tom) == before
    await fair.codes[0].redeem_code(tom, "telegram:1:", code.text)
    assert await fair.gifts(tom) == before + 50
