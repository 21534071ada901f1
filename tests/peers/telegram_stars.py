"""The fake Telegram's Stars: invoices in chats, who pays them, and the bot's list of Stars.

charge = fake.stars.pays(ann, invoice)          # presses Pay; the bot is asked, then told
await fake.wait_for(lambda: fake.stars.outcome(ann) == "paid")
fake.stars.pays(ann, invoice, told=False)       # the update that tells it is lost
fake.stars.shift(11)                            # its clock, by which questions grow old
fake.stars.moves                                # the list
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.peers.telegram_chats import Message, Refusal, User

if TYPE_CHECKING:
    from tests.peers.telegram import FakeTelegram

#: Telegram waits so long for an answer to its question.
ANSWER_SECONDS = 10.0


@dataclass
class Checkout:
    """Somebody who pressed Pay."""

    id: str
    payer: User
    invoice: dict[str, Any]
    asked_at: float
    #: Whether the bot is told that it was paid.
    told: bool
    #: The answer: None while there is none.
    ok: bool | None = None
    reason: str = ""
    charge: str = ""


class Stars:
    """See the module."""

    def __init__(self, world: FakeTelegram) -> None:
        self._world = world
        self._numbers = itertools.count(1)
        self._shifted = 0.0
        self.checkouts: list[Checkout] = []
        #: The bot's list, the oldest first.
        self.moves: list[dict[str, Any]] = []
        self._withdrawn = 0
        #: The date of what moves, in seconds UTC.
        self.now: Callable[[], int] = lambda: int(time.time())

    # -- what people do ------------------------------------------------------------------------

    def pays(self, user: User, message: Message, *, told: bool = True, **changes: Any) -> Checkout:
        """A person presses Pay; with `changes` Telegram asks about something else than it shows."""
        assert message.invoice, "no invoice"
        invoice = {**message.invoice, **changes}
        made = Checkout(f"pre{next(self._numbers)}", user, invoice, self._now(), told)
        self.checkouts.append(made)
        query = {
            "id": made.id,
            "from": user.as_json(),
            "currency": invoice["currency"],
            "total_amount": invoice["total_amount"],
            "invoice_payload": invoice["payload"],
        }
        self._world.update("pre_checkout_query", query)
        return made

    def outcome(self, user: User) -> str:
        """What became of a person's newest press of Pay: "" while that is open."""
        checkout = next(each for each in reversed(self.checkouts) if each.payer is user)
        if checkout.ok is None:
            return ""
        return "paid" if checkout.charge else checkout.reason

    def receives(self, user: User, payload: str, stars: int) -> str:
        """Stars come in without an update; the payment's id."""
        charge = f"charge_{next(self._numbers):06}"
        partner = {"type": "user", "transaction_type": "invoice_payment", "user": user.as_json()}
        partner["invoice_payload"] = payload
        self._move(charge, stars, source=partner)
        return charge

    def withdraws(self, stars: int) -> None:
        """The operator takes Stars out."""
        self._withdrawn += stars
        self._move(f"out_{next(self._numbers):06}", stars, receiver={"type": "fragment"})

    def gives_back(self, charge: str) -> None:
        """A refund, by the bot or by an app's store; the payer's chat tells of it."""
        paid = next(each for each in self.moves if each["id"] == charge and "source" in each)
        partner = paid["source"]
        self._move(charge, paid["amount"], receiver=partner)
        user = self._world.users[partner["user"]["id"]]
        told = {
            "currency": "XTR",
            "total_amount": paid["amount"],
            "invoice_payload": partner["invoice_payload"],
            "telegram_payment_charge_id": charge,
        }
        self.tells(user, "refunded_payment", told)

    def tells(self, user: User, kind: str, about: dict[str, Any]) -> None:
        """A service message about a payment in a person's chat."""
        chat = self._world.chats[user.id]
        self._world.update(
            "message",
            {
                "message_id": self._world.next_message(chat),
                "date": int(time.time()),
                "chat": chat.as_json(),
                "from": user.as_json(),
                kind: about,
            },
        )

    def shift(self, seconds: float) -> None:
        """Its clock goes on at once."""
        self._shifted += seconds

    @property
    def balance(self) -> int:
        inward = sum(each["amount"] for each in self.moves if "source" in each)
        return inward - sum(each["amount"] for each in self.moves if "receiver" in each)

    def was_given_back(self, charge: str) -> bool:
        return any(each["id"] == charge and "receiver" in each for each in self.moves)

    def _now(self) -> float:
        return time.monotonic() + self._shifted

    def _move(self, id_: str, stars: int, **partner: Any) -> None:
        self.moves.append({"id": id_, "amount": stars, "date": self.now(), **partner})
        self._world.changed()

    # -- what the bot asks ---------------------------------------------------------------------

    def answered(self, params: dict[str, Any]) -> bool:
        """The answer to a question whether to pay."""
        id_, ok = params["pre_checkout_query_id"], str(params["ok"]).lower() == "true"
        found = next((each for each in self.checkouts if each.id == id_), None)
        late = found is not None and self._now() - found.asked_at > ANSWER_SECONDS
        if found is None or late or found.ok is not None:
            raise Refusal(
                400,
                "Bad Request: query is too old and response timeout expired or query ID is invalid",
            )
        reason = params.get("error_message", "")
        if not ok and not reason:
            raise Refusal(400, "Bad Request: error message must be non-empty")
        found.ok, found.reason = ok, reason
        if ok:
            self._paid(found)
        self._world.changed()
        return True

    def _paid(self, checkout: Checkout) -> None:
        invoice = checkout.invoice
        checkout.charge = self.receives(checkout.payer, invoice["payload"], invoice["total_amount"])
        if not checkout.told:
            return
        about = {
            "currency": invoice["currency"],
            "total_amount": invoice["total_amount"],
            "invoice_payload": invoice["payload"],
            "telegram_payment_charge_id": checkout.charge,
            "provider_payment_charge_id": f"{checkout.charge}_provider",
        }
        self.tells(checkout.payer, "successful_payment", about)


class StarsMethods:
    """The Bot API's methods about Stars."""

    _world: FakeTelegram

    def _send_invoice(self, params: dict[str, Any]) -> Any:
        invoice = checked_invoice(params)
        return self._sent(params, "", [], invoice=invoice)  # type: ignore[attr-defined]

    def _answer_pre_checkout_query(self, params: dict[str, Any]) -> Any:
        return self._world.stars.answered(params)

    def _get_star_transactions(self, params: dict[str, Any]) -> Any:
        offset = max(0, int(params.get("offset", 0)))
        limit = min(100, max(1, int(params.get("limit", 100))))
        return {"transactions": self._world.stars.moves[offset : offset + limit]}

    def _get_my_star_balance(self, _: dict[str, Any]) -> Any:
        return {"amount": self._world.stars.balance}

    def _refund_star_payment(self, params: dict[str, Any]) -> Any:
        stars, charge = self._world.stars, params["telegram_payment_charge_id"]
        user = int(params["user_id"])
        if user not in self._world.users:
            raise Refusal(400, "Bad Request: user not found")
        found = next((each for each in stars.moves if each["id"] == charge), None)
        if found is None or found["source"]["user"]["id"] != user:
            raise Refusal(400, "Bad Request: CHARGE_ID_INVALID")
        if stars.was_given_back(charge):
            raise Refusal(400, "Bad Request: CHARGE_ALREADY_REFUNDED")
        if found["amount"] > stars.balance:
            raise Refusal(400, "Bad Request: BALANCE_TOO_LOW")
        stars.gives_back(charge)
        return True


def checked_invoice(params: dict[str, Any]) -> dict[str, Any]:
    """Refuses what the real one refuses of an invoice in Stars."""
    if params["currency"] != "XTR":
        raise Refusal(400, "Bad Request: PAYMENT_PROVIDER_INVALID")
    if params.get("provider_token"):
        raise Refusal(400, "Bad Request: STARS_INVOICE_INVALID")
    prices = params["prices"]
    if len(prices) != 1 or not prices[0]["label"]:
        raise Refusal(400, "Bad Request: STARS_INVOICE_INVALID")
    if not isinstance(prices[0]["amount"], int) or prices[0]["amount"] < 1:
        raise Refusal(400, "Bad Request: CURRENCY_TOTAL_AMOUNT_INVALID")
    if not 1 <= len(params["title"]) <= 32 or not 1 <= len(params["description"]) <= 255:
        raise Refusal(400, "Bad Request: invoice title or description is too long or empty")
    if not 1 <= len(params["payload"].encode()) <= 128:
        raise Refusal(400, "Bad Request: INVOICE_PAYLOAD_INVALID")
    return {
        "title": params["title"],
        "description": params["description"],
        "payload": params["payload"],
        "currency": "XTR",
        "total_amount": prices[0]["amount"],
        "start_parameter": params.get("start_parameter", ""),
    }
