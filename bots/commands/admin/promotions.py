"""Promotions and codes: `/promo` makes them, lists them, ends them. For admins, each act logged."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import sqlalchemy as sa

from bots.chat.command import Action, Command, Option, Request, Room
from bots.chat.i18n import render
from bots.chat.reply import Choice, File, Reply, Said, plain, say
from bots.commands.errors import NotUnderstood, sentence
from bots.commands.promotion_words import HOW, Draft, codes_line, draft_of, promised, terms
from bots.commands.text import price_line
from core import ids
from core.admin_log import Facts, logged
from core.clock import DAY_MS, Clock, as_datetime
from core.db import schema
from core.db.database import Store
from core.db.writes import Insert
from core.ledger.types import CompanionRefused
from core.pricing.catalogue import Catalogue
from core.pricing.deals import Deals
from core.pricing.prices import PriceBook
from core.pricing.promotions import Promotion, TooManyPromotions
from payments.offer import dollars
from payments.vouchers import A_TIME, Codes, Fresh

_MODELS_SHOWN: Final = 12
_SHOWN: Final = 20
_OVER: Final = say("That promotion was ended before. Nothing was changed.")
_TAKEN: Final = say("There is such a code already. Nothing was changed. Choose another word.")


@sentence.register
def _(refusal: TooManyPromotions) -> Said:
    del refusal
    return say("Too many promotions run. Nothing was changed. End one first: /promo")


class PromotionCommands:
    """What admins do about promotions."""

    def __init__(
        self,
        *,
        deals: Deals,
        codes: Codes,
        catalogue: Catalogue,
        prices: PriceBook,
        store: Store,
        clock: Clock,
    ) -> None:
        self._deals, self._codes, self._catalogue = deals, codes, catalogue
        self._prices, self._store, self._clock = prices, store, clock

    def room(self) -> Room:
        """Commands and actions."""
        return Room(
            commands=(
                Command(
                    "promo",
                    title=say("Promotions"),
                    does=say("Lower prices for a while, bonuses, codes"),
                    usage=say("/promo [add 20% off gpt-4 until 2026-12-01]"),
                    options=(Option("text", say("add, and what it brings")),),
                    handler=self.promo,
                    admin=True,
                ),
            ),
            actions=(
                Action("promo-now", self.now, admin=True),
                Action("promo-end", self.end, admin=True),
                Action("promo-end-now", self.end_now, admin=True),
            ),
        )

    async def promo(self, request: Request) -> Reply:
        """What runs; or what a new one would be, with a button that makes it so."""
        word, _, rest = request.text.strip().partition(" ")
        if not word or word.casefold() == "list":
            return await self._list()
        if word.casefold() != "add":
            raise NotUnderstood(HOW)
        draft = self._draft(request, rest, "")
        now, promotion = self._clock.now_ms(), draft.promotion
        if draft.cash is not None:
            self._codes.fresh(draft.cash, 1, None)  # is that sold?
        made = codes_line(draft)
        return Reply(
            title=say("New promotion") if draft.cash is None else say("Codes to sell"),
            lines=(
                *((promised(promotion, self._catalogue),) if draft.cash is None else ()),
                *((made,) if made is not None else ()),
                *(terms(promotion, now) if draft.cash is None else self._good(draft)),
            ),
            table=self._lowered(promotion) if draft.cash is None else (),
            choices=(
                (
                    Choice(say("Yes, start it"), "promo-now", {"text": rest}, once=True),
                    Choice(say("Cancel"), "cancel"),
                ),
            ),
            private=True,
        )

    async def now(self, request: Request) -> Reply:
        """Confirmed: it counts, and its codes are handed over, this once."""
        made_at = ids.time_of(request.button)
        id_ = ids.derived("pro", made_at, request.button)
        draft = self._draft(request, str(request.data["text"]), id_)
        if draft.cash is not None:
            return await self._sell(request, draft)
        promotion = draft.promotion
        made = self._fresh(draft)
        try:
            await self._add(request, draft, made)
        except CompanionRefused:
            raise NotUnderstood(_TAKEN) from None
        return Reply(
            title=say("It runs") if promotion.runs(self._clock.now_ms()) else say("It is noted"),
            lines=(promised(promotion, self._catalogue), plain(promotion.id)),
            file=self._file(made, promotion) if draft.codes else None,
            private=True,
            replace=not draft.codes,
        )

    async def end(self, request: Request) -> Reply:
        """Asks once more."""
        promotion = await self._found(request)
        data = {"promotion": promotion.id}
        return Reply(
            title=say("End this promotion?"),
            lines=(
                promised(promotion, self._catalogue),
                say("What was quoted before is honoured; its codes are good no more."),
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

    async def end_now(self, request: Request) -> Reply:
        """Confirmed."""
        promotion = await self._found(request)
        row = self._logged(request, "promo-end", self._facts(promotion), {"id": promotion.id})
        try:
            await self._deals.promotions.end(promotion.id, also=row)
        except CompanionRefused:
            raise NotUnderstood(_OVER) from None
        return replace(await self._list(), replace=True)

    # --- making ---------------------------------------------------------------------------------

    def _draft(self, request: Request, text: str, id_: str) -> Draft:
        return draft_of(
            text,
            id_=id_,
            catalogue=self._catalogue,
            now_ms=self._clock.now_ms(),
            zone=request.person.zone,
        )

    def _fresh(self, draft: Draft) -> list[Fresh]:
        if draft.word:
            return [self._codes.shared_of(draft.promotion, draft.word)]
        return self._codes.fresh_of(draft.promotion, draft.codes)

    async def _add(self, request: Request, draft: Draft, made: Sequence[Fresh]) -> None:
        """With its codes, or as many as go in one write."""
        facts = {**self._facts(draft.promotion), "codes": draft.codes, "code": draft.word}
        row = self._logged(request, "promo", {}, facts)
        first = self._codes.rows(made[:A_TIME])
        await self._deals.promotions.add(draft.promotion, row, *first, by=request.person.id)
        await self._codes.keep(made[A_TIME:])

    async def _sell(self, request: Request, draft: Draft) -> Reply:
        assert draft.cash is not None
        made = self._codes.fresh(draft.cash, draft.codes, self._days(draft.promotion))
        facts: Facts = {"batch": made[0].batch, "codes": len(made), "dollars": dollars(draft.cash)}
        await self._codes.keep(made, self._logged(request, "codes", {}, facts))
        return Reply(
            title=say("Codes to sell"),
            lines=(say("Batch {batch}. They are shown this once.", batch=made[0].batch),),
            file=self._file(made, None),
            private=True,
        )

    def _file(self, made: Sequence[Fresh], promotion: Promotion | None) -> File:
        """A table of codes as CSV."""
        text = io.StringIO()
        out = csv.writer(text, lineterminator="\n")
        out.writerow(("code", "gives", "expires", "id"))
        told = "" if promotion is None else render(promised(promotion, self._catalogue), "en")
        out.writerows(
            (
                one.text,
                told or f"${dollars(one.cash)}",
                "" if one.expires_at is None else as_datetime(one.expires_at).isoformat(),
                one.id,
            )
            for one in made
        )
        return File(f"codes-{made[0].batch}.csv", text.getvalue().encode())

    # --- telling --------------------------------------------------------------------------------

    async def _list(self) -> Reply:
        promotions, now = self._deals.promotions, self._clock.now_ms()
        await promotions.load()
        if not promotions.all:
            return Reply(
                title=say("Promotions"),
                lines=(say("There are no promotions now."), HOW),
                private=True,
            )
        used, lines = await self._used(), list[Said]()
        for number, one in enumerate(promotions.all[:_SHOWN], 1):
            what = promised(one, self._catalogue)
            lines += [say("{number}. {what}", number=number, what=what), *terms(one, now)]
            if one.id in used:
                lines.append(say("Used {count} times.", count=used[one.id]))
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

    async def _used(self) -> Mapping[str, int]:
        """How often each was used, where that is counted: by answers; by places taken of what is
        limited; by codes that are good once."""
        ask, use, code = schema.ask.c, schema.promotion_use.c, schema.code.c
        used: dict[str, int] = {}
        for one in self._deals.promotions.all[:_SHOWN]:
            if one.kind == "discount":
                count = sa.select(sa.func.count()).where(ask.promotion == one.id)
            elif one.limited:
                count = sa.select(sa.func.count()).where(use.promotion == one.id)
            elif one.kind == "credits":
                count = sa.select(sa.func.count()).where(code.promotion == one.id, code.uses > 0)
            else:
                continue
            used[one.id] = int((await self._store.fetch(count))[0][0])
        return used

    def _lowered(self, promotion: Promotion) -> tuple[tuple[Said, ...], ...]:
        """Each model's price with it, for the operator alone: with the floor in it."""
        rows = []
        for model in self._catalogue.models.values():
            price = self._prices.current(model.id)
            if price is not None and promotion.lowers(model.id):
                lower = self._deals.lowered(price, promotion)
                rows.append((plain(model.name), price_line(price), price_line(lower)))
        return tuple(rows[:_MODELS_SHOWN])

    def _good(self, draft: Draft) -> tuple[Said, ...]:
        days = self._days(draft.promotion)
        return () if days is None else (say("Good for {days} days.", days=days),)

    @staticmethod
    def _days(promotion: Promotion) -> int | None:
        if promotion.ends_at is None:
            return None
        return (promotion.ends_at - promotion.starts_at) // DAY_MS

    async def _found(self, request: Request) -> Promotion:
        found = await self._deals.promotions.find(str(request.data["promotion"]))
        if found is None:
            raise NotUnderstood(_OVER)
        return found

    def _logged(self, request: Request, act: str, before: Facts, after: Facts) -> Insert:
        return logged(self._clock, actor=request.person.id, act=act, before=before, after=after)

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
