"""The owner's desk: reports, grants, the log of what admins did."""

from __future__ import annotations

from core.desk.grants import grant
from core.desk.log import Facts, logged
from core.desk.report import Report, report

__all__ = ["Facts", "Report", "grant", "logged", "report"]
