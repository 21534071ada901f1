"""How prices, their margins and their changes read; only an owner reads margins."""

from __future__ import annotations

from bots.chat.reply import Said, plain, say
from bots.commands.text import price_line
from core.clock import as_datetime
from core.pricing.catalogue import Model
from core.pricing.prices import Price
from core.repricing.margins import Ground


def percent(margin: int | None) -> str:
    """`+66 %`, `−21 %`, `0 %`; a dash where it is unknown."""
    if margin is None:
        return "–"
    return f"{margin:+,} %".replace("-", "−") if margin else "0 %"


def changed_words(model: Model, old: Price | None, new: Price, *, now_ms: int) -> Said:
    """What a model costs, from when on, and what it cost before."""
    if new.effective_at > now_ms:
        return say(
            "{model}: {new} from {time} on (until then: {old})",
            model=model.name,
            new=price_line(new),
            old=price_line(old) if old is not None else plain("–"),
            time=as_datetime(new.effective_at),
        )
    if old is None:
        return say("{model}: {new}", model=model.name, new=price_line(new))
    return say(
        "{model}: {new} (before: {old})",
        model=model.name,
        new=price_line(new),
        old=price_line(old),
    )


def margin_words(ground: Ground, new: Price, old: Price | None) -> list[Said]:
    """Profit on cost at par by the usual mix, and by the real one where people asked."""
    if not ground.levels:
        return [say("No supplier's cost is known for {model}.", model=ground.model.name)]
    levels = ground.levels
    before = percent(ground.usual.margin(old, levels)) if old is not None else "–"
    lines = [
        say(
            "Profit on cost at the usual mix: {percent} (before: {before})",
            percent=percent(ground.usual.margin(new, levels)),
            before=before,
        )
    ]
    if ground.real is not None:
        before = percent(ground.real.margin(old, levels)) if old is not None else "–"
        lines.append(
            say(
                "On the real mix of the last 30 days ({answers} answers): {percent} (before:"
                " {before})",
                answers=ground.real.answers,
                percent=percent(ground.real.margin(new, levels)),
                before=before,
            )
        )
    return lines


def ground_words(ground: Ground, price: Price) -> list[Said]:
    """Profit on cost of a price that holds, by both mixes."""
    lines = [
        say(
            "Profit on cost at the usual mix: {percent}",
            percent=percent(ground.usual.margin(price, ground.levels)),
        )
    ]
    if ground.real is not None:
        lines.append(
            say(
                "On the real mix of the last 30 days ({answers} answers): {percent}",
                answers=ground.real.answers,
                percent=percent(ground.real.margin(price, ground.levels)),
            )
        )
    return lines


def short_price(price: Price) -> Said:
    """`5`, `5 · 15`, `2/min`."""
    if price.per == "second":
        return plain(f"{price.per_minute()}/min")
    inward, outward = price.per_1k()
    return plain(inward if inward == outward else f"{inward} · {outward}")
