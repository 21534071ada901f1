"""The server that forks the services of system tests, by
`python -m tests.system.processes_fork_server`.

Importing the product takes two seconds of processor time; a test that kills fifty processes would
spend its life there. So one process imports and does nothing else: no thread, no event loop, no
connection. For each line on stdin, the path of a socket, it forks, and the child alone becomes a
service and speaks to the test over that socket. Each is a process of its own that a SIGKILL ends
like any other.
"""

from __future__ import annotations

import os
import signal
import sys
import warnings

from core.pricing import token_counter
from tests.system import processes_child


def main() -> None:
    # The brief's gpt-4 counts by these ranks: read once, for all children.
    token_counter._COUNTER._count("cl100k", ["warm"])
    # Who dies is not waited for.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            status = 1
            try:
                processes_child.main(line.rstrip("\n"))
                status = 0
            finally:
                sys.stderr.flush()
                os._exit(status)


if __name__ == "__main__":
    warnings.simplefilter("error")
    main()
