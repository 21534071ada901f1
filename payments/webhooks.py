"""Webhooks: a gateway's message is proven, stored, acknowledged, and only then processed, once. One
route a gateway, and the page that leads back to the chat.

In any order, as often as it comes: what it says about money is read again from the gateway, and
fulfillment is unique. A message that can't be processed yet is tried again with growing pauses.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence

import sqlalchemy as sa
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from core.clock import DAY_MS, Clock
from core.db import schema
from core.db.database import Store
from core.db.errors import DatabaseUnavailable
from core.db.writes import Delete, Insert, Update
from core.errors import Refusal, cause
from core.ledger.ledger import Ledger
from core.ledger.types import CompanionRefused, LedgerBusy, LedgerUnavailable
from core.notification import OWNERS, notice
from core.pool.vault import Vault
from payments.fulfillment import Crediting
from payments.gateways.base import Gateway, Message
from payments.reconciliation import take
from payments.types import (
    Changed,
    Forged,
    GatewayUnavailable,
    News,
    PaymentRefused,
    UnknownOrder,
)

_log = logging.getLogger(__name__)

#: The kind of notification to operators about a message of which nothing will come.
UNWORKED = "unworked"
#: Messages are kept so long, then deleted: they hold what payers and gateways said.
KEPT_DAYS = 30
#: Tries before a message about an order that nobody knows is put aside: about ten hours.
_TRIES_MAX = 12
_PAUSE_MS, _PAUSE_MAX_MS = 5_000, 6 * 3_600_000
_LEASE_MS = 60_000
_LOOK_SECONDS = 5.0
_AT_ONCE = 100
#: Who comes back often has the gateway asked no more often than this.
_AGAIN_MS = 10_000
_ORDER = re.compile(r"ord_[0-9a-z]{26}")


class Inbox:
    """The inbox stores gateways' messages, and processes them in the background between `start` and
    `stop`."""

    def __init__(
        self,
        *,
        gateways: Mapping[str, Gateway],
        crediting: Crediting,
        store: Store,
        ledger: Ledger,
        vault: Vault,
        clock: Clock,
    ) -> None:
        self._gateways, self._crediting = gateways, crediting
        self._store, self._ledger, self._vault, self._clock = store, ledger, vault, clock
        self._arrived = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        #: Orders whose payers came back, and when each was last asked about.
        self._returned: set[str] = set()
        self._asked_at: dict[str, int] = {}
        #: How many messages came to what, in this process: `taken`, `forged`, `unproven` (not kept:
        #: it comes again), a refusal's code.
        self.counts: Counter[str] = Counter()

    async def start(self) -> None:
        """Begins to work through what is due."""
        self._task = asyncio.get_running_loop().create_task(self._keep(), name="payments inbox")

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
            message = await self._gateways[gateway].verify(headers, body)
        except Forged as forged:
            self.counts["forged"] += 1
            _log.warning("a forged message for %s was refused: %s", gateway, forged.why)
            raise
        except GatewayUnavailable:
            self.counts["unproven"] += 1
            _log.warning("a message for %s could not be proven: it must be sent again", gateway)
            raise
        await self.keep(gateway, message)

    async def keep(self, gateway: str, message: Message) -> None:
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
        self._arrived.set()

    def returned(self, order: str) -> None:
        """Somebody came back from the checkout of an order, as its address says: the gateway is
        asked soon, if that order is open. Anybody can say so, so it's a hint and costs little."""
        if len(self._returned) < _AT_ONCE and _ORDER.fullmatch(order):
            self._returned.add(order)
            self._arrived.set()

    async def look_at_returned(self) -> None:
        """Asks about the orders whose payers came back."""
        returned, self._returned = self._returned, set()
        for id_ in returned:
            try:
                order = await self._crediting.orders.get(id_)
                gateway = self._gateways.get(order.gateway)
                if order.open and gateway is not None and self._may_ask(id_):
                    await self._tell(gateway, await gateway.look(order))
            except Refusal as refusal:
                _log.info("%s could not be looked at: %s", id_, cause(refusal))

    async def work(self) -> int:
        """Looks at what is due; gives how many messages that were."""
        table, now = schema.webhook, self._clock.now_ms()
        due = await self._store.fetch(
            sa.select(table).where(table.c.due_at <= now).order_by(table.c.due_at).limit(_AT_ONCE)
        )
        for row in due:
            claim = {"due_at": now + _LEASE_MS, "tries": row.tries + 1}
            try:
                await self._ledger.record(
                    Update(table, {"id": row.id}, claim, {"due_at": row.due_at})
                )
            except CompanionRefused:  # another process looks at it
                continue
            again, verdict, order = await self._looked(
                row.gateway, row.id, bytes(row.sealed), row.tries
            )
            told = (self._unworked(row.id, verdict, order),) if verdict else ()
            with contextlib.suppress(CompanionRefused):  # it took so long that another looks now
                await self._ledger.record(
                    Update(
                        table,
                        {"id": row.id},
                        {"due_at": again, "verdict": verdict},
                        {"due_at": claim["due_at"]},
                    ),
                    *told,
                )
        return len(due)

    def _unworked(self, id_: str, verdict: str, order: str) -> Insert:
        """The notification that tells operators of a message of which nothing will come."""
        return notice(
            self._clock,
            cause_id=f"webhook/{id_}/unworked",
            person=OWNERS,
            kind=UNWORKED,
            facts={"message": id_, "verdict": verdict, "order": order},
        )

    async def forget_old(self) -> None:
        """A job: deletes what is processed and old."""
        table = schema.webhook
        rows = await self._store.fetch(
            sa.select(table.c.id)
            .where(table.c.received_at < self._clock.now_ms() - KEPT_DAYS * DAY_MS)
            .limit(1_000)
        )
        if rows:
            await self._ledger.record(*(Delete(table, {"id": row.id}) for row in rows))

    async def _keep(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._arrived.wait()
            self._arrived.clear()
            try:
                await self.look_at_returned()
                while await self.work() == _AT_ONCE:
                    pass
            except Exception as failure:  # noqa: BLE001 - the next turn tries again
                _log.error("the inbox could not be worked through: %s", cause(failure))

    async def _looked(
        self, gateway: str, id_: str, sealed: bytes, tries: int
    ) -> tuple[int | None, str, str]:
        """When to look again (None: never), the verdict, and the order that it doesn't fit."""
        pause = min(_PAUSE_MAX_MS, _PAUSE_MS << min(tries, 20))
        again = self._clock.now_ms() + pause
        try:
            body = self._vault.unseal(f"webhook/{id_}", sealed)
            at = self._gateways[gateway]
            await self._tell(at, await at.news(body))
        except (GatewayUnavailable, LedgerUnavailable, LedgerBusy, DatabaseUnavailable):
            return again, "", ""
        except UnknownOrder:
            # A refund may be told before its payment, and an account may sell other things too.
            return (again, "", "") if tries + 1 < _TRIES_MAX else (None, "unknown_order", "")
        except PaymentRefused as refused:
            self.counts[refused.code] += 1
            _log.warning("%s does not fit its order: %s", id_, refused.why)
            return None, f"{refused.code}/{refused.why}", refused.order
        except Exception as failure:  # noqa: BLE001 - one message's bug is no other's
            _log.error("%s could not be worked out: %s", id_, cause(failure))
            return (again, "", "") if tries + 1 < _TRIES_MAX else (None, "failed", "")
        self.counts["taken"] += 1
        return None, "", ""

    def _may_ask(self, order: str) -> bool:
        now = self._clock.now_ms()
        if now - self._asked_at.get(order, 0) < _AGAIN_MS:
            return False
        if len(self._asked_at) >= _AT_ONCE:
            self._asked_at.clear()
        self._asked_at[order] = now
        return True

    async def _tell(self, gateway: Gateway, news: Sequence[News | Changed]) -> None:
        for one in news:
            if not isinstance(one, Changed):
                await take(gateway, self._crediting, one)
                continue
            order = await self._crediting.orders.get(one.order)
            if order.gateway != gateway.name:
                raise PaymentRefused(order.id, "gateway")
            for more in await gateway.look(order):
                await self._crediting.tell(more)


#: A larger body is no webhook: it is refused before it fills the memory.
BODY_BYTES_MAX = 1 << 20

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>
<style>body{{font:1.1rem/1.6 system-ui,sans-serif;max-width:32rem;margin:15vh auto;padding:0 1rem}}
</style><h1>{title}</h1><p>{text}</p>"""
_RETURNED = _PAGE.format(
    title="Thank you · 谢谢",
    text="Go back to the chat: your Credits are there as soon as the payment has arrived."
    "<br>请回到聊天：付款到账后，积分会立即到您的账户。",
)
_LEFT = _PAGE.format(
    title="Nothing was paid · 未付款",
    text="Go back to the chat. The same link still works for a while."
    "<br>请回到聊天。该链接在一段时间内仍然有效。",
)


def payment_routes(inbox: Inbox, gateways: Mapping[str, Gateway]) -> list[Route]:
    """`/webhooks/<gateway>` for each gateway that sends webhooks, and `/paid`."""
    found = [
        Route(f"/webhooks/{name}", _webhook(inbox, name), methods=["POST"])
        for name, gateway in gateways.items()
        if not gateway.platform
    ]
    return [*found, Route("/paid", _returned(inbox))] if found else []


def _webhook(inbox: Inbox, gateway: str) -> Callable[[Request], Awaitable[Response]]:
    async def receive(request: Request) -> Response:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > BODY_BYTES_MAX:
                return PlainTextResponse("too large", status_code=413)
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            await inbox.receive(gateway, headers, body)
        except Forged:
            return PlainTextResponse("refused", status_code=400)
        except Refusal:
            # It isn't kept: the gateway must send it again.
            return PlainTextResponse("try again", status_code=503)
        return PlainTextResponse("ok")

    return receive


def _returned(inbox: Inbox) -> Callable[[Request], Awaitable[Response]]:
    async def show(request: Request) -> Response:
        if "left" in request.query_params:
            return HTMLResponse(_LEFT)
        inbox.returned(request.query_params.get("order", ""))
        return HTMLResponse(_RETURNED)

    return show
