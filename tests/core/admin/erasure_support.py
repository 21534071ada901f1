"""What tests of erasure share."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from core.db import schema


def _payout(person: str) -> dict[str, Any]:
    given = {"id": "out_1", "person": person, "method": "manual", "state": "approved"}
    return _filled(schema.payout, given)


def _filled(table: sa.Table, given: dict[str, Any]) -> dict[str, Any]:
    """The row with nothing in each column that isn't given."""
    nothing = {
        c.name: "" if isinstance(c.type, sa.Text) else 0 for c in table.columns if not c.nullable
    }
    return {**nothing, **given}
