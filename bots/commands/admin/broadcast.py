"""Telling everybody something: `/broadcast`, with a preview, its progress, and a stop."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from bots.chat.command import Arguments, Request, action, argument, command
from bots.chat.reply import Choice, Phrase, Reply, plain, say, say_count
from bots.commands.errors import UsageError
from core.admin.broadcasts import (
    ROUND_SECONDS,
    WAITING_MAX,
    Broadcast,
    Broadcasts,
)
from core.admin_log import admin_log_row
from core.clock import Clock, as_datetime
from core.jobs.notifications import Notification

#: One message on every platform.
_TEXT_CHARS_MAX: Final = 1_500
BROADCAST_TITLE: Final = say("📣 News")
_STATES: Final = {
    "sending": say("It is being sent."),
    "done": say("Everybody was told."),
    "stopped": say("It was stopped."),
}


def broadcast_lines(broadcast: Broadcast) -> tuple[Phrase, ...]:
    """What people read."""
    return tuple(plain(line) for line in broadcast.text.split("\n"))


@dataclass(frozen=True, slots=True)
class BroadcastArguments(Arguments):
    """What follows `/broadcast`."""

    text: str = argument(say("What everybody reads"), say("text"))


class BroadcastCommands:
    """The command that sends one message to everybody, within the platforms' rate limits."""

    def __init__(self, *, broadcasts: Broadcasts, clock: Clock) -> None:
        self._broadcasts, self._clock = broadcasts, clock

    @command(
        "broadcast",
        title=say("Broadcast"),
        description=say("Tell everybody something, and see how far it is"),
        arguments=BroadcastArguments,
        admin_only=True,
    )
    async def broadcast(self, request: Request, given: BroadcastArguments) -> Reply:
        """The preview of a new one; or how the last one fares."""
        del request
        text = given.text
        if not text:
            newest = await self._broadcasts.find_newest()
            if newest is not None:
                return self._broadcast_card(newest)
            raise UsageError(
                say("Write it like this: /broadcast Claude 5 is here. Nothing was sent.")
            )
        if len(text) > _TEXT_CHARS_MAX:
            raise UsageError(
                say(
                    "That is too long: {length} characters of {most}. Nothing was sent.",
                    length=len(text),
                    most=_TEXT_CHARS_MAX,
                )
            )
        recipient_count = await self._broadcasts.count_recipients()
        return Reply(
            title=BROADCAST_TITLE,
            lines=(
                *(plain(line) for line in text.split("\n")),
                say("This is how it looks. It goes to {count} people.", count=recipient_count),
            ),
            choices=(
                (
                    Choice(
                        say("Send it to {count}", count=recipient_count),
                        "broadcast-now",
                        {"text": text},
                        once=True,
                    ),
                    Choice(say("Cancel"), "cancel"),
                ),
            ),
            private=True,
        )

    @action("broadcast-now", admin_only=True)
    async def broadcast_now(self, request: Request) -> Reply:
        """It begins; the button's id makes it happen once."""
        text = str(request.data["text"])
        row = admin_log_row(
            self._clock,
            actor=request.person.id,
            act="broadcast",
            before={},
            after={"text": text},
        )
        broadcast = await self._broadcasts.start_broadcast(
            request.button,
            text,
            actor=request.person.id,
            companion=row,
            place=request.place.code,
            shown_in=request.message,
        )
        return replace(self._broadcast_card(broadcast), replace=True)

    @action("broadcast", admin_only=True)
    async def show_progress(self, request: Request) -> Reply:
        """How far it is now."""
        broadcast = await self._broadcasts.get(str(request.data["broadcast"]))
        return replace(self._broadcast_card(broadcast), replace=True)

    @action("broadcast-stop", admin_only=True)
    async def broadcast_stop(self, request: Request) -> Reply:
        """Nobody else hears of it."""
        id_ = str(request.data["broadcast"])
        row = admin_log_row(
            self._clock,
            actor=request.person.id,
            act="stop broadcast",
            before={"broadcast": id_},
            after={"broadcast": id_},
        )
        return replace(
            self._broadcast_card(await self._broadcasts.stop(id_, companion=row)), replace=True
        )

    async def make_operator_card(self, notification: Notification) -> Reply:
        """How far it is, or what became of it."""
        broadcast = await self._broadcasts.get(str(notification.facts["broadcast"]))
        return self._broadcast_card(broadcast)

    def _broadcast_card(self, broadcast: Broadcast) -> Reply:
        data = {"broadcast": broadcast.id}
        lines = [
            *broadcast_lines(broadcast),
            _STATES[broadcast.state],
            say("Begun {at}", at=as_datetime(broadcast.created_at)),
            say(
                "Sent to {sent} of {total}",
                sent=broadcast.sent,
                total=max(broadcast.total, broadcast.sent),
            ),
        ]
        if broadcast.failed:
            lines.append(say("Not reached: {count}", count=broadcast.failed))
        if broadcast.state != "sending":
            return Reply(title=say("Broadcast"), lines=tuple(lines), private=True)
        rounds = -(-max(0, broadcast.total - broadcast.sent) // WAITING_MAX)
        seconds = round(rounds * ROUND_SECONDS)
        lines.append(
            say_count(
                "About {count} second to go",
                "About {count} seconds to go",
                seconds,
            )
        )
        return Reply(
            title=say("Broadcast"),
            lines=tuple(lines),
            choices=(
                (
                    Choice(say("How far?"), "broadcast", data),
                    Choice(say("Stop it"), "broadcast-stop", data, once=True),
                ),
            ),
            private=True,
        )
