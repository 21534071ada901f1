"""The fake Discord's store: SKUs of the app, who buys them, and what the bot asks about it.

starter = fake.store.sku("Starter")
bought = fake.store.buys(ann, starter)              # from the store's page
bought = fake.store.presses(ann, card)              # by the premium button of a message
fake.store.takes_back(bought)                       # Discord gives the money back
fake.store.entitle(ann, starter, kind=3)            # a developer's gift
fake.store.buys(ann, starter, told=False)           # the event is lost
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.peers.discord_world import Message, Refusal, User

if TYPE_CHECKING:
    from tests.peers.discord import FakeDiscord

CONSUMABLE, SUBSCRIPTION = 3, 5
PURCHASE, GIFT, TEST_PURCHASE, PAID_GIFT = 1, 3, 4, 6
AVAILABLE = 1 << 2


class Store:
    """See the module."""

    def __init__(self, fake: FakeDiscord) -> None:
        self._fake = fake
        self.skus: dict[int, dict[str, Any]] = {}
        self.entitlements: dict[int, dict[str, Any]] = {}

    # -- the developer portal ------------------------------------------------------------------

    def sku(self, name: str, *, kind: int = CONSUMABLE, flags: int = AVAILABLE) -> int:
        id_ = self._fake.snowflake()
        self.skus[id_] = {
            "id": str(id_),
            "type": kind,
            "dependent_sku_id": None,
            "application_id": str(self._fake.bot.id),
            "manifest_labels": None,
            "access_type": 1,
            "name": name,
            "features": [],
            "release_date": None,
            "premium": False,
            "slug": name.lower(),
            "flags": flags,
            "show_age_gate": False,
        }
        return id_

    # -- what people and Discord do ------------------------------------------------------------

    def presses(self, user: User, message: Message, *, told: bool = True) -> int:
        """A person buys by a message's premium button."""
        skus = [int(part["sku_id"]) for part in message.parts if part.get("style") == 6]
        assert skus, f"no premium button on {message.content!r}"
        return self.buys(user, skus[0], told=told)

    def buys(self, user: User, sku: int, *, told: bool = True) -> int:
        """A person buys; Discord sells nothing twice that wasn't consumed."""
        card = self.skus[sku]
        assert card["flags"] & AVAILABLE, "not for sale"
        has = [
            one
            for one in self.entitlements.values()
            if one["sku_id"] == str(sku) and one.get("user_id") == str(user.id)
        ]
        assert all(one["consumed"] or one["deleted"] for one in has), "has one already"
        return self.entitle(user, sku, told=told)

    def entitle(
        self,
        user: User | None,
        sku: int,
        *,
        kind: int = PURCHASE,
        told: bool = True,
        **more: Any,
    ) -> int:
        """An entitlement of any kind; `more` goes into it as it is."""
        id_ = self._fake.snowflake()
        one: dict[str, Any] = {
            "id": str(id_),
            "sku_id": str(sku),
            "application_id": str(self._fake.bot.id),
            "promotion_id": None,
            "type": kind,
            "deleted": False,
            "gift_code_flags": 0,
            "consumed": False,
            "starts_at": None,
            "ends_at": None,
            **more,
        }
        if user is not None:
            one["user_id"] = str(user.id)
        if one["application_id"] == str(self._fake.bot.id):
            self.entitlements[id_] = one
        if told:
            self.tells("CREATE", one)
        return id_

    def takes_back(self, entitlement: int, *, told: bool = True) -> None:
        one = self.entitlements[entitlement]
        one["deleted"] = True
        if told:
            self.tells("DELETE", one)

    def tells(self, what: str, one: dict[str, Any]) -> None:
        """An event of the gateway, to shard 0 alone."""
        self._fake.tell(f"ENTITLEMENT_{what}", dict(one))

    def of(self, user: User) -> list[dict[str, Any]]:
        """What an interaction of theirs carries."""
        mine = [one for one in self.entitlements.values() if one.get("user_id") == str(user.id)]
        return [one for one in mine if not one["deleted"] and not one["consumed"]]

    # -- what the bot asks ---------------------------------------------------------------------

    def routes(self) -> dict[tuple[str, str], Any]:
        one = "/applications/{app}/entitlements/{entitlement}"
        return {
            ("GET", "/applications/{app}/skus"): self._list_skus,
            ("GET", "/applications/{app}/entitlements"): self._list,
            ("GET", one): self._get,
            ("POST", one + "/consume"): self._consume,
        }

    def _ours(self, request: web.Request) -> None:
        if request.match_info["app"] != str(self._fake.bot.id):
            raise Refusal(403, 20012, "You are not authorized to perform this action")

    def _list_skus(self, request: web.Request, *_: Any) -> Any:
        self._ours(request)
        return list(self.skus.values())

    def _list(self, request: web.Request, *_: Any) -> Any:
        self._ours(request)
        asked = request.query
        limit = int(asked.get("limit", 100))
        if not 1 <= limit <= 100 or ("before" in asked and "after" in asked):
            raise Refusal(400, 50035, "Invalid Form Body")
        skus = set(filter(None, asked.get("sku_ids", "").split(",")))
        # Deleted ones are left out unless they are asked for.
        hidden = asked.get("exclude_deleted", "1").lower() in ("1", "true")
        found = [
            one
            for id_, one in sorted(self.entitlements.items())
            if (not skus or one["sku_id"] in skus)
            and id_ > int(asked.get("after", 0))
            and not (hidden and one["deleted"])
        ]
        return found[:limit]

    def _get(self, request: web.Request, *_: Any) -> Any:
        self._ours(request)
        found = self.entitlements.get(int(request.match_info["entitlement"]))
        if found is None:
            raise Refusal(404, 10075, "Unknown entitlement")
        return found

    def _consume(self, request: web.Request, *_: Any) -> None:
        one = self._get(request)
        if self.skus[int(one["sku_id"])]["type"] != CONSUMABLE:
            raise Refusal(400, 50035, "Invalid Form Body: not consumable")
        if one["deleted"]:
            raise Refusal(404, 10075, "Unknown entitlement")
        if not one["consumed"]:
            one["consumed"] = True
            self.tells("UPDATE", one)
