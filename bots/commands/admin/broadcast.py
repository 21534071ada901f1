"""Telling everybody something: `/broadcast`, with a preview, its progress, and a stop."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from bots.chat.command import Action, Command, Option, Request, Room
from bots.chat.reply import Choice, Reply, Said, plain, say
from bots.commands.errors import NotUnderstood, sentence
from core.admin.broadcasts import ROUND_SECONDS, WAITING_MOST, Broadcast, BroadcastRuns, Broadcasts
from core.admin_log import logged
from core.clock import Clock, as_datetime

#: One message on every platform.
_TEXT_MOST: Final = 1_500
TITLE: Final = say("📣 News")
_STATES: Final = {
    "sending": say("It is being sent."),
    "done": say("Everybody was told."),
    "stopped": say("It was stopped."),
}


@sentence.register
def _(refusal: BroadcastRuns) -> Said:
    del refusal
    return say("Another message is being sent: /broadcast shows it. Nothing was sent.")


def told(broadcast: Broadcast) -> tuple[Said, ...]:
    """What people read."""
    return tuple(plain(line) for line in broadcast.text.split("\n"))


class BroadcastCommands:
    """The command that sends one message to everybody, within the platforms' rate limits."""

    def __init__(self, *, broadcasts: Broadcasts, clock: Clock) -> None:
        self._broadcasts, self._clock = broadcasts, clock

    def room(self) -> Room:
        """Commands and actions."""
        return Room(
            commands=(
                Command(
                    "broadcast",
                    title=say("Broadcast"),
                    does=say("Tell everybody something, and see how far it is"),
                    usage=say("/broadcast [text]"),
                    options=(Option("text", say("What everybody reads")),),
                    handler=self.broadcast,
                    admin=True,
                ),
            ),
            actions=(
                Action("broadcast", self.progress, admin=True),
                Action("broadcast-now", self.send, admin=True),
                Action("broadcast-stop", self.stop, admin=True),
            ),
        )

    async def broadcast(self, request: Request) -> Reply:
        """The preview of a new one; or how the last one fares."""
        text = request.text.strip()
        if not text:
            newest = await self._broadcasts.newest()
            if newest is not None:
                return self._card(newest)
            raise NotUnderstood(
                say("Write it like this: /broadcast Claude 5 is here. Nothing was sent.")
            )
        if len(text) > _TEXT_MOST:
            raise NotUnderstood(
                say(
                    "That is too long: {count} characters of {most}. Nothing was sent.",
                    count=len(text),
                    most=_TEXT_MOST,
                )
            )
        reach = await self._broadcasts.reach()
        return Reply(
            title=TITLE,
            lines=(
                *(plain(line) for line in text.split("\n")),
                say("This is how it looks. It goes to {count} people.", count=reach),
            ),
            choices=(
                (
                    Choice(
                        say("Send it to {count}", count=reach),
                        "broadcast-now",
                        {"text": text},
                        once=True,
                    ),
                    Choice(say("Cancel"), "cancel"),
                ),
            ),
            private=True,
        )

    async def send(self, request: Request) -> Reply:
        """It begins; the button's id makes it happen once."""
        text = str(request.data["text"])
        row = logged(
            self._clock,
            actor=request.person.id,
            act="broadcast",
            before={},
            after={"text": text},
        )
        begun = await self._broadcasts.begin(request.button, text, by=request.person.id, also=row)
        return replace(self._card(begun), replace=True)

    async def progress(self, request: Request) -> Reply:
        """How far it is now."""
        one = await self._broadcasts.get(str(request.data["broadcast"]))
        return replace(self._card(one), replace=True)

    async def stop(self, request: Request) -> Reply:
        """Nobody else hears of it."""
        id_ = str(request.data["broadcast"])
        row = logged(
            self._clock,
            actor=request.person.id,
            act="stop broadcast",
            before={"broadcast": id_},
            after={"broadcast": id_},
        )
        return replace(self._card(await self._broadcasts.stop(id_, also=row)), replace=True)

    def _card(self, one: Broadcast) -> Reply:
        data = {"broadcast": one.id}
        lines = [
            *told(one),
            _STATES[one.state],
            say("Begun {at}", at=as_datetime(one.created_at)),
            say("Sent to {sent} of {total}", sent=one.sent, total=max(one.total, one.sent)),
        ]
        if one.failed:
            lines.append(say("Not reached: {count}", count=one.failed))
        if one.state != "sending":
            return Reply(title=say("Broadcast"), lines=tuple(lines), private=True)
        rounds = -(-max(0, one.total - one.sent) // WAITING_MOST)
        seconds = round(rounds * ROUND_SECONDS)
        lines.append(say("About {seconds} seconds to go", seconds=seconds))
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
