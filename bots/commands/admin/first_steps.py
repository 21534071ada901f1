"""An operator's first steps, with their state: what a new service needs before it sells answers."""

from __future__ import annotations

from dataclasses import dataclass

from bots.chat.reply import Choice, Phrase, Reply, say
from core.pool.pool import Pool
from core.pricing.catalogue import Catalogue
from core.pricing.prices import FORMULA, PriceBook


@dataclass(frozen=True, slots=True)
class ShopState:
    """What of the shop the settings decide: whether Credits are sold, whether own terms and a
    contact are given, and whether other people's keys are taken."""

    is_selling: bool
    has_terms: bool
    has_support_contact: bool
    takes_keys: bool


class FirstSteps:
    """Tells an operator which first steps are done, and how each of the others is."""

    def __init__(
        self, *, pool: Pool, catalogue: Catalogue, prices: PriceBook, shop_state: ShopState
    ) -> None:
        self._pool, self._catalogue, self._prices = pool, catalogue, prices
        self._shop_state = shop_state

    async def make_card(self) -> Reply:
        """The list, with a button for what is done in the chat; settings are named."""
        keys = [key for key in await self._pool.list_keys() if key.state in {"active", "cooling"}]
        current = [self._prices.find_current(model) for model in self._catalogue.models]
        decided = sum(1 for price in current if price is not None and price.set_by != FORMULA)
        shop = self._shop_state
        steps: list[tuple[bool, Phrase]] = [
            (
                bool(keys),
                say("Keys of suppliers: {count}", count=len(keys))
                if keys
                else say("Add a supplier's key: /pool add openai"),
            ),
            (
                decided > 0,
                say("Prices that you decided: {count}. /pricing shows all.", count=decided)
                if decided
                else say(
                    "Every price follows the formula: /pricing shows them, /setprice sets one"
                ),
            ),
            (
                shop.is_selling,
                say("The shop is open: /topup")
                if shop.is_selling
                else say("Open the shop: settings of Stripe, PayPal, BTCPay, or Telegram Stars"),
            ),
            (
                shop.has_support_contact,
                say("A support contact is named under /paysupport")
                if shop.has_support_contact
                else say("Name a support contact: CREDITBOT_SUPPORT_CONTACT"),
            ),
            (
                shop.has_terms,
                say("Your own terms stand under /terms")
                if shop.has_terms
                else say(
                    "Write your terms: CREDITBOT_TERMS; until then /terms shows the Credit promise"
                ),
            ),
        ]
        done = sum(is_done for is_done, _ in steps)
        return Reply(
            title=say("First steps: {done} of {count}", done=done, count=len(steps)),
            lines=(
                *(_format_step(is_done, words) for is_done, words in steps),
                say("Other people's keys are taken: /contribute")
                if shop.takes_keys
                else say("To let people earn by keys: CREDITBOT_CONTRIBUTIONS"),
                say("Then look at /report now and then; /help lists what else you can do."),
            ),
            choices=(
                (Choice(say("Report"), "report", {"days": ""}), Choice(say("Help"), "help")),
                (Choice(say("What people see"), "welcome"),),
            ),
            private=True,
        )


def _format_step(is_done: bool, words: Phrase) -> Phrase:
    return say("✅ {step}", step=words) if is_done else say("⬜ {step}", step=words)
