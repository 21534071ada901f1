"""The demo's service pays people: by an API as gateways have one, and a page for each payout on
which it arrives, or comes back. No money moves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

from aiohttp import web

from bots.sandbox.page import page

_CENTS_MAX = 100_000_000
_NAME_CHARS_MAX = 60
#: What it takes for each, on top.
_FEE_CENTS = 25
#: Names to which payouts don't arrive at once.
_WAITS, _RETURNS = "wait", "return"

_BUTTON = (
    '<form method="post" action="/payouts/{id}/{act}"><button id="{act}">{label}</button></form>'
)
_ACTS = {
    "pending": (("arrive", "Arrive"), ("return", "Come back")),
    "paid": (("return", "Come back"),),
}
_PRESSED = {"arrive": ("paid", ""), "return": ("failed", "RETURNED")}


@dataclass
class _Payout:
    """As the API tells it, but for where it goes."""

    id: str
    cents: int
    to: str
    state: str = "paid"
    reason: str = ""
    fee: int = _FEE_CENTS

    def become(self, act: str) -> None:
        self.state, self.reason = _PRESSED[act]

    def told(self) -> dict[str, str | int]:
        told = asdict(self)
        del told["to"]
        return told


class SandboxPayouts:
    """A part of the service: its routes."""

    def __init__(self, authorised: Callable[[web.Request], None]) -> None:
        """`authorised` raises for callers who don't show the secret."""
        self._authorised = authorised
        self.made: dict[str, _Payout] = {}

    def routes(self) -> list[web.RouteDef]:
        """Its API, and its pages."""
        return [
            web.post("/payouts", self._make),
            web.get("/payouts", self._tell),
            web.get("/payouts/{id}", self._page),
            web.post("/payouts/{id}/{act}", self._press),
        ]

    async def _make(self, request: web.Request) -> web.Response:
        self._authorised(request)
        said = await request.json()
        asked = _Payout(str(said["id"]), int(said["cents"]), str(said["to"]))
        if not 0 < asked.cents <= _CENTS_MAX:
            return web.json_response({"code": "AMOUNT"}, status=422)
        if not 0 < len(asked.to.strip()) <= _NAME_CHARS_MAX:
            return web.json_response({"code": "RECEIVER"}, status=422)
        known = self.made.setdefault(asked.id, asked)
        if (known.cents, known.to) != (asked.cents, asked.to):
            raise web.HTTPConflict
        if known is asked and asked.to.strip().lower() == _WAITS:
            asked.state = "pending"
        if known is asked and asked.to.strip().lower() == _RETURNS:
            asked.become("return")
        return web.json_response(known.told())

    async def _tell(self, request: web.Request) -> web.Response:
        self._authorised(request)
        return web.json_response(self._found(request.query.get("id", "")).told())

    def _found(self, id_: str) -> _Payout:
        found = self.made.get(id_)
        if found is None:
            raise web.HTTPNotFound
        return found

    async def _page(self, request: web.Request) -> web.Response:
        one = self._found(request.match_info["id"])
        buttons = "".join(
            _BUTTON.format(id=one.id, act=act, label=label)
            for act, label in _ACTS.get(one.state, ())
        )
        text = page(
            "Sandbox payout",
            heading=f"To {one.to}",
            cents=one.cents,
            note="This is a sandbox: no money moves.",
            state=f"{one.state} {one.reason}".strip(),
            inner=buttons,
        )
        return web.Response(text=text, content_type="text/html")

    async def _press(self, request: web.Request) -> web.Response:
        one, act = self._found(request.match_info["id"]), request.match_info["act"]
        if act not in {name for name, _ in _ACTS.get(one.state, ())}:
            raise web.HTTPConflict
        one.become(act)
        raise web.HTTPSeeOther(f"/payouts/{one.id}")
