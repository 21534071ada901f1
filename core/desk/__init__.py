"""The owner's desk: reports and what they ask for, grants, the log of what admins did."""

from __future__ import annotations

from core.desk.actions import Advice, Adviser, Cheaper, RaisePrice, RunsOut
from core.desk.grants import grant
from core.desk.log import Facts, logged
from core.desk.margins import MIX_DAYS, Ground, Margins, Mixes
from core.desk.report import Cash, Cost, Day, Report, Sold, Solvency, daily, report, report_snapshot
from core.desk.repricing import Change, NotUndone, Repricing
from core.desk.risk import Asker, Risk, risk_of
from core.desk.standing import Period, Standing, standing
from core.desk.suggestions import AUTOMATIC, Suggestion, Suggestions

__all__ = [
    "AUTOMATIC",
    "MIX_DAYS",
    "Advice",
    "Adviser",
    "Asker",
    "Cash",
    "Change",
    "Cheaper",
    "Cost",
    "Day",
    "Facts",
    "Ground",
    "Margins",
    "Mixes",
    "NotUndone",
    "Period",
    "RaisePrice",
    "Report",
    "Repricing",
    "Risk",
    "RunsOut",
    "Sold",
    "Solvency",
    "Standing",
    "Suggestion",
    "Suggestions",
    "daily",
    "grant",
    "logged",
    "report",
    "report_snapshot",
    "risk_of",
    "standing",
]
