"""The Telegram front end: takes updates, hands them to the chat handler, shows what it yields. Who
a token is can be asked without starting anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Sequence
from dataclasses import replace
from typing import Any, Final, final

from starlette.routing import Route
from telegram import Bot, LinkPreviewOptions, Update
from telegram.error import InvalidToken, NetworkError, TelegramError
from telegram.ext import AIORateLimiter, Application, Defaults, TypeHandler
from telegram.request import HTTPXRequest

from bots.chat.types import Front, Incoming, Output, Place, Press, Screen, Unlanded
from bots.logs import TelegramTokenFilter
from bots.platform_payments import StarsTill
from bots.render.paste_joiner import Joining
from bots.render.throttle import Budgets, NotShown
from bots.telegram import menus
from bots.telegram.config import TelegramConfig
from bots.telegram.inbound import Me, place_of, read_message, read_press, sender_of
from bots.telegram.payments import Paying
from bots.telegram.presenter import Scene, Stage
from bots.telegram.sender import Outbox, Refused, Where
from bots.telegram.streaming import Drafts
from bots.telegram.webhook import webhook_route
from core.clock import Clock
from core.errors import Refusal, cause

_log = logging.getLogger(__name__)

_UPDATES: Final = [Update.MESSAGE, Update.CALLBACK_QUERY, Update.PRE_CHECKOUT_QUERY]
#: Updates being answered at once; beyond it they are left to be sent again or dropped.
_TASKS_MAX: Final = 5_000
_START_TRIES: Final = 5
_START_PAUSE_SECONDS: Final = 0.5


class TelegramUnavailable(Refusal):
    """Telegram could not be started: the token or the webhook is not taken, or nobody answers."""

    code = "telegram_unavailable"

    def __init__(self, *, token_refused: bool, reason: str = "") -> None:
        self.token_refused = token_refused
        #: What Telegram said of the webhook; empty when it said nothing.
        self.reason = reason
        super().__init__()


@final
class Telegram:
    """The adapter runs one Telegram bot: after `start` it lives in the background until `stop`."""

    def __init__(
        self, config: TelegramConfig, front: Front, clock: Clock, stars: StarsTill | None = None
    ) -> None:
        """`stars_payments`: where Credits are sold for them."""
        self._config = config
        self._front = front
        self._clock = clock
        self._filter = TelegramTokenFilter(config.token.get_secret_value())
        self._filter.attach()
        self._app = self._application()
        self._outbox = Outbox(self._app.bot, Budgets(clock), config)
        self._paying = Paying(self._app.bot, stars)
        self._drafts = Drafts()
        self._joining = Joining(self._answer, pause_seconds=config.join_seconds)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._menus: asyncio.Task[None] | None = None
        self._me = Me(0, "")
        self._stage = self._new_stage()
        self._open = False

    async def start(self) -> None:
        """Connects and begins to take updates; raises `TelegramUnavailable`."""
        # The library's own switch: without it every 429 warns of a coming change.
        os.environ.setdefault("PTB_TIMEDELTA", "true")
        try:
            await self._connect()
            await self._app.start()
            await self._take_updates()
        except BaseException:
            await self.stop()
            raise
        self._menus = asyncio.create_task(menus.tell(self._app.bot, self._front))

    async def stop(self) -> None:
        """Takes no more updates; running answers may end within the limit, then are cancelled."""
        updater = self._app.updater
        if updater is not None and updater.running:
            await updater.stop()
        if self._app.running:
            await self._app.stop()
        # Parts of a paste that were taken are answered; nothing new is.
        self._joining.flush()
        self._open = False
        if self._menus is not None:
            self._menus.cancel()
            await asyncio.gather(self._menus, return_exceptions=True)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._config.stop_seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._app.shutdown()
        self._filter.detach()

    async def deliver(self, unlanded: Unlanded) -> Sequence[str]:
        """See `Notifier`; raises `NotDelivered` or `TelegramRefused`."""
        return await self._stage.land(unlanded)

    async def notify(self, sender: str, screen: Screen, *, instead: str = "") -> None:
        """See `Notifier`; raises `NotDelivered` or `TelegramRefused`."""
        pressed = int(instead) if instead.isdecimal() else None
        scene = Scene(Where.person(sender), sender, pressed=pressed)
        await self._stage.card(scene, replace(screen, replace=pressed is not None))

    def invitation(self, code: str) -> str:
        """See `Notifier`."""
        return f"https://t.me/{self._me.username}?start={code}"

    def routes(self) -> list[Route]:
        """What the HTTP app serves for this front end: the webhook, if there is one."""
        if self._config.polls:
            return []
        return [webhook_route(self._config.webhook_secret, self._take_pushed)]

    def _application(self) -> Application[Any, Any, Any, Any, Any, Any]:
        config = self._config
        url = config.api_url.rstrip("/")
        builder = (
            Application.builder()
            .token(config.token.get_secret_value())
            .base_url(f"{url}/bot")
            .base_file_url(f"{url}/file/bot")
            .defaults(Defaults(link_preview_options=LinkPreviewOptions(is_disabled=True)))
            # It spreads what is sent over Telegram's limits. A 429 is waited out by the chat that
            # got it (`bots.render.throttle`): this limiter's own retry would hold every chat.
            .rate_limiter(AIORateLimiter(max_retries=0))
            .job_queue(None)
            .connection_pool_size(128)
            .connect_timeout(10)
            .read_timeout(20)
            .write_timeout(20)
            .pool_timeout(20)
            .media_write_timeout(60)
            .get_updates_connect_timeout(10)
            .get_updates_read_timeout(config.poll_seconds + 10)
            # One more than needed: a poll that was cut off may hold its connection for a while, and
            # the last call of a stop must not wait for it.
            .get_updates_connection_pool_size(4)
            .get_updates_pool_timeout(5)
        )
        if not config.polls:
            builder = builder.updater(None)
        app = builder.build()
        app.add_handler(TypeHandler(Update, self._on_update))
        return app

    def _new_stage(self) -> Stage:
        return Stage(
            self._outbox, self._drafts, self._front, self._clock, username=self._me.username
        )

    async def _connect(self) -> None:
        for attempt in range(_START_TRIES):
            try:
                await self._app.initialize()
            except InvalidToken:
                await self._app.bot.request.shutdown()
                # Its message quotes the token.
                raise TelegramUnavailable(token_refused=True) from None
            except NetworkError as failure:
                _log.warning("Telegram does not answer: %s", cause(failure))
                await asyncio.sleep(_START_PAUSE_SECONDS * 2**attempt)
            else:
                self._connected()
                return
        await self._app.bot.request.shutdown()
        raise TelegramUnavailable(token_refused=False)

    def _connected(self) -> None:
        self._me = Me(self._app.bot.id, self._app.bot.username or "")
        self._stage = self._new_stage()
        self._open = True

    async def _take_updates(self) -> None:
        updater = self._app.updater
        try:
            if updater is not None:
                await updater.start_polling(
                    timeout=self._config.poll_seconds,
                    bootstrap_retries=_START_TRIES,
                    allowed_updates=_UPDATES,
                    error_callback=_polling_failed,
                )
            else:
                await self._app.bot.set_webhook(
                    self._config.webhook_url,
                    secret_token=self._config.webhook_secret.get_secret_value(),
                    allowed_updates=_UPDATES,
                )
        except TelegramError as refused:
            raise TelegramUnavailable(token_refused=False, reason=refused.message) from None

    async def _take_pushed(self, data: dict[str, Any]) -> bool:
        if not self._open:
            return False
        try:
            update = Update.de_json(data, self._app.bot)
        except (KeyError, TypeError, ValueError) as failure:
            # Not to be sent again for ever: it will not become readable.
            _log.warning("an update could not be read: %s", cause(failure))
            return True
        if Paying.concerns(update):
            return await self._paid(update)
        if len(self._tasks) >= _TASKS_MAX:
            return False
        self._take(update)
        return True

    async def _on_update(self, update: Update, _: object) -> None:
        if Paying.concerns(update):
            self._begin(self._paid(update))
        else:
            self._take(update)

    async def _paid(self, update: Update) -> bool:
        try:
            return await self._paying.take(update)
        except Exception as failure:  # noqa: BLE001 - one update's bug is no other's
            _log.error("a payment in chat failed: %s", cause(failure))
            return False

    def _take(self, update: Update) -> None:
        query = update.callback_query
        if query is not None:
            press = read_press(query)
            if press is not None:
                self._spawn(self._spinner(query.id))
                self._spawn(self._press(press))
            return
        message = update.message
        if message is None or message.from_user is None:
            return
        awaited = self._joining.expects(place_of(message).code, sender_of(message).id)
        incoming = read_message(update, self._me, awaited=awaited)
        if incoming is not None:
            self._joining.add(incoming)

    def _answer(self, incoming: Incoming) -> None:
        where = Where.of(incoming.place)
        more = tuple(map(int, incoming.more))
        scene = Scene(where, incoming.sender.id, incoming=int(incoming.message), more=more)
        self._spawn(self._play(scene, incoming.place, self._front.handle(incoming)))

    async def _press(self, press: Press) -> None:
        scene = Scene(Where.of(press.place), press.sender.id, pressed=int(press.message))
        await self._play(scene, press.place, self._front.press(press))

    async def _play(self, scene: Scene, place: Place, outputs: AsyncIterator[Output]) -> None:
        try:
            await self._stage.play(scene, place, outputs)
        except (Refused, NotShown) as refused:
            _log.info("something could not be shown: %s", refused.code)
        except Exception as failure:  # noqa: BLE001 - one update's bug is no other's
            _log.error("an update failed: %s", cause(failure))
        finally:
            if isinstance(outputs, AsyncGenerator):
                await outputs.aclose()

    async def _spinner(self, query: str) -> None:
        """Stops the button's spinner, whatever comes of the button press."""
        with contextlib.suppress(TelegramError):
            await self._app.bot.answer_callback_query(query)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        if len(self._tasks) >= _TASKS_MAX:
            work.close()
            _log.error("too many updates at once: one was dropped")
            return
        self._begin(work)

    def _begin(self, work: Coroutine[Any, Any, Any]) -> None:
        task: asyncio.Task[Any] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _polling_failed(failure: TelegramError) -> None:
    _log.warning("updates could not be fetched: %s", cause(failure))


_SECONDS = 10.0


async def who_am_i(config: TelegramConfig) -> str | None:
    """The bot's user name; None when the token is refused or Telegram can't be reached."""
    request = HTTPXRequest(connect_timeout=_SECONDS, read_timeout=_SECONDS, pool_timeout=_SECONDS)
    bot = Bot(
        config.token.get_secret_value(),
        base_url=f"{config.api_url.rstrip('/')}/bot",
        request=request,
    )
    try:
        async with bot:
            return bot.username
    except TelegramError:
        return None
    finally:
        # A bot that could not begin does not close what it opened.
        await request.shutdown()
