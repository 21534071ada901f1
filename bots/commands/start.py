"""The first minute and the settings: `/start /language /settings /privacy`, and what the bot
says of itself on a platform's own pages.
"""

from __future__ import annotations

from dataclasses import dataclass

from bots.chat.command import Arguments, Request, action, argument, command
from bots.chat.i18n import LANGUAGES, find_zone, name_zone
from bots.chat.reply import Choice, Phrase, Reply, plain, say
from bots.commands.admin.first_steps import FirstSteps
from bots.commands.answers import MACHINE_ANSWERS
from bots.commands.errors import UsageError
from bots.commands.file_offers import OFFER_FROM
from bots.commands.models import ModelCommands
from bots.commands.shortage import ShortageCards
from bots.commands.text import format_credits
from core.money import Credits
from core.users.balances import Balances
from core.users.referrals import REFERRAL_PREFIX, Referrals
from core.users.roles import OPERATOR_CODE_PREFIX, Roles
from core.users.service import Users
from core.users.types import Person

#: Zones offered as buttons, west to east; one for each bigger group of people.
ZONES = (
    "America/Los_Angeles",
    "America/New_York",
    "America/Sao_Paulo",
    "UTC",
    "Europe/London",
    "Europe/Berlin",
    "Europe/Moscow",
    "Asia/Dubai",
    "Asia/Kolkata",
    "Asia/Singapore",
    "Asia/Shanghai",
    "Asia/Tokyo",
    "Australia/Sydney",
)


#: What else people call the languages that there are.
_LANGUAGE_NAMES = {"en": ("eng", "英语", "英文"), "zh-CN": ("chinese", "中文", "汉语", "zh-hans")}
#: From how many Credits on people may have prices told before.
OFFER_THRESHOLDS = (0, 5, 20, 50, 200, 1_000)
#: What people may let themselves spend in a day, in Credits.
DAILY_LIMITS = (20, 50, 200, 1_000, 5_000, 20_000)


@dataclass(frozen=True, slots=True)
class StartArguments(Arguments):
    """What follows `/start`."""

    code: str = argument(say("A friend's invitation, or the owner's code"))


@dataclass(frozen=True, slots=True)
class LanguageArguments(Arguments):
    """What follows `/language`."""

    language: str = argument(say("en or zh-CN"), say("en | zh-CN"))


@dataclass(frozen=True, slots=True)
class SettingsArguments(Arguments):
    """What follows `/settings`."""

    zone: str = argument(say("A time zone, or its city"), say("time zone"))


class StartCommands:
    """The commands that a stranger meets first, and the settings that everyone has."""

    def __init__(
        self,
        *,
        users: Users,
        balances: Balances,
        model_commands: ModelCommands,
        roles: Roles,
        referrals: Referrals | None,
        shortage_cards: ShortageCards,
        first_steps: FirstSteps,
    ) -> None:
        """`referrals` where they earn something."""
        self._users, self._balances, self._model_commands = users, balances, model_commands
        self._roles, self._referrals = roles, referrals
        self._shortage_cards, self._first_steps = shortage_cards, first_steps

    @command("start", title=say("Start"), description=say("What this is"), arguments=StartArguments)
    async def start(self, request: Request, given: StartArguments) -> Reply:
        """What it is, who answers, your Credits, what to do next; or an operator's one-time link.
        Who came by a friend's invitation reads what became of it, an operator their first steps."""
        if given.code.startswith(OPERATOR_CODE_PREFIX):
            return await self._claim_operator_role(request, given.code)
        if request.is_admin and request.place.private and not given.code:
            return await self._first_steps.make_card()
        return await self._welcome_card(request, await self._bind_inviter(request, given.code))

    @action("welcome")
    async def welcome(self, request: Request) -> Reply:
        """What everybody reads at first, for an operator too."""
        return await self._welcome_card(request, ())

    async def _welcome_card(self, request: Request, invited: tuple[Phrase, ...]) -> Reply:
        available = (await self._balances.for_user(request.person.id)).available
        sources = self._shortage_cards.list_sources(request)
        example: tuple[tuple[Choice, ...], ...] = ()
        if request.place.private:
            example = ((await self._shortage_cards.make_example_choice(request),),)
        return Reply(
            title=say("Welcome!"),
            lines=(
                say("Ask over forty language models, paid in Credits."),
                MACHINE_ANSWERS,
                *invited,
                say("You have {credits}.", credits=format_credits(available)),
                say("Write a question, or name a model: /ask gpt-4 why is the sky blue?"),
                say(
                    "Without a name, {model} answers.",
                    model=self._model_commands.get_current_model(request.person).name,
                ),
                say("Under each answer you see what it cost. What doesn't arrive costs nothing."),
            ),
            choices=(
                *example,
                *((sources,) if sources else ()),
                (
                    Choice(say("Models"), "models"),
                    Choice(say("Balance"), "balance"),
                ),
                (
                    Choice(say("🌐 Language"), "language"),
                    Choice(say("Help"), "help"),
                ),
            ),
            private=True,
        )

    async def _bind_inviter(self, request: Request, code: str) -> tuple[Phrase, ...]:
        if self._referrals is None or not code.lower().startswith(REFERRAL_PREFIX):
            return ()
        bound = await self._referrals.bind_inviter(
            request.person, code, request.place.platform, request.sender
        )
        if bound:
            return (
                say(
                    "Your friend's invitation is noted: when you top up, they get Credits too, on"
                    " top of yours."
                ),
            )
        return (say("Invitations are for new people only: this one counts for nothing here."),)

    async def _claim_operator_role(self, request: Request, code: str) -> Reply:
        if not request.place.private:
            return Reply((say("Send me that in private: it's about your account."),))
        claimed = await self._roles.claim_code(code, request.place.platform, request.sender)
        if not claimed:
            return Reply((say("That link was already used, or is too old. Make a new one."),))
        return Reply(
            (say("You are the owner of this service now. /start lists your first steps."),)
        )

    @command(
        "language",
        title=say("Language"),
        description=say("The language of replies"),
        arguments=LanguageArguments,
    )
    @action("language")
    async def language(
        self, request: Request, given: LanguageArguments = LanguageArguments()
    ) -> Reply:
        """Buttons, or the language's name or code behind the command."""
        wanted = given.language.casefold()
        for code, name in LANGUAGES.items():
            if wanted and wanted in {
                code.casefold(),
                name.casefold(),
                code.partition("-")[0],
                *_LANGUAGE_NAMES.get(code, ()),
            }:
                return await self._set_language(request.person, code)
        return Reply(
            title=say("Language"),
            lines=(
                *(
                    (say("“{typed}” isn't there yet.", typed=given.language[:20]),)
                    if wanted
                    else ()
                ),
                say("Which language should I use?"),
            ),
            choices=(
                tuple(
                    Choice(plain(name), "set-language", {"language": code})
                    for code, name in LANGUAGES.items()
                ),
            ),
            replace=True,
        )

    @action("set-language")
    async def set_language(self, request: Request) -> Reply:
        """A language chosen by button."""
        return await self._set_language(request.person, str(request.data["language"]), replace=True)

    async def _set_language(self, person: Person, language: str, *, replace: bool = False) -> Reply:
        await self._users.update_settings(person, language=language)
        return Reply(
            (say("I'll write in English from now on."),), replace=replace, language=language
        )

    @command(
        "settings",
        title=say("Settings"),
        description=say("Footer, keys, daily limit, time zone"),
        arguments=SettingsArguments,
    )
    @action("settings")
    async def settings(
        self, request: Request, given: SettingsArguments = SettingsArguments()
    ) -> Reply:
        """All settings with what they are now; with a time zone, that is set."""
        if not given.zone:
            return self._settings_card(request.person)
        zone = _find_typed_zone(given.zone)
        if zone is None:
            raise UsageError(
                say(
                    "There is no time zone “{typed}” here. Write it like this: /settings"
                    " Europe/Paris, or the zone's biggest city. Nothing was changed.",
                    typed=given.zone[:40],
                )
            )
        await self._users.update_settings(request.person, zone=zone)
        return self._settings_card(await self._users.find(request.person.id))

    @action("toggle")
    async def toggle_setting(self, request: Request) -> Reply:
        """Turns one setting over."""
        name = str(request.data["name"])
        assert name in {"footer", "own_keys_only", "shares_files"}
        await self._users.update_settings(request.person, **{name: bool(request.data["value"])})
        return self._settings_card(await self._users.find(request.person.id))

    @action("daily-limits")
    async def list_daily_limits(self, request: Request) -> Reply:
        """Daily limits as buttons; no limit is one, too."""
        limit = request.person.daily_limit
        choices = [
            Choice(format_credits(Credits(units)), "set-daily-limit", {"credits": units})
            for units in DAILY_LIMITS
        ]
        return Reply(
            title=say("Daily limit"),
            lines=(
                say("You have no daily limit of your own.")
                if limit is None
                else say("Your own daily limit is {limit}.", limit=format_credits(limit)),
                say("Beyond it questions are refused until midnight UTC."),
            ),
            choices=(
                *(tuple(choices[at : at + 2]) for at in range(0, len(choices), 2)),
                (Choice(say("No limit"), "set-daily-limit", {"credits": 0}),),
            ),
            replace=True,
        )

    @action("set-daily-limit")
    async def set_daily_limit(self, request: Request) -> Reply:
        """A daily limit chosen by button."""
        units = int(request.data["credits"])
        await self._users.update_settings(request.person, daily_limit=units or None)
        return self._settings_card(await self._users.find(request.person.id))

    @action("offer-thresholds")
    async def list_offer_thresholds(self, request: Request) -> Reply:
        """From how much on a question with files is offered first, as buttons."""
        choices = [
            Choice(format_credits(Credits(units)), "set-offer-threshold", {"credits": units})
            for units in OFFER_THRESHOLDS
        ]
        return Reply(
            title=say("Prices told before"),
            lines=(
                say("Now: {threshold}", threshold=_describe_threshold(request.person)),
                say(
                    "A question whose pictures and files cost more than this to read is asked only"
                    " after you have seen its price and pressed a button."
                ),
            ),
            choices=(
                *(tuple(choices[at : at + 2]) for at in range(0, len(choices), 2)),
                (Choice(say("As usual"), "set-offer-threshold", {"credits": -1}),),
            ),
            replace=True,
        )

    @action("set-offer-threshold")
    async def set_offer_threshold(self, request: Request) -> Reply:
        """A threshold chosen by button; below zero: everybody's."""
        units = int(request.data["credits"])
        await self._users.update_settings(
            request.person, offer_from=units if units in OFFER_THRESHOLDS else None
        )
        return self._settings_card(await self._users.find(request.person.id))

    @action("zones")
    async def list_zones(self, request: Request) -> Reply:
        """Time zones as buttons."""
        person = request.person
        choices = [
            Choice(plain(name_zone(zone, person.language)), "set-zone", {"zone": zone})
            for zone in ZONES
        ]
        return Reply(
            title=say("Time zone"),
            lines=(
                say("Times are now shown in {zone}.", zone=_describe_zone(person)),
                say("Another one: /settings Europe/Paris, or the zone's biggest city."),
            ),
            choices=tuple(tuple(choices[at : at + 2]) for at in range(0, len(choices), 2)),
            replace=True,
        )

    @action("set-zone")
    async def set_zone(self, request: Request) -> Reply:
        """A zone chosen by button."""
        zone = str(request.data["zone"])
        assert zone in ZONES
        await self._users.update_settings(request.person, zone=zone)
        return self._settings_card(await self._users.find(request.person.id))

    @staticmethod
    def _settings_card(person: Person) -> Reply:
        yes, no = say("on"), say("off")

        def switch(label: Phrase, name: str, *, value: bool) -> Choice:
            state = yes if value else no
            said = say("{setting}: {state}", setting=label, state=state)
            return Choice(said, "toggle", {"name": name, "value": int(not value)})

        shares = switch(
            say("Pictures through any key"), "shares_files", value=bool(person.shares_files)
        )
        return Reply(
            title=say("Settings"),
            lines=(
                say("Footer: model, tokens and Credits under each answer."),
                say(
                    "Operator's keys only: your questions never go through a key that somebody"
                    " contributed; fewer models may be free at times."
                ),
                say(
                    "Pictures through any key: your pictures and files may go through contributed"
                    " keys whose owners allow that."
                ),
            ),
            choices=(
                (switch(say("Footer"), "footer", value=person.footer),),
                (switch(say("Operator's keys only"), "own_keys_only", value=person.own_keys_only),),
                *(((shares,),) if not person.own_keys_only else ()),
                (
                    Choice(
                        say("Prices told before: {from_}", from_=_name_threshold(person)),
                        "offer-thresholds",
                    ),
                ),
                (
                    Choice(
                        say("Daily limit: {limit}", limit=_describe_limit(person)), "daily-limits"
                    ),
                ),
                (
                    Choice(say("Time zone: {zone}", zone=_describe_zone(person)), "zones"),
                    Choice(say("🌐 Language"), "language"),
                ),
            ),
            replace=True,
        )

    @command(
        "privacy",
        title=say("Privacy"),
        description=say("What is kept, who sees it, how to erase it"),
    )
    async def privacy(self, request: Request) -> Reply:
        """What is kept, in plain words."""
        del request
        return Reply(
            title=say("Privacy"),
            lines=(
                say(
                    "Kept: your questions and answers, sealed by a key of your own, so that"
                    " conversations go on; and what each cost, which stays in the books."
                ),
                say(
                    "Sent: a question, with the turns before it, to the supplier of the model that"
                    " you ask. Owners of contributed keys may see requests in their own supplier"
                    " account; /settings has “operator's keys only”."
                ),
                say(
                    "Audio goes to a supplier to be transcribed and isn't kept; its transcript"
                    " is kept like an answer."
                ),
                say(
                    "What is read in a file is kept for a day, sealed likewise, so that you can"
                    " ask about it again, and so is a picture, reduced and without where and when"
                    " it was taken; the file itself isn't. Both go through the operator's own keys,"
                    " unless you allow contributed ones in /settings."
                ),
                say("Never: in logs, metrics or to anyone else."),
                say("/export gives you everything. Erasing can't be undone."),
            ),
            choices=(
                (
                    Choice(say("Export"), "export"),
                    Choice(say("Erase my history"), "erase"),
                ),
                (Choice(say("Erase everything about me"), "erase-me"),),
            ),
        )

    @action("erase")
    async def erase(self, request: Request) -> Reply:
        """Asks once more."""
        del request
        return Reply(
            lines=(say("Erase every question and answer for good? Your Credits stay."),),
            choices=(
                (
                    Choice(say("Yes, erase"), "erase-now", once=True),
                    Choice(say("Cancel"), "settings"),
                ),
            ),
            replace=True,
        )

    @action("erase-now")
    async def erase_now(self, request: Request) -> Reply:
        """Destroys the key that everything was sealed by."""
        await self._users.erase_history(request.person)
        return Reply((say("Erased. Nobody can read what was said before any more."),), replace=True)


def _describe_limit(person: Person) -> Phrase:
    return say("none") if person.daily_limit is None else format_credits(person.daily_limit)


def _describe_threshold(person: Person) -> Phrase:
    """From how much on prices are told before."""
    own = person.offer_from
    if own is None:
        return say("from {credits} or a tenth of your balance", credits=format_credits(OFFER_FROM))
    return say("from {credits}", credits=format_credits(own))


def _name_threshold(person: Person) -> Phrase:
    """The same as briefly as a button says it."""
    return say("as usual") if person.offer_from is None else _describe_threshold(person)


ABOUT = say(
    "Over forty language models in one chat, paid in Credits. Ask anything: write a message, or"
    " /ask with a model's name. You see the price before you choose, and what each answer cost"
    " under it. An answer that doesn't arrive costs nothing."
)
ABOUT_SHORT = say("Over forty language models in one chat, paid in Credits.")


def _describe_zone(person: Person) -> str:
    return name_zone(person.zone, person.language)


def _find_typed_zone(typed: str) -> str | None:
    """The zone of a name, or of a city in any of our languages."""
    offered = (
        zone
        for zone in ZONES
        for language in LANGUAGES
        if name_zone(zone, language).casefold() == typed.strip().casefold()
    )
    return next(offered, None) or find_zone(typed)
