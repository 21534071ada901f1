"""Asking: the main road, from a question to a settled answer."""

from __future__ import annotations

from core.asking.admission import Admission
from core.asking.beating import Beating
from core.asking.check import Asks, check
from core.asking.conversations import HISTORY_TOKENS, Conversations
from core.asking.journal import Delivered, Journal, Served, Turn
from core.asking.pacing import DayIsSpent, Pacing, TooFast, TooManyAtOnce
from core.asking.quoting import RECORDING_SECONDS_MAX
from core.asking.records import Records, Saved
from core.asking.road import Asking
from core.asking.runs import Run
from core.asking.serving import Serving
from core.asking.sweeper import Sweeper
from core.asking.types import (
    AlreadyAsked,
    AskRefusal,
    EmptyQuestion,
    History,
    NotEnoughCredits,
    NothingHears,
    NothingServes,
    Outcome,
    Owes,
    Question,
    QuestionTooLong,
    Quote,
    Recording,
    RecordingTooLong,
    Result,
    ServiceStopping,
    TooManyAsks,
    Trouble,
)

__all__ = [
    "HISTORY_TOKENS",
    "RECORDING_SECONDS_MAX",
    "Admission",
    "AlreadyAsked",
    "AskRefusal",
    "Asking",
    "Asks",
    "Beating",
    "Conversations",
    "DayIsSpent",
    "Delivered",
    "EmptyQuestion",
    "History",
    "Journal",
    "NotEnoughCredits",
    "NothingHears",
    "NothingServes",
    "Outcome",
    "Owes",
    "Pacing",
    "Question",
    "QuestionTooLong",
    "Quote",
    "Recording",
    "RecordingTooLong",
    "Records",
    "Result",
    "Run",
    "Saved",
    "Served",
    "ServiceStopping",
    "Serving",
    "Sweeper",
    "TooFast",
    "TooManyAsks",
    "TooManyAtOnce",
    "Trouble",
    "Turn",
    "check",
]
