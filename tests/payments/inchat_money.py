"""Plain models of the money that platforms take in their chats: what Telegram's list of Stars and
Discord's entitlements say of each payer, read from the peers' own state. Nothing here knows the
product.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Protocol

from tests.peers.discord_store import Store
from tests.peers.discord_world import User as Member
from tests.peers.telegram_chats import User
from tests.peers.telegram_stars import Stars

#: Dollars, what they cost in Stars at $0.013 a Star, and the Credits for them, by the free rate or
#: as the pack of that price. So many Stars bring those dollars to the cent.
STAR_PRICES = {"13": (1_000, 1_300), "26": (2_000, 2_600), "6.50": (500, 650)}
PACK_PRICES = {"10": 1_000, "90": 10_000}


@dataclass(frozen=True, slots=True)
class Told:
    """What a platform says of a payment, once or more often: that it came, or went back."""

    id: str
    went_back: bool
    #: Who paid, for which order and how much, where the platform says so.
    payer: int = 0
    order: str = ""
    amount: int = 0


class ChatMoney(Protocol):
    """What happens at a platform, at random, and what its account says of it."""

    def pay(self, user: int, order: str, dollars: str) -> list[Told]:
        """Somebody pays, where they can."""
        ...

    def take_back(self, chance: random.Random) -> list[Told]:
        """The platform gives one of the payments back."""
        ...

    def count_credits(self, user: int) -> int:
        """The Credits of all that somebody paid and that didn't go back."""
        ...

    def count_units(self) -> int:
        """What is left of everybody's money, in the unit that it was paid in."""
        ...


@dataclass
class StarsMoney:
    """A bot's Stars."""

    peer: Stars
    users: dict[int, User]

    def pay(self, user: int, order: str, dollars: str) -> list[Told]:
        stars = STAR_PRICES[dollars][0]
        charge = self.peer.receives(self.users[user], order, stars)
        return [Told(charge, False, user, order, stars)]

    def take_back(self, chance: random.Random) -> list[Told]:
        paid = [one for one in self._list_live() if one["source"]["user"]["id"] in self.users]
        if not paid:
            return []
        one = chance.choice(paid)
        self.peer.gives_back(one["id"])
        partner = one["source"]
        order, payer = partner["invoice_payload"], partner["user"]["id"]
        return [Told(one["id"], True, payer, order, one["amount"])]

    def count_credits(self, user: int) -> int:
        worth = dict(STAR_PRICES.values())
        live = self._list_live()
        return sum(worth[one["amount"]] for one in live if one["source"]["user"]["id"] == user)

    def count_units(self) -> int:
        return self.peer.balance

    def _list_live(self) -> list[dict]:  # type: ignore[type-arg]
        moves = [one for one in self.peer.moves if "source" in one]
        return [one for one in moves if not self.peer.was_given_back(one["id"])]


@dataclass
class EntitlementMoney:
    """What an app sold in Discord's store; `skus` has the price of each, in dollars."""

    peer: Store
    users: dict[int, Member]
    skus: dict[int, str]

    def pay(self, user: int, order: str, dollars: str) -> list[Told]:
        """Discord sells nothing twice that wasn't consumed."""
        del order
        sku = next(sku for sku, costs in self.skus.items() if costs == dollars)
        mine = [one for one in self._list_live(user) if one["sku_id"] == str(sku)]
        if any(not one["consumed"] for one in mine):
            return []
        return [Told(str(self.peer.buys(self.users[user], sku, told=False)), False)]

    def take_back(self, chance: random.Random) -> list[Told]:
        live = [one for user in self.users for one in self._list_live(user)]
        if not live:
            return []
        id_ = int(chance.choice(live)["id"])
        self.peer.takes_back(id_, told=False)
        return [Told(str(id_), True)]

    def count_credits(self, user: int) -> int:
        return sum(PACK_PRICES[self.skus[int(one["sku_id"])]] for one in self._list_live(user))

    def count_units(self) -> int:
        """In nano-dollars, as the prices are."""
        live = [one for user in self.users for one in self._list_live(user)]
        return sum(int(self.skus[int(one["sku_id"])]) * 10**9 for one in live)

    def _list_live(self, user: int) -> list[dict]:  # type: ignore[type-arg]
        everything = self.peer.entitlements.values()
        return [one for one in everything if one["user_id"] == str(user) and not one["deleted"]]
