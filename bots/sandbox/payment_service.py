"""The demo's payment service on loopback: a checkout page with pay, decline, pay twice, refund and
dispute, an API as gateways have one, and signed webhooks; and payouts. No money moves.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from html import escape
from typing import Any

import aiohttp
from aiohttp import web

from bots.chat.i18n import render
from bots.chat.reply import Phrase, say
from payments.gateways.sandbox import SIGNATURE_HEADER, sign_message

_STOP_SECONDS = 0.2
_NOTIFY_TRIES = 5
_NOTIFY_TIMEOUT = aiohttp.ClientTimeout(total=5)
#: What it keeps of a payment, as a card's processor would: 2.9 % and 30 cents.
_FEE_PER_MILLE, _FEE_CENTS = 29, 30

_BUTTON = (
    '<form method="post" action="/pay/{id}/{act}"><button class="{look}" id="{act}">{label}'
    "</button></form>"
)


@dataclass
class _Checkout:
    """A checkout is an order as the sandbox's payment service knows it; amounts are in cents."""

    id: str
    order: str
    cents: int
    what: str
    return_url: str
    notify_url: str
    language: str = "en"
    state: str = "open"
    payments: list[dict[str, Any]] = field(default_factory=list)
    refunds: list[dict[str, Any]] = field(default_factory=list)
    dispute: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """As the API tells it."""
        names = ("id", "order", "cents", "state", "payments", "refunds", "dispute")
        return {name: getattr(self, name) for name in names}

    @property
    def remaining_cents(self) -> int:
        """Cents paid and not given back."""
        paid = sum(one["cents"] for one in self.payments)
        return int(paid - sum(one["cents"] for one in self.refunds))


class SandboxPaymentService:
    """The sandbox's payment service is a server on loopback with checkout pages, an API and
    webhooks."""

    def __init__(self, secret: str) -> None:
        """`secret` is what callers show and what webhooks are signed with."""
        self._secret = secret
        self.payouts = SandboxPayoutService(self._authorize)
        self._checkouts: dict[str, _Checkout] = {}
        self._by_order: dict[str, str] = {}
        self._refund_keys: dict[str, dict[str, Any]] = {}
        self._runner: web.AppRunner | None = None
        self._url = ""
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> str:
        """Listens on a free port of loopback; its address."""
        app = web.Application()
        app.router.add_post("/checkouts", self._create_checkout)
        app.router.add_get("/checkouts", self._list_checkouts)
        app.router.add_get("/checkouts/{id}", self._get_checkout)
        app.router.add_post("/checkouts/{id}/refunds", self._refund)
        app.router.add_post("/checkouts/{id}/disputes/{dispute}/accept", self._accept_dispute)
        app.router.add_get("/pay/{id}", self._show_page)
        app.router.add_post("/pay/{id}/{act}", self._handle_press)
        app.router.add_routes(self.payouts.build_routes())
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_STOP_SECONDS)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._session = aiohttp.ClientSession(timeout=_NOTIFY_TIMEOUT, trust_env=False)
        self._url = "http://{}:{}".format(*self._runner.addresses[0][:2])
        return self._url

    async def stop(self) -> None:
        """Closes everything; webhooks under way are given up."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
        if self._runner is not None:
            await self._runner.cleanup()

    # --- the API ---------------------------------------------------------------------------------

    async def _create_checkout(self, request: web.Request) -> web.Response:
        self._authorize(request)
        body = await request.json()
        checkout_id = self._by_order.get(str(body["order"]))
        if checkout_id is None:
            if not 0 < int(body["cents"]) <= 100_000_000:
                raise web.HTTPBadRequest
            checkout = _Checkout(
                f"sbx_{secrets.token_hex(12)}",
                str(body["order"]),
                int(body["cents"]),
                str(body["what"]),
                str(body["return_url"]),
                str(body["notify_url"]),
                str(body.get("language", "en")),
            )
            self._checkouts[checkout.id] = checkout
            self._by_order[checkout.order] = checkout_id = checkout.id
        return web.json_response({"id": checkout_id, "url": f"{self._url}/pay/{checkout_id}"})

    async def _list_checkouts(self, request: web.Request) -> web.Response:
        self._authorize(request)
        return web.json_response(sorted(self._checkouts))

    async def _get_checkout(self, request: web.Request) -> web.Response:
        self._authorize(request)
        return web.json_response(self._find_checkout(request).to_json())

    async def _refund(self, request: web.Request) -> web.Response:
        self._authorize(request)
        body = await request.json()
        key = str(body["key"])
        if key not in self._refund_keys:
            checkout = self._find_checkout(request)
            if not 0 < int(body["cents"]) <= checkout.remaining_cents:
                raise web.HTTPBadRequest
            refund = _add_refund(checkout, str(body["payment"]), int(body["cents"]))
            self._refund_keys[key] = refund
            self._notify(checkout)
        return web.json_response(self._refund_keys[key])

    async def _accept_dispute(self, request: web.Request) -> web.Response:
        self._authorize(request)
        checkout = self._find_checkout(request)
        disputed = checkout.dispute
        if disputed is None or disputed["id"] != request.match_info["dispute"]:
            raise web.HTTPNotFound
        if disputed["state"] == "open":
            _lose_dispute(checkout)
        return web.json_response(disputed)

    def _authorize(self, request: web.Request) -> None:
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self._secret}".encode()):
            raise web.HTTPUnauthorized

    def _find_checkout(self, request: web.Request) -> _Checkout:
        found = self._checkouts.get(request.match_info["id"])
        if found is None:
            raise web.HTTPNotFound
        return found

    # --- the page --------------------------------------------------------------------------------

    async def _show_page(self, request: web.Request) -> web.Response:
        checkout = self._find_checkout(request)
        language = checkout.language
        buttons = "".join(
            _BUTTON.format(
                id=checkout.id,
                act=act,
                label=escape(render(label, language)),
                look="" if number else "first",
            )
            for number, (act, label) in enumerate(_list_actions(checkout))
        )
        rows = [(_PAID, one) for one in checkout.payments]
        rows += [(_GIVEN_BACK, one) for one in checkout.refunds]
        rows += [(_DISPUTED, checkout.dispute)] if checkout.dispute is not None else []
        shown = "".join(
            f"<tr><td>{escape(render(what, language))} {escape(one['id'][-8:])}</td>"
            f"<td>${format_cents(one['cents'])}</td></tr>"
            for what, one in rows
        )
        state = checkout.state
        if checkout.dispute is not None:
            state = f"{state}, dispute {checkout.dispute['state']}"
        text = render_page(
            render(_TITLE, language),
            heading=checkout.what,
            cents=checkout.cents,
            note=render(_NOTE, language),
            state=state,
            inner=f"{buttons}<table>{shown}</table>",
        )
        return web.Response(text=text, content_type="text/html")

    async def _handle_press(self, request: web.Request) -> web.Response:
        checkout, action = self._find_checkout(request), request.match_info["act"]
        if action not in {name for name, _ in _list_actions(checkout)}:
            raise web.HTTPConflict
        _ACTION_HANDLERS[action](checkout)
        self._notify(checkout)
        raise web.HTTPSeeOther(f"/pay/{checkout.id}")

    # --- webhooks --------------------------------------------------------------------------------

    def _notify(self, checkout: _Checkout) -> None:
        body = json.dumps({"id": f"evt_{secrets.token_hex(12)}", "checkout": checkout.id}).encode()
        task = asyncio.create_task(self._send(checkout.notify_url, body))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, url: str, body: bytes) -> None:
        assert self._session is not None
        for attempt in range(_NOTIFY_TRIES):
            headers = {SIGNATURE_HEADER: sign_message(self._secret, body, int(time.time()))}
            try:
                async with self._session.post(url, data=body, headers=headers) as response:
                    if response.status < 300:
                        return
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(0.2 * 2**attempt)


def _pay(checkout: _Checkout) -> None:
    fee = checkout.cents * _FEE_PER_MILLE // 1_000 + _FEE_CENTS
    checkout.state = "paid"
    checkout.payments.append(
        {
            "id": f"sbp_{secrets.token_hex(12)}",
            "cents": checkout.cents,
            "fee": min(fee, checkout.cents),
        }
    )


def _pay_twice(checkout: _Checkout) -> None:
    _pay(checkout)
    _pay(checkout)


def _decline(checkout: _Checkout) -> None:
    checkout.state = "failed"


def _refund_half(checkout: _Checkout) -> None:
    _add_refund(checkout, checkout.payments[0]["id"], max(1, checkout.remaining_cents // 2))


def _refund_all(checkout: _Checkout) -> None:
    for payment in checkout.payments:
        if checkout.remaining_cents:
            _add_refund(checkout, payment["id"], min(checkout.remaining_cents, payment["cents"]))


def _add_refund(checkout: _Checkout, payment: str, cents: int) -> dict[str, Any]:
    refund = {"id": f"sbr_{secrets.token_hex(12)}", "payment": payment, "cents": cents}
    checkout.refunds.append(refund)
    if not checkout.remaining_cents:
        checkout.state = "refunded"
    return refund


def _open_dispute(checkout: _Checkout) -> None:
    payment = checkout.payments[0]
    checkout.dispute = {
        "id": f"sbd_{secrets.token_hex(12)}",
        "payment": payment["id"],
        "cents": min(payment["cents"], checkout.remaining_cents),
        "state": "open",
    }


def _win_dispute(checkout: _Checkout) -> None:
    assert checkout.dispute is not None
    checkout.dispute["state"] = "won"


def _lose_dispute(checkout: _Checkout) -> None:
    assert checkout.dispute is not None
    checkout.dispute["state"] = "lost"


def _reopen_dispute(checkout: _Checkout) -> None:
    assert checkout.dispute is not None
    checkout.dispute["state"] = "open"


_ACTION_HANDLERS = {
    "pay": _pay,
    "twice": _pay_twice,
    "decline": _decline,
    "half": _refund_half,
    "refund": _refund_all,
    "dispute": _open_dispute,
    "win": _win_dispute,
    "lose": _lose_dispute,
    "reopen": _reopen_dispute,
}
_TITLE = say("Sandbox checkout")
_NOTE = say("This is a sandbox: no money moves, and no card is asked for.")
_PAID, _GIVEN_BACK, _DISPUTED = say("paid"), say("given back"), say("disputed")
_ACTIONS: dict[str, tuple[tuple[str, Phrase], ...]] = {
    "open": (
        ("pay", say("Pay")),
        ("twice", say("Pay twice")),
        ("decline", say("Decline")),
    ),
    "failed": (("pay", say("Pay after all")),),
    "paid": (
        ("half", say("Give half back")),
        ("refund", say("Give all back")),
        ("dispute", say("Dispute at the bank")),
    ),
}
_DECISIONS = (("win", say("The shop wins")), ("lose", say("The payer wins")))
_REOPENING = (("reopen", say("Reopen the dispute")),)


def _list_actions(checkout: _Checkout) -> tuple[tuple[str, Phrase], ...]:
    """What can be pressed now."""
    if checkout.dispute is None:
        return _ACTIONS.get(checkout.state, ())
    return _DECISIONS if checkout.dispute["state"] == "open" else _REOPENING


_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>
<style>
body{{font:1.05rem/1.5 system-ui,sans-serif;background:#f3f4f6;margin:0}}
main{{max-width:26rem;margin:8vh auto;background:#fff;border-radius:1rem;padding:2rem;
box-shadow:0 1px 12px #0002}}
h1{{font-size:1.1rem;margin:0 0 .3rem}} .sum{{font-size:2.2rem;font-weight:600;margin:.2rem 0 1rem}}
.note{{background:#fff7d6;border-radius:.5rem;padding:.6rem .8rem;font-size:.9rem}}
button{{font:inherit;width:100%;padding:.7rem;margin:.4rem 0 0;border:1px solid #ccc;
border-radius:.6rem;background:#fff;cursor:pointer}}
button.first{{background:#1f6feb;border-color:#1f6feb;color:#fff}}
table{{width:100%;font-size:.9rem;border-collapse:collapse;margin-top:1rem}}
td{{padding:.25rem 0;border-top:1px solid #eee}} td:last-child{{text-align:right}}
</style><main><h1>{heading}</h1><p class="sum">${dollars}</p>
<p class="note">{note}</p>
<p id="state">State: <b>{state}</b></p>{inner}</main>"""


def render_page(title: str, *, heading: str, cents: int, note: str, state: str, inner: str) -> str:
    """A page about a sum; `inner` is HTML."""
    return _PAGE.format(
        title=escape(title),
        heading=escape(heading),
        dollars=format_cents(cents),
        note=escape(note),
        state=escape(state),
        inner=inner,
    )


def format_cents(cents: int) -> str:
    """`1,234.50`."""
    return f"{cents // 100:,}.{cents % 100:02}"


_CENTS_MAX = 100_000_000
_NAME_CHARS_MAX = 60
#: What it takes for each, on top.
_PAYOUT_FEE_CENTS = 25
#: Names to which payouts don't arrive at once.
_PENDING_NAME, _RETURNED_NAME = "wait", "return"

_PAYOUT_BUTTON = (
    '<form method="post" action="/payouts/{id}/{act}"><button id="{act}">{label}</button></form>'
)
_PAYOUT_ACTIONS = {
    "pending": (("arrive", "Arrive"), ("return", "Come back")),
    "paid": (("return", "Come back"),),
}
_PAYOUT_RESULTS = {"arrive": ("paid", ""), "return": ("failed", "RETURNED")}


@dataclass
class _Payout:
    """A payout as the API shows it, but for where it goes; amounts are in cents."""

    id: str
    cents: int
    to: str
    state: str = "paid"
    reason: str = ""
    fee: int = _PAYOUT_FEE_CENTS

    def apply_action(self, action: str) -> None:
        self.state, self.reason = _PAYOUT_RESULTS[action]

    def to_json(self) -> dict[str, str | int]:
        document = asdict(self)
        del document["to"]
        return document


class SandboxPayoutService:
    """The part of the payment service that pays out: its routes and its pages."""

    def __init__(self, authorize: Callable[[web.Request], None]) -> None:
        """`authorize` raises for callers who don't show the secret."""
        self._authorize = authorize
        self.payouts: dict[str, _Payout] = {}

    def build_routes(self) -> list[web.RouteDef]:
        """Its API, and its pages."""
        return [
            web.post("/payouts", self._create_payout),
            web.get("/payouts", self._get_payout),
            web.get("/payouts/{id}", self._show_page),
            web.post("/payouts/{id}/{act}", self._handle_press),
        ]

    async def _create_payout(self, request: web.Request) -> web.Response:
        self._authorize(request)
        body = await request.json()
        requested = _Payout(str(body["id"]), int(body["cents"]), str(body["to"]))
        if not 0 < requested.cents <= _CENTS_MAX:
            return web.json_response({"code": "AMOUNT"}, status=422)
        if not 0 < len(requested.to.strip()) <= _NAME_CHARS_MAX:
            return web.json_response({"code": "RECEIVER"}, status=422)
        payout = self.payouts.setdefault(requested.id, requested)
        if (payout.cents, payout.to) != (requested.cents, requested.to):
            raise web.HTTPConflict
        if payout is requested and requested.to.strip().lower() == _PENDING_NAME:
            requested.state = "pending"
        if payout is requested and requested.to.strip().lower() == _RETURNED_NAME:
            requested.apply_action("return")
        return web.json_response(payout.to_json())

    async def _get_payout(self, request: web.Request) -> web.Response:
        self._authorize(request)
        return web.json_response(self._find_payout(request.query.get("id", "")).to_json())

    def _find_payout(self, id_: str) -> _Payout:
        found = self.payouts.get(id_)
        if found is None:
            raise web.HTTPNotFound
        return found

    async def _show_page(self, request: web.Request) -> web.Response:
        payout = self._find_payout(request.match_info["id"])
        buttons = "".join(
            _PAYOUT_BUTTON.format(id=payout.id, act=act, label=label)
            for act, label in _PAYOUT_ACTIONS.get(payout.state, ())
        )
        text = render_page(
            "Sandbox payout",
            heading=f"To {payout.to}",
            cents=payout.cents,
            note="This is a sandbox: no money moves.",
            state=f"{payout.state} {payout.reason}".strip(),
            inner=buttons,
        )
        return web.Response(text=text, content_type="text/html")

    async def _handle_press(self, request: web.Request) -> web.Response:
        payout, action = self._find_payout(request.match_info["id"]), request.match_info["act"]
        if action not in {name for name, _ in _PAYOUT_ACTIONS.get(payout.state, ())}:
            raise web.HTTPConflict
        payout.apply_action(action)
        raise web.HTTPSeeOther(f"/payouts/{payout.id}")
