"""The owner's desk: reports, grants, the log of what admins did."""

from __future__ import annotations

from core.desk.grants import grant
from core.desk.log import Facts, logged
from core.desk.report import PAR, Report, report

__all__ = ["PAR", "Facts", "Report", "grant", "logged", "report"]
