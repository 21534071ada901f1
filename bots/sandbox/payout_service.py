"""The part of the sandbox's payment service that pays out: an API, and a page for each payout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

from aiohttp import web

from bots.sandbox.pages import render_buttons, render_page

_CENTS_MAX = 100_000_000
_NAME_CHARS_MAX = 60
#: What it takes for each, on top.
_PAYOUT_FEE_CENTS = 25
#: Names to which payouts don't arrive at once.
_PENDING_NAME, _RETURNED_NAME = "wait", "return"

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
        text = render_page(
            "Sandbox payout",
            heading=f"To {payout.to}",
            cents=payout.cents,
            notes=("This is a sandbox: no money moves.",),
            state=f"State: {payout.state} {payout.reason}".strip(),
            inner=render_buttons(f"/payouts/{payout.id}", _PAYOUT_ACTIONS.get(payout.state, ())),
        )
        return web.Response(text=text, content_type="text/html")

    async def _handle_press(self, request: web.Request) -> web.Response:
        payout, action = self._find_payout(request.match_info["id"]), request.match_info["act"]
        if action not in {name for name, _ in _PAYOUT_ACTIONS.get(payout.state, ())}:
            raise web.HTTPConflict
        payout.apply_action(action)
        raise web.HTTPSeeOther(f"/payouts/{payout.id}")
