"""The owner's desk: reports and what they ask for, grants, the log of what admins did."""

from __future__ import annotations

from core.desk.actions import Advice, Adviser, Cheaper, RaisePrice, RunsOut
from core.desk.dossier import Dossier, Dossiers
from core.desk.erasing import Erasing, NotErasable, Stakes
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
    "Dossier",
    "Dossiers",
    "Erasing",
    "Facts",
    "NotErasable",
    "Period",
    "RaisePrice",
    "Report",
    "Risk",
    "RunsOut",
    "Sold",
    "Solvency",
    "Stakes",
    "Standing",
    "daily",
    "grant",
    "logged",
    "report",
    "report_snapshot",
    "risk_of",
    "standing",
]
