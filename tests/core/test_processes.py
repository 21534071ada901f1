"""A process that ended is known to have, by whoever runs on the same machine."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from core.processes import is_process_gone, make_process_id

NAME = "from core.processes import make_process_id; print(make_process_id(0), flush=True); input()"


@pytest.mark.system
def test_a_process_is_gone_once_it_ended_and_not_before() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", NAME], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        name = other.stdout.readline().strip()
        assert not is_process_gone(name)
        other.kill()
        # Also before anybody asked how it ended.
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
        assert is_process_gone(name)
    assert is_process_gone(name)


def test_who_took_its_number_is_another() -> None:
    own = make_process_id(0)
    assert not is_process_gone(own)
    head, _, begun = own.rpartition(".")
    assert is_process_gone(f"{head}.{int(begun) - 1}")


def test_of_a_process_elsewhere_nothing_is_known() -> None:
    own = make_process_id(0)
    name, _, sign = own.rpartition("/")
    machine, pid, begun = sign.split(".")
    assert not is_process_gone(f"{name}/{machine[::-1]}x.{pid}.1")
    for unknown in ("", "gone", "p1", name, f"{name}/", f"{name}/{machine}", f"x/{machine}.1."):
        assert not is_process_gone(unknown)
    assert begun.isdecimal()
