"""A contributor's keys: `/keys`. State, what each brings, and what its contributor can do about it.
Credits only, never what a key costs.
"""

from __future__ import annotations

from typing import Final

from bots.chat.command import Action, Command, Request, Room
from bots.chat.reply import Choice, File, Reply, Said, plain, say
from bots.commands.contribute import answers
from bots.commands.text import in_credits
from bots.render.charts import bars, earnings_chart
from core.clock import as_datetime
from core.earnings.contributions import Contributions
from core.earnings.statistics import CHART_DAYS, FEED_DAYS, Progress, Watching
from core.earnings.termination import Closing
from core.earnings.types import Contribution
from core.earnings.withdrawals import Withdrawals
from core.money import Credits, total
from core.pool.pool import Pool
from core.pool.types import BY_OPERATOR, PausedByOperator, UnknownKey

#: What more of a key may be, in Credits.
_MORE: Final = (1_000, 5_000, 25_000, 75_000)
#: What is left of a key, in tenths of what hasn't vested.
_LESS: Final = (75, 50, 25)

_STATES: Final = {
    "active": say("serving"),
    "cooling": say("resting a while: its supplier asked for it"),
    "parked": say("resting: its account has no money or has reached its limit"),
    "paused": say("paused by you"),
    "exhausted": say("used up"),
    "dead": say("refused by its supplier"),
    "withdrawn": say("taken back"),
}


class KeysCommands:
    """The commands by which contributors watch their keys and change what they lend of them."""

    def __init__(
        self,
        *,
        contributions: Contributions,
        closing: Closing,
        watching: Watching,
        withdrawals: Withdrawals,
        pool: Pool,
    ) -> None:
        self._contributions, self._closing = contributions, closing
        self._watching, self._withdrawals, self._pool = watching, withdrawals, pool

    def room(self) -> Room:
        """Commands and actions."""
        return Room(
            commands=(
                Command(
                    "keys",
                    title=say("My keys"),
                    does=say("The keys that you contributed, and what they earn"),
                    handler=self.keys,
                ),
            ),
            actions=(
                Action("keys", self.keys),
                Action("key", self.key),
                Action("key-pause", self.pause),
                Action("key-resume", self.resume),
                Action("key-more", self.more),
                Action("key-more-now", self.more_now),
                Action("key-less", self.less),
                Action("key-less-now", self.less_now),
                Action("key-chart", self.chart),
                Action("key-back", self.back),
                Action("key-back-now", self.back_now),
            ),
        )

    # --- looking --------------------------------------------------------------------------------

    async def keys(self, request: Request) -> Reply:
        """All of them, with the three numbers: usable, on the way, withdrawable."""
        mine = await self._contributions.of(request.person.id)
        if not mine:
            return Reply(
                title=say("My keys"),
                lines=(say("You have contributed no key yet: /contribute"),),
                private=True,
            )
        progress = [await self._watching.progress(one) for one in mine]
        earnings = await self._withdrawals.earnings(request.person.id)
        rows = [
            (plain(self._name(one)), self._state(one), in_credits(far.brought))
            for one, far in zip(mine, progress, strict=True)
        ]
        days = await self._watching.days([one.key for one in mine], FEED_DAYS)
        feed = [
            say(
                "{at}: {count} answers, {credits}",
                at=as_datetime(day.at_ms).date().isoformat(),
                count=day.answers,
                credits=in_credits(day.brought),
            )
            for day in reversed(days)
            if day.answers
        ]
        choices = [
            (Choice(plain(self._name(one)), "key", {"key": one.key}),)
            for one in mine
            if one.state != "closed"
        ]
        return Reply(
            title=say("My keys"),
            table=((say("Key"), say("State"), say("Brought")), *rows),
            lines=(
                *self._numbers(progress, earnings.withdrawable),
                *feed,
            ),
            choices=(*choices, (Choice(say("📈 Chart"), "key-chart"),)),
            private=True,
        )

    @staticmethod
    def _numbers(progress: list[Progress], withdrawable: Credits) -> tuple[Said, ...]:
        usable = total(Credits, (far.usable for far in progress))
        waits = total(Credits, (far.on_the_way for far in progress))
        return (
            say(
                "Usable {usable} · on the way {waits} · withdrawable {withdrawable}",
                usable=usable,
                waits=waits,
                withdrawable=withdrawable,
            ),
        )

    async def key(self, request: Request) -> Reply:
        """One of them."""
        return await self._card(await self._mine(request))

    async def _card(self, one: Contribution, *said: Said) -> Reply:
        far = await self._watching.progress(one)
        days = await self._watching.days([one.key], FEED_DAYS)
        data: dict[str, str | int] = {"key": one.key}
        lines = [
            *said,
            say("State: {state}", state=self._state(one)),
            say(
                "Used: {percent} % · {count} answers",
                percent=far.used_permille // 10,
                count=far.answers,
            ),
            say(
                "Brought {brought} of {credits} · on the way {waits} · usable now {usable}",
                brought=far.brought,
                credits=in_credits(one.credited - one.returned_credits),
                waits=far.on_the_way,
                usable=far.usable,
            ),
        ]
        if far.last_at:
            lines.append(say("Last used {at}", at=as_datetime(far.last_at)))
            brought = [day.brought for day in days]
            lines.append(
                say(
                    "{days} days: {credits}  {bars}",
                    days=FEED_DAYS,
                    credits=in_credits(total(Credits, brought)),
                    bars=bars([day.units for day in brought]),
                )
            )
        choices: list[tuple[Choice, ...]] = []
        if one.state == "open":
            turn = (
                Choice(say("▶ Resume"), "key-resume", data)
                if one.health == "paused"
                else Choice(say("⏸ Pause"), "key-pause", data)
            )
            choices += [
                (
                    turn,
                    Choice(say("More"), "key-more", data),
                    Choice(say("Less"), "key-less", data),
                ),
                (Choice(say("Take it back"), "key-back", data),),
            ]
        choices.append((Choice(say("📈 Chart"), "key-chart", data), Choice(say("‹ Back"), "keys")))
        return Reply(
            title=plain(self._name(one)),
            lines=tuple(lines),
            choices=tuple(choices),
            private=True,
            replace=True,
        )

    async def chart(self, request: Request) -> Reply:
        """Thirty days as a picture."""
        mine = await self._contributions.of(request.person.id)
        wanted = request.data.get("key")
        keys = [one.key for one in mine if wanted is None or one.key == wanted]
        days = await self._watching.days(keys, CHART_DAYS)
        picture = await earnings_chart([(day.at_ms, day.brought.units) for day in days])
        return Reply(
            lines=(
                say(
                    "{days} days: {credits}  {bars}",
                    days=CHART_DAYS,
                    credits=in_credits(total(Credits, (day.brought for day in days))),
                    bars=bars([day.brought.units for day in days]),
                ),
            ),
            file=File("earnings.png", picture),
            private=True,
        )

    # --- doing ----------------------------------------------------------------------------------

    async def pause(self, request: Request) -> Reply:
        """It serves nobody until it is resumed."""
        one = await self._open(request)
        if one.health != "paused":
            await self._pool.set_state(one.key, "paused")
        return await self._card(await self._mine(request))

    async def resume(self, request: Request) -> Reply:
        """It serves again."""
        one = await self._open(request)
        if one.health == "paused":
            if one.why == BY_OPERATOR:
                raise PausedByOperator(one.key)
            await self._pool.resume(one.key)
        return await self._card(await self._mine(request))

    async def more(self, request: Request) -> Reply:
        """How much more of it."""
        one = await self._open(request)
        average = await self._contributions.average_of(one)
        choices = [
            (
                Choice(
                    say(
                        "{credits} more ({answers})",
                        credits=in_credits(Credits(net)),
                        answers=answers(average, Credits(net)),
                    ),
                    "key-more-now",
                    {"key": one.key, "net": net},
                    once=True,
                ),
            )
            for net in _MORE
        ]
        back = Choice(say("‹ Back"), "key", {"key": one.key})
        return Reply(
            title=plain(self._name(one)),
            lines=(
                say("For how many Credits more may it be used? It is a contribution of its own."),
            ),
            choices=(*choices, (back,)),
            private=True,
            replace=True,
        )

    async def more_now(self, request: Request) -> Reply:
        """More of it, now."""
        one = await self._open(request)
        average = await self._contributions.average_of(one)
        if average is None:
            raise UnknownKey(one.key)
        quota = average.for_net(Credits(int(request.data["net"]))).quota
        more = await self._contributions.raised(one.key, request.person, quota)
        return await self._card(
            more, say("{credits} more from now on.", credits=in_credits(more.credited))
        )

    async def less(self, request: Request) -> Reply:
        """How much of what it has yet to bring stays."""
        one = await self._open(request)
        far = await self._watching.progress(one)
        waits = far.on_the_way.units + (one.advance - far.usable).units
        choices = [
            (
                Choice(
                    say("Keep {credits}", credits=in_credits(Credits(waits * part // 100))),
                    "key-less-now",
                    {"key": one.key, "left": waits * part // 100},
                    once=True,
                ),
            )
            for part in _LESS
            if waits * part // 100
        ]
        back = Choice(say("‹ Back"), "key", {"key": one.key})
        return Reply(
            title=plain(self._name(one)),
            lines=(
                say(
                    "{credits} are on the way. How many of them shall stay? The rest, with the use"
                    " of the key that it stands for, ends now.",
                    credits=in_credits(Credits(waits)),
                ),
            ),
            choices=(*choices, (back,)),
            private=True,
            replace=True,
        )

    async def less_now(self, request: Request) -> Reply:
        """Less of it, now."""
        one = await self._open(request)
        left = Credits(int(request.data["left"]))
        await self._closing.lower(one.key, request.person.id, left)
        return await self._card(await self._mine(request))

    async def back(self, request: Request) -> Reply:
        """Asks once more."""
        one = await self._open(request)
        far = await self._watching.progress(one)
        lines = [
            say(
                "Take {key} back? It is erased at once. What it has brought stays; {credits} that"
                " were on the way go.",
                key=self._name(one),
                credits=in_credits(far.on_the_way),
            )
        ]
        spent = one.advance - far.usable
        if not spent.is_zero:
            lines.append(
                say(
                    "You have spent {credits} of it in advance: they are taken from what you"
                    " earned, got or bought, and what is missing is owed.",
                    credits=in_credits(spent),
                )
            )
        data: dict[str, str | int] = {"key": one.key}
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

    async def back_now(self, request: Request) -> Reply:
        """Taken back: erased, ended as soon as its running answers are."""
        await self._closing.withdraw(str(request.data["key"]), request.person.id)
        one = await self._mine(request)
        ended = (
            say("Ended: {credits} went back.", credits=in_credits(one.returned_credits))
            if one.state == "closed"
            else say("It is erased, and ends as soon as its running answers have.")
        )
        return Reply((ended,), private=True, replace=True)

    # --- helpers --------------------------------------------------------------------------------

    async def _mine(self, request: Request) -> Contribution:
        return await self._contributions.get(str(request.data["key"]), request.person.id)

    async def _open(self, request: Request) -> Contribution:
        one = await self._mine(request)
        if one.state != "open":
            raise UnknownKey(one.key)
        return one

    def _name(self, one: Contribution) -> str:
        return f"{self._pool.supplier(one.supplier).title} …{one.tail}"

    @staticmethod
    def _state(one: Contribution) -> Said:
        if one.health == "paused" and one.why == BY_OPERATOR:
            return say("paused by the operator")
        return _STATES.get(one.health, say("serving"))
