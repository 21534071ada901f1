"""The owner's desk: reports and what they ask for, grants, the log of what admins did."""

from __future__ import annotations

from core.desk.actions import Advice, Adviser, Cheaper, RaisePrice, RunsOut
from core.desk.alerts import ALERT, MUTE_HOURS, Alerts
from core.desk.automatic import BOUND_MOST, Automatic, Pace
from core.desk.broadcasting import (
    BROADCAST,
    ROUND_SECONDS,
    WAITING_MOST,
    Broadcast,
    BroadcastRuns,
    Broadcasts,
)
from core.desk.changes import COST_CHANGED, Changes, CostChange, Decided, Kind, Offer
from core.desk.demands import Demands
from core.desk.dossier import Dossier, Dossiers
from core.desk.economy import PLAYED, Economy, Farm, Lowering, Trade, Way, farms, offered, trades
from core.desk.erasing import Erasing, NotErasable, Stakes
from core.desk.grants import grant
from core.desk.log import Facts, logged
from core.desk.lookout import Figures, Lookout
from core.desk.margins import MIX_DAYS, Ground, Margins, Mixes
from core.desk.overrides import Overrides
from core.desk.price_news import PRICE_CHANGED, PriceNews
from core.desk.report import Cash, Cost, Day, Report, Sold, Solvency, daily, report, report_snapshot
from core.desk.repricing import Change, NotUndone, Repricing
from core.desk.risk import Asker, Risk, risk_of
from core.desk.standing import Period, Standing, standing
from core.desk.suggestions import AUTOMATIC, Suggestion, Suggestions
from core.desk.watching import CostWatch

__all__ = [
    "ALERT",
    "AUTOMATIC",
    "BOUND_MOST",
    "BROADCAST",
    "COST_CHANGED",
    "MIX_DAYS",
    "MUTE_HOURS",
    "PLAYED",
    "PRICE_CHANGED",
    "ROUND_SECONDS",
    "WAITING_MOST",
    "Advice",
    "Adviser",
    "Alerts",
    "Asker",
    "Automatic",
    "Broadcast",
    "BroadcastRuns",
    "Broadcasts",
    "Cash",
    "Change",
    "Changes",
    "Cheaper",
    "Cost",
    "CostChange",
    "CostWatch",
    "Day",
    "Decided",
    "Demands",
    "Dossier",
    "Dossiers",
    "Economy",
    "Erasing",
    "Facts",
    "Farm",
    "Figures",
    "Ground",
    "Kind",
    "Lookout",
    "Lowering",
    "Margins",
    "Mixes",
    "NotErasable",
    "NotUndone",
    "Offer",
    "Overrides",
    "Pace",
    "Period",
    "PriceNews",
    "RaisePrice",
    "Report",
    "Repricing",
    "Risk",
    "RunsOut",
    "Sold",
    "Solvency",
    "Stakes",
    "Standing",
    "Suggestion",
    "Suggestions",
    "Trade",
    "Way",
    "daily",
    "farms",
    "grant",
    "logged",
    "offered",
    "report",
    "report_snapshot",
    "risk_of",
    "standing",
    "trades",
]
