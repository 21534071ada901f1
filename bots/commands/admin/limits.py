"""What the operator allows: `/pause`, `/limit`, `/role`; each act is a line of the admin log."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from bots.chat.command import Arguments, Request, action, argument, command
from bots.chat.reply import Choice, Phrase, Reply, plain, say
from bots.commands.arguments import make_usage_error, parse_number, shorten
from bots.commands.errors import UsageError
from bots.commands.text import format_credits, join_names
from core.admin_log import Facts, admin_log_row
from core.clock import Clock, as_datetime
from core.db.writes import Insert
from core.money import Credits
from core.users.limits import PAUSABLE_FEATURES, Allowance, PausableFeature, UserLimits
from core.users.roles import ROLES, Role, Roles
from core.users.service import Users
from core.users.types import UnknownPerson

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
_IDENTITY: Final = re.compile(r"(telegram|discord):\d{1,20}|console:\S{1,64}", re.ASCII)
_ROLE_NAMES: Final[dict[Role, Phrase]] = {
    "owner": say("owner"),
    "admin": say("admin"),
    "support": say("support"),
}
_SENTENCE_CHARS_MAX: Final = 300
_LIMIT_MAX: Final = 1_000_000_000
_FEATURE_NAMES: Final[dict[PausableFeature, Phrase]] = {
    "asks": say("Asks"),
    "topups": say("Top-ups"),
    "contributions": say("Contributions"),
    "payouts": say("Payouts"),
}


_ROLE_QUESTIONS: Final[dict[Role, Phrase]] = {
    "admin": say(
        "Make {who} an admin? They can then do everything that you can but name others: prices,"
        " Credits, refunds, payouts, limits."
    ),
    "support": say(
        "Make {who} a helper in support? They can then read payments and people, and move nothing."
    ),
}


@dataclass(frozen=True, slots=True)
class PauseArguments(Arguments):
    """What follows `/pause`."""

    what: str = argument(
        say("asks, topups, contributions or payouts"), say("asks|topups|contributions|payouts")
    )
    sentence: str = argument(say("What people read meanwhile"), say("sentence"))


@dataclass(frozen=True, slots=True)
class LimitArguments(Arguments):
    """What follows `/limit`."""

    user: str = argument(say("telegram:123, discord:456, or here"), say("user|here"), required=True)
    which: str = argument(say("minute, once or day"), say("minute|once|day"), required=True)
    number: str = argument(say("How many; 0: no limit of their own"), say("number"), required=True)


@dataclass(frozen=True, slots=True)
class RoleArguments(Arguments):
    """What follows `/role`."""

    user: str = argument(say("telegram:123 or discord:456"), say("user admin|support|none"))
    role: str = argument(say("admin, support or none"))


class LimitCommands:
    """The commands that pause features, limit what people may ask, and give roles."""

    def __init__(
        self, *, user_limits: UserLimits, roles: Roles, users: Users, clock: Clock
    ) -> None:
        self._user_limits, self._roles, self._users = user_limits, roles, users
        self._clock = clock

    # --- switches -------------------------------------------------------------------------------

    @command(
        "pause",
        title=say("Pause"),
        description=say("Pause asks, top-ups, contributions or payouts, and go on"),
        arguments=PauseArguments,
        admin_only=True,
    )
    async def pause(self, request: Request, given: PauseArguments) -> Reply:
        """What is paused now; or pauses something, with the sentence that people read."""
        if not given.what:
            return self._pause_card()
        how = Phrase(_PAUSE_HOW.text, {"what": join_names(PAUSABLE_FEATURES)})
        feature = next((one for one in PAUSABLE_FEATURES if one == given.what.casefold()), None)
        if feature is None:
            wrong = say("“{typed}” is nothing that can be paused.", typed=shorten(given.what))
            raise make_usage_error(wrong, how)
        if given.sentence.casefold() in PAUSABLE_FEATURES:
            raise make_usage_error(say("One at a time."), how)
        if len(given.sentence) > _SENTENCE_CHARS_MAX:
            wrong = say("The sentence is longer than {most} characters.", most=_SENTENCE_CHARS_MAX)
            raise make_usage_error(wrong, how)
        return await self._pause_feature(request, feature, given.sentence)

    @action("pause", admin_only=True)
    async def pause_by_button(self, request: Request) -> Reply:
        """By a button, without a sentence."""
        return replace(await self._pause_feature(request, _find_feature(request), ""), replace=True)

    async def _pause_feature(
        self, request: Request, feature: PausableFeature, sentence: str
    ) -> Reply:
        before = self._user_limits.pauses.get(feature)
        row = self._admin_log_row(request, "pause", {}, {"what": feature, "sentence": sentence})
        await self._user_limits.pause_feature(
            feature, sentence, actor=request.person.id, companion=row
        )
        data: dict[str, str | int] = {"what": feature}
        if before is not None:
            data["sentence"] = before.sentence
        undo = Choice(say("↩ Undo"), "pause-undo", data, once=True)
        card = self._pause_card()
        return replace(card, choices=((undo,), *card.choices))

    @action("pause-undo", admin_only=True)
    async def pause_undo(self, request: Request) -> Reply:
        """What was paused a moment ago is as it was before."""
        if "sentence" in request.data:
            sentence = str(request.data["sentence"])
            return replace(
                await self._pause_feature(request, _find_feature(request), sentence), replace=True
            )
        return await self.pause_off_now(request)

    @action("pause-off", admin_only=True)
    async def pause_off(self, request: Request) -> Reply:
        """Says what would run again; a second tap does it: whoever paused it had a reason."""
        feature = _find_feature(request)
        return Reply(
            lines=(say("{what}: let it run again, for everybody?", what=_FEATURE_NAMES[feature]),),
            choices=(
                (
                    Choice(say("Yes, let it run"), "pause-off-now", {"what": feature}, once=True),
                    Choice(say("Cancel"), "cancel"),
                ),
            ),
            private=True,
        )

    @action("pause-off-now", admin_only=True)
    async def pause_off_now(self, request: Request) -> Reply:
        """It runs again."""
        feature = _find_feature(request)
        await self._user_limits.resume_feature(
            feature, companion=self._admin_log_row(request, "go-on", {"what": feature}, {})
        )
        return replace(self._pause_card(), replace=True)

    def _pause_card(self) -> Reply:
        lines, choices = [], []
        for feature in PAUSABLE_FEATURES:
            pause, data = self._user_limits.pauses.get(feature), {"what": feature}
            if pause is None:
                lines.append(say("{what}: running", what=_FEATURE_NAMES[feature]))
                label = say("⏸ {what}", what=_FEATURE_NAMES[feature])
                choices.append(Choice(label, "pause", dict(data)))
                continue
            lines.append(
                say(
                    "{what}: paused since {at}",
                    what=_FEATURE_NAMES[feature],
                    at=as_datetime(pause.since),
                )
            )
            if pause.sentence:
                lines.append(plain(f"“{pause.sentence}”"))
            label = say("▶ {what}", what=_FEATURE_NAMES[feature])
            choices.append(Choice(label, "pause-off", dict(data)))
        lines.append(say("Admins can go on asking and buying while others wait."))
        return Reply(
            title=say("Pause"),
            lines=tuple(lines),
            choices=(tuple(choices[:2]), tuple(choices[2:])),
            private=True,
        )

    # --- limits ---------------------------------------------------------------------------------

    @command(
        "limit",
        title=say("Limit"),
        description=say("How much a person or a group may ask"),
        arguments=LimitArguments,
        admin_only=True,
        allowed_in_groups=True,
        is_private=True,
    )
    async def limit(self, request: Request, given: LimitArguments) -> Reply:
        """Asks a minute, asks at once, Credits a day, of one person or this group."""
        if not given.number:
            raise make_usage_error(say("Say whom, what and how many."), _LIMIT_HOW)
        number = parse_number(given.number, _LIMIT_HOW, least=0, most=_LIMIT_MAX)
        subject = await self._find_subject(request, given.user)
        override = self._user_limits.get_override(subject)
        match given.which.casefold():
            case "minute":
                new = replace(override, per_minute=number or None)
            case "once":
                new = replace(override, at_once=number or None)
            case "day":
                new = replace(override, per_day=Credits(number) if number else None)
            case _:
                wrong = say("“{word}” is none of minute, once and day.", word=shorten(given.which))
                raise make_usage_error(wrong, _LIMIT_HOW)
        row = self._admin_log_row(
            request, "limit", _allowance_facts(subject, override), _allowance_facts(subject, new)
        )
        await self._user_limits.set_allowance(subject, new, actor=request.person.id, companion=row)
        data: dict[str, str | int] = {**_allowance_facts(subject, override)}
        undo = Choice(say("↩ Undo"), "limit-undo", data, once=True)
        return replace(self._limit_card(subject, new), choices=((undo,),))

    @action("limit-undo", admin_only=True)
    async def limit_undo(self, request: Request) -> Reply:
        """The limits are as they were before the last change."""
        subject, data = str(request.data["subject"]), request.data
        now = self._user_limits.get_override(subject)
        day = int(data["per_day"])
        before = replace(
            now,
            per_minute=int(data["per_minute"]) or None,
            at_once=int(data["at_once"]) or None,
            per_day=Credits(day) if day else None,
        )
        row = self._admin_log_row(
            request, "limit", _allowance_facts(subject, now), _allowance_facts(subject, before)
        )
        actor = request.person.id
        await self._user_limits.set_allowance(subject, before, actor=actor, companion=row)
        return replace(self._limit_card(subject, before), replace=True)

    def _limit_card(self, subject: str, override: Allowance) -> Reply:
        allowance = (
            self._user_limits.get_allowance(subject) if subject.startswith("usr_") else override
        )
        return Reply(
            title=say("Limits of {subject}", subject=subject),
            lines=make_limit_lines(allowance),
            private=True,
        )

    async def _find_subject(self, request: Request, word: str) -> str:
        if word.casefold() == "here":
            if request.place.private:
                raise make_usage_error(say("“here” is for a group: write it there."), _LIMIT_HOW)
            return f"{request.place.platform}:{request.place.chat}"
        return (await self._users.find(word)).id

    # --- roles ----------------------------------------------------------------------------------

    @command(
        "role",
        title=say("Roles"),
        description=say("Who helps you run this: admins and support"),
        arguments=RoleArguments,
        admin_only=True,
        owner_only=True,
    )
    async def role(self, request: Request, given: RoleArguments) -> Reply:
        """Who has one; or asks whether to give one, or to take it away."""
        del request
        if given.user or given.role:
            wanted = _parse_role(given)
            platform, _, id_ = given.user.partition(":")
            if self._roles.get_role(platform, id_) == "owner":
                raise UsageError(
                    say(
                        "That is an owner, named in the settings or by a link. Nothing was changed."
                    )
                )
            return await self._ask_role(given.user, wanted)
        return self._role_card()

    async def _ask_role(self, who: str, wanted: Role | None) -> Reply:
        """Whom it concerns and what they may do then, in words; a second tap does it."""
        lines = [
            say("Take every role from {who}?", who=who)
            if wanted is None
            else Phrase(_ROLE_QUESTIONS[wanted].text, {"who": who})
        ]
        try:
            await self._users.find(who)
        except UnknownPerson:
            lines.append(say("Nobody has written here under that name yet. Check it twice."))
        confirm = say("Yes, take it away") if wanted is None else say("Yes, give it")
        data: dict[str, str | int] = {"who": who, "role": wanted or "none"}
        return Reply(
            lines=tuple(lines),
            choices=(
                (Choice(confirm, "role-now", data, once=True), Choice(say("Cancel"), "cancel")),
            ),
            private=True,
        )

    @action("role-now", admin_only=True, owner_only=True)
    async def role_now(self, request: Request) -> Reply:
        """Confirmed."""
        who, role_name = str(request.data["who"]), str(request.data["role"])
        platform, _, id_ = who.partition(":")
        wanted: Role | None = next((one for one in ROLES[1:] if one == role_name), None)
        before = self._roles.get_role(platform, id_) or "none"
        row = self._admin_log_row(
            request, "role", {"who": who, "role": before}, {"role": role_name}
        )
        await self._roles.set_role(platform, id_, wanted, companion=row)
        return replace(self._role_card(), replace=True)

    def _role_card(self) -> Reply:
        everyone = self._roles.list_roles()
        return Reply(
            title=say("Roles"),
            table=tuple((plain(name), _ROLE_NAMES[role]) for name, role in everyone),
            lines=(say("Admins can do everything but name others. Support can only read."),),
            private=True,
        )

    def _admin_log_row(self, request: Request, act: str, before: Facts, after: Facts) -> Insert:
        return admin_log_row(
            self._clock,
            actor=request.person.id,
            act=act,
            before=before,
            after=after,
            cause=request.cause,
        )


def make_limit_lines(allowance: Allowance) -> tuple[Phrase, ...]:
    """What somebody may ask."""
    lines = []
    if allowance.blocked:
        lines.append(say("Blocked."))
    lines += [
        say("Asks a minute: {count}", count=allowance.per_minute)
        if allowance.per_minute is not None
        else say("Asks a minute: no limit"),
        say("Asks at once: {count}", count=allowance.at_once)
        if allowance.at_once is not None
        else say("Asks at once: no limit"),
        say("A day: {credits}", credits=format_credits(allowance.per_day))
        if allowance.per_day is not None
        else say("Credits a day: no limit"),
    ]
    return tuple(lines)


def _parse_role(given: RoleArguments) -> Role | None:
    """The role that was named, None for none; raises `UsageError`."""
    if not (given.user and given.role):
        raise make_usage_error(say("Say who, and which role."), _ROLE_HOW)
    if _IDENTITY.fullmatch(given.user) is None:
        wrong = say("“{typed}” is no id like telegram:123.", typed=shorten(given.user))
        raise make_usage_error(wrong, _ROLE_HOW)
    name = given.role.casefold()
    wanted: Role | None = next((one for one in ROLES[1:] if one == name), None)
    if wanted is None and name != "none":
        wrong = say("“{typed}” is none of admin, support and none.", typed=shorten(given.role))
        raise make_usage_error(wrong, _ROLE_HOW)
    return wanted


def _find_feature(request: Request) -> PausableFeature:
    return next(one for one in PAUSABLE_FEATURES if one == request.data["what"])


def _allowance_facts(subject: str, allowance: Allowance) -> Facts:
    day = allowance.per_day
    return {
        "subject": subject,
        "per_minute": allowance.per_minute or 0,
        "at_once": allowance.at_once or 0,
        "per_day": 0 if day is None else day.units,
        "blocked": int(allowance.blocked),
    }
