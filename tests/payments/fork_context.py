"""Processes of payment tests that are told and tell something while they live.

Importing the product takes seconds of the processor: one process does, and they are its forks.
"""

from __future__ import annotations

import multiprocessing
from typing import Final

FORK_CONTEXT: Final = multiprocessing.get_context("forkserver")
FORK_CONTEXT.set_forkserver_preload(["tests.payments.inchat_child", "tests.payments.voucher_child"])
