"""The base of every refusal: an expected "no" that a person can cause or must hear about; and how
any failure is told in logs, where an exception's message may quote a prompt, a key or an address.

A refusal carries a stable `code` and its facts as typed fields; the edge alone turns it into a
sentence in the reader's language (`bots/locale`). Bugs are assertions, not refusals.
"""

from __future__ import annotations

import traceback
from pathlib import PurePath
from typing import ClassVar


class Refusal(Exception):
    """A request that can't be done; nothing was charged and nothing was changed."""

    #: Stable name of the case, for sentences, tests and metrics.
    code: ClassVar[str] = "refused"

    def __str__(self) -> str:
        facts = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{self.code}({facts})"


_FRAMES = 4


def cause(failure: BaseException) -> str:
    """What failed and where, without its message: `KeyError at road.py:12 < runs.py:80`."""
    frames = traceback.extract_tb(failure.__traceback__)[-_FRAMES:]
    places = " < ".join(
        f"{PurePath(frame.filename).name}:{frame.lineno}" for frame in reversed(frames)
    )
    return f"{type(failure).__name__} at {places or 'no frame'}"
