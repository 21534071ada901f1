"""What a process that reads a stranger's file takes from itself before it does: resources and the
network.

Nothing but the standard library is imported: such a process starts once a file.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
from typing import Final

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
