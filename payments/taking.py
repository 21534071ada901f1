"""Taking: a gateway's news is credited, then the gateway hears of it where it waits for that."""

from __future__ import annotations

from payments.fulfillment import Crediting
from payments.gateways.base import Consuming, Gateway, Listed
from payments.types import News, Purchase, TakenBack, UnknownOrder


async def take(gateway: Gateway | Listed, crediting: Crediting, news: News) -> bool:
    """Credits first, durably; a store's purchase is consumed after that, and again if that fails.
    False when it concerns nothing here. Raises what `Crediting.tell` raises, and
    `GatewayUnavailable`."""
    try:
        await crediting.tell(news)
    except UnknownOrder:
        if not isinstance(news, TakenBack):
            raise
        # It went back before it was credited: it never will be, or the list tells it again.
        return False
    if isinstance(news, Purchase) and isinstance(gateway, Consuming):
        await gateway.consume(news.id)
    return True
