"""Tests mirror the source. What the helpers among them assert is explained like a test's own."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(
    "tests.support.databases",
    "tests.support.service",
    "tests.system.crash_world",
    "tests.system.processes_books",
    "tests.system.processes_driver",
)
