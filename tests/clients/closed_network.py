"""A network that has nothing but loopback, for this process and those that it starts: a client that
would call home finds nobody there.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
from pathlib import Path
from typing import Final

#: From Linux's sched.h, if.h and sockios.h.
_NEW_USER, _NEW_NET = 0x10000000, 0x40000000
_UP, _SET_FLAGS = 0x1, 0x8914


def close_network() -> bool:
    """Leaves the machine's network for good; false where the system doesn't let it. Must be called
    before the process has threads."""
    # There is no way back: another process tries it first.
    tried = os.fork()
    if tried == 0:
        done = 1
        with contextlib.suppress(OSError, AttributeError):
            _leave_network()
            done = 0
        os._exit(done)
    _, status = os.waitpid(tried, 0)
    if status != 0:
        return False
    _leave_network()
    return True


def _leave_network() -> None:
    user, group = os.getuid(), os.getgid()
    unshare = ctypes.CDLL(None, use_errno=True).unshare
    # A user space of its own gives the right where the person hasn't got it.
    if unshare(_NEW_NET) != 0:
        if unshare(_NEW_USER | _NEW_NET) != 0:
            raise OSError(ctypes.get_errno(), "the network can't be left")
        _map_person(user, group)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        fcntl.ioctl(asked, _SET_FLAGS, struct.pack("16sh22x", b"lo", _UP))


def _map_person(user: int, group: int) -> None:
    process: Final = Path("/proc/self")
    (process / "setgroups").write_text("deny")
    (process / "uid_map").write_text(f"{user} {user} 1")
    (process / "gid_map").write_text(f"{group} {group} 1")
