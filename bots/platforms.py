"""Chat platforms' own settings, and the payments that they show themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bots.config.settings import Settings
from bots.telegram.config import TelegramConfig
from bots.telegram.payments import TelegramStarsClient
from core.clock import SystemClock
from core.money import parse_usd
from payments.gateways.base import Gateway
from payments.gateways.discord_store import DiscordStoreGateway
from payments.gateways.telegram_stars import TelegramStarsGateway

if TYPE_CHECKING:
    from bots.discord.config import DiscordConfig


def telegram_config(settings: Settings) -> TelegramConfig:
    """Telegram's own settings."""
    return TelegramConfig(
        token=settings.telegram_token,
        api_url=settings.telegram_api_url,
        webhook_url=settings.telegram_webhook_url,
        webhook_secret=settings.telegram_webhook_secret,
    )


def discord_config(settings: Settings) -> DiscordConfig:
    """Discord's own settings."""
    from bots.discord.config import DiscordConfig

    shard_ids, shard_count = settings.discord_shard_range
    return DiscordConfig(
        token=settings.discord_token,
        api_url=settings.discord_api_url,
        gateway_url=settings.discord_gateway_url,
        shard_ids=shard_ids,
        shard_count=shard_count,
    )


def platform_gateways(settings: Settings) -> list[Gateway]:
    """Stars where there is a Telegram bot, unless that is switched off; SKUs where they are
    named."""
    gateways: list[Gateway] = []
    if settings.telegram_stars and settings.telegram_token.get_secret_value():
        stars = TelegramStarsGateway(
            api=TelegramStarsClient(telegram_config(settings)),
            usd_per_star=parse_usd(settings.telegram_star_usd),
            clock=SystemClock(),
        )
        gateways.append(stars)
    if settings.discord_packs:
        # Its library is large: whoever doesn't sell by it doesn't load it.
        from bots.discord.store import DiscordStoreClient

        skus = DiscordStoreGateway(
            api=DiscordStoreClient(discord_config(settings)),
            packs=settings.discord_packs,
            fee_percent=settings.discord_fee_percent,
            test_purchases=settings.discord_test_purchases,
            clock=SystemClock(),
        )
        gateways.append(skus)
    return gateways
