"""What `creditbot run` is built of, by the settings."""

from __future__ import annotations

from pathlib import Path

from bots.config.settings import load
from bots.plan import PricePlan
from bots.run import live_plan
from core.repricing.automatic import RepricingLimits


def test_the_settings_of_prices_arrive(tmp_path: Path) -> None:
    configuration = load(
        {
            "CREDITBOT_MARKUP_PERCENT": "20",
            "CREDITBOT_REPRICE_HOURS": "6",
            "CREDITBOT_REPRICE_DAY_PERCENT": "5",
            "CREDITBOT_PRICE_UPDATES": "true",
            "CREDITBOT_PRICE_UPDATES_URL": "https://lists.example.org/data.json",
        },
        env_file=tmp_path / ".env",
    )
    assert live_plan(configuration).pricing == PricePlan(
        markup_percent=20,
        pace=RepricingLimits(6, 5),
        fetches=True,
        lists_url="https://lists.example.org/data.json",
    )
