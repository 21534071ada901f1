"""An ask before it is held: the question with its conversation and files, and what all that counts
as with the model that is asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from core.asks.api_calls import SHRUNK_ANSWER_MIN, ApiCall
from core.asks.conversations import (
    PICTURE_TURNS_MAX,
    PICTURES_ALONG_MAX,
    ConversationContext,
    build_messages,
)
from core.asks.quotes import MIN_ANSWER_TOKENS
from core.asks.types import (
    ConversationHistory,
    FileText,
    PicturesUnseen,
    Prompt,
    Question,
    SentPicture,
)
from core.attachments.types import SMALL_SIDE_MAX, Picture, PictureSize
from core.db.writes import Companion
from core.money import NO_TOKENS, Tokens
from core.pool.prompt_caches import CACHEABLE_TOKENS_MIN, CacheScope
from core.pool.providers.message_parts import CallOptions
from core.pool.vault import DataKey
from core.pricing.catalogue import Model
from core.pricing.token_counter import CALL_OVERHEAD, count_message_tokens


@dataclass(frozen=True, slots=True)
class AskDraft:
    """A question with everything that admission has found out about it."""

    question: Question
    data_key: DataKey
    thread: ConversationContext
    prompt: Prompt
    prompt_tokens: Tokens
    history_tokens: Tokens
    #: The sizes of all its pictures, and what of the prompt they are at most.
    pictures: tuple[PictureSize, ...] = ()
    picture_tokens: Tokens = NO_TOKENS
    #: What of the prompt are the question's own files: texts, and all with its own pictures.
    file_text_tokens: Tokens = NO_TOKENS
    file_tokens: Tokens = NO_TOKENS
    #: What files will count as with a question that follows, and what of that are pictures.
    follow_up_tokens: Tokens = NO_TOKENS
    follow_up_pictures: Tokens = NO_TOKENS
    file_rows: tuple[Companion, ...] = ()

    @property
    def text_tokens(self) -> Tokens:
        """The tokens of the prompt without its pictures, which each supplier counts its own way."""
        return self.prompt_tokens - self.picture_tokens

    @property
    def has_files(self) -> bool:
        """Whether any file goes with it, its own or an earlier turn's."""
        return bool(self.question.files or self.thread.history.along)

    @property
    def own_keys_only(self) -> bool:
        """Whether only keys of the operator's own may serve it."""
        return self.question.person.needs_own_keys(has_files=self.has_files)

    @property
    def cache_scope(self) -> str:
        """What a supplier may keep its prompt for: its conversation, or calls that begin alike."""
        scope = self.prompt.cache_scope
        return self.thread.conversation if scope is None else scope.conversation

    @property
    def min_limit(self) -> Tokens | None:
        """What its answer's limit may be shrunk to; None: what is usual in chats. A program's own
        limit stays as it is; a tool's call that is cut off is of no use."""
        call = self.question.api_call
        if call is None:
            return None
        if call.answer_limit is not None:
            return call.answer_limit
        return max(SHRUNK_ANSWER_MIN, self.question.model.answer_limit.share_up(1, 4))


async def count_prompt(
    question: Question, thread: ConversationContext, data_key: DataKey
) -> AskDraft:
    """The question with its conversation, and what that counts as."""
    model, history = question.model, thread.history
    messages = build_messages(question, history)
    earlier_messages = messages[:-1]
    question_tokens = await count_message_tokens(model, [question.full_text])
    own_text_tokens, file_text_tokens = question_tokens, NO_TOKENS
    if question.files:
        own_text_tokens = await count_message_tokens(model, [question.text])
        file_text_tokens = max(NO_TOKENS, question_tokens - own_text_tokens)
    history_tokens = Tokens(0)
    if earlier_messages:
        texts = [message.text for message in earlier_messages]
        history_tokens = await count_message_tokens(model, texts) - CALL_OVERHEAD
    text_tokens = question_tokens + history_tokens
    pictures = (*history.pictures_along, *question.pictures)
    is_reusable = own_text_tokens < history.room and _go_along_unchanged(pictures)
    scope = CacheScope(thread.conversation, is_reusable=is_reusable)
    is_cacheable = text_tokens >= CACHEABLE_TOKENS_MIN
    draft = AskDraft(
        question=question,
        data_key=data_key,
        thread=thread,
        prompt=Prompt(messages, scope if is_cacheable else None),
        prompt_tokens=text_tokens,
        history_tokens=history_tokens,
    )
    return await _count_files(draft, file_text_tokens) if draft.has_files else draft


#: What suppliers say themselves to a model that may call tools: Anthropic's page on tool use tells
#: of 264 to 530 tokens.
TOOL_PROMPT = Tokens(530)


async def count_call_texts(model: Model, texts: Iterable[str], options: CallOptions) -> Tokens:
    """What the texts of a program's request count as when they are held for: its messages', its
    tools', and what suppliers say of tools themselves."""
    tokens = await count_message_tokens(model, texts)
    return tokens + TOOL_PROMPT if options.tools else tokens


async def count_call(question: Question, call: ApiCall, data_key: DataKey) -> AskDraft:
    """What a program asks, and what that counts as: all texts and tools, pictures by the dearest
    count of the model's routes. Raises `PicturesUnseen`."""
    model = question.model
    texts = [text for one in call.messages for text in one.list_texts()]
    text_tokens = await count_call_texts(model, [*texts, call.extra_text], call.options)
    sizes = tuple(one.size for message in call.messages for one in message.list_pictures())
    picture_tokens = _count_pictures(model, sizes) if sizes else NO_TOKENS
    is_cacheable = bool(call.prefix) and text_tokens >= CACHEABLE_TOKENS_MIN
    return AskDraft(
        question=question,
        data_key=data_key,
        thread=ConversationContext("", ConversationHistory()),
        prompt=Prompt(call.messages, CacheScope(call.prefix) if is_cacheable else None),
        prompt_tokens=text_tokens + picture_tokens,
        history_tokens=NO_TOKENS,
        pictures=sizes,
        picture_tokens=picture_tokens,
    )


def _go_along_unchanged(pictures: Sequence[Picture]) -> bool:
    """Whether the question that follows has the same pictures: fewer or smaller ones would end what
    a supplier's cache knows of the prompt where they stand."""
    is_small = all(max(one.size) <= SMALL_SIDE_MAX for one in pictures)
    return is_small and len(pictures) <= PICTURES_ALONG_MAX


async def _count_files(draft: AskDraft, file_text_tokens: Tokens) -> AskDraft:
    """The same with what its files count as: pictures by the dearest count of the model's routes,
    those of earlier turns as a part of the history."""
    question, history = draft.question, draft.thread.history
    own, along = question.pictures, history.pictures_along
    pictures = tuple(one.size for one in (*along, *own))
    all_tokens = _count_pictures(question.model, pictures)
    # Fewer may go by a dearer route, too.
    own_tokens = min(all_tokens, _count_pictures(question.model, tuple(one.size for one in own)))
    follow_up_tokens, follow_up_pictures = await _count_follow_up(draft, file_text_tokens)
    return replace(
        draft,
        pictures=pictures,
        picture_tokens=all_tokens,
        prompt_tokens=draft.prompt_tokens + all_tokens,
        history_tokens=draft.history_tokens + (all_tokens - own_tokens),
        file_text_tokens=file_text_tokens,
        file_tokens=file_text_tokens + own_tokens,
        follow_up_tokens=follow_up_tokens,
        follow_up_pictures=follow_up_pictures,
    )


async def _count_follow_up(draft: AskDraft, file_text_tokens: Tokens) -> tuple[Tokens, Tokens]:
    """What files will count as with a question that follows, which has none of its own: the newest
    texts, and pictures of the newest turns; and what of that are the pictures."""
    question, along = draft.question, draft.thread.history.along
    turns = [question.files, *(turn.files for turn in reversed(along))]
    with_pictures = [
        pictures
        for files in turns
        if (pictures := [one for one in files if isinstance(one, SentPicture)])
    ]
    pictures = [one for turn in with_pictures[:PICTURE_TURNS_MAX] for one in turn]
    sizes = [(one.small or one.picture).size for one in pictures[:PICTURES_ALONG_MAX]]
    text_tokens = file_text_tokens
    if not any(isinstance(one, FileText) for one in question.files):
        texts = (one for turn in turns for one in turn if isinstance(one, FileText))
        text_tokens = Tokens(sum(one.tokens.units for one in texts))
    picture_tokens = _count_pictures(question.model, tuple(sizes))
    return text_tokens + picture_tokens, picture_tokens


def _count_pictures(model: Model, sizes: tuple[PictureSize, ...]) -> Tokens:
    """Raises `PicturesUnseen`."""
    tokens = model.count_pictures(sizes)
    if tokens is None:
        raise PicturesUnseen(model, sizes)
    return tokens


def leave_pictures_behind(question: Question, thread: ConversationContext) -> ConversationContext:
    """The conversation without pictures of earlier turns where they may not go along, or the model
    doesn't see them beside the question's own: their marks stand there."""
    history = thread.history
    sizes = [one.size for one in (*history.pictures_along, *question.pictures)]
    is_seen = not question.leaves_pictures and question.model.count_pictures(sizes) is not None
    if not history.pictures_along or is_seen:
        return thread
    texts = (
        replace(turn, files=tuple(one for one in turn.files if isinstance(one, FileText)))
        for turn in history.along
    )
    along = tuple(turn for turn in texts if turn.files)
    return replace(thread, history=replace(history, along=along))


def has_room(draft: AskDraft) -> bool:
    """Whether the model can answer after it."""
    room = draft.question.model.calculate_answer_room(draft.prompt_tokens)
    return room >= MIN_ANSWER_TOKENS
