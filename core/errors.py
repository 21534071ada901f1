"""The base of every refusal: an expected "no" that a person can cause or must hear about.

A refusal carries a stable `code` and its facts as typed fields; the edge alone turns it into a
sentence in the reader's language (`bots/locale`). Bugs are assertions, not refusals.
"""

from __future__ import annotations

from typing import ClassVar


class Refusal(Exception):
    """A request that can't be done; nothing was charged and nothing was changed."""

    #: Stable name of the case, for sentences, tests and metrics.
    code: ClassVar[str] = "refused"

    def __str__(self) -> str:
        facts = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{self.code}({facts})"
