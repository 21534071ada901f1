"""The Telegram front end: takes updates, hands them to the chat handler, shows what it yields. Who
a token is can be asked without starting anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, final

from starlette.routing import Route
from telegram import Bot, LinkPreviewOptions, Message, Update, User
from telegram.error import InvalidToken, NetworkError, TelegramError
from telegram.ext import Application, Defaults
from telegram.request import HTTPXRequest

from bots.chat.types import (
    BotAddress,
    ButtonPress,
    Card,
    ChatHandler,
    IncomingMessage,
    Output,
    Place,
    TelegramUnavailable,
    UndeliveredAnswer,
)
from bots.chat.update_inbox import ReceivedUpdate
from bots.chat.update_intake import TakenUpdate, UpdateIntake
from bots.config.settings import TelegramConfig
from bots.logs import TelegramTokenFilter
from bots.platform_payments import StarsPayments
from bots.render.paste_joiner import PasteJoiner
from bots.render.throttle import ChatThrottles, NotDelivered
from bots.telegram import menus
from bots.telegram.file_request import BoundedFileRequest, load_authorities
from bots.telegram.inbound import (
    BotIdentity,
    ChatMove,
    check_ids,
    get_place,
    get_sender,
    is_in_private_topic,
    read_edit,
    read_message,
    read_move,
    read_press,
)
from bots.telegram.payments import PaymentUpdates
from bots.telegram.presenter import TelegramPresenter, TelegramTarget
from bots.telegram.private_topics import PrivateTopics
from bots.telegram.rate_limiter import FairRateLimiter
from bots.telegram.sender import TelegramDestination, TelegramRefused, TelegramSender
from bots.telegram.streaming import DraftSupport
from bots.telegram.update_poller import UpdatePoller
from bots.telegram.webhook import build_webhook_route
from core.asks.chat_moves import ChatMoves
from core.clock import Clock
from core.errors import Refusal, describe_failure

_log = logging.getLogger(__name__)

_UPDATES: Final = [
    Update.MESSAGE,
    Update.EDITED_MESSAGE,
    Update.CALLBACK_QUERY,
    Update.PRE_CHECKOUT_QUERY,
]
#: Updates being answered at once; beyond it they are left to be sent again or dropped.
_CONCURRENT_UPDATES_MAX: Final = 5_000
_START_ATTEMPTS: Final = 5
_START_PAUSE_SECONDS: Final = 0.5


@final
class TelegramAdapter:
    """The adapter runs one Telegram bot: after `start` it lives in the background until `stop`."""

    def __init__(
        self,
        config: TelegramConfig,
        chat_handler: ChatHandler,
        clock: Clock,
        stars_payments: StarsPayments | None = None,
        intake: UpdateIntake | None = None,
        chat_moves: ChatMoves | None = None,
    ) -> None:
        """`stars_payments`: where Credits are sold for them; `intake` stores what comes;
        `chat_moves` are told of groups that became supergroups."""
        self._config = config
        self._chat_handler = chat_handler
        self._clock = clock
        self._filter = TelegramTokenFilter(config.token.get_secret_value())
        self._filter.attach()
        self._app = self._build_application()
        self._sender = TelegramSender(self._app.bot, ChatThrottles(), config)
        self._payment_updates = PaymentUpdates(self._app.bot, stars_payments)
        self._drafts = DraftSupport()
        self._intake = intake or UpdateIntake()
        self._chat_moves, self._move_lock = chat_moves, asyncio.Lock()
        timing = config.timing
        self._paste_joiner = PasteJoiner(
            self._handle_message,
            pause_seconds=timing.join_seconds,
            album_seconds=timing.album_seconds,
        )
        self._tasks: set[asyncio.Task[Any]] = set()
        self._menu_task: asyncio.Task[None] | None = None
        self._bot_identity = BotIdentity(0, "")
        self._private_topics = PrivateTopics(self._app.bot, self._learn_identity)
        self._presenter = self._new_presenter()
        self._is_open = False
        self._poller: UpdatePoller | None = None
        #: How many updates nobody could read, in this process.
        self.unreadable_count = 0

    async def start(self) -> None:
        """Connects and begins to take updates; raises `TelegramUnavailable`."""
        # The library's own switch: without it every 429 warns of a coming change.
        os.environ.setdefault("PTB_TIMEDELTA", "true")
        try:
            await self._connect()
            await self._start_updates()
            self._intake.register_worker("telegram", self._work_left_update)
        except BaseException:
            await self.stop()
            raise
        self._menu_task = asyncio.create_task(menus.update_menus(self._app.bot, self._chat_handler))
        self._private_topics.start()

    async def stop(self) -> None:
        """Takes no more updates; running answers may end within the limit, then are cancelled."""
        self._intake.unregister_worker("telegram")
        if self._poller is not None:
            await self._poller.stop()
        # Parts of a paste that were taken are answered; nothing new is.
        self._paste_joiner.flush_held()
        self._is_open = False
        await self._private_topics.stop()
        if self._menu_task is not None:
            self._menu_task.cancel()
            await asyncio.gather(self._menu_task, return_exceptions=True)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._config.timing.stop_seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._app.shutdown()
        self._filter.detach()

    def is_heard(self) -> bool:
        """Whether updates can come: polls are answered, or there is a webhook, of which Telegram
        tells nothing."""
        return self._is_open and (self._poller is None or self._poller.is_heard())

    async def deliver_answer(self, undelivered: UndeliveredAnswer) -> Sequence[str]:
        """See `Notifier`; raises `NotDelivered` or `TelegramRefused`."""
        return await self._presenter.deliver_answer(undelivered)

    async def notify_person(self, sender: str, card: Card, *, replace_message: str = "") -> None:
        """See `Notifier`; raises `NotDelivered` or `TelegramRefused`."""
        pressed = int(replace_message) if replace_message.isdecimal() else None
        target = TelegramTarget(TelegramDestination.for_person(sender), sender, pressed=pressed)
        await self._presenter.show_card(target, replace(card, replace=pressed is not None))

    async def find_name(self, sender: str) -> str:
        """See `NameLookup`."""
        chat = await self._app.bot.get_chat(int(sender))
        name = " ".join(filter(None, (chat.first_name, chat.last_name)))
        return f"{name} (@{chat.username})" if chat.username else name

    def build_invitation_link(self, code: str) -> str:
        """See `Notifier`."""
        return f"https://t.me/{self._bot_identity.username}?start={code}"

    def build_routes(self) -> list[Route]:
        """What the HTTP app serves for this front end: the webhook, if there is one."""
        if self._config.is_polling:
            return []
        return [build_webhook_route(self._config.webhook_secret, self._receive_update)]

    def _build_application(self) -> Application[Any, Any, Any, Any, Any, Any]:
        config = self._config
        url = config.api_url.rstrip("/")
        file_url = f"{url}/file/bot"
        builder = (
            Application.builder()
            .token(config.token.get_secret_value())
            .base_url(f"{url}/bot")
            .base_file_url(file_url)
            .request(BoundedFileRequest(file_url))
            .get_updates_request(BoundedFileRequest(file_url))
            .defaults(Defaults(link_preview_options=LinkPreviewOptions(is_disabled=True)))
            .rate_limiter(FairRateLimiter())
            .job_queue(None)
            # `bots.telegram.update_poller` fetches updates: the library's own loop ends at the
            # first one that it can't read, and fetches that one again for ever.
            .updater(None)
        )
        return builder.build()

    def _new_presenter(self) -> TelegramPresenter:
        return TelegramPresenter(
            self._sender,
            self._drafts,
            self._chat_handler,
            self._clock,
            username=self._bot_identity.username,
        )

    async def _connect(self) -> None:
        for attempt in range(_START_ATTEMPTS):
            try:
                await self._app.initialize()
            except InvalidToken:
                await self._app.bot.request.shutdown()
                # Its message quotes the token.
                raise TelegramUnavailable(token_refused=True) from None
            except NetworkError as failure:
                _log.warning("Telegram does not answer: %s", describe_failure(failure))
                await asyncio.sleep(_START_PAUSE_SECONDS * 2**attempt)
            else:
                self._on_connected()
                return
        await self._app.bot.request.shutdown()
        raise TelegramUnavailable(token_refused=False)

    def _on_connected(self) -> None:
        self._learn_identity(self._app.bot.bot)
        self._presenter = self._new_presenter()
        self._is_open = True

    def _learn_identity(self, bot: User) -> None:
        has_topics = bool(bot.has_topics_enabled)
        self._bot_identity = BotIdentity(bot.id, bot.username or "", has_topics)
        self._sender.has_private_topics = has_topics

    async def _start_updates(self) -> None:
        try:
            if self._config.is_polling:
                self._poller = UpdatePoller(
                    self._app.bot,
                    self._receive_update,
                    kinds=_UPDATES,
                    poll_seconds=self._config.timing.poll_seconds,
                    pause_seconds=self._config.timing.fetch_pause_seconds,
                )
                await self._poller.start(attempts=_START_ATTEMPTS)
            else:
                await self._app.bot.set_webhook(
                    self._config.webhook_url,
                    secret_token=self._config.webhook_secret.get_secret_value(),
                    allowed_updates=_UPDATES,
                )
        except TelegramError as refused:
            raise TelegramUnavailable(token_refused=False, reason=refused.message) from None

    async def _receive_update(self, data: dict[str, Any]) -> bool:
        """Takes an update over, however it came; False where it can't be taken now. What can't be
        read is passed over: it will not become readable."""
        if not self._is_open:
            return False
        try:
            update = Update.de_json(data, self._app.bot)
            is_payment = PaymentUpdates.is_payment_update(update)
            if not is_payment:
                check_ids(update)
        except Exception as failure:  # noqa: BLE001 - whatever the library stumbles over
            self.unreadable_count += 1
            _log.warning("an update could not be read: %s", describe_failure(failure))
            return True
        if is_payment:
            return await self._handle_payment(update)
        # What was written in the new chat is read after the move is known.
        async with self._move_lock:
            if (move := read_move(update)) is not None:
                return await self._follow_move(move)
        if len(self._tasks) >= _CONCURRENT_UPDATES_MAX or not self._intake.has_room():
            return False
        return await self._take_update(update, data)

    async def _follow_move(self, move: ChatMove) -> bool:
        """Whether it is recorded; else Telegram is to tell it again."""
        self._sender.follow_move(move.was, move.chat)
        if self._chat_moves is not None:
            try:
                await self._chat_moves.record_move("telegram", str(move.was), str(move.chat))
            except Refusal as refused:
                _log.warning("a group's move was not recorded: %s", refused.code)
                return False
        return True

    async def _work_left_update(self, received: ReceivedUpdate) -> None:
        """What another process stored and left behind."""
        update = Update.de_json(dict(received.content), self._app.bot)
        if not await self._take_update(update, received.content, stored_id=received.id):
            raise ValueError("an update that was stored is for nobody")

    async def _handle_payment(self, update: Update) -> bool:
        """One that nobody can read is passed over: asked for again it would hold up everybody, and
        what was paid is in the list of Stars."""
        try:
            return await self._payment_updates.handle_update(update)
        except Exception as failure:  # noqa: BLE001 - one update's bug is no other's
            self.unreadable_count += 1
            _log.error("a payment in chat failed: %s", describe_failure(failure))
            return True

    async def _take_update(
        self, update: Update, data: Mapping[str, Any], *, stored_id: str = ""
    ) -> bool:
        """Whether it may be acknowledged: it is stored, worked, or nobody's."""
        try:
            taken = self._read_update(update, data)
        except Exception as failure:  # noqa: BLE001 - one update's oddity is no other's
            self.unreadable_count += 1
            _log.warning("an update could not be understood: %s", describe_failure(failure))
            return not stored_id
        if taken is None:
            return not stored_id
        return await self._intake.take(taken, is_stored=bool(stored_id))

    def _read_update(self, update: Update, data: Mapping[str, Any]) -> TakenUpdate | None:
        query, message = update.callback_query, update.message
        if query is not None:
            press = read_press(query, self._bot_identity)
            if press is None:
                return None
            received = ReceivedUpdate(_press_id(press), "telegram", press.sender.id, data)
            return TakenUpdate(received, press, lambda: self._begin_press(press))
        edit = read_edit(update, self._bot_identity)
        if edit is not None:
            id_ = f"telegram/edit/{update.update_id}"
            received = ReceivedUpdate(id_, "telegram", edit.sender.id, data)
            return TakenUpdate(
                received, edit, lambda: self._spawn(self._answer_message(edit, (id_,)))
            )
        if message is None or message.from_user is None:
            return None
        if is_in_private_topic(message) and not self._bot_identity.has_topics:
            self._private_topics.doubt()
        # What may be its first part is perhaps on its way in, too: it is read again behind that.
        place, sender = get_place(message, self._bot_identity).code, get_sender(message).id
        awaited = self._is_awaited(message) or self._intake.is_expecting(place, sender)
        incoming = read_message(update, self._bot_identity, is_awaited=awaited)
        if incoming is None:
            return None
        (id_,) = _message_ids(incoming)
        received = ReceivedUpdate(id_, "telegram", sender, data)
        return TakenUpdate(received, incoming, lambda: self._join_message(update, message))

    def _is_awaited(self, message: Message) -> bool:
        place, sender = get_place(message, self._bot_identity).code, get_sender(message).id
        return self._paste_joiner.is_waiting_for(place, sender, message.media_group_id or "")

    def _join_message(self, update: Update, message: Message) -> bool:
        awaited = self._is_awaited(message)
        incoming = read_message(update, self._bot_identity, is_awaited=awaited)
        return incoming is not None and self._paste_joiner.add(incoming)

    def _handle_message(self, incoming: IncomingMessage) -> None:
        ids = _message_ids(incoming)
        if not self._spawn(self._answer_message(incoming, ids)):
            self._intake.finish(incoming.sender.id, ids)

    async def _answer_message(self, incoming: IncomingMessage, ids: tuple[str, ...]) -> None:
        target = TelegramTarget(
            TelegramDestination.from_place(incoming.place),
            incoming.sender.id,
            incoming=int(incoming.message),
            more=tuple(map(int, incoming.more)),
        )
        outputs = self._chat_handler.handle_message(incoming)
        await self._present(target, incoming.place, outputs, ids)

    def _begin_press(self, press: ButtonPress) -> bool:
        self._spawn(self._stop_spinner(press.id))
        return self._spawn(self._handle_press(press))

    async def _handle_press(self, press: ButtonPress) -> None:
        if press.may_be_in_thread:
            place = await self._chat_handler.find_pressed_place(press)
            press = replace(press, place=place, may_be_in_thread=False)
        target = TelegramTarget(
            TelegramDestination.from_place(press.place), press.sender.id, pressed=int(press.message)
        )
        outputs = self._chat_handler.handle_press(press)
        await self._present(target, press.place, outputs, (_press_id(press),))

    async def _present(
        self,
        target: TelegramTarget,
        place: Place,
        outputs: AsyncIterator[Output],
        ids: tuple[str, ...],
    ) -> None:
        """Shows what came of the updates `ids`."""
        watched = self._intake.watch_outputs(outputs, target.sender, ids)
        try:
            await self._presenter.present(target, place, watched)
        except (TelegramRefused, NotDelivered) as refused:
            _log.info("something could not be shown: %s", refused.code)
        except Exception as failure:  # noqa: BLE001 - one update's bug is no other's
            _log.error("an update failed: %s", describe_failure(failure))
        finally:
            await watched.aclose()
        # Not where it was cancelled: that is left to whoever comes next.
        self._intake.finish(target.sender, ids)

    async def _stop_spinner(self, query: str) -> None:
        """Stops the button's spinner, whatever comes of the button press."""
        with contextlib.suppress(TelegramError):
            await self._app.bot.answer_callback_query(query)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> bool:
        """Whether it runs now."""
        if len(self._tasks) >= _CONCURRENT_UPDATES_MAX:
            work.close()
            _log.error("too many updates at once: one was dropped")
            return False
        self._track_task(work)
        return True

    def _track_task(self, work: Coroutine[Any, Any, Any]) -> None:
        task: asyncio.Task[Any] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _message_ids(incoming: IncomingMessage) -> tuple[str, ...]:
    """What the updates are stored by of which a message was joined."""
    return tuple(
        f"telegram/{incoming.place.chat}/{message}"
        for message in (incoming.message, *incoming.more)
    )


def _press_id(press: ButtonPress) -> str:
    return f"telegram/press/{press.id}"


_TIMEOUT_SECONDS = 10.0


async def fetch_bot_address(config: TelegramConfig) -> BotAddress:
    """Whose token it is; raises TelegramUnavailable."""
    request = HTTPXRequest(
        connect_timeout=_TIMEOUT_SECONDS,
        read_timeout=_TIMEOUT_SECONDS,
        pool_timeout=_TIMEOUT_SECONDS,
        httpx_kwargs={"verify": load_authorities()},
    )
    try:
        # An odd token is refused here already.
        bot = Bot(
            config.token.get_secret_value(),
            base_url=f"{config.api_url.rstrip('/')}/bot",
            request=request,
        )
        async with bot:
            name, has_topics = bot.username, bool(bot.bot.has_topics_enabled)
            return BotAddress(f"@{name}", f"https://t.me/{name}", has_topics)
    except InvalidToken:
        raise TelegramUnavailable(token_refused=True) from None
    except TelegramError:
        raise TelegramUnavailable(token_refused=False) from None
    finally:
        # A bot that could not begin does not close what it opened.
        await request.shutdown()
