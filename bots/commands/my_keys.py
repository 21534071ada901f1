"""A contributor's keys: `/keys`. State, what each brings, and what its contributor can do about it.
Credits only, never what a key costs.
"""

from __future__ import annotations

from typing import Final

from bots.chat.command import Request, action, command
from bots.chat.i18n import render
from bots.chat.reply import Choice, Phrase, Reply, ReplyFile, plain, say, say_count
from bots.commands.contribute import describe_request_count
from bots.commands.text import format_credits
from bots.render.charts import draw_earnings_chart, format_bars
from core.clock import as_datetime
from core.earnings.contributions import Contributions
from core.earnings.statistics import (
    CHART_DAYS,
    FEED_DAYS,
    ContributionProgress,
    ContributionStatistics,
)
from core.earnings.termination import ContributionTermination
from core.earnings.types import Contribution
from core.earnings.withdrawals import Withdrawals
from core.money import Credits, sum_amounts
from core.pool.pool import Pool
from core.pool.types import (
    BY_OPERATOR,
    PROGRAM_CALLS_PER_MINUTE,
    PausedByOperator,
    UnknownKey,
)

#: What more of a key may be, in Credits.
_MORE_OFFERED: Final = (1_000, 5_000, 25_000, 75_000)
#: What is left of a key, in tenths of what hasn't vested.
_LESS_OFFERED: Final = (75, 50, 25)

_STATE_NAMES: Final = {
    "active": say("serving"),
    "cooling": say("cooling down: its supplier asked for a pause"),
    "parked": say("waiting: its account has no money or has reached its limit"),
    "paused": say("paused by you"),
    "exhausted": say("used up"),
    "dead": say("refused by its supplier"),
    "withdrawn": say("taken back"),
}
#: States in which it would serve at its supplier's old address.
_SERVING: Final = frozenset({"active", "cooling", "parked"})


class MyKeysCommands:
    """The commands by which contributors watch their keys and change what they lend of them."""

    def __init__(
        self,
        *,
        contributions: Contributions,
        termination: ContributionTermination,
        statistics: ContributionStatistics,
        withdrawals: Withdrawals,
        pool: Pool,
    ) -> None:
        self._contributions, self._termination = contributions, termination
        self._statistics, self._withdrawals, self._pool = statistics, withdrawals, pool

    # --- looking --------------------------------------------------------------------------------

    @command(
        "keys",
        title=say("My keys"),
        description=say("The keys that you contributed, and what they earn"),
    )
    @action("keys")
    async def keys(self, request: Request) -> Reply:
        """All of them, with the three numbers: usable, on the way, withdrawable."""
        contributions = await self._contributions.list_for_contributor(request.person.id)
        if not contributions:
            return Reply(
                title=say("My keys"),
                lines=(say("You have contributed no key yet: /contribute"),),
                private=True,
            )
        progress = [await self._statistics.get_progress(one) for one in contributions]
        earnings = await self._withdrawals.get_earnings(request.person.id)
        rows = [
            (plain(self._key_name(one)), self._describe_state(one), format_credits(far.vested))
            for one, far in zip(contributions, progress, strict=True)
        ]
        days = await self._statistics.list_daily_earnings(
            [one.key for one in contributions], FEED_DAYS
        )
        feed = [
            say_count(
                "{at}: {count} answer, {credits}",
                "{at}: {count} answers, {credits}",
                day.answers,
                at=as_datetime(day.at_ms).date().isoformat(),
                credits=format_credits(day.vested),
            )
            for day in reversed(days)
            if day.answers
        ]
        choices = [
            (Choice(plain(self._key_name(one)), "key", {"key": one.key}),)
            for one in contributions
            if one.state != "closed"
        ]
        return Reply(
            title=say("My keys"),
            table=((say("Key"), say("State"), say("Brought")), *rows),
            lines=(
                *self._totals_lines(progress, earnings.withdrawable),
                *feed,
            ),
            choices=(*choices, (Choice(say("📈 Chart"), "key-chart"),)),
            private=True,
        )

    @staticmethod
    def _totals_lines(
        progress: list[ContributionProgress], withdrawable: Credits
    ) -> tuple[Phrase, ...]:
        usable = sum_amounts(Credits, (far.spendable for far in progress))
        waits = sum_amounts(Credits, (far.unvested for far in progress))
        return (
            say(
                "Usable {usable} · still to earn {waits} · withdrawable {withdrawable}",
                usable=usable,
                waits=waits,
                withdrawable=withdrawable,
            ),
        )

    @action("key")
    async def key(self, request: Request) -> Reply:
        """One of them."""
        return await self._key_card(await self._get_own_contribution(request))

    async def _key_card(self, contribution: Contribution, *first_lines: Phrase) -> Reply:
        progress = await self._statistics.get_progress(contribution)
        days = await self._statistics.list_daily_earnings([contribution.key], FEED_DAYS)
        data: dict[str, str | int] = {"key": contribution.key}
        lines = [
            *first_lines,
            say("State: {state}", state=self._describe_state(contribution)),
            say_count(
                "Used: {percent} % · {count} answer",
                "Used: {percent} % · {count} answers",
                progress.answers,
                percent=progress.used_permille // 10,
            ),
            say(
                "Earned {brought} of {credits} · still to earn {waits} · usable now {usable}",
                brought=progress.vested,
                credits=format_credits(contribution.credited - contribution.returned_credits),
                waits=progress.unvested,
                usable=progress.spendable,
            ),
        ]
        if progress.last_served_at:
            lines.append(say("Last used {at}", at=as_datetime(progress.last_served_at)))
            brought = [day.vested for day in days]
            lines.append(
                say(
                    "{days} days: {credits}  {bars}",
                    days=FEED_DAYS,
                    credits=format_credits(sum_amounts(Credits, brought)),
                    bars=format_bars([day.units for day in brought]),
                )
            )
        choices: list[tuple[Choice, ...]] = []
        if contribution.state == "open":
            toggle = (
                Choice(say("▶ Resume"), "key-resume", data)
                if contribution.health == "paused"
                else Choice(say("⏸ Pause"), "key-pause", data)
            )
            choices += [
                (
                    toggle,
                    Choice(say("Raise its limit"), "key-more", data),
                    Choice(say("Lower its limit"), "key-less", data),
                ),
                (_make_files_switch(contribution), _make_programs_switch(contribution)),
                (Choice(say("Take it back"), "key-back", data),),
            ]
        choices.append((Choice(say("📈 Chart"), "key-chart", data), Choice(say("‹ Back"), "keys")))
        return Reply(
            title=plain(self._key_name(contribution)),
            lines=tuple(lines),
            choices=tuple(choices),
            private=True,
            replace=True,
        )

    @action("key-chart")
    async def key_chart(self, request: Request) -> Reply:
        """Thirty days as a picture."""
        contributions = await self._contributions.list_for_contributor(request.person.id)
        wanted = request.data.get("key")
        keys = [one.key for one in contributions if wanted is None or one.key == wanted]
        days = await self._statistics.list_daily_earnings(keys, CHART_DAYS)
        language = request.person.language
        picture = await draw_earnings_chart(
            [(day.at_ms, day.vested.units) for day in days],
            title=render(say("What your keys earned"), language),
            unit=render(say("Credits"), language),
        )
        return Reply(
            lines=(
                say(
                    "{days} days: {credits}  {bars}",
                    days=CHART_DAYS,
                    credits=format_credits(sum_amounts(Credits, (day.vested for day in days))),
                    bars=format_bars([day.vested.units for day in days]),
                ),
            ),
            file=ReplyFile("earnings.png", picture),
            private=True,
        )

    # --- doing ----------------------------------------------------------------------------------

    @action("key-pause")
    async def key_pause(self, request: Request) -> Reply:
        """It serves nobody until it is resumed."""
        contribution = await self._get_open_contribution(request)
        if contribution.health != "paused":
            await self._pool.set_key_state(contribution.key, "paused")
        return await self._key_card(await self._get_own_contribution(request))

    @action("key-resume")
    async def key_resume(self, request: Request) -> Reply:
        """It serves again."""
        contribution = await self._get_open_contribution(request)
        if contribution.health == "paused":
            if contribution.health_reason == BY_OPERATOR:
                raise PausedByOperator(contribution.key)
            await self._pool.resume_key(contribution.key)
        return await self._key_card(await self._get_own_contribution(request))

    @action("key-files")
    async def key_files(self, request: Request) -> Reply:
        """Whether other people's pictures and files may pass through it."""
        contribution = await self._get_open_contribution(request)
        takes_files = bool(request.data["value"])
        await self._contributions.set_takes_files(contribution.key, takes_files)
        told = say(
            "People's pictures and files may pass through it from now on. What they send counts as"
            " use of your account at the supplier."
        )
        lines = (told,) if takes_files else ()
        return await self._key_card(await self._get_own_contribution(request), *lines)

    @action("key-programs")
    async def key_programs(self, request: Request) -> Reply:
        """Whether other people's programs may be served by it."""
        contribution = await self._get_open_contribution(request)
        takes_programs = bool(request.data["value"])
        await self._contributions.set_takes_programs(contribution.key, takes_programs)
        told = say(
            "Other people's programs may ask by it from now on, at most {most} asks a minute. What"
            " they send counts as use of your account at the supplier, whose terms may not allow"
            " it: read them.",
            most=PROGRAM_CALLS_PER_MINUTE,
        )
        lines = (told,) if takes_programs else ()
        return await self._key_card(await self._get_own_contribution(request), *lines)

    @action("key-more")
    async def key_more(self, request: Request) -> Reply:
        """How much more of it."""
        contribution = await self._get_open_contribution(request)
        average = await self._contributions.calculate_average(contribution)
        choices = [
            (
                Choice(
                    say(
                        "{credits} more ({answers})",
                        credits=format_credits(Credits(net)),
                        answers=describe_request_count(average, Credits(net)),
                    ),
                    "key-more-now",
                    {"key": contribution.key, "net": net},
                    once=True,
                ),
            )
            for net in _MORE_OFFERED
        ]
        back = Choice(say("‹ Back"), "key", {"key": contribution.key})
        return Reply(
            title=plain(self._key_name(contribution)),
            lines=(
                say("For how many more Credits may it be used? That is a contribution of its own."),
            ),
            choices=(*choices, (back,)),
            private=True,
            replace=True,
        )

    @action("key-more-now")
    async def key_more_now(self, request: Request) -> Reply:
        """More of it, now."""
        contribution = await self._get_open_contribution(request)
        average = await self._contributions.calculate_average(contribution)
        if average is None:
            raise UnknownKey(contribution.key)
        quota = average.find_min_quota(Credits(int(request.data["net"]))).quota
        raised = await self._contributions.raise_contribution(
            contribution.key, request.person, quota
        )
        return await self._key_card(
            raised, say("{credits} more from now on.", credits=format_credits(raised.credited))
        )

    @action("key-less")
    async def key_less(self, request: Request) -> Reply:
        """How much of what it has yet to bring stays."""
        contribution = await self._get_open_contribution(request)
        progress = await self._statistics.get_progress(contribution)
        waits = progress.unvested.units + (contribution.advance - progress.spendable).units
        choices = [
            (
                Choice(
                    say("Keep {credits}", credits=format_credits(Credits(waits * part // 100))),
                    "key-less-now",
                    {"key": contribution.key, "left": waits * part // 100},
                    once=True,
                ),
            )
            for part in _LESS_OFFERED
            if waits * part // 100
        ]
        back = Choice(say("‹ Back"), "key", {"key": contribution.key})
        return Reply(
            title=plain(self._key_name(contribution)),
            lines=(
                say(
                    "{credits} are still to be earned. How many should the key go on to earn?"
                    " The rest, and the use of the key that it stands for, ends now.",
                    credits=format_credits(Credits(waits)),
                ),
            ),
            choices=(*choices, (back,)),
            private=True,
            replace=True,
        )

    @action("key-less-now")
    async def key_less_now(self, request: Request) -> Reply:
        """Less of it, now."""
        contribution = await self._get_open_contribution(request)
        left = Credits(int(request.data["left"]))
        await self._termination.lower_contribution(contribution.key, request.person.id, left)
        return await self._key_card(await self._get_own_contribution(request))

    @action("key-back")
    async def key_back(self, request: Request) -> Reply:
        """Asks once more."""
        contribution = await self._get_open_contribution(request)
        progress = await self._statistics.get_progress(contribution)
        lines = [
            say(
                "Take {key} back? It is erased at once. What it has earned stays; {credits}"
                " that it would still earn are lost.",
                key=self._key_name(contribution),
                credits=format_credits(progress.unvested),
            )
        ]
        spent = contribution.advance - progress.spendable
        if not spent.is_zero:
            lines.append(
                say(
                    "You have spent {credits} of it in advance: they are taken from what you"
                    " earned, got or bought, and what is missing is owed.",
                    credits=format_credits(spent),
                )
            )
        data: dict[str, str | int] = {"key": contribution.key}
        return Reply(
            lines=tuple(lines),
            choices=(
                (
                    Choice(say("Yes, take it back"), "key-back-now", data, once=True),
                    Choice(say("Cancel"), "key", data),
                ),
            ),
            private=True,
            replace=True,
        )

    @action("key-back-now")
    async def key_back_now(self, request: Request) -> Reply:
        """Taken back: erased, ended as soon as its running answers are."""
        await self._termination.withdraw_contribution(str(request.data["key"]), request.person.id)
        contribution = await self._get_own_contribution(request)
        ended = (
            say(
                "Ended: {credits} went back.", credits=format_credits(contribution.returned_credits)
            )
            if contribution.state == "closed"
            else say("It has been erased, and ends once its answers in progress are done.")
        )
        return Reply((ended,), private=True, replace=True)

    # --- helpers --------------------------------------------------------------------------------

    async def _get_own_contribution(self, request: Request) -> Contribution:
        return await self._contributions.get(str(request.data["key"]), request.person.id)

    async def _get_open_contribution(self, request: Request) -> Contribution:
        contribution = await self._get_own_contribution(request)
        if contribution.state != "open":
            raise UnknownKey(contribution.key)
        return contribution

    def _key_name(self, contribution: Contribution) -> str:
        return f"{self._pool.get_supplier(contribution.supplier).title} …{contribution.tail}"

    def _describe_state(self, contribution: Contribution) -> Phrase:
        if contribution.health == "paused" and contribution.health_reason == BY_OPERATOR:
            return say("paused by the operator")
        if contribution.health in _SERVING and self._pool.is_moved(contribution.key):
            return say("can't serve: its supplier's address has changed")
        return _STATE_NAMES.get(contribution.health, say("serving"))


def _make_files_switch(contribution: Contribution) -> Choice:
    state = say("on") if contribution.takes_files else say("off")
    return Choice(
        say("{setting}: {state}", setting=say("Pictures and files"), state=state),
        "key-files",
        {"key": contribution.key, "value": int(not contribution.takes_files)},
    )


def _make_programs_switch(contribution: Contribution) -> Choice:
    state = say("on") if contribution.takes_programs else say("off")
    return Choice(
        say("{setting}: {state}", setting=say("Programs"), state=state),
        "key-programs",
        {"key": contribution.key, "value": int(not contribution.takes_programs)},
    )
