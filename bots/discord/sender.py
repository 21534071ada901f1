"""The calls that put something into a channel, and what each refusal of Discord's means.

`RetryLater` is "later" (429, a broken connection, a server's error); `DiscordRefused` is "never
like this". Rate-limit buckets are the library's own business.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar, final

import aiohttp
import discord

from bots.chat.types import Attachment, ButtonRows, Place
from bots.discord.components import build_view
from bots.render.answer_delivery import ChatRefused
from bots.render.throttle import RetryLater

Result = TypeVar("Result")

_UNKNOWN_MESSAGE: Final = 10008
_UNKNOWN_WEBHOOK: Final = 10015
UNKNOWN_INTERACTION: Final = 10062
ALREADY_ACKNOWLEDGED: Final = 40060
TOKEN_EXPIRED: Final = 50027
NO_ACCESS: Final = 50001
#: The codes with which Discord takes nothing of ours in a place for good.
#: https://discord.com/developers/docs/topics/opcodes-and-status-codes#json-json-error-codes
_PLACE_CLOSED: Final = {
    10003: "unknown channel",
    10004: "unknown server",
    10013: "unknown user",
    20009: "explicit content is taken nowhere here",
    40007: "banned from the server",
    NO_ACCESS: "missing access",
    50007: "can't write to this person",
    50008: "can't write in a channel that isn't for text",
    50009: "the channel's verification level is too high",
    50013: "missing permissions",
    50024: "not in a channel of this type",
    50033: "invalid recipient",
    50055: "invalid server",
    50083: "the thread is archived",
    50278: "no server in common with this person",
    160005: "the thread is locked",
    200000: "blocked by AutoMod",
    200001: "the title was blocked by AutoMod",
    240000: "blocked by the filter of harmful links",
}
#: Slow mode, and a channel that is written to too often: they pass.
_TOO_OFTEN: Final = (20016, 20028, 20029)
_CAN_NOT_REPLY: Final = 160002
_INVALID_FORM: Final = 50035


class DiscordRefused(ChatRefused):
    """Discord will not do this, now or later; `reason` is its code, for logs."""

    code = "discord_refused"
    reason: int

    def __init__(self, reason: int) -> None:
        self.reason = reason
        super().__init__()

    @property
    def is_expired(self) -> bool:
        """Whether the interaction can be answered no more."""
        return self.reason in (_UNKNOWN_WEBHOOK, UNKNOWN_INTERACTION, TOKEN_EXPIRED)

    @property
    def is_place_closed(self) -> bool:
        """Whether the channel or person takes nothing of ours, now or later."""
        return self.reason in _PLACE_CLOSED

    @property
    def is_unreachable(self) -> bool:
        """Whether nothing can be shown this way any more."""
        return self.is_expired or self.is_place_closed


@dataclass(frozen=True, slots=True)
class DiscordPost:
    """A post is what one Discord message shows: text, buttons, a file."""

    content: str
    buttons: ButtonRows = ()
    file: Attachment | None = None

    def build_send_arguments(self) -> dict[str, Any]:
        """As a new message."""
        view = build_view(self.buttons)
        fields: dict[str, Any] = {"content": self.content or None}
        if view is not None:
            fields["view"] = view
        if self.file is not None:
            fields["file"] = _to_discord_file(self.file)
        return fields

    def build_edit_arguments(self) -> dict[str, Any]:
        """In place of what a message shows now."""
        files = [] if self.file is None else [_to_discord_file(self.file)]
        return {
            "content": self.content or None,
            "view": build_view(self.buttons),
            "attachments": files,
        }


def _to_discord_file(attachment: Attachment) -> discord.File:
    return discord.File(io.BytesIO(attachment.content), filename=attachment.name)


async def call_discord(work: Callable[[], Awaitable[Result]]) -> Result:
    """The call's result; raises `RetryLater` or `DiscordRefused`, nothing else of the library's."""
    try:
        return await work()
    except discord.RateLimited as limited:
        raise RetryLater(limited.retry_after) from None
    except discord.DiscordServerError:
        raise RetryLater from None
    except discord.HTTPException as refused:
        if refused.status == 429 or refused.code in _TOO_OFTEN:
            raise RetryLater(_retry_after(refused)) from None
        raise DiscordRefused(refused.code) from None
    except (aiohttp.ClientError, OSError, TimeoutError):
        raise RetryLater from None


def _retry_after(refused: discord.HTTPException) -> float | None:
    try:
        return float(refused.response.headers.get("Retry-After", ""))
    except ValueError:
        return None


class Responder(Protocol):
    """A responder is where the outputs for one message or one button press go."""

    #: What shares a throttle has the same key.
    throttle_key: str

    async def send_post(self, post: DiscordPost, *, ephemeral: bool = False) -> int:
        """A new message, and its id; `ephemeral`: for the asker's eyes where that is possible."""
        ...

    async def edit_post(self, message: int, post: DiscordPost) -> None:
        """Shows something else in a message of ours."""
        ...

    async def delete_message(self, message: int) -> None:
        """Takes a message away: ours, or the person's where that is allowed."""
        ...

    async def close(self, *, is_silent: bool) -> None:
        """There will be no more; `is_silent` when nothing was shown at all."""
        ...


@final
class ChannelResponder:
    """A responder by the bot's own right: it writes to a channel that the bot is in, or to a
    person's direct chat."""

    def __init__(
        self,
        client: discord.Client,
        channel_id: int,
        *,
        person: bool,
        reply_to: int | None = None,
        answers: str = "",
    ) -> None:
        """`answers`: the id of the event that is answered, empty if none: where it is worked twice,
        Discord shows what it shows already, no second time."""
        self._client, self._answers, self._sent_count = client, answers, 0
        self._channel_id = channel_id
        self._is_person = person
        self._reply_to = reply_to
        self.throttle_key = str(channel_id)

    @classmethod
    def from_place(
        cls,
        client: discord.Client,
        place: Place,
        reply_to: int | None = None,
        *,
        answers: str = "",
    ) -> ChannelResponder:
        """Where a place is: a thread is a channel of its own."""
        channel = int(place.thread or place.chat)
        return cls(client, channel, person=place.private, reply_to=reply_to, answers=answers)

    async def send_post(self, post: DiscordPost, *, ephemeral: bool = False) -> int:  # noqa: ARG002 - nobody is alone
        """See `Responder`."""
        channel = await self._get_channel()
        reference = None
        if self._reply_to is not None:
            reference = discord.MessageReference(
                message_id=self._reply_to, channel_id=channel.id, fail_if_not_exists=False
            )
        try:
            message = await call_discord(
                lambda: channel.send(
                    **post.build_send_arguments(), reference=reference, nonce=self._make_nonce(post)
                )
            )
        except DiscordRefused as refused:
            # It may be written here, but not look back: then without looking back.
            if reference is None or refused.reason not in (_CAN_NOT_REPLY, _INVALID_FORM):
                raise
            message = await call_discord(
                lambda: channel.send(**post.build_send_arguments(), nonce=self._make_nonce(post))
            )
        self._reply_to = None
        self._sent_count += 1
        return int(message.id)

    async def edit_post(self, message: int, post: DiscordPost) -> None:
        """See `Responder`."""
        channel = await self._get_channel()
        await call_discord(
            lambda: channel.get_partial_message(message).edit(**post.build_edit_arguments())
        )

    async def delete_message(self, message: int) -> None:
        """See `Responder`."""
        channel = await self._get_channel()
        await call_discord(lambda: channel.get_partial_message(message).delete())

    async def close(self, *, is_silent: bool) -> None:
        """See `Responder`."""

    def _make_nonce(self, post: DiscordPost) -> int | None:
        """For some minutes Discord takes a message of one nonce once: what is sent again after its
        answer was lost, or by whoever works the event again, is that same one."""
        if not self._answers:
            return None
        named = f"{self._answers}/{self._sent_count}/{post.content}"
        return int.from_bytes(hashlib.blake2b(named.encode(), digest_size=8).digest())

    async def _get_channel(self) -> Any:
        if not self._is_person:
            return self._client.get_partial_messageable(self._channel_id)
        person = discord.Object(self._channel_id)
        return await call_discord(lambda: self._client.create_dm(person))
