"""How suppliers' changes read to an admin, and how long one is absorbed. Dollars show here."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from bots.chat.reply import Choice, Reply, Said, say
from bots.commands.price_words import percent
from bots.commands.text import money, price_line
from core.clock import as_datetime, as_ms
from core.money import NanoUsd, usd
from core.pricing.answers import Pair
from core.pricing.catalogue import Model
from core.pricing.levels import AS_LISTED, Level
from core.pricing.source import PriceData
from core.repricing.supplier_changes import CostChange, Kind, Offer

_LENGTH: Final = re.compile(r"(\d{1,3})d")
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")
_DOLLARS: Final = re.compile(r"\$(\d{1,7}(?:\.\d{1,2})?)")
_DAYS_MOST: Final = 366
#: What the card of absorbing offers.
_DAYS: Final = (7, 30, 90)
_CAPS: Final = ("10", "100", "1000")


def change_card(offer: Offer) -> Reply:
    """What moved, what it does, and the three answers."""
    change, model, now = offer.change, offer.model, offer.now
    lines = [level_words(model, change.old, change.new)]
    if change.old.real != change.new.real:
        real = say(
            "Calls came to {old} of the list, and come to {new} now.",
            old=_real(change.old),
            new=_real(change.new),
        )
        lines.append(real)
    if change.why == "again":
        lines.append(say("It was absorbed until now: its time is over, or its cap is reached."))
    lines += [
        say(
            "{model} is sold at {price}. Profit on cost: {before} before, {after} now.",
            model=model.name,
            price=price_line(now),
            before=percent(offer.before),
            after=percent(offer.margin()),
        ),
        say("By the real mix of the last 30 days: {answers} answers.", answers=offer.mix.answers)
        if offer.mix.real
        else say("By the usual mix: nobody asked it there lately."),
        say("No price moves until you choose."),
    ]
    return Reply(
        title=title(change, model, dearer=offer.answers.dearer),
        lines=tuple(lines),
        choices=_choices(offer),
        private=True,
    )


def title(change: CostChange, model: Model, *, dearer: bool) -> Said:
    """`openai: GPT-4 Turbo costs more`."""
    if dearer:
        return say("{supplier}: {model} costs more", supplier=change.provider, model=model.name)
    return say("{supplier}: {model} costs less", supplier=change.provider, model=model.name)


def _choices(offer: Offer) -> tuple[tuple[Choice, ...], ...]:
    passed, shared = offer.answers.passed, offer.answers.shared
    rows = []
    if passed is not None:
        label = say("Pass on: {price} ({percent})", **_at(offer, passed))
        rows.append((_decides(offer, "passed", passed, label),))
    if shared is not None:
        label = say("Share: {price} ({percent})", **_at(offer, shared))
        rows.append((_decides(offer, "shared", shared, label),))
    if offer.answers.dearer:
        stay = say("Absorb: stay at {price} ({percent})", **_at(offer, None))
        rows.append((Choice(stay, "supplier-absorb", _about(offer)),))
    else:
        stay = say("Keep: stay at {price} ({percent})", **_at(offer, None))
        rows.append((Choice(stay, "supplier-keep", _about(offer)),))
    return tuple(rows)


def _at(offer: Offer, rates: Pair | None) -> dict[str, str | Said]:
    """A price and its margin."""
    price = offer.now if rates is None else offer.priced(rates)
    return {"price": price_line(price), "percent": percent(offer.margin(rates))}


def _decides(offer: Offer, kind: Kind, rates: Pair, label: Said) -> Choice:
    shown = {"kind": kind, "inward": rates[0].units, "outward": rates[1].units}
    return Choice(label, "supplier-decide", {**_about(offer), **shown})


def _about(offer: Offer) -> dict[str, str | int]:
    return {"change": offer.change.id, "version": offer.change.version}


def absorb_card(offer: Offer) -> Reply:
    """Until when, or up to which loss."""
    data, back = _about(offer), Choice(say("‹ Back"), "supplier-change", _about(offer))
    days = tuple(
        Choice(say("{count} days", count=count), "supplier-keep", {**data, "ends": f"{count}d"})
        for count in _DAYS
    )
    caps = tuple(
        Choice(
            say("until {cash} are lost", cash=f"${int(cap):,}"),
            "supplier-keep",
            {**data, "ends": f"${cap}"},
        )
        for cap in _CAPS
    )
    return Reply(
        title=say("Absorb: {model}", model=offer.model.name),
        lines=(
            say("For how long, or up to which loss? Then you are asked again."),
            say(
                "Lost is what the supplier takes more than before the change. By hand: /suppliers"
                " absorb {model} 14d, or $25, or 2026-03-31.",
                model=offer.model.id,
            ),
        ),
        choices=(
            days,
            caps,
            (back,),
        ),
        private=True,
    )


def ends(text: str, now_ms: int) -> tuple[int | None, NanoUsd | None]:
    """`14d`, `2026-03-31` (that day included, UTC) or `$25`: a time, or a loss. Raises
    ValueError."""
    if dollars := _DOLLARS.fullmatch(text):
        cap = usd(dollars[1])
        if cap.is_zero:
            raise ValueError(text)
        return None, cap
    now = as_datetime(now_ms)
    if length := _LENGTH.fullmatch(text):
        until = now + timedelta(days=int(length[1]))
    elif _DAY.fullmatch(text):
        until = datetime.fromisoformat(text).replace(tzinfo=UTC) + timedelta(days=1)
    else:
        raise ValueError(text)
    if not now < until <= now + timedelta(days=_DAYS_MOST):
        raise ValueError(text)
    return as_ms(until), None


def absorbed_words(change: CostChange, model: str) -> Said:
    """How long one that is absorbed still is."""
    if change.cap is not None:
        return say(
            "{supplier}: {model}: absorbed until {cap} are lost; {lost} so far.",
            supplier=change.provider,
            model=model,
            cap=money(change.cap),
            lost=money(change.lost),
        )
    return say(
        "{supplier}: {model}: absorbed until {time}.",
        supplier=change.provider,
        model=model,
        time=as_datetime(change.until or 0),
    )


def level_words(model: Model, old: Level, new: Level) -> Said:
    """What the supplier took and takes."""
    if model.per == "second":
        return say(
            "Supplier: {old} → {new} a minute",
            old=_minute(old.second),
            new=_minute(new.second),
        )
    return say(
        "Supplier, per 1M tokens: in {old_in} → {new_in}, cached {old_cached} → {new_cached}, out"
        " {old_out} → {new_out}",
        old_in=_dollars(old.input),
        new_in=_dollars(new.input),
        old_cached=_dollars(old.cached),
        new_cached=_dollars(new.cached),
        old_out=_dollars(old.output),
        new_out=_dollars(new.output),
    )


def data_words(data: PriceData) -> Said:
    """How old what is known of suppliers' lists is."""
    if data.fetched_at is not None:
        return say(
            "Lists: genai-prices, fetched at {time}.",
            time=as_datetime(data.fetched_at),
        )
    if data.days is None:
        return say("Lists: genai-prices {version}.", version=data.version)
    return say(
        "Lists: genai-prices {version}, at most {days} days old.",
        version=data.version,
        days=data.days,
    )


def _dollars(micro: int) -> str:
    """Millionths of a dollar, exactly: a pico-dollar a token is one per million tokens."""
    whole, rest = divmod(micro, 1_000_000)
    return f"${whole:,}.{rest:06}".rstrip("0").rstrip(".")


def _minute(pico: int) -> str:
    return _dollars((pico * 60 + 500_000) // 1_000_000)


def _real(level: Level) -> str:
    return f"{level.real * 100 // AS_LISTED} %"


def shown_rates(data: tuple[int, int], offered: Pair | None) -> bool:
    """Whether a button still offers what it showed."""
    return offered is not None and (offered[0].units, offered[1].units) == data
