"""What a child process has open of its parent's."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def list_inherited(pid: int) -> list[str]:
    """What a process has open beside its three pipes and what Python itself reads while it
    starts."""
    found = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(descriptor)
        except FileNotFoundError:  # closed meanwhile
            continue
        is_own = target.startswith((sys.prefix, sys.base_prefix, str(Path.cwd())))
        if int(descriptor.name) > 2 and not is_own:
            found.append(target)
    return found


def read_environment(pid: int) -> bytes:
    """The environment that a process was started with."""
    return Path(f"/proc/{pid}/environ").read_bytes()
