"""A ledger whose rows others keep changing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from core.ledger.ledger import Ledger
from core.ledger.types import CompanionRefused, Submission


@contextlib.contextmanager
def others_change(table: str, before: str) -> Iterator[None]:
    """Meanwhile somebody is always faster at a row of a table: each submission whose id begins so
    finds it changed."""
    submit = Ledger.submit

    async def changed(ledger: Ledger, submission: Submission) -> object:
        if submission.id.startswith(before):
            raise CompanionRefused(table)
        return await submit(ledger, submission)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Ledger, "submit", changed)
        yield
