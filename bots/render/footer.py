"""The footer of an answer: what it cost. Only we may write a line that looks like one."""

from __future__ import annotations

import re
from typing import Final

from bots.render.sanitize import one_line

#: How every footer begins, and no line of a model's text.
FOOTER_MARK: Final = "◈"

#: Signs that could be taken for the mark.
_LIKE: Final = "◈◇◆❖⟐◊⬖⬗⬘⬙⬥⬦⯁⯂🔷🔶🔸🔹💠⧫⬨⬧⋄♦♢"
_FORGED: Final = re.compile(rf"^([^\w\n]*?)[{_LIKE}]", re.MULTILINE)


def footer_lines(footer: str) -> str:
    """The footer as shown, each of its lines marked."""
    lines = (one_line(line) for line in footer.splitlines())
    return "\n".join(f"{FOOTER_MARK} {line}" for line in lines if line)


def unforged(text: str) -> str:
    """The text with no line that begins like a footer; as long as before."""
    while _FORGED.search(text):
        text = _FORGED.sub(r"\1·", text)
    return text
