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
    user, group = os.getuid(), os.getgid()
    unshare = getattr(ctypes.CDLL(None, use_errno=True), "unshare", None)
    if unshare is None:  # no Linux
        return False
    # A user space of its own gives the right where the person hasn't got it.
    if unshare(_NEW_NET) != 0:
        if unshare(_NEW_USER | _NEW_NET) != 0:
            return False
        with contextlib.suppress(OSError):
            _map_person(user, group)
    _raise_loopback()
    return True


def _map_person(user: int, group: int) -> None:
    process: Final = Path("/proc/self")
    (process / "setgroups").write_text("deny")
    (process / "uid_map").write_text(f"{user} {user} 1")
    (process / "gid_map").write_text(f"{group} {group} 1")


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        fcntl.ioctl(asked, _SET_FLAGS, struct.pack("16sh22x", b"lo", _UP))
