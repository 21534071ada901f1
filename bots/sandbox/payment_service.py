"""The demo's payment service on loopback: a checkout page with pay, decline, pay twice, refund,
dispute and messages that get lost, an API as gateways have one, signed webhooks, and payouts. No
money moves.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
import time
from dataclasses import dataclass, field
from html import escape
from typing import Any

import httpx
from aiohttp import web

from bots.chat.i18n import render
from bots.chat.reply import Phrase, say
from bots.sandbox.pages import format_cents, render_buttons, render_page
from bots.sandbox.payout_service import SandboxPayoutService
from payments.gateways.sandbox import SIGNATURE_HEADER, sign_message

_STOP_SECONDS = 0.2
_NOTIFY_TRIES = 5
_NOTIFY_SECONDS = 5.0
#: What it keeps of a payment, as a card's processor would: 2.9 % and 30 cents.
_FEE_PER_MILLE, _FEE_CENTS = 29, 30


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
    #: Whether the next message about it never arrives; how many didn't.
    loses_message: bool = False
    lost_messages: int = 0
    shows_withdrawal: bool = False
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
        self._client: httpx.AsyncClient | None = None
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
        self._url = "http://{}:{}".format(*self._runner.addresses[0][:2])
        return self._url

    async def stop(self) -> None:
        """Closes everything; webhooks under way are given up."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()
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
        buttons = render_buttons(
            f"/pay/{checkout.id}",
            [(act, render(label, language)) for act, label in _list_actions(checkout)],
        )
        rows = [(_PAID, one) for one in checkout.payments]
        rows += [(_GIVEN_BACK, one) for one in checkout.refunds]
        rows += [(_DISPUTED, checkout.dispute)] if checkout.dispute is not None else []
        shown = "".join(
            f"<tr><td>{escape(render(what, language))} {escape(one['id'][-8:])}</td>"
            f"<td>${format_cents(one['cents'])}</td></tr>"
            for what, one in rows
        )
        text = render_page(
            render(_TITLE, language),
            heading=checkout.what,
            cents=checkout.cents,
            notes=[render(note, language) for note in _list_notes(checkout)],
            state=render(_describe_state(checkout), language),
            inner=f"{buttons}<table>{shown}</table>",
            language=language,
        )
        return web.Response(text=text, content_type="text/html")

    async def _handle_press(self, request: web.Request) -> web.Response:
        checkout, action = self._find_checkout(request), request.match_info["act"]
        if action not in {name for name, _ in _list_actions(checkout)}:
            raise web.HTTPConflict
        _ACTION_HANDLERS[action](checkout)
        if action not in _UNTOLD_ACTIONS:
            self._notify(checkout)
        raise web.HTTPSeeOther(f"/pay/{checkout.id}")

    # --- webhooks --------------------------------------------------------------------------------

    def _notify(self, checkout: _Checkout) -> None:
        if checkout.loses_message:
            checkout.loses_message = False
            checkout.lost_messages += 1
            return
        body = json.dumps({"id": f"evt_{secrets.token_hex(12)}", "checkout": checkout.id}).encode()
        task = asyncio.create_task(self._send(checkout.notify_url, body))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, url: str, body: bytes) -> None:
        if self._client is None:  # made when it is first needed: it reads all root certificates
            self._client = httpx.AsyncClient(timeout=_NOTIFY_SECONDS, trust_env=False)
        for attempt in range(_NOTIFY_TRIES):
            headers = {SIGNATURE_HEADER: sign_message(self._secret, body, int(time.time()))}
            try:
                if (await self._client.post(url, content=body, headers=headers)).is_success:
                    return
            except httpx.TransportError:
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


def _lose_message(checkout: _Checkout) -> None:
    checkout.loses_message = True


def _keep_message(checkout: _Checkout) -> None:
    checkout.loses_message = False


def _show_withdrawal(checkout: _Checkout) -> None:
    checkout.shows_withdrawal = True


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
    "lose-message": _lose_message,
    "keep-message": _keep_message,
    "withdraw": _show_withdrawal,
}
#: What moves nothing, so that there is no message about it.
_UNTOLD_ACTIONS = {"lose-message", "keep-message", "withdraw"}
_TITLE = say("Sandbox checkout")
_NOTE = say("This is a sandbox: no money moves, and no card is asked for.")
_WITHDRAWAL_NOTE = say(
    "You withdraw at the shop, which knows what is unused: in the chat, under /paysupport, press"
    " “Withdraw from this purchase”. What goes back stands here then."
)
_LOSING_NOTE = say("The next message to the shop will be lost.")
_PAID, _GIVEN_BACK, _DISPUTED = say("paid"), say("given back"), say("disputed")
_STATES = {
    "open": say("Nothing is paid yet."),
    "failed": say("The payment was declined."),
    "paid": say("It is paid."),
    "refunded": say("All of it was given back."),
}
_DISPUTE_STATES = {
    "open": say("The payment is disputed; it isn't decided yet."),
    "won": say("The dispute is decided: the shop keeps the money."),
    "lost": say("The dispute is decided: the payer has the money back."),
}
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
        ("withdraw", say("Withdraw from this purchase")),
    ),
}
_DECISIONS = (("win", say("The shop wins")), ("lose", say("The payer wins")))
_REOPENING = (("reopen", say("Reopen the dispute")),)
_LOSING = (("lose-message", say("Lose the next message")),)
_KEEPING = (("keep-message", say("Don't lose the next message")),)


def _list_actions(checkout: _Checkout) -> tuple[tuple[str, Phrase], ...]:
    """What can be pressed now."""
    if checkout.dispute is None:
        found = _ACTIONS.get(checkout.state, ())
    else:
        found = _DECISIONS if checkout.dispute["state"] == "open" else _REOPENING
    messages = _KEEPING if checkout.loses_message else _LOSING
    return (*found, *messages) if found else ()


def _list_notes(checkout: _Checkout) -> list[Phrase]:
    """What its page says above the buttons."""
    lost = say(
        "Messages to the shop that were lost: {count}. It finds out by itself: it asks about an"
        " unpaid order every two minutes, about a paid one after an hour, then ever more seldom.",
        count=checkout.lost_messages,
    )
    return [
        _NOTE,
        *([_WITHDRAWAL_NOTE] if checkout.shows_withdrawal and not checkout.dispute else []),
        *([_LOSING_NOTE] if checkout.loses_message else []),
        *([lost] if checkout.lost_messages else []),
    ]


def _describe_state(checkout: _Checkout) -> Phrase:
    if checkout.dispute is not None:
        return _DISPUTE_STATES[checkout.dispute["state"]]
    return _STATES[checkout.state]
