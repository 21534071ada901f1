"""The owner's desk: reports, grants, the log of what admins did."""

from __future__ import annotations

from core.desk.grants import grant
from core.desk.log import Facts, logged
from core.desk.report import Report, report
from core.desk.risk import Asker, Risk, risk_of

__all__ = ["Asker", "Facts", "Report", "Risk", "grant", "logged", "report", "risk_of"]
