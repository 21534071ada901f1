"""Memory after start-up: what nothing uses goes back to the machine, what stays is left alone."""

from __future__ import annotations

import ctypes
import gc
import sys


def give_back() -> None:
    """Asks glibc to return freed pages: reading the price package leaves about 20 MB of them.

    What is left (modules, catalogue, prices) lives as long as the process; the collector no longer
    walks it, for each walk stops every answer for tens of milliseconds. Elsewhere than on Linux
    with glibc nothing is returned.
    """
    gc.collect()
    gc.freeze()
    if sys.platform != "linux":
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
