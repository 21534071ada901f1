"""What a conversation begins and an answer ends with: `/new`, `/stop` and the answer's
Stop; and what goes along no more."""

from __future__ import annotations

from bots.chat.callbacks import ButtonExpired, NotYourButton
from bots.chat.command import Request, action, command
from bots.chat.reply import Reply, say
from core.asks.conversations import Conversations
from core.asks.repository import AskRepository
from core.asks.service import AskService


class ConversationCommands:
    """The commands that begin a new conversation and stop an answer, and leave files out."""

    def __init__(
        self,
        *,
        ask_service: AskService,
        ask_repository: AskRepository,
        conversations: Conversations,
    ) -> None:
        self._ask_service, self._ask_repository = ask_service, ask_repository
        self._conversations = conversations

    @command(
        "new",
        title=say("New conversation"),
        description=say("Forget what was said here and start afresh"),
        allowed_in_groups=True,
    )
    async def new(self, request: Request) -> Reply:
        """Ends the conversation here."""
        ended = await self._conversations.end_current(request.person.id, request.place.code)
        if ended:
            return Reply((say("New conversation. Nothing said before goes along."),))
        return Reply((say("This is already a new conversation. Ask away."),))

    @action("without-file")
    async def leave_files_out(self, request: Request) -> Reply:
        """Files of before go along no more."""
        saved = await self._ask_repository.get(str(request.data["ask"]))
        if saved is None:
            raise ButtonExpired
        is_here = await self._ask_repository.is_same_place(request.place.code, saved.place)
        if saved.person.id != request.person.id or not is_here:
            raise NotYourButton
        await self._conversations.leave_files_out(saved.result.ask)
        return Reply(
            (
                say("What you ask from here on goes without the file."),
                say("A reply to the answer about it takes it along again, for a day."),
            )
        )

    @command(
        "stop",
        title=say("Stop"),
        description=say("Stop the answer that is being written"),
        allowed_in_groups=True,
    )
    async def stop(self, request: Request) -> Reply | None:
        """Stops what this person has running here; the answer itself says that it stopped."""
        ask = await self._ask_repository.find_running(request.person.id, request.place.code)
        if ask is not None and await self._ask_service.stop_ask(ask, request.person.id):
            return None
        return Reply((say("You have no answer in progress here."),))

    @action("stop")
    async def stop_button(self, request: Request) -> Reply | None:
        """Stop under an answer."""
        if await self._ask_service.stop_ask(str(request.data["ask"]), request.person.id):
            return None
        return Reply((say("That answer has already finished."),))
