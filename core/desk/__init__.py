"""The owner's desk: reports and what they ask for, grants, the log of what admins did."""

from __future__ import annotations

from core.desk.actions import Advice, Adviser, Cheaper, RaisePrice, RunsOut
from core.desk.grants import grant
from core.desk.log import Facts, logged
from core.desk.report import Cash, Cost, Day, Report, Sold, Solvency, daily, report, report_snapshot
from core.desk.risk import Asker, Risk, risk_of
from core.desk.standing import Period, Standing, standing

__all__ = [
    "Advice",
    "Adviser",
    "Asker",
    "Cash",
    "Cheaper",
    "Cost",
    "Day",
    "Facts",
    "Period",
    "RaisePrice",
    "Report",
    "Risk",
    "RunsOut",
    "Sold",
    "Solvency",
    "Standing",
    "daily",
    "grant",
    "logged",
    "report",
    "report_snapshot",
    "risk_of",
    "standing",
]
