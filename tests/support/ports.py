"""Ports that a server of a test's may be given by number."""

from __future__ import annotations

import random
import socket
from contextlib import suppress

#: Below the range from which the kernel gives outgoing connections theirs: a port from in there,
#: free while a service is killed and started again, may be somebody's connection by then.
_RANGE = range(20_000, 32_000)


def find_free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on."""
    chance = random.SystemRandom()
    for port in chance.sample(_RANGE, 100):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("of a hundred ports none is free")
