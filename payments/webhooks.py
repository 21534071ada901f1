"""Webhooks: a gateway's message is proven, stored, acknowledged, and only then processed, once. One
route a gateway, and the page that leads back to the chat.

In any order, as often as it comes: what it says about money is read again from the gateway, and
fulfillment is unique. A message that can't be processed yet is tried again with growing pauses.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence

import sqlalchemy as sa
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from core.clock import DAY_MS
from core.db import schema
from core.db.errors import DatabaseUnavailable
from core.db.writes import Delete, Insert, Update
from core.errors import Refusal, describe_failure
from core.ledger.ledger import Ledger
from core.ledger.types import CompanionRefused, LedgerBusy, LedgerUnavailable
from core.pool.vault import SealedColumn, Vault
from payments.fulfillment import Fulfillment
from payments.gateways.base import Gateway, WebhookMessage
from payments.mismatches import unprocessed_row
from payments.orders import ORDER_ID_PATTERN
from payments.transaction_list import fulfill_event
from payments.types import (
    GatewayEvent,
    GatewayUnavailable,
    InvalidSignature,
    OrderChanged,
    PaymentMismatch,
    UnknownOrder,
)

_log = logging.getLogger(__name__)

#: Messages are kept so long, then deleted: they hold what payers and gateways said.
RETENTION_DAYS = 30
#: Tries before a message about an order that nobody knows is put aside: about ten hours.
_ATTEMPTS_MAX = 12
_PAUSE_MS, _PAUSE_MAX_MS = 5_000, 6 * 3_600_000
_LEASE_MS = 60_000
_POLL_SECONDS = 5.0
_BATCH_SIZE = 100
#: Who comes back often has the gateway asked no more often than this.
_RECHECK_INTERVAL_MS = 10_000
#: What the vault seals of webhooks.
KEPT_WEBHOOKS = (SealedColumn(schema.webhook, "id", "sealed", lambda row: f"webhook/{row.id}"),)


class WebhookInbox:
    """The inbox stores gateways' messages, and processes them in the background between `start` and
    `stop`."""

    def __init__(
        self,
        *,
        gateways: Mapping[str, Gateway],
        fulfillment: Fulfillment,
        ledger: Ledger,
        vault: Vault,
    ) -> None:
        self._gateways, self._fulfillment = gateways, fulfillment
        self._db, self._ledger, self._vault, self._clock = ledger.db, ledger, vault, ledger.clock
        self._arrival = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        #: Orders whose payers came back, and when each was last asked about.
        self._orders_to_check: set[str] = set()
        self._checked_at: dict[str, int] = {}
        #: How many messages came to what, in this process: `taken`, `forged`, `unproven` (not kept:
        #: it comes again), a refusal's code.
        self.counts: Counter[str] = Counter()

    async def start(self) -> None:
        """Begins to work through what is due."""
        self._task = asyncio.get_running_loop().create_task(
            self._process_forever(), name="payments inbox"
        )

    async def stop(self) -> None:
        """What is being looked at is tried again by whoever comes next."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def receive(self, gateway: str, headers: Mapping[str, str], body: bytes) -> None:
        """Proves a message and keeps it: when this returns it is safe to acknowledge. Raises
        `InvalidSignature`; any other refusal means that it must be sent again."""
        try:
            message = await self._gateways[gateway].verify_webhook(headers, body)
        except InvalidSignature as forged:
            self.counts["forged"] += 1
            _log.warning("a forged message for %s was refused: %s", gateway, forged.reason)
            raise
        except GatewayUnavailable:
            self.counts["unproven"] += 1
            _log.warning("a message for %s could not be proven: it must be sent again", gateway)
            raise
        if message.sent_at_ms:
            self._ledger.hear_time(message.sent_at_ms)
        await self.store(gateway, message)

    async def store(self, gateway: str, message: WebhookMessage) -> None:
        """Keeps a message that is known to be the gateway's own; raises as above."""
        id_, now = f"{gateway}/{message.id}", self._clock.now_ms()
        row = {
            "id": id_,
            "gateway": gateway,
            "received_at": now,
            "sealed": self._vault.seal(f"webhook/{id_}", message.body),
            "tries": 0,
            "due_at": now,
            "verdict": "",
        }
        await self._ledger.record(Insert(schema.webhook, row, ignore=True))
        self._arrival.set()

    def queue_order_check(self, order_id: str) -> None:
        """Somebody came back from the checkout of an order, as its address says: the gateway is
        asked soon, if that order is open. Anybody can say so, so it's a hint and costs little."""
        if len(self._orders_to_check) < _BATCH_SIZE and ORDER_ID_PATTERN.fullmatch(order_id):
            self._orders_to_check.add(order_id)
            self._arrival.set()

    async def check_queued_orders(self) -> None:
        """Asks about the orders whose payers came back."""
        order_ids, self._orders_to_check = self._orders_to_check, set()
        for id_ in order_ids:
            try:
                order = await self._fulfillment.orders.get(id_)
                gateway = self._gateways.get(order.gateway)
                if order.is_open and gateway is not None and self._may_check(id_):
                    await self._fulfill_events(gateway, await gateway.fetch_order(order))
            except Refusal as refusal:
                _log.info("%s could not be looked at: %s", id_, describe_failure(refusal))

    async def process_due(self) -> int:
        """Looks at what is due; gives how many messages that were."""
        table, now = schema.webhook, self._clock.now_ms()
        due = await self._db.fetch(
            sa.select(table)
            .where(table.c.due_at <= now)
            .order_by(table.c.due_at)
            .limit(_BATCH_SIZE)
        )
        for row in due:
            claim = {"due_at": now + _LEASE_MS, "tries": row.tries + 1}
            if not await self._ledger.try_record(
                Update(table, {"id": row.id}, claim, {"due_at": row.due_at})
            ):
                continue  # another process looks at it
            retry_at, verdict, order = await self._process_message(
                row.gateway, row.id, bytes(row.sealed), row.tries
            )
            notifications = (
                (unprocessed_row(self._clock, row.id, verdict, order),) if verdict else ()
            )
            with contextlib.suppress(CompanionRefused):  # it took so long that another looks now
                await self._ledger.record(
                    Update(
                        table,
                        {"id": row.id},
                        {"due_at": retry_at, "verdict": verdict},
                        {"due_at": claim["due_at"]},
                    ),
                    *notifications,
                )
        return len(due)

    async def delete_old_messages(self) -> None:
        """A job: deletes what is processed and old."""
        table = schema.webhook
        rows = await self._db.fetch(
            sa.select(table.c.id)
            .where(table.c.received_at < self._clock.now_ms() - RETENTION_DAYS * DAY_MS)
            .limit(1_000)
        )
        if rows:
            await self._ledger.record(*(Delete(table, {"id": row.id}) for row in rows))

    async def _process_forever(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_SECONDS):
                    await self._arrival.wait()
            self._arrival.clear()
            try:
                await self.check_queued_orders()
                while await self.process_due() == _BATCH_SIZE:
                    pass
            except Exception as failure:  # noqa: BLE001 - the next turn tries again
                _log.error("the inbox could not be worked through: %s", describe_failure(failure))

    async def _process_message(
        self, gateway: str, id_: str, sealed: bytes, tries: int
    ) -> tuple[int | None, str, str]:
        """When to look again (None: never), the verdict, and the order that it doesn't fit."""
        pause = min(_PAUSE_MAX_MS, _PAUSE_MS << min(tries, 20))
        retry_at = self._clock.now_ms() + pause
        try:
            body = self._vault.unseal(f"webhook/{id_}", sealed)
            provider = self._gateways[gateway]
            await self._fulfill_events(provider, await provider.parse_events(body))
        except (GatewayUnavailable, LedgerUnavailable, LedgerBusy, DatabaseUnavailable):
            return retry_at, "", ""
        except UnknownOrder:
            # A refund may be told before its payment, and an account may sell other things too.
            return (retry_at, "", "") if tries + 1 < _ATTEMPTS_MAX else (None, "unknown_order", "")
        except PaymentMismatch as refused:
            if refused.reason == "busy":  # others changed the order all the time: no last word
                return retry_at, "", ""
            self.counts[refused.code] += 1
            _log.warning("%s does not fit its order: %s", id_, refused.reason)
            return None, refused.verdict, refused.order
        except Exception as failure:  # noqa: BLE001 - one message's bug is no other's
            _log.error("%s could not be worked out: %s", id_, describe_failure(failure))
            return (retry_at, "", "") if tries + 1 < _ATTEMPTS_MAX else (None, "failed", "")
        self.counts["taken"] += 1
        return None, "", ""

    def _may_check(self, order_id: str) -> bool:
        now = self._clock.now_ms()
        if now - self._checked_at.get(order_id, 0) < _RECHECK_INTERVAL_MS:
            return False
        if len(self._checked_at) >= _BATCH_SIZE:
            self._checked_at.clear()
        self._checked_at[order_id] = now
        return True

    async def _fulfill_events(
        self, gateway: Gateway, events: Sequence[GatewayEvent | OrderChanged]
    ) -> None:
        for event in events:
            if not isinstance(event, OrderChanged):
                await fulfill_event(gateway, self._fulfillment, event)
                continue
            order = await self._fulfillment.orders.get(event.order)
            if order.gateway != gateway.name:
                raise PaymentMismatch(order.id, "gateway")
            for fetched in await gateway.fetch_order(order):
                await self._fulfillment.handle(fetched)


#: A larger body is no webhook: it is refused before it fills the memory.
BODY_BYTES_MAX = 1 << 20

_PAGE_TEMPLATE = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>
<style>body{{font:1.1rem/1.6 system-ui,sans-serif;max-width:32rem;margin:15vh auto;padding:0 1rem}}
</style><h1>{title}</h1><p>{text}</p>"""
_RETURN_PAGE = _PAGE_TEMPLATE.format(
    title="Thank you · 谢谢",
    text="Go back to the chat: your Credits are there as soon as the payment has arrived."
    "<br>请回到聊天：付款到账后，积分会立即到您的账户。",
)
_CANCELLED_PAGE = _PAGE_TEMPLATE.format(
    title="Nothing was paid · 未付款",
    text="Go back to the chat. The same link still works for a while."
    "<br>请回到聊天。该链接在一段时间内仍然有效。",
)


def build_payment_routes(inbox: WebhookInbox, gateways: Mapping[str, Gateway]) -> list[Route]:
    """`/webhooks/<gateway>` for each gateway that sends webhooks, and `/paid`."""
    found = [
        Route(f"/webhooks/{name}", _webhook_handler(inbox, name), methods=["POST"])
        for name, gateway in gateways.items()
        if not gateway.platform
    ]
    return [*found, Route("/paid", _return_page_handler(inbox))] if found else []


def _webhook_handler(inbox: WebhookInbox, gateway: str) -> Callable[[Request], Awaitable[Response]]:
    async def receive(request: Request) -> Response:
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > BODY_BYTES_MAX:
                return PlainTextResponse("too large", status_code=413)
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            await inbox.receive(gateway, headers, bytes(body))
        except InvalidSignature:
            return PlainTextResponse("refused", status_code=400)
        except Refusal:
            # It isn't kept: the gateway must send it again.
            return PlainTextResponse("try again", status_code=503)
        return PlainTextResponse("ok")

    return receive


def _return_page_handler(inbox: WebhookInbox) -> Callable[[Request], Awaitable[Response]]:
    async def show(request: Request) -> Response:
        if "left" in request.query_params:
            return HTMLResponse(_CANCELLED_PAGE)
        inbox.queue_order_check(request.query_params.get("order", ""))
        return HTMLResponse(_RETURN_PAGE)

    return show
