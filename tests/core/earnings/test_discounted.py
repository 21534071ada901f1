"""A lower price on a model that a contributed key serves: its owner earns of what was charged."""

from __future__ import annotations

from core import ids
from core.admin_log import admin_log_row
from core.pricing.promotions import Promotion
from tests.core.earnings.world import market
from tests.support.databases import TestClock


async def test_what_vests_is_nine_tenths_of_what_was_really_charged(
    database_url: str, clock: TestClock
) -> None:
    async with market(database_url, clock) as bobs:
        await bobs.contributes("8", "sk-bob-0000000001", "5")
        await bobs.gets("9", 1_000)
        await bobs.asks("9", 50)
        assert await bobs.has("8") == {"earned": 225}, "of 250"
        one = Promotion(ids.new_id("pro", clock.now_ms()), "discount", percent=20)
        row = admin_log_row(clock, actor="usr_owner", act="promo", before={}, after={})
        await bobs.service.app.services.pricing.deals.promotions.add(one, row, by="usr_owner")
        await bobs.asks("9", 50)
        assert await bobs.has("8") == {"earned": 405}, "and of 200"
        assert await bobs.has("9") == {"bought": 550}
