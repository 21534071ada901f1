"""What tests of setprice share."""

from __future__ import annotations

import json

import sqlalchemy as sa

from core.db import schema
from tests.peers.suppliers import Answer as Says, Used
from tests.support.service import Service

LONG = Says("word " * 500, usage=Used(1_000, 500))


QUESTION = "/ask gpt-4 " + "why " * 990


def rate(owner: Service, model: str = "gpt-4") -> int:
    price = owner.app.services.pricing.prices.find_current(model)
    assert price is not None
    return price.input_rate.units


async def acts(owner: Service) -> list[tuple[str, dict[str, object]]]:
    log = schema.admin_log.c
    rows = await owner.app.services.base.db.fetch(sa.select(log.act, log.after).order_by(log.id))
    return [(row.act, json.loads(row.after)) for row in rows]
