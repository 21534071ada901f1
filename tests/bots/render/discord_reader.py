"""Reads Discord's markup as its apps do, independent of what writes it: text, links, code."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

#: In the order in which they are tried: fenced code, escapes, code in a line, links, marks.
_RULES = re.compile(
    r"```(?:(?P<language>[a-z0-9_+\-.#]+)\n|\n)(?P<fenced>.*?)\n?```"
    r"|\\(?P<escaped>[^0-9A-Za-z\s])"
    r"|(?P<ticks>`+)(?P<code>.*?[^`])(?P=ticks)(?!`)"
    r"|<(?P<link>https?://[^ >]+)>"
    r"|(?P<bare>https?://[^\s<]+[^<.,:;\"')\]\s])"
    r"|(?P<mark>\*\*|\*|~~|__|_)"
    r"|(?P<quote>^> )"
    r"|(?P<acting>^#{1,3} |^-# |<[@#:][^>]*>|@everyone|@here|\|\||\[[^\]]*\]\([^)]*\))",
    re.DOTALL | re.MULTILINE,
)


@dataclass
class ReadMessage:
    """A message as it is read: what is seen, its links, its code, and what else acts."""

    text: str = ""
    links: list[str] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    acting: list[str] = field(default_factory=list)


def read_message(source: str) -> ReadMessage:
    """What a person sees of a message."""
    read, at, parts = ReadMessage(), 0, []
    for found in _RULES.finditer(source):
        parts.append(source[at : found.start()])
        at = found.end()
        kind = found.lastgroup
        if (fenced := found["fenced"]) is not None:
            read.codes.append(fenced)
            parts.append(fenced)
        elif (code := found["code"]) is not None:
            code = re.sub(r"^ (?= *`)|(?<=`) $", "", code)
            read.codes.append(code)
            parts.append(code)
        elif (link := found["link"] or found["bare"]) is not None:
            read.links.append(link)
            parts.append(link)
        elif (escaped := found["escaped"]) is not None:
            parts.append(escaped)
        elif kind == "acting":
            read.acting.append(found.group())
            parts.append(found.group())
    read.text = "".join([*parts, source[at:]])
    return read
