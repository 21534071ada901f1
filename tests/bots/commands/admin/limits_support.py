"""What tests of limits share."""

from __future__ import annotations

import sqlalchemy as sa

from core.db import schema
from tests.support.service import Service


async def acts(owner: Service) -> list[str]:
    rows = await owner.app.services.base.db.fetch(
        sa.select(schema.admin_log.c.act).order_by(schema.admin_log.c.id)
    )
    return [row.act for row in rows]
