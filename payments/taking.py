"""Taking: a gateway's news is credited, then the gateway hears of it where it waits for that."""

from __future__ import annotations

from payments.crediting import Crediting
from payments.gateways import Consuming, Gateway, Listed
from payments.types import News, Purchase


async def take(gateway: Gateway | Listed, crediting: Crediting, news: News) -> None:
    """Credits first, durably; a store's purchase is consumed after that, and again if that fails.
    Raises what `Crediting.tell` raises, and `GatewayUnavailable`."""
    await crediting.tell(news)
    if isinstance(news, Purchase) and isinstance(gateway, Consuming):
        await gateway.consume(news.id)
