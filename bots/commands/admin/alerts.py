"""Alerts as operators meet them: what it is, [Mute 4 h], [Open]."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from bots.chat.command import Request, action
from bots.chat.reply import Choice, Phrase, Reply, plain, say, say_count
from bots.commands.text import format_length, get_supplier_title
from core.admin.alerts import MUTE_HOURS, Alerts
from core.admin_log import admin_log_row
from core.clock import Clock, as_datetime
from core.jobs.notifications import Notification
from core.money import NanoUsd, Seconds, format_usd

Facts = Mapping[str, str | int]


class AlertCommands:
    """The actions of the buttons that stand under an alert."""

    def __init__(self, *, alerts: Alerts, clock: Clock) -> None:
        self._alerts, self._clock = alerts, clock

    @action("alert-mute", admin_only=True)
    async def alert_mute(self, request: Request) -> Reply:
        """Quiet for some hours, for all operators."""
        what, subject = str(request.data["what"]), str(request.data["subject"])
        row = admin_log_row(
            self._clock,
            actor=request.person.id,
            act="mute",
            before={},
            after={"what": what, "subject": subject},
        )
        until = await self._alerts.mute_alert(what, subject, companion=row)
        return Reply((say("Muted until {at}.", at=as_datetime(until)),), private=True)


def alert_card(notification: Notification) -> Reply:
    """An alert for operators."""
    facts = notification.facts
    what, subject = str(facts["what"]), str(facts["subject"])
    action, data = _ACTIONS[what]
    if what in {"audio", "pictures"}:
        data = {"person": str(facts["person"])}
    return Reply(
        title=_TITLES[what],
        lines=_LINES[what](facts),
        choices=(
            (
                Choice(say("Open"), action, data),
                Choice(
                    say("Mute {hours} h", hours=MUTE_HOURS),
                    "alert-mute",
                    {"what": what, "subject": subject},
                ),
            ),
        ),
        private=True,
    )


def _low_pool_lines(facts: Facts) -> tuple[Phrase, ...]:
    lines = [
        say(
            "{supplier}: {left} left, {percent} % of all budgets or less.",
            supplier=get_supplier_title(str(facts["supplier"])),
            left=format_usd(NanoUsd(int(facts["left"]))),
            percent=int(facts["percent"]),
        )
    ]
    if "hours" in facts:
        lines.append(
            say_count(
                "At the pace of the last day: {count} hour.",
                "At the pace of the last day: {count} hours.",
                int(facts["hours"]),
            )
        )
    return tuple(lines)


_ACTIONS: Final[Mapping[str, tuple[str, Mapping[str, str | int]]]] = {
    "audit": ("audit", {}),
    "under-cost": ("report", {"days": "today"}),
    "pool": ("pool", {}),
    "supplier": ("pool", {}),
    "payout": ("payouts", {}),
    "errors": ("report", {"days": "today"}),
    "usage-gap": ("report", {"days": "today"}),
    "unknown-fault": ("pool", {}),
    "audio": ("user", {}),
    "pictures": ("user", {}),
    "platform": ("report", {"days": "today"}),
}
_TITLES: Final[Mapping[str, Phrase]] = {
    "audit": say("⚠️ The audit found something"),
    "under-cost": say("⚠️ Sold under cost"),
    "pool": say("⚠️ Keys run out"),
    "supplier": say("⚠️ A supplier is down"),
    "payout": say("⚠️ Withdrawals wait for you"),
    "errors": say("⚠️ Many answers fail"),
    "usage-gap": say("⚠️ A supplier's counts can't be true"),
    "unknown-fault": say("⚠️ A supplier sends unknown errors"),
    "audio": say("⚠️ Audio longer than counted"),
    "pictures": say("⚠️ Pictures that models refuse"),
    "platform": say("⚠️ A platform isn't heard"),
}
_LINES: Final[Mapping[str, Callable[[Facts], tuple[Phrase, ...]]]] = {
    "audit": lambda facts: (
        say_count("One finding:", "{count} findings; the first:", int(facts["count"])),
        plain(str(facts["first"])),
    ),
    "under-cost": lambda facts: (
        say(
            "{model} cost {loss} more than it brought in the last day.",
            model=str(facts["model"]),
            loss=format_usd(NanoUsd(int(facts["loss"]))),
        ),
    ),
    "pool": _low_pool_lines,
    "supplier": lambda facts: (
        say(
            "{supplier} is failing and won't be asked for a while. Others serve where they can.",
            supplier=get_supplier_title(str(facts["supplier"])),
        ),
    ),
    "payout": lambda facts: (
        say_count(
            "{count} waits for longer than a day.",
            "{count} wait for longer than a day.",
            int(facts["count"]),
        ),
    ),
    "errors": lambda facts: (
        say(
            "{failed} of the last {answers} answers failed or broke off.",
            failed=int(facts["failed"]),
            answers=int(facts["answers"]),
        ),
    ),
    "usage-gap": lambda facts: (
        say_count(
            (
                "{supplier} told a usage that can't be true of {count} answer in ten minutes."
                " People pay for what they saw; the keys are booked up to what a call can cost."
                " Compare the supplier's bill with /report."
            ),
            (
                "{supplier} told a usage that can't be true of {count} answers in ten minutes."
                " People pay for what they saw; the keys are booked up to what a call can cost."
                " Compare the supplier's bill with /report."
            ),
            int(facts["count"]),
            supplier=get_supplier_title(str(facts["supplier"])),
        ),
    ),
    "unknown-fault": lambda facts: (
        say_count(
            (
                "{supplier} refused {count} question in ten minutes in words that aren't known"
                " here. No key was harmed; the log has its status."
            ),
            (
                "{supplier} refused {count} questions in ten minutes in words that aren't known"
                " here. No key was harmed; the log has the status of each."
            ),
            int(facts["count"]),
            supplier=get_supplier_title(str(facts["supplier"])),
        ),
    ),
    "pictures": lambda facts: (
        say_count(
            (
                "Models' rules refused {count} picture of {person} today. They can't send more"
                " until midnight UTC."
            ),
            (
                "Models' rules refused {count} pictures of {person} today. They can't send more"
                " until midnight UTC."
            ),
            int(facts["count"]),
            person=str(facts["person"]),
        ),
    ),
    "audio": lambda facts: (
        say(
            "{supplier} heard {heard} in audio of {person} for which {held} were held: the file is"
            " made to look short, or the supplier counts wrongly.",
            supplier=get_supplier_title(str(facts["supplier"])),
            person=str(facts["person"]),
            heard=format_length(Seconds(int(facts["heard"]))),
            held=format_length(Seconds(int(facts["held"]))),
        ),
        say("The key paid for what was heard. Their audio isn't transcribed again today (UTC)."),
    ),
    "platform": lambda facts: (
        say(
            "Nothing has come from {platform} for two minutes: a process can't reach it. What"
            " people send waits there for as long as the platform keeps it.",
            platform=str(facts["platform"]).capitalize(),
        ),
    ),
}
