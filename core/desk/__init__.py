"""The owner's desk: reports and what they ask for, grants, the log of what admins did."""

from __future__ import annotations

from core.desk.actions import Advice, Adviser, Cheaper, RaisePrice, RunsOut
from core.desk.alerts import ALERT, MUTE_HOURS, Alerts
from core.desk.broadcasting import (
    BROADCAST,
    ROUND_SECONDS,
    WAITING_MOST,
    Broadcast,
    BroadcastRuns,
    Broadcasts,
)
from core.desk.dossier import Dossier, Dossiers
from core.desk.erasing import Erasing, NotErasable, Stakes
from core.desk.grants import grant
from core.desk.log import Facts, logged
from core.desk.lookout import Figures, Lookout
from core.desk.report import Cash, Cost, Day, Report, Sold, Solvency, daily, report, report_snapshot
from core.desk.risk import Asker, Risk, risk_of
from core.desk.standing import Period, Standing, standing

__all__ = [
    "ALERT",
    "BROADCAST",
    "MUTE_HOURS",
    "ROUND_SECONDS",
    "WAITING_MOST",
    "Advice",
    "Adviser",
    "Alerts",
    "Asker",
    "Broadcast",
    "BroadcastRuns",
    "Broadcasts",
    "Cash",
    "Cheaper",
    "Cost",
    "Day",
    "Dossier",
    "Dossiers",
    "Erasing",
    "Facts",
    "Figures",
    "Lookout",
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
