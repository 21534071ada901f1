"""What a process that reads a stranger's file takes from itself before it does: resources, the
network, a place before the service.

Nothing but the standard library is imported: such a process starts once a file.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from typing import Final

#: Where there is no idle priority.
_NICE: Final = 19
#: A tenth of a processor that somebody else wants the whole time.
_URGENT_NICE: Final = 10
#: `unshare(2)`: a user namespace, which an ordinary user may make, and in it one without a network.
_NO_NETWORK: Final = 0x10000000 | 0x40000000


def limit_resources(*, memory_bytes: int, cpu_seconds: int, descriptors: int) -> None:
    """Bounds memory, time of the processor and open files, and forbids to write any; what is
    bounded lower already stays so. Does nothing where systems have no such bounds."""
    if sys.platform == "win32":
        return
    import resource

    limits = {
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_CPU: cpu_seconds,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: descriptors,
    }
    for which, most in limits.items():
        hard = resource.getrlimit(which)[1]
        limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(which, (limit, limit))


def leave_network() -> None:
    """Has no network from then on, where the kernel lets it part with that."""
    with contextlib.suppress(OSError, AttributeError):  # where there is no such call
        ctypes.CDLL(None).unshare(_NO_NETWORK)


def lower_priority(*, is_urgent: bool = False) -> None:
    """Behind whatever the service does: it has the processor where nobody else wants it, and gives
    it up at once (`sched(7)`, SCHED_IDLE). What `is_urgent` has a tenth of it, whoever wants it.

    It must be of the service's own session for that: Linux shares the processors between sessions
    first. With a lower priority alone (`nice`), as a session of its own, two such processes on two
    processors let people wait four to six times as long as without them (the 99th percentile of
    `benchmarks/bombs.py`), and twice as long at the median.
    """
    if is_urgent:
        os.nice(_URGENT_NICE)
        return
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # where a container forbids it
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
            return
    os.nice(_NICE)
