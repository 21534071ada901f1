"""`/promo` makes promotions and codes, lists them, ends them, each act logged."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from bots.chat.command import Arguments, Request, action, argument, command
from bots.chat.i18n import render
from bots.chat.reply import Choice, Phrase, Reply, ReplyFile, plain, say, say_count
from bots.commands.admin.promotion_drafts import (
    PROMOTION_FORMS,
    PromotionDraft,
    describe_codes,
    describe_promotion,
    list_promotion_terms,
    parse_draft,
)
from bots.commands.errors import UsageError
from bots.commands.text import format_price
from core import ids
from core.admin_log import Facts, admin_log_row
from core.asks.repository import AskHistory
from core.clock import DAY_MS, Clock, as_datetime
from core.db.writes import Insert
from core.ledger.types import CompanionRefused
from core.pricing.catalogue import Catalogue
from core.pricing.deals import Deals
from core.pricing.prices import PriceBook
from core.pricing.promotions import Promotion
from payments.offer import to_decimal_dollars
from payments.vouchers import WRITE_BATCH_SIZE, NewCode, Vouchers

_MODELS_SHOWN: Final = 12
_SHOWN: Final = 20
_ALREADY_ENDED: Final = say("That promotion was ended before. Nothing was changed.")
_CODE_EXISTS: Final = say("That code exists already. Nothing was changed. Choose another word.")


@dataclass(frozen=True, slots=True)
class PromotionArguments(Arguments):
    """What follows `/promo`."""

    text: str = argument(say("add, and what it brings"), say("add 20% off gpt-4 until 2026-12-01"))


class PromotionCommands:
    """The commands by which admins make, list and end promotions and their codes."""

    def __init__(
        self,
        *,
        deals: Deals,
        vouchers: Vouchers,
        catalogue: Catalogue,
        prices: PriceBook,
        ask_history: AskHistory,
        clock: Clock,
    ) -> None:
        self._deals, self._vouchers, self._catalogue = deals, vouchers, catalogue
        self._prices, self._ask_history, self._clock = prices, ask_history, clock

    @command(
        "promo",
        title=say("Promotions"),
        description=say("Lower prices for a while, bonuses, codes"),
        arguments=PromotionArguments,
        admin_only=True,
    )
    async def promo(self, request: Request, given: PromotionArguments) -> Reply:
        """What runs; or what a new one would be, with a button that makes it so."""
        word, _, rest = given.text.partition(" ")
        if not word or word.casefold() == "list":
            return await self._list_card()
        if word.casefold() != "add":
            raise UsageError(
                say(
                    "“{word}” is neither add nor list. To make one: /promo add. Nothing was"
                    " changed.",
                    word=word[:40],
                )
            )
        if not rest.strip():
            return Reply(title=say("A new promotion"), lines=PROMOTION_FORMS, private=True)
        draft = self._parse_draft(request, rest, "")
        now, promotion = self._clock.now_ms(), draft.promotion
        if draft.cash is not None:
            self._vouchers.generate_vouchers(draft.cash, 1, None)  # is that sold?
        codes_text = describe_codes(draft)
        return Reply(
            title=say("New promotion") if draft.cash is None else say("Codes to sell"),
            lines=(
                *((describe_promotion(promotion, self._catalogue),) if draft.cash is None else ()),
                *((codes_text,) if codes_text is not None else ()),
                *(
                    list_promotion_terms(promotion, now)
                    if draft.cash is None
                    else self._validity_lines(draft)
                ),
            ),
            table=self._reduced_price_rows(promotion) if draft.cash is None else (),
            choices=(
                (
                    Choice(say("Yes, start it"), "promo-now", {"text": rest}, once=True),
                    Choice(say("Cancel"), "cancel"),
                ),
            ),
            private=True,
        )

    @action("promo-now", admin_only=True)
    async def promo_now(self, request: Request) -> Reply:
        """Confirmed: it counts, and its codes are handed over, this once."""
        made_at = ids.time_of_id(request.button)
        id_ = ids.derive_id("pro", made_at, request.button)
        draft = self._parse_draft(request, str(request.data["text"]), id_)
        if draft.cash is not None:
            return await self._sell_vouchers(request, draft)
        promotion = draft.promotion
        codes = self._generate_codes(draft)
        try:
            await self._add_promotion(request, draft, codes)
        except CompanionRefused:
            raise UsageError(_CODE_EXISTS) from None
        return Reply(
            title=say("It runs")
            if promotion.is_running_at(self._clock.now_ms())
            else say("It is noted"),
            lines=(describe_promotion(promotion, self._catalogue),),
            file=self._codes_file(codes, promotion) if draft.codes else None,
            private=True,
            replace=not draft.codes,
        )

    @action("promo-end", admin_only=True)
    async def promo_end(self, request: Request) -> Reply:
        """Asks once more."""
        promotion = await self._get_promotion(request)
        data = {"promotion": promotion.id}
        return Reply(
            title=say("End this promotion?"),
            lines=(
                describe_promotion(promotion, self._catalogue),
                say("Earlier quotes are honoured; its codes no longer work."),
            ),
            choices=(
                (
                    Choice(say("Yes, end it"), "promo-end-now", data, once=True),
                    Choice(say("Cancel"), "cancel"),
                ),
            ),
            private=True,
            replace=True,
        )

    @action("promo-end-now", admin_only=True)
    async def promo_end_now(self, request: Request) -> Reply:
        """Confirmed."""
        promotion = await self._get_promotion(request)
        row = self._admin_log_row(
            request, "promo-end", self._facts(promotion), {"id": promotion.id}
        )
        try:
            await self._deals.promotions.end_promotion(promotion.id, also=row)
        except CompanionRefused:
            raise UsageError(_ALREADY_ENDED) from None
        return replace(await self._list_card(), replace=True)

    # --- making ---------------------------------------------------------------------------------

    def _parse_draft(self, request: Request, text: str, id_: str) -> PromotionDraft:
        return parse_draft(
            text,
            id_=id_,
            catalogue=self._catalogue,
            now_ms=self._clock.now_ms(),
            zone=request.person.zone,
        )

    def _generate_codes(self, draft: PromotionDraft) -> list[NewCode]:
        if draft.word:
            return [self._vouchers.make_shared_promo_code(draft.promotion, draft.word)]
        return self._vouchers.generate_promo_codes(draft.promotion, draft.codes)

    async def _add_promotion(
        self, request: Request, draft: PromotionDraft, codes: Sequence[NewCode]
    ) -> None:
        """With its codes, or as many as go in one write."""
        facts = {**self._facts(draft.promotion), "codes": draft.codes, "code": draft.word}
        row = self._admin_log_row(request, "promo", {}, facts)
        first_rows = self._vouchers.build_rows(codes[:WRITE_BATCH_SIZE])
        await self._deals.promotions.add(draft.promotion, row, *first_rows, by=request.person.id)
        await self._vouchers.save_codes(codes[WRITE_BATCH_SIZE:])

    async def _sell_vouchers(self, request: Request, draft: PromotionDraft) -> Reply:
        assert draft.cash is not None
        vouchers = self._vouchers.generate_vouchers(
            draft.cash, draft.codes, self._days(draft.promotion)
        )
        facts: Facts = {
            "batch": vouchers[0].batch,
            "codes": len(vouchers),
            "dollars": to_decimal_dollars(draft.cash),
        }
        await self._vouchers.save_codes(vouchers, self._admin_log_row(request, "codes", {}, facts))
        return Reply(
            title=say("Codes to sell"),
            lines=(
                say("They are shown this once."),
                say(
                    "To take back all that weren't used: creditbot codes void {batch}",
                    batch=vouchers[0].batch,
                ),
            ),
            file=self._codes_file(vouchers, None),
            private=True,
        )

    def _codes_file(self, codes: Sequence[NewCode], promotion: Promotion | None) -> ReplyFile:
        """A table of codes as CSV."""
        text = io.StringIO()
        out = csv.writer(text, lineterminator="\n")
        out.writerow(("code", "gives", "expires", "id"))
        benefit = (
            ""
            if promotion is None
            else render(describe_promotion(promotion, self._catalogue), "en")
        )
        out.writerows(
            (
                one.text,
                benefit or f"${to_decimal_dollars(one.cash)}",
                "" if one.expires_at is None else as_datetime(one.expires_at).isoformat(),
                one.id,
            )
            for one in codes
        )
        day = as_datetime(self._clock.now_ms()).date()
        return ReplyFile(f"codes-{day.isoformat()}.csv", text.getvalue().encode())

    # --- telling --------------------------------------------------------------------------------

    async def _list_card(self) -> Reply:
        promotions, now = self._deals.promotions, self._clock.now_ms()
        await promotions.load()
        if not promotions.all:
            return Reply(
                title=say("Promotions"),
                lines=(say("There are no promotions now. Start one:"), *PROMOTION_FORMS),
                private=True,
            )
        used, lines = await self._count_uses(), list[Phrase]()
        for number, promotion in enumerate(promotions.all[:_SHOWN], 1):
            what = describe_promotion(promotion, self._catalogue)
            lines += [
                say("{number}. {what}", number=number, what=what),
                *list_promotion_terms(promotion, now),
            ]
            if promotion.id in used:
                lines.append(
                    say_count(
                        "Used {count} time.",
                        "Used {count} times.",
                        used[promotion.id],
                    )
                )
        choices = [
            Choice(say("End {number}", number=number), "promo-end", {"promotion": one.id})
            for number, one in enumerate(promotions.all[:_SHOWN], 1)
        ]
        return Reply(
            title=say("Promotions"),
            lines=tuple(lines),
            choices=tuple(tuple(choices[at : at + 4]) for at in range(0, len(choices), 4)),
            private=True,
        )

    async def _count_uses(self) -> Mapping[str, int]:
        """How often each was used, where that is counted: by answers; by places taken of what is
        limited; by codes that are good once."""
        used: dict[str, int] = {}
        for promotion in self._deals.promotions.all[:_SHOWN]:
            if promotion.kind == "discount":
                used[promotion.id] = await self._ask_history.count_promoted(promotion.id)
            elif promotion.is_limited:
                used[promotion.id] = await self._deals.promotions.count_all_uses(promotion)
            elif promotion.kind == "credits":
                used[promotion.id] = await self._vouchers.count_redeemed(promotion.id)
        return used

    def _reduced_price_rows(self, promotion: Promotion) -> tuple[tuple[Phrase, ...], ...]:
        """Each model's price with it, for the operator alone: with the floor in it."""
        rows = [(say("Model"), say("Now"), say("Reduced"))]
        for model in self._catalogue.models.values():
            price = self._prices.find_current(model.id)
            if price is not None and promotion.discounts_model(model.id):
                reduced = self._deals.apply_promotion(price, promotion)
                rows.append((plain(model.name), format_price(price), format_price(reduced)))
        return tuple(rows[: _MODELS_SHOWN + 1]) if len(rows) > 1 else ()

    def _validity_lines(self, draft: PromotionDraft) -> tuple[Phrase, ...]:
        days = self._days(draft.promotion)
        return (
            ()
            if days is None
            else (
                say_count(
                    "Good for {count} day.",
                    "Good for {count} days.",
                    days,
                ),
            )
        )

    @staticmethod
    def _days(promotion: Promotion) -> int | None:
        if promotion.ends_at is None:
            return None
        return (promotion.ends_at - promotion.starts_at) // DAY_MS

    async def _get_promotion(self, request: Request) -> Promotion:
        found = await self._deals.promotions.find(str(request.data["promotion"]))
        if found is None:
            raise UsageError(_ALREADY_ENDED)
        return found

    def _admin_log_row(self, request: Request, act: str, before: Facts, after: Facts) -> Insert:
        return admin_log_row(
            self._clock, actor=request.person.id, act=act, before=before, after=after
        )

    @staticmethod
    def _facts(promotion: Promotion) -> Facts:
        return {
            "id": promotion.id,
            "kind": promotion.kind,
            "percent": promotion.percent,
            "credits": promotion.credits.units,
            "models": ",".join(sorted(promotion.models)),
            "from": promotion.starts_at,
            "until": promotion.ends_at or 0,
            "total": promotion.total or 0,
            "per_person": promotion.per_person or 0,
        }
