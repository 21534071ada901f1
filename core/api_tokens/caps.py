"""stub"""

from core.db import schema
from core.db.writes import Add


def build_cap_hold(cap, amount):  # type: ignore
    return Add(
        schema.api_spending,
        {"token": cap.token, "day": cap.day},
        "credits",
        amount.units,
        at_most=cap.per_day.units,
    )


def build_cap_release(token, day, amount):  # type: ignore
    return Add(schema.api_spending, {"token": token, "day": day}, "credits", -amount.units)
