"""A whole service in a process of its own, in the brief's world, driven over a socket.

A line of JSON each way: commands in, what was acknowledged out. Whoever keeps what comes out knows
what must be there, whatever becomes of this process. It can be told to stop for good at a point
of one ask's road (`crash_points`), and says so first.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
from dataclasses import replace
from typing import Any

from bots.api_server import build_api_server
from bots.app import App, build
from bots.chat.types import (
    Answer,
    AnswerProgress,
    IncomingMessage,
    Output,
    Place,
    Sender,
    UndeliveredAnswer,
)
from bots.config.settings import DiscordConfig, DiscordTiming
from bots.discord.adapter import DiscordAdapter
from bots.http import HttpServer
from core import ids
from core.asks import heartbeat
from core.asks.run import AskRun
from core.asks.types import NoKeyAvailable, NotEnoughCredits, Question
from core.clock import SystemClock
from core.db.database import Database
from core.earnings.types import SAFE_POLICY
from core.money import Credits
from core.pool.suppliers import SUPPLIERS
from tests.support import brief
from tests.support.config import KEYS, make_config, make_externals
from tests.support.databases import TestClock
from tests.system.crash_points import Points
from tests.system.processes_earning import GENEROUS, Earns

Command = dict[str, Any]

#: Hearts beat faster than in life, so that nobody waits for them.
BEAT_SECONDS = 0.05


class Line:
    """The socket: one line an event, from any thread, sent by the time `tell` returns."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._lock = threading.Lock()

    def tell(self, event: str, **facts: object) -> None:
        text = json.dumps({"event": event, **facts}) + "\n"
        with self._lock:
            self._socket.sendall(text.encode())

    def commands(self, loop: asyncio.AbstractEventLoop) -> asyncio.Queue[Command]:
        """What is to be done, as it comes; the test's end is this process's end."""
        queue: asyncio.Queue[Command] = asyncio.Queue()

        def listen() -> None:
            for line in self._socket.makefile(encoding="utf-8"):
                loop.call_soon_threadsafe(queue.put_nowait, json.loads(line))
            os._exit(1)

        threading.Thread(target=listen, daemon=True).start()
        return queue


class Child(Earns):
    """The service and its driver, who shows answers as a front end does."""

    def __init__(self, line: Line, app: App, clock: TestClock, points: Points) -> None:
        self._line, self._app, self._clock, self._points = line, app, clock, points
        self._tell = line.tell
        self._tasks: set[asyncio.Task[None]] = set()
        self._discord: DiscordAdapter | None = None
        self._api: HttpServer | None = None

    async def live(self, commands: asyncio.Queue[Command]) -> None:
        """Does what it is told until it is told to stop."""
        while (command := await commands.get())["do"] != "stop":
            task = asyncio.create_task(self._do(command))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if self._discord is not None:
            await self._discord.stop()
        if self._api is not None:
            await self._api.stop()
        await self._app.stop(grace_seconds=2.0)

    async def _do(self, command: Command) -> None:
        try:
            await getattr(self, f"do_{command['do']}")(command)
        except Exception as failure:
            self._line.tell("failed", command=command, why=repr(failure))

    async def do_discord(self, command: Command) -> None:
        """From now on it is on this Discord too; there the time is the real one."""
        config = DiscordConfig(
            token=command["token"],
            api_url=command["api_url"],
            gateway_url=command["gateway_url"],
            timing=DiscordTiming(interval_seconds=0.02, stop_seconds=5),
        )
        self._discord = DiscordAdapter(config, self._app.chat.dispatcher, SystemClock())
        await self._discord.start()
        self._app.chat.redelivery.register_notifier("discord", self._discord)
        self._line.tell("connected")

    async def do_quiet(self, _: Command) -> None:
        """Says so once nothing that came from Discord is being answered."""
        assert self._discord is not None
        while self._discord._tasks:
            await asyncio.wait(self._discord._tasks)
        self._line.tell("quiet")

    async def do_api(self, _: Command) -> None:
        """From now on programs may ask, at the port that is told."""
        self._api = build_api_server(self._app.services, 0)
        self._line.tell("api", port=await self._api.start())

    async def do_token(self, command: Command) -> None:
        """Somebody makes a token that may spend so much a day."""
        services = self._app.services
        person = await services.users.users.get_or_create("telegram", command["who"], language="en")
        token, secret = await services.api.tokens.create_token(person.id, "storm")
        per_day = Credits(command["per_day"])
        await services.api.tokens.set_day_cap(person.id, token.id, per_day)
        self._line.tell("token", id=token.id, secret=secret.get_secret_value())

    async def do_clock(self, command: Command) -> None:
        self._clock.at_ms = command["at_ms"]
        self._line.tell("clock", at_ms=command["at_ms"])

    async def do_freeze(self, command: Command) -> None:
        self._points.arm(command["at"], command["ask"])
        self._line.tell("armed", ask=command["ask"])

    async def do_says(self, command: Command) -> None:
        """A message; each has a thread of its own, so that no history goes with it."""
        who, message = command["who"], command["message"]
        incoming = IncomingMessage(
            place=Place("telegram", who, message),
            sender=Sender(who, "en"),
            message=message,
            at_ms=command["at_ms"],
            text=command["text"],
        )
        async for output in self._app.chat.dispatcher.handle_message(incoming):
            await self._show(incoming.place, message, output)
        self._line.tell("handled", message=message)

    async def _show(self, place: Place, message: str, output: Output) -> None:
        if isinstance(output, AnswerProgress):
            self._line.tell("progress", ask=output.ask, chars=len(output.text))
        elif isinstance(output, Answer):
            self._points.reached("settled", output.ask)
            self._line.tell("answer", ask=output.ask, text=output.text, footer=output.footer)
            self._points.reached("shown", output.ask)
            await self._app.chat.dispatcher.mark_delivered(
                output.ask, place, [f"shown-{output.ask}"]
            )
            self._line.tell("landed", ask=output.ask)
        else:
            self._line.tell("screen", message=message, text=" ".join(output.lines))

    async def do_sweep(self, _: Command) -> None:
        self._line.tell("swept", count=await self._app.services.asks.recovery.recover_lapsed_asks())

    async def do_land(self, _: Command) -> None:
        await self._app.chat.redelivery.redeliver_answers()
        self._line.tell("landing done")

    async def deliver_answer(self, undelivered: UndeliveredAnswer) -> list[str]:
        """See `Notifier`."""
        answer = undelivered.answer
        self._line.tell("answer", ask=undelivered.ask, text=answer.text, footer=answer.footer)
        messages = [f"landed-{undelivered.ask}"]
        await self._app.chat.dispatcher.mark_delivered(undelivered.ask, undelivered.place, messages)
        return messages

    async def notify_person(self, *_: object) -> None:
        raise AssertionError("nobody is notified here")

    async def do_crowd(self, command: Command) -> None:
        """Many asks of one person at once; tells who was admitted, then what each was charged."""
        person = await self._app.services.users.users.get_or_create(
            "telegram", command["who"], language="en"
        )

        def question(number: int) -> Question:
            name = f"{command['name']}-{number}"
            return Question(
                id=ids.derive_id("ask", self._clock.now_ms(), "crowd", name),
                person=person,
                place=f"telegram:{command['who']}:{name}",
                asked_in=name,
                text="why?",
                model=brief.GPT_4,
            )

        asked = await asyncio.gather(
            *(
                self._app.services.asks.asks.start_ask(question(number))
                for number in range(command["asks"])
            ),
            return_exceptions=True,
        )
        runs = [one for one in asked if isinstance(one, AskRun)]
        refused = [one for one in asked if isinstance(one, NotEnoughCredits)]
        unserved = [one for one in asked if isinstance(one, NoKeyAvailable)]
        others = [one for one in asked if one not in [*runs, *refused, *unserved]]
        self._line.tell(
            "crowd",
            admitted=[run.quote.max_charge.units for run in runs],
            refused=[[one.needed.units, one.available.units, one.held.units] for one in refused],
            unserved=len(unserved),
            others=[repr(one) for one in others],
        )
        results = await asyncio.gather(*(run.result for run in runs))
        self._line.tell("charged", charges=[result.charge.units for result in results])


async def _service(opening: Command, clock: TestClock) -> App:
    """The same world as `tests.support.service`; its supplier is another process."""
    supplier = replace(SUPPLIERS["openai"], base_url=opening["supplier"])
    if opening["contributions"]:
        told_at = f"{supplier.base_url}/user/balance"
        supplier = replace(supplier, account_api="deepseek", account_url=told_at)
    app = await build(
        make_config(
            welcome=opening["welcome"],
            policy=GENEROUS if opening["contributions"] else SAFE_POLICY,
        ),
        db=await Database.open(opening["url"], kind="live", clock=clock),
        clock=clock,
        externals=make_externals(
            {"openai": supplier},
            catalogue=brief.catalogue(),
            costs=brief.costs(),
            keys=KEYS[: opening["keys"]],
            budget=opening["budget"],
        ),
    )
    await app.start()
    if opening["first"]:
        await brief.set_prices(app.services.pricing.prices)
    await app.services.pool.pool.wait_for_first_check(10)
    return app


async def _live(line: Line) -> None:
    commands = line.commands(asyncio.get_running_loop())
    line.tell("started", pid=os.getpid())
    opening = await commands.get()
    clock = TestClock(opening["at_ms"])
    points = Points(line.tell)
    heartbeat.HEARTBEAT_SECONDS = BEAT_SECONDS
    points.watch_writer()
    app = await _service(opening, clock)
    points.watch_asks(app)
    child = Child(line, app, clock, points)
    app.chat.redelivery.register_notifier("telegram", child)
    line.tell("ready")
    await child.live(commands)
    line.tell("stopped")


def main(socket_path: str) -> None:
    """Lives on the event loop that the product lives on."""
    import uvloop

    line = Line(socket_path)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_live(line))
    except Exception as failure:
        line.tell("failed", why=repr(failure))
        raise
