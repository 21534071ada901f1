"""What a process that reads a stranger's file takes from itself before it does: resources, the
network, a place before the service. Nothing but the standard library: such a process starts once a
file.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import time
from pathlib import Path
from typing import Final

_NICE: Final = 10
#: A third of what the service's group gets where processors are short: with less, honest files
#: would meet the clock.
_GROUP_NICE: Final = 5
_AUTOGROUP: Final = Path("/proc/self/autogroup")
_GROUP_TRIES: Final = 3
_GROUP_PAUSE_SECONDS: Final = 0.1
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


def lower_priority() -> None:
    """Behind whatever the service does. A process of its own session is of a group of its own, to
    Linux, which shares the processors with the service's group alike: that has a priority, too."""
    os.nice(_NICE)
    for _ in range(_GROUP_TRIES):
        try:
            _AUTOGROUP.write_text(str(_GROUP_NICE))
        except BlockingIOError:  # it takes one in a tenth of a second, of ordinary users
            time.sleep(_GROUP_PAUSE_SECONDS)
        except OSError:  # there are no such groups
            return
        else:
            return
