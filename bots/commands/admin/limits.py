"""What the operator allows: `/pause`, `/limit`, `/role`; each act is a line of the admin log."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from bots.chat.command import Action, Command, Option, Request, Room
from bots.chat.reply import Choice, Reply, Said, plain, say
from bots.commands.errors import NotUnderstood
from bots.commands.text import in_credits
from core.admin_log import Facts, logged
from core.clock import Clock, as_datetime
from core.db.writes import Insert
from core.money import Credits
from core.users.limits import PAUSABLE, Allowance, Pausable, Rules
from core.users.roles import ROLES, Owners, Role
from core.users.service import People

_PAUSE_HOW: Final = say(
    "Write it like this: /pause asks We are moving house until noon. What can be paused: {what}."
    " Nothing was changed."
)
_LIMIT_HOW: Final = say(
    "Write it like this: /limit telegram:123 minute 5, /limit telegram:123 once 2, /limit"
    " telegram:123 day 500; 0 takes a limit away again. In a group, /limit here minute 10. Nothing"
    " was changed."
)
_ROLE_HOW: Final = say(
    "Write it like this: /role telegram:123 admin, or support, or none. Nothing was changed."
)
_NAMED: Final = re.compile(r"(telegram|discord|console):(\S{1,64})")
_SENTENCE_MOST: Final = 300
_WHAT: Final[dict[Pausable, Said]] = {
    "asks": say("Asks"),
    "topups": say("Top-ups"),
    "contributions": say("Contributions"),
    "payouts": say("Payouts"),
}


class GoverningCommands:
    """The commands that pause features, limit what people may ask, and give roles."""

    def __init__(self, *, rules: Rules, owners: Owners, people: People, clock: Clock) -> None:
        self._rules, self._owners, self._people = rules, owners, people
        self._clock = clock

    def room(self) -> Room:
        """Commands and actions."""
        return Room(
            commands=(
                Command(
                    "pause",
                    title=say("Pause"),
                    does=say("Pause asks, top-ups, contributions or payouts, and go on"),
                    usage=say("/pause [asks|topups|contributions|payouts] [sentence]"),
                    options=(
                        Option("what", say("asks, topups, contributions or payouts")),
                        Option("sentence", say("What people read meanwhile")),
                    ),
                    handler=self.pause,
                    admin=True,
                ),
                Command(
                    "limit",
                    title=say("Limit"),
                    does=say("How much a person or a group may ask"),
                    usage=say("/limit user|here minute|once|day number"),
                    options=(
                        Option("user", say("telegram:123, discord:456, or here"), required=True),
                        Option("which", say("minute, once or day"), required=True),
                        Option("number", say("How many; 0: no limit of their own"), required=True),
                    ),
                    handler=self.limit,
                    admin=True,
                    in_groups=True,
                    private=True,
                ),
                Command(
                    "role",
                    title=say("Roles"),
                    does=say("Who helps you run this: admins and support"),
                    usage=say("/role [user admin|support|none]"),
                    options=(
                        Option("user", say("telegram:123 or discord:456")),
                        Option("role", say("admin, support or none")),
                    ),
                    handler=self.role,
                    admin=True,
                    owner=True,
                ),
            ),
            actions=(
                Action("pause", self.turn, admin=True),
                Action("pause-off", self.go_on, admin=True),
            ),
        )

    # --- switches -------------------------------------------------------------------------------

    async def pause(self, request: Request) -> Reply:
        """What is paused now; or pauses something, with the sentence that people read."""
        word, _, sentence = request.text.strip().partition(" ")
        if not word:
            return self._switches()
        what = next((one for one in PAUSABLE if one == word.casefold()), None)
        if what is None or len(sentence.strip()) > _SENTENCE_MOST:
            raise NotUnderstood(Said(_PAUSE_HOW.text, {"what": ", ".join(PAUSABLE)}))
        return await self._pause(request, what, sentence.strip())

    async def turn(self, request: Request) -> Reply:
        """By a button, without a sentence."""
        return replace(await self._pause(request, _what(request), ""), replace=True)

    async def _pause(self, request: Request, what: Pausable, sentence: str) -> Reply:
        row = self._log(request, "pause", {}, {"what": what, "sentence": sentence})
        await self._rules.pause(what, sentence, by=request.person.id, also=row)
        return self._switches()

    async def go_on(self, request: Request) -> Reply:
        """It runs again."""
        what = _what(request)
        await self._rules.go_on(what, also=self._log(request, "go-on", {"what": what}, {}))
        return replace(self._switches(), replace=True)

    def _switches(self) -> Reply:
        lines, choices = [], []
        for what in PAUSABLE:
            switch, data = self._rules.switches.get(what), {"what": what}
            if switch is None:
                lines.append(say("{what}: running", what=_WHAT[what]))
                label = say("⏸ {what}", what=_WHAT[what])
                choices.append(Choice(label, "pause", dict(data)))
                continue
            lines.append(
                say(
                    "{what}: paused since {at}",
                    what=_WHAT[what],
                    at=as_datetime(switch.since),
                )
            )
            if switch.sentence:
                lines.append(plain(f"“{switch.sentence}”"))
            label = say("▶ {what}", what=_WHAT[what])
            choices.append(Choice(label, "pause-off", dict(data)))
        lines.append(say("Admins can go on asking and buying while others wait."))
        return Reply(
            title=say("Pause"),
            lines=tuple(lines),
            choices=(tuple(choices[:2]), tuple(choices[2:])),
            private=True,
        )

    # --- limits ---------------------------------------------------------------------------------

    async def limit(self, request: Request) -> Reply:
        """Asks a minute, asks at once, Credits a day, of one person or this group."""
        words = request.text.split()
        if len(words) != 3 or not words[2].isdecimal() or int(words[2][:12]) > 10**9:
            raise NotUnderstood(_LIMIT_HOW)
        subject = await self._subject(request, words[0])
        own, number = self._rules.own(subject), int(words[2][:12])
        match words[1].casefold():
            case "minute":
                new = replace(own, per_minute=number or None)
            case "once":
                new = replace(own, at_once=number or None)
            case "day":
                new = replace(own, per_day=Credits(number) if number else None)
            case _:
                raise NotUnderstood(_LIMIT_HOW)
        row = self._log(request, "limit", _facts(subject, own), _facts(subject, new))
        await self._rules.allow(subject, new, by=request.person.id, also=row)
        return Reply(
            title=say("Limits of {subject}", subject=subject),
            lines=limit_lines(self._rules.of(subject) if subject.startswith("usr_") else new),
            private=True,
        )

    async def _subject(self, request: Request, word: str) -> str:
        if word.casefold() == "here":
            if request.place.private:
                raise NotUnderstood(_LIMIT_HOW)
            return f"{request.place.platform}:{request.place.chat}"
        return (await self._people.find(word)).id

    # --- roles ----------------------------------------------------------------------------------

    async def role(self, request: Request) -> Reply:
        """Who has one; or gives one, or takes it away."""
        words = request.text.split()
        if words:
            named, given = _NAMED.fullmatch(words[0]), words[-1].casefold()
            wanted: Role | None = next((one for one in ROLES[1:] if one == given), None)
            if len(words) != 2 or named is None or (wanted is None and given != "none"):
                raise NotUnderstood(_ROLE_HOW)
            platform, id_ = named[1], named[2]
            if self._owners.role(platform, id_) == "owner":
                raise NotUnderstood(
                    say(
                        "That is an owner, named in the settings or by a link. Nothing was changed."
                    )
                )
            before = self._owners.role(platform, id_) or "none"
            row = self._log(request, "role", {"who": words[0], "role": before}, {"role": given})
            await self._owners.name(platform, id_, wanted, also=row)
        everyone = self._owners.everyone()
        return Reply(
            title=say("Roles"),
            table=tuple((plain(name), plain(role)) for name, role in everyone),
            lines=(say("Admins do everything but name others. Support reads, and moves nothing."),),
            private=True,
        )

    def _log(self, request: Request, act: str, before: Facts, after: Facts) -> Insert:
        return logged(self._clock, actor=request.person.id, act=act, before=before, after=after)


def limit_lines(may: Allowance) -> tuple[Said, ...]:
    """What somebody may ask."""
    lines = []
    if may.blocked:
        lines.append(say("Blocked."))
    lines += [
        say("Asks a minute: {count}", count=may.per_minute)
        if may.per_minute is not None
        else say("Asks a minute: no limit"),
        say("Asks at once: {count}", count=may.at_once)
        if may.at_once is not None
        else say("Asks at once: no limit"),
        say("A day: {credits}", credits=in_credits(may.per_day))
        if may.per_day is not None
        else say("Credits a day: no limit"),
    ]
    return tuple(lines)


def _what(request: Request) -> Pausable:
    return next(one for one in PAUSABLE if one == request.data["what"])


def _facts(subject: str, may: Allowance) -> Facts:
    day = may.per_day
    return {
        "subject": subject,
        "per_minute": may.per_minute or 0,
        "at_once": may.at_once or 0,
        "per_day": 0 if day is None else day.units,
        "blocked": int(may.blocked),
    }
