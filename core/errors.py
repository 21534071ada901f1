"""The base class of refusals, and how failures are described in logs.

A refusal is an expected "no" that a person can cause or must hear about. It carries a stable `code`
and its facts as typed fields; `bots` alone turns it into a sentence in the reader's language. Bugs
are assertions, not refusals.
"""

from __future__ import annotations

import traceback
from pathlib import PurePath
from typing import ClassVar

#: What somebody typed is repeated to them, but not at any length, in characters.
REPEATED_LENGTH_MAX = 40


class Refusal(Exception):
    """A request can't be carried out; nothing was charged and nothing was changed."""

    #: The case's stable name, for sentences, tests and metrics.
    code: ClassVar[str] = "refused"

    def __str__(self) -> str:
        facts = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{self.code}({facts})"


_FRAMES_MAX = 4


def describe_failure(failure: BaseException) -> str:
    """What failed and where: `KeyError at service.py:12 < run.py:80`. The exception's message is
    left out, for it may quote a prompt, a key or an address."""
    frames = traceback.extract_tb(failure.__traceback__)[-_FRAMES_MAX:]
    places = " < ".join(
        f"{PurePath(frame.filename).name}:{frame.lineno}" for frame in reversed(frames)
    )
    return f"{type(failure).__name__} at {places or 'no frame'}"
