"""Pages of the sandbox's payment service, as HTML: a sum, and buttons for what can happen to it."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

_PAGE = """<!doctype html><html lang="{language}"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>
<style>
body{{font:1.05rem/1.5 system-ui,sans-serif;background:#f3f4f6;margin:0}}
main{{max-width:26rem;margin:8vh auto;background:#fff;border-radius:1rem;padding:2rem;
box-shadow:0 1px 12px #0002}}
h1{{font-size:1.1rem;margin:0 0 .3rem}} .sum{{font-size:2.2rem;font-weight:600;margin:.2rem 0 1rem}}
.note{{background:#fff7d6;border-radius:.5rem;padding:.6rem .8rem;font-size:.9rem}}
button{{font:inherit;width:100%;padding:.7rem;margin:.4rem 0 0;border:1px solid #ccc;
border-radius:.6rem;background:#fff;cursor:pointer}}
button.first{{background:#1f6feb;border-color:#1f6feb;color:#fff}}
table{{width:100%;font-size:.9rem;border-collapse:collapse;margin-top:1rem}}
td{{padding:.25rem 0;border-top:1px solid #eee}} td:last-child{{text-align:right}}
</style><main><h1>{heading}</h1><p class="sum">${dollars}</p>
{notes}
<p id="state">{state}</p>{inner}</main>"""
_NOTE = '<p class="note">{}</p>'
_BUTTON = (
    '<form method="post" action="{path}/{act}"><button class="{look}" id="{act}">{label}'
    "</button></form>"
)


def render_page(
    title: str,
    *,
    heading: str,
    cents: int,
    notes: Iterable[str],
    state: str,
    inner: str,
    language: str = "en",
) -> str:
    """A page about a sum; `inner` is HTML."""
    return _PAGE.format(
        language=escape(language),
        title=escape(title),
        heading=escape(heading),
        dollars=format_cents(cents),
        notes="".join(_NOTE.format(escape(note)) for note in notes),
        state=escape(state),
        inner=inner,
    )


def format_cents(cents: int) -> str:
    """`1,234.50`."""
    return f"{cents // 100:,}.{cents % 100:02}"


def render_buttons(path: str, labels: Iterable[tuple[str, str]]) -> str:
    """A button for each act and its label, which posts to `path` with the act below it; the first
    one stands out."""
    return "".join(
        _BUTTON.format(path=path, act=act, label=escape(label), look="" if number else "first")
        for number, (act, label) in enumerate(labels)
    )
