"""Tests of whole processes; what their helpers assert is told as fully as what tests assert."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.service", "tests.system.crash_world")
pytest.register_assert_rewrite("tests.system.processes_books", "tests.system.processes_driver")
