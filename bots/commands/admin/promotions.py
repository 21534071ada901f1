"""`/promo` makes promotions and codes, lists them, ends them, each act logged. An admin writes
`20% off gpt-4, claude until 2026-12-01`; how that is read and how it reads is here.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from bots.chat.command import Arguments, Request, action, argument, command
from bots.chat.i18n import get_zone, render
from bots.chat.reply import Choice, Phrase, Reply, ReplyFile, plain, say, say_count
from bots.commands.errors import UsageError
from bots.commands.text import format_credits, format_price
from core import ids
from core.admin_log import Facts, admin_log_row
from core.clock import DAY_MS, Clock, as_datetime, as_ms
from core.db import schema
from core.db.database import Database
from core.db.writes import Insert
from core.ledger.types import CompanionRefused
from core.money import Credits, NanoUsd, format_usd, parse_usd
from core.pricing.catalogue import Catalogue, UnknownModel
from core.pricing.deals import BONUS_MAX, DISCOUNT_MAX, Deals
from core.pricing.prices import PriceBook
from core.pricing.promotions import PER_PERSON_MAX, TOTAL_MAX, Promotion
from payments.offer import to_decimal_dollars
from payments.vouchers import VOUCHERS_MAX, WRITE_BATCH_SIZE, NewCode, Vouchers

_MODELS_SHOWN: Final = 12
_SHOWN: Final = 20
_ALREADY_ENDED: Final = say("That promotion was ended before. Nothing was changed.")
_CODE_EXISTS: Final = say("There is such a code already. Nothing was changed. Choose another word.")


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
        db: Database,
        clock: Clock,
    ) -> None:
        self._deals, self._vouchers, self._catalogue = deals, vouchers, catalogue
        self._prices, self._db, self._clock = prices, db, clock

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
            raise UsageError(USAGE)
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
            lines=(describe_promotion(promotion, self._catalogue), plain(promotion.id)),
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
            lines=(say("Batch {batch}. They are shown this once.", batch=vouchers[0].batch),),
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
        return ReplyFile(f"codes-{codes[0].batch}.csv", text.getvalue().encode())

    # --- telling --------------------------------------------------------------------------------

    async def _list_card(self) -> Reply:
        promotions, now = self._deals.promotions, self._clock.now_ms()
        await promotions.load()
        if not promotions.all:
            return Reply(
                title=say("Promotions"),
                lines=(say("There are no promotions now."), USAGE),
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
        ask, use, code = schema.ask.c, schema.promotion_use.c, schema.code.c
        used: dict[str, int] = {}
        for promotion in self._deals.promotions.all[:_SHOWN]:
            if promotion.kind == "discount":
                count = sa.select(sa.func.count()).where(ask.promotion == promotion.id)
            elif promotion.is_limited:
                count = sa.select(sa.func.count()).where(use.promotion == promotion.id)
            elif promotion.kind == "credits":
                count = sa.select(sa.func.count()).where(
                    code.promotion == promotion.id, code.uses > 0
                )
            else:
                continue
            used[promotion.id] = int((await self._db.fetch(count))[0][0])
        return used

    def _reduced_price_rows(self, promotion: Promotion) -> tuple[tuple[Phrase, ...], ...]:
        """Each model's price with it, for the operator alone: with the floor in it."""
        rows = []
        for model in self._catalogue.models.values():
            price = self._prices.find_current(model.id)
            if price is not None and promotion.discounts_model(model.id):
                reduced = self._deals.apply_promotion(price, promotion)
                rows.append((plain(model.name), format_price(price), format_price(reduced)))
        return tuple(rows[:_MODELS_SHOWN])

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


USAGE: Final = say(
    "Write it like this: /promo add 20% off gpt-4, claude until 2026-12-01 total 1000 each 5; or"
    " 15% bonus from 2026-12-24 for 3 days; or 50 credits code WELCOME total 500; or 50 credits"
    " codes 200; or $10 codes 100 (codes that you sell). Nothing was changed."
)
_CREDITS_MAX: Final = 10_000_000
_DAYS_MAX: Final = 3_650
_DATE: Final = r"(\d{4}-\d{1,2}-\d{1,2}(?:[ T]\d{1,2}:\d{2})?)"
#: What is taken out of the text, one after another; the rest names models.
_PART_PATTERNS: Final[Mapping[str, re.Pattern[str]]] = {
    name: re.compile(pattern, re.IGNORECASE)
    for name, pattern in {
        "off": r"\b(\d{1,3})\s*% ?off\b",
        "bonus": r"\b(\d{1,3})\s*% ?bonus\b",
        "gift": r"([\d,]{1,13})\s*credits?\b",
        "cash": r"\$\s*(\d{1,6}(?:\.\d{1,2})?)",
        "from": rf"\bfrom {_DATE}",
        "until": rf"\b(?:until|till|to) {_DATE}",
        "days": r"\b(?:for )?(\d{1,4}) ?days?\b",
        "codes": r"\bcodes ([\d,]{1,7})\b",
        "code": r"\bcode (\S{4,32})",
        "total": r"\btotal ([\d,]{1,9})\b",
        "each": r"\b(?:each|per person) ([\d,]{1,6})\b",
    }.items()
}
_FILLER: Final = re.compile(r"\b(?:on|for|and|all|models?|once)\b|[,;]", re.IGNORECASE)
_CODE_WORD: Final = re.compile(r"[A-Z0-9-]{4,32}")


@dataclass(frozen=True, slots=True)
class PromotionDraft:
    """A promotion as an admin wrote it, and the codes that it shall have: so many, or one word."""

    promotion: Promotion
    codes: int = 0
    word: str = ""
    #: Codes that are sold for this, each, and no promotion at all.
    cash: NanoUsd | None = None


def parse_draft(
    text: str, *, id_: str, catalogue: Catalogue, now_ms: int, zone: str
) -> PromotionDraft:
    """What an admin wrote; dates are days of their zone, the last one included. Raises
    `UsageError`, `UnknownModel`."""
    found, rest = _take_parts(text)
    kinds = [name for name in ("off", "bonus", "gift", "cash") if name in found]
    if len(kinds) != 1:
        raise UsageError(USAGE)
    codes, word = _parse_number(found, "codes", VOUCHERS_MAX), found.get("code", "").upper()
    if (codes and word) or (word and not _CODE_WORD.fullmatch(word)):
        raise UsageError(USAGE)
    starts_at, ends_at = _parse_span(found, now_ms, zone)
    total, each = (
        _parse_number(found, "total", TOTAL_MAX),
        _parse_number(found, "each", PER_PERSON_MAX),
    )
    promotion = Promotion(
        id=id_,
        kind="discount",
        models=frozenset(_parse_models(rest, catalogue)),
        needs_code=bool(codes or word),
        starts_at=starts_at,
        ends_at=ends_at,
        total=total,
        per_person=each,
    )
    if kinds[0] == "off":
        promotion = replace(promotion, percent=_parse_number(found, "off", DISCOUNT_MAX) or 0)
        return PromotionDraft(promotion, codes or 0, word)
    if promotion.models:
        raise UsageError(USAGE)
    if kinds[0] == "bonus":
        promotion = replace(
            promotion, kind="bonus", percent=_parse_number(found, "bonus", BONUS_MAX) or 0
        )
        return PromotionDraft(promotion, codes or 0, word)
    if not promotion.needs_code or (kinds[0] == "cash" and not codes):
        raise UsageError(USAGE)
    if kinds[0] == "cash":
        return _sold_codes_draft(found, promotion, codes or 0)
    gift = Credits(_parse_number(found, "gift", _CREDITS_MAX) or 0)
    # A word that everybody knows gives its Credits to each once, unless the admin says otherwise.
    promotion = replace(
        promotion, kind="credits", credits=gift, per_person=each or (1 if word else None)
    )
    return PromotionDraft(promotion, codes or 0, word)


def describe_promotion(promotion: Promotion, catalogue: Catalogue) -> Phrase:
    """What it brings, in a line."""
    if promotion.kind == "credits":
        return say("{credits} as a gift", credits=format_credits(promotion.credits))
    if promotion.kind == "bonus":
        return say("{percent} % more on top-ups", percent=promotion.percent)
    if not promotion.models:
        return say("{percent} % off all models", percent=promotion.percent)
    names = sorted(catalogue.get_name(id_) for id_ in promotion.models)
    return say("{percent} % off {models}", percent=promotion.percent, models=", ".join(names))


def list_promotion_terms(promotion: Promotion, now_ms: int) -> list[Phrase]:
    """From when, until when, how often."""
    lines = []
    if promotion.starts_at > now_ms:
        lines.append(say("From {at}.", at=as_datetime(promotion.starts_at)))
    if promotion.ends_at is not None:
        lines.append(say("Until {at}.", at=as_datetime(promotion.ends_at)))
    if promotion.needs_code:
        lines.append(say("By code only."))
    if promotion.total is not None:
        lines.append(
            say_count(
                "At most {count} time.",
                "At most {count} times.",
                promotion.total,
            )
        )
    if promotion.per_person == 1:
        lines.append(say("Once for each person."))
    elif promotion.per_person is not None:
        lines.append(
            say_count(
                "At most {count} time for each person.",
                "At most {count} times for each person.",
                promotion.per_person,
            )
        )
    return lines


def describe_codes(draft: PromotionDraft) -> Phrase | None:
    """Which codes are made of it."""
    if draft.cash is not None:
        return say_count(
            "{count} code of {cash}.",
            "{count} codes of {cash} each.",
            draft.codes,
            cash=format_usd(draft.cash),
        )
    if draft.codes:
        return say_count(
            "{count} code, good once.",
            "{count} codes, each good once.",
            draft.codes,
        )
    if draft.word:
        return say("The code {code}, for everyone who types it.", code=draft.word)
    return None


def _take_parts(text: str) -> tuple[dict[str, str], str]:
    """Each part by its name, and what is left of the text; raises `UsageError` for a part that
    comes twice."""
    rest = " ".join(unicodedata.normalize("NFKC", text).split())
    found = {}
    for name, pattern in _PART_PATTERNS.items():
        matched = pattern.search(rest)
        if matched is not None:
            found[name] = matched[1]
            rest = rest[: matched.start()] + " , " + rest[matched.end() :]
        if matched is not None and pattern.search(rest):
            raise UsageError(USAGE)
    return found, rest


def _parse_number(found: Mapping[str, str], name: str, most: int) -> int | None:
    """A whole number above zero; None where nothing was written."""
    if name not in found:
        return None
    digits = found[name].replace(",", "")
    if not digits.isdecimal() or not 0 < int(digits) <= most:
        raise UsageError(USAGE)
    return int(digits)


def _parse_span(found: Mapping[str, str], now_ms: int, zone: str) -> tuple[int, int | None]:
    starts_at = _parse_moment(found["from"], zone, last=False) if "from" in found else now_ms
    ends_at = _parse_moment(found["until"], zone, last=True) if "until" in found else None
    if "days" in found:
        days = _parse_number(found, "days", _DAYS_MAX) or 0
        if ends_at is not None:
            raise UsageError(USAGE)
        ends_at = starts_at + days * DAY_MS
    if ends_at is not None and ends_at <= max(starts_at, now_ms):
        raise UsageError(say("That would be over before it begins. Nothing was changed."))
    return starts_at, ends_at


def _parse_moment(text: str, zone: str, *, last: bool) -> int:
    """A time, or a day's first moment, or its `last` one."""
    day, _, clock = text.replace("T", " ").partition(" ")
    try:
        year, month, date = (int(part) for part in day.split("-"))
        hour, minute = (int(part) for part in clock.split(":")) if clock else (0, 0)
        at = datetime(year, month, date, hour, minute, tzinfo=get_zone(zone))
    except ValueError:
        raise UsageError(USAGE) from None
    return as_ms(at + timedelta(days=1)) - 1 if last and not clock else as_ms(at)


def _parse_models(rest: str, catalogue: Catalogue) -> list[str]:
    """Ids of the models that are named, divided by commas or by blanks."""
    ids = []
    for part in filter(None, (part.strip() for part in _FILLER.sub(",", rest).split(","))):
        try:
            ids.append(catalogue.find(part).id)
        except UnknownModel:
            words = part.split()
            if len(words) == 1:
                raise
            ids += [catalogue.find(word).id for word in words]
    return ids


def _sold_codes_draft(found: Mapping[str, str], promotion: Promotion, codes: int) -> PromotionDraft:
    """Codes to be sold know no terms but how many days they are good."""
    if {"from", "until", "total", "each"} & set(found):
        raise UsageError(USAGE)
    return PromotionDraft(
        replace(promotion, models=frozenset()), codes, cash=parse_usd(found["cash"])
    )
