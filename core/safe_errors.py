"""What went wrong, fit for logs: an exception's message may quote a prompt, a key or an address."""

from __future__ import annotations

import traceback
from pathlib import PurePath

_FRAMES = 4


def cause(failure: BaseException) -> str:
    """What failed and where, without its message: `KeyError at road.py:12 < runs.py:80`."""
    frames = traceback.extract_tb(failure.__traceback__)[-_FRAMES:]
    places = " < ".join(
        f"{PurePath(frame.filename).name}:{frame.lineno}" for frame in reversed(frames)
    )
    return f"{type(failure).__name__} at {places or 'no frame'}"
