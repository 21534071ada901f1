"""Fixtures that every test may use."""

from __future__ import annotations

import functools
import gc
import os
import shutil
import ssl
import tempfile
import zlib
from collections.abc import Generator
from pathlib import Path

import hypothesis
import pytest

from tests.support.compiled_statements import share_built_statements
from tests.support.databases import (
    clock,
    database_url,
    ledger,
    postgres,
    postgres_template,
    postgres_url,
    sqlite_template,
    sqlite_url,
    store,
)
from tests.support.size import size
from tests.support.waiting_readers import start_without_waiting

__all__ = [
    "clock",
    "database_url",
    "ledger",
    "postgres",
    "postgres_template",
    "postgres_url",
    "sqlite_template",
    "sqlite_url",
    "store",
]

#: A file system in memory, as Linux has it.
_MEMORY = Path("/dev/shm")
_MEMORY_BYTES_MIN = 4 << 30


def _use_memory() -> None:
    """Temporary folders are in memory where that is large and nobody names another place: no test
    cuts the power, and a flush of each commit to a disk takes longer than what is tested."""
    if os.environ.get("TMPDIR") or not os.access(_MEMORY, os.W_OK | os.X_OK):
        return
    if shutil.disk_usage(_MEMORY).free >= _MEMORY_BYTES_MIN:
        os.environ["TMPDIR"] = str(_MEMORY)
        tempfile.tempdir = None


#: A machine that has much else to do is no fault of what is tested.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")
_use_memory()
start_without_waiting()
share_built_statements()
# Whom certificates are to be from takes 30 ms to read, for each client of each test anew.
ssl.create_default_context = functools.cache(ssl.create_default_context)
#: Whoever needs one of these needs a database.
_DATABASES = frozenset(__all__) - {"clock"}
#: Whoever reads files starts the processes that read them.
_PROCESSES = frozenset(("files",))
_SYSTEM = "tests/system/"
#: Where statements differ between the two kinds of database, or processes die.
_ON_BOTH = ("tests/core/ledger/", "tests/core/db/", _SYSTEM)
_KINDS = ("sqlite", "postgresql")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays to the end: nothing looks for waste among it, neither then, which
    takes a tenth of the time, nor later. Among what tests leave it is looked for less often than
    usual: half of what looking took, and no more memory."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks each test by what it needs: whole processes or a database (where its folder or its
    fixtures show it), or neither; others say so themselves. Orders them backwards: tests of the
    whole system are the longest, and a long one that begins last is waited for while other
    processors have nothing to do."""
    for item in items:
        if item.get_closest_marker("integration") or item.get_closest_marker("system"):
            continue
        fixtures = getattr(item, "fixturenames", ())
        if item.nodeid.startswith(_SYSTEM) or _PROCESSES.intersection(fixtures):
            item.add_marker("system")
        elif _DATABASES.intersection(fixtures):
            item.add_marker("integration")
        else:
            item.add_marker("unit")
    items.sort(key=lambda item: item.nodeid.partition("::")[0].split("/"), reverse=True)
    if config.args == config.getini("testpaths") and size(small=1, full=2) == 1:
        run = [item for item in items if _runs_at_small_size(item)]
        kept = frozenset(run)
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = run


def _runs_at_small_size(item: pytest.Item) -> bool:
    """Above the store one kind of database a test will do, by its name; `make soak`, and tests that
    are named on the command line, run on both."""
    spec = getattr(item, "callspec", None)
    kind = spec.params.get("database_url") if spec else None
    if kind not in _KINDS or item.nodeid.startswith(_ON_BOTH):
        return True
    name = item.nodeid.replace(kind, "")
    return kind == _KINDS[zlib.crc32(name.encode()) % 2]
