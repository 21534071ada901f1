"""The one setting that scales heavy tests: `make test` runs them small, `make soak` full."""

from __future__ import annotations

import os


def size(*, small: int, full: int) -> int:
    """How often or how many, by CREDITBOT_TEST_SIZE (`small` unless told `full`)."""
    return full if os.environ.get("CREDITBOT_TEST_SIZE") == "full" else small
