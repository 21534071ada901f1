"""What was begun with a gateway and not ended: a process may die between the steps. Each is written
down before the gateway hears of it, so that whoever looks at its order later ends it.
"""

from __future__ import annotations

import logging
from typing import Final

from core.clock import Clock
from core.errors import Refusal, describe_failure
from payments.dispute_service import DisputeService
from payments.refunds import Refunds
from payments.types import Order

_log = logging.getLogger(__name__)

#: Whoever began it has this long; what is younger may still be going on elsewhere.
IN_HAND_MS: Final = 180_000
#: And the longest pause before it is tried again.
_PAUSE_MAX_MS: Final = 3_600_000


class OrderIntents:
    """The service that ends refunds and acceptances of disputes that somebody began."""

    def __init__(self, *, refunds: Refunds, disputes: DisputeService, clock: Clock) -> None:
        self._refunds, self._disputes, self._clock = refunds, disputes, clock

    async def finish(self, order: Order) -> int:
        """Ends what is open of an order, if it isn't in somebody's hand; in how many milliseconds
        it is to be looked at again, 0 when nothing is open."""
        before = self._clock.now_ms() - IN_HAND_MS
        try:
            await self._refunds.finish_requests(order, before_ms=before)
            await self._disputes.finish_acceptances(order, before_ms=before)
        except Refusal as refusal:
            _log.warning("%s has something open: %s", order.id, describe_failure(refusal))
        begun = [
            *await self._refunds.list_open_requests(order),
            *await self._disputes.list_open_acceptances(order),
        ]
        if not begun:
            return 0
        age = self._clock.now_ms() - min(begun)
        return min(max(IN_HAND_MS, age // 2), _PAUSE_MAX_MS)
