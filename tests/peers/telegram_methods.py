"""The fake's Bot API methods: each does what the real one does, and refuses what it refuses."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from tests.peers.telegram_chats import (
    Chat,
    Message,
    Refusal,
    checked_buttons,
    checked_entities,
    checked_text,
)
from tests.peers.telegram_stars import StarsMethods

if TYPE_CHECKING:
    from tests.peers.telegram import FakeTelegram

Params = dict[str, Any]


class Methods(StarsMethods):
    """Called by the server with decoded parameters."""

    def __init__(self, world: FakeTelegram) -> None:
        self._world = world

    async def call(self, method: str, params: Params) -> Any:
        """The method's result; raises Refusal."""
        if method == "getUpdates":
            return await self._get_updates(params)
        name = f"_{_snake(method)}"
        handler = getattr(self, name, None)
        if handler is None:
            raise Refusal(404, "Not Found: method not found")
        return handler(params)

    # -- the bot itself ------------------------------------------------------------------------

    def _get_me(self, _: Params) -> Any:
        return {
            "id": int(self._world.token.partition(":")[0]),
            "is_bot": True,
            "first_name": "Credit",
            "username": self._world.username,
            "can_join_groups": True,
            "can_read_all_group_messages": False,
            "supports_inline_queries": False,
            "has_topics_enabled": self._world.has_topics,
            "allows_users_to_create_topics": self._world.has_topics,
        }

    def _get_chat(self, params: Params) -> Any:
        chat = self._world.chats.get(int(params["chat_id"]))
        if chat is None:
            raise Refusal(400, "Bad Request: chat not found")
        return chat.as_json() | {
            "username": "ann",
            "accent_color_id": 0,
            "max_reaction_count": 11,
            "accepted_gift_types": dict.fromkeys(
                (
                    *("unlimited_gifts", "limited_gifts", "unique_gifts", "premium_subscription"),
                    "gifts_from_channels",
                ),
                False,
            ),
        }

    async def _get_updates(self, params: Params) -> Any:
        world = self._world
        if world.webhook.get("url"):
            raise Refusal(409, "Conflict: can't use getUpdates method while webhook is active")
        offset = int(params.get("offset", 0))
        world.updates[:] = [each for each in world.updates if each["update_id"] >= offset]
        if not world.updates and not world.closing:
            await world.until_changed(float(params.get("timeout", 0)))
        taken = [each for each in world.updates if world.wanted(each, params)]
        return taken[: int(params.get("limit", 100))]

    def _set_webhook(self, params: Params) -> Any:
        self._world.webhook = params
        return True

    def _delete_webhook(self, _: Params) -> Any:
        self._world.webhook = {}
        return True

    # -- messages ------------------------------------------------------------------------------

    def _send_message(self, params: Params) -> Any:
        text = checked_text(params.get("text", ""))
        return self._sent(params, text, checked_entities(params.get("entities", []), text))

    def _send_document(self, params: Params) -> Any:
        return self._sent(params, "", [], file=_file(params, "document"))

    def _send_photo(self, params: Params) -> Any:
        return self._sent(params, params.get("caption", ""), [], file=_file(params, "photo"))

    def _send_message_draft(self, params: Params) -> Any:
        chat = self._chat(params)
        if not chat.private or chat.drafts_refused:
            raise Refusal(400, "Bad Request: TEXTDRAFT_PEER_INVALID")
        if not int(params["draft_id"]):
            raise Refusal(400, "Bad Request: DRAFT_ID_INVALID")
        if "message_thread_id" in params and not self._world.has_topics:
            raise Refusal(400, "Bad Request: message thread not found")
        text = checked_text(params.get("text", ""), least=0)
        checked_entities(params.get("entities", []), text)
        chat.draft = text
        chat.drafts.append(text)
        return True

    def _edit_message_text(self, params: Params) -> Any:
        message = self._message(params)
        text = checked_text(params.get("text", ""))
        entities = checked_entities(params.get("entities", []), text)
        buttons = checked_buttons(params.get("reply_markup"))
        if (text, entities, buttons) == (message.text, message.entities, message.buttons):
            raise Refusal(
                400,
                "Bad Request: message is not modified: specified new message content and reply "
                "markup are exactly the same as a current content and reply markup of the message",
            )
        message.text, message.entities, message.buttons = text, entities, buttons
        message.edits += 1
        return self._world.message_json(message)

    def _edit_message_reply_markup(self, params: Params) -> Any:
        message = self._message(params)
        buttons = checked_buttons(params.get("reply_markup"))
        if buttons == message.buttons:
            raise Refusal(400, "Bad Request: message is not modified")
        message.buttons = buttons
        return self._world.message_json(message)

    def _delete_message(self, params: Params) -> Any:
        chat = self._chat(params)
        message = chat.find(int(params["message_id"]))
        if message is None:
            raise Refusal(400, "Bad Request: message to delete not found")
        if message.sender != 0 and not chat.private:
            raise Refusal(400, "Bad Request: message can't be deleted")
        chat.messages.remove(message)
        return True

    def _answer_callback_query(self, _: Params) -> Any:
        return True

    def _send_chat_action(self, params: Params) -> Any:
        self._chat(params)
        return True

    def _get_file(self, params: Params) -> Any:
        file = str(params["file_id"])
        content = self._world.files.get(file)
        if content is None:
            raise Refusal(400, "Bad Request: wrong file_id or the file is temporarily unavailable")
        told = {"file_id": file, "file_unique_id": file, "file_path": f"files/{file}"}
        if self._world.has_no_size_limit:
            return told
        if len(content) > 20 << 20:
            raise Refusal(400, "Bad Request: file is too big")
        return told | {"file_size": len(content)}

    # -- menus ---------------------------------------------------------------------------------

    def _set_my_commands(self, params: Params) -> Any:
        commands = params.get("commands", [])
        scope = params.get("scope", {"type": "default"})
        if "chat_id" in scope and int(scope["chat_id"]) not in self._world.chats:
            raise Refusal(400, "Bad Request: chat not found")
        if len(commands) > 100:
            raise Refusal(400, "Bad Request: BOT_COMMANDS_TOO_MUCH")
        for command in commands:
            if not re.fullmatch(r"[a-z0-9_]{1,32}", command["command"]):
                raise Refusal(400, "Bad Request: BOT_COMMAND_INVALID")
            if not 1 <= len(command["description"]) <= 256:
                raise Refusal(400, "Bad Request: BOT_COMMAND_DESCRIPTION_INVALID")
        self._world.commands[_scope(scope), params.get("language_code", "")] = commands
        return True

    def _get_my_commands(self, params: Params) -> Any:
        scope = _scope(params.get("scope", {"type": "default"}))
        return self._world.commands.get((scope, params.get("language_code", "")), [])

    def _set_my_description(self, params: Params) -> Any:
        return self._set_text("description", params)

    def _set_my_short_description(self, params: Params) -> Any:
        return self._set_text("short_description", params)

    def _get_my_description(self, params: Params) -> Any:
        return self._get_text("description", params)

    def _get_my_short_description(self, params: Params) -> Any:
        return self._get_text("short_description", params)

    # -- inside --------------------------------------------------------------------------------

    def _set_text(self, name: str, params: Params) -> bool:
        self._world.texts[name, params.get("language_code", "")] = params.get(name, "")
        return True

    def _get_text(self, name: str, params: Params) -> dict[str, str]:
        return {name: self._world.texts.get((name, params.get("language_code", "")), "")}

    def _chat(self, params: Params) -> Chat:
        chat = self._world.chats.get(int(params["chat_id"]))
        if chat is None:
            raise Refusal(400, "Bad Request: chat not found")
        if chat.moved_to is not None:
            text = "Bad Request: group chat was upgraded to a supergroup chat"
            raise Refusal(400, text, migrate_to_chat_id=chat.moved_to)
        if chat.refuses is not None:
            status, description = chat.refuses
            raise Refusal(status, description, **({"retry_after": 1} if status == 429 else {}))
        person = self._world.users.get(chat.id)
        if person is not None and person.unreachable:
            raise Refusal(403, "Forbidden: bot was blocked by the user")
        return chat

    def _message(self, params: Params) -> Message:
        message = self._chat(params).find(int(params["message_id"]))
        if message is None:
            raise Refusal(400, "Bad Request: message to edit not found")
        if message.sender != 0 or message.invoice:
            raise Refusal(400, "Bad Request: message can't be edited")
        return message

    def _sent(
        self,
        params: Params,
        text: str,
        entities: list[dict[str, Any]],
        file: tuple[str, bytes] | None = None,
        invoice: dict[str, Any] | None = None,
    ) -> Any:
        chat = self._chat(params)
        if chat.private and "message_thread_id" in params and not self._world.has_topics:
            raise Refusal(400, "Bad Request: message thread not found")
        reply = params.get("reply_parameters") or {}
        if reply and not reply.get("allow_sending_without_reply"):
            found = chat.find(int(reply["message_id"]))
            if found is None:
                raise Refusal(400, "Bad Request: message to be replied not found")
        message = Message(
            self._world.next_message(chat),
            chat.id,
            0,
            text,
            entities,
            checked_buttons(params.get("reply_markup")),
            thread=int(params["message_thread_id"]) if "message_thread_id" in params else None,
            reply_to=int(reply["message_id"]) if reply else None,
            file=file,
            invoice=invoice or {},
            silent=str(params.get("disable_notification", "")).lower() == "true",
        )
        chat.messages.append(message)
        # A preview goes when a real message comes.
        chat.draft = ""
        return self._world.message_json(message)


def _file(params: Params, name: str) -> tuple[str, bytes]:
    value = params[name]
    if isinstance(value, str) and value.startswith("attach://"):
        value = params[value.removeprefix("attach://")]
    if not isinstance(value, tuple):
        raise Refusal(400, "Bad Request: there is no file in the request")
    return value


def _scope(scope: dict[str, Any]) -> str:
    return json.dumps(scope, sort_keys=True)


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
