"""An ask's nouns: the question, the quote, the result, and each way it can be refused."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from core.attachments.types import Picture, PictureSize
from core.errors import Refusal
from core.money import NO_TOKENS, Credits, MicroCredits, Seconds, Tokens
from core.pool.prompt_caches import CacheScope
from core.pool.providers.types import NO_AUDIO, ChatMessage
from core.pricing.catalogue import Model, Route
from core.pricing.prices import Price
from core.pricing.promotions import Promotion
from core.users.types import Person

if TYPE_CHECKING:
    from core.asks.api_calls import ApiCall


class Outcome(enum.Enum):
    """How an ask ended; `core.asks.settlement` says what each outcome costs."""

    #: The model said that it was done.
    DONE = "done"
    #: The answer limit was reached; it can be continued.
    LENGTH = "length"
    #: The supplier's rules cut the answer off.
    FILTERED = "filtered"
    #: The person stopped it, or the service was shutting down.
    STOPPED = "stopped"
    #: No supplier answered, or the question was refused, before anything was delivered.
    REFUSED = "refused"
    #: It broke after something was delivered.
    BROKEN = "broken"
    #: Nothing more came in time, or the hard stop was reached.
    TIMED_OUT = "timed_out"
    #: The process that served it died; the recovery job settled it.
    LOST = "lost"


class AskFailure(enum.Enum):
    """Why an ask was refused or broke, as far as it concerns the person."""

    NONE = ""
    #: Suppliers are busy, failing or unreachable.
    SUPPLIER = "supplier"
    #: The model can't take a question this long.
    TOO_LONG = "too_long"
    #: The supplier's rules refuse the question.
    CONTENT = "content"
    #: The audio can't be had, or is in no form that the supplier reads.
    UNREADABLE = "unreadable"
    #: What a program asked for is nothing that the model takes: a tool, a field, both together.
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True)
class Recording:
    """Audio that a person wants transcribed."""

    #: A file name that tells suppliers its format.
    name: str
    #: As its frames were counted, rounded up; where they can't be, the longest that it can be.
    length: Seconds
    #: Gives the bytes, of bounded size; raises a `Refusal` when they can't be had.
    read: Callable[[], Awaitable[bytes]] = field(repr=False)


@dataclass(frozen=True, slots=True)
class FilePart:
    """The beginning of a file that was too long: so many of its pages; both 0 where it has none."""

    pages_read: int
    pages: int


@dataclass(frozen=True, slots=True)
class QuestionSource:
    """Something that went along with the words of a question, and is part of its text."""

    kind: Literal["file", "picture", "reply", "quote", "forward"]
    #: A file's name.
    name: str = ""
    #: Which part of a file; None for all of it.
    part: FilePart | None = None


@dataclass(frozen=True, slots=True)
class FileText:
    """The text of a file, and the mark that stands for it where the text is left out."""

    #: The file's name, and how much of it this is: `contract.pdf, 12 pages`.
    name: str
    text: str = field(repr=False)
    #: What it counts as; 0 before it was first asked about.
    tokens: Tokens = NO_TOKENS

    @property
    def mark(self) -> str:
        """What stands in its place."""
        return f"[{self.name}]"


@dataclass(frozen=True, slots=True)
class SentPicture:
    """A picture that goes with a question. Its mark stays in the text: it says which picture is
    which, and that there was one when it goes along no more."""

    #: What it is called, and its size: `holiday.jpg, 1568 × 1045`.
    name: str
    picture: Picture
    #: As it goes with later questions; None where it was kept before.
    small: Picture | None = None

    @property
    def mark(self) -> str:
        """What stands for it in the text."""
        return f"[{self.name}]"


SentFile = FileText | SentPicture


@dataclass(frozen=True, slots=True)
class Question:
    """What a person asks, of which model, and in which place."""

    #: Derived from platform, chat and message (or button): the same update, the same id.
    id: str
    person: Person
    place: str
    asked_in: str
    text: str
    model: Model
    #: Another ask that this one repeats or goes on from; its id, else empty.
    follows: str = ""
    #: Whether it asks the followed ask again, which the history then leaves out; when it continues
    #: it, the history keeps it.
    is_repeat: bool = False
    #: Whether its answer may be longer than usual: an earlier one used up its room unseen.
    has_more_room: bool = False
    #: Audio for a model that is paid by the second; `text` only goes with it.
    recording: Recording | None = None
    #: An ask of theirs in this place to whose answer it is a reply; else empty.
    replies_to: str = ""
    #: How its platform can be answered later, in its own words; a secret, may be empty.
    way_back: str = field(default="", repr=False)
    #: Asked by one of the operator's admins, for whom nothing is paused.
    is_privileged: bool = False
    #: What of its text isn't the person's own words.
    sources: tuple[QuestionSource, ...] = ()
    #: The files whose marks end its text, in their order.
    files: tuple[SentFile, ...] = ()
    #: The ask that brought the files whose marks it has, where that is an earlier one; else empty.
    files_of: str = ""
    #: Whether its marks stand alone: what they stand for is kept no longer.
    are_files_gone: bool = False
    #: The most that it may be held at, as its person was told before; None: nothing was told.
    max_charge: Credits | None = None
    #: Whether no picture may go with it, since models' rules refused too many today.
    leaves_pictures: bool = False
    #: The name that was asked for, where that led on to a successor and its asker wasn't told yet.
    retired_name: str = ""
    #: What a program asks, in place of all that a chat's question has; None for those.
    api_call: ApiCall | None = None

    @property
    def full_text(self) -> str:
        """The text with its files in the places of their marks, as a model is asked."""
        return fill_marks(self.text, self.files)

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """The pictures that go with it, in their order."""
        return list_pictures(self.files)


def list_pictures(files: Iterable[SentFile]) -> tuple[Picture, ...]:
    """The pictures among files."""
    return tuple(one.picture for one in files if isinstance(one, SentPicture))


def fill_marks(text: str, files: Sequence[SentFile]) -> str:
    """The text with each file's text in the place of its mark. Words in front may read like a mark:
    those that end the text are meant."""
    end = len(text)
    for file in reversed(files):
        begin = text.rfind(file.mark, 0, end)
        if begin >= 0:
            if isinstance(file, FileText):
                text = f"{text[:begin]}{file.text}{text[begin + len(file.mark) :]}"
            end = begin
    return text


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is sent to the model: messages, and where a supplier may keep them for the next question
    (None: nowhere)."""

    messages: Sequence[ChatMessage]
    cache_scope: CacheScope | None = None


@dataclass(frozen=True, slots=True)
class FilesAlong:
    """Files of an earlier turn that go along with a question, in that turn's place."""

    files: tuple[SentFile, ...]
    #: Which of the history's turns, from 0.
    turn: int


@dataclass(frozen=True, slots=True)
class ConversationHistory:
    """The earlier turns that go with a question, oldest first, and what was left out."""

    #: (question, answer)
    turns: tuple[tuple[str, str], ...] = ()
    omitted_turns: int = 0
    #: So many tokens of question and answer can follow before earlier turns are left out.
    room: Tokens = NO_TOKENS
    #: Whether it ends with an older answer: what was said after that is on another branch.
    branched: bool = False
    #: Files of some of its turns, which are beyond its cap; the oldest turn first.
    along: tuple[FilesAlong, ...] = ()

    @property
    def pictures_along(self) -> tuple[Picture, ...]:
        """The pictures of earlier turns that go along."""
        return tuple(one for along in self.along for one in list_pictures(along.files))


@dataclass(frozen=True, slots=True)
class Quote:
    """The most that an ask can cost, at one version of the price."""

    price: Price
    #: All tokens of the prompt, history included.
    prompt_tokens: Tokens
    history_tokens: Tokens
    answer_limit: Tokens
    #: The hold: what prompt and a full-length answer cost.
    max_charge: Credits
    #: Earlier turns that didn't fit.
    omitted_turns: int = 0
    #: Whether the history goes on from an older answer.
    branched: bool = False
    #: Whether the balance, not the model, set the answer limit.
    shortened: bool = False
    #: The most seconds that audio is billed as; none for a question.
    max_audio: Seconds = NO_AUDIO
    #: The sizes of the pictures that go along with it, and what they count as at most.
    pictures: tuple[PictureSize, ...] = ()
    picture_tokens: Tokens = NO_TOKENS
    #: Files of earlier turns that go along.
    along: tuple[FilesAlong, ...] = ()
    #: What files will count as with a question that follows, and what of that are pictures; none
    #: where none go along.
    follow_up_tokens: Tokens = NO_TOKENS
    follow_up_pictures: Tokens = NO_TOKENS
    #: Whether any file goes with it, its own or an earlier turn's.
    has_files: bool = False
    #: The tier and the promotion that made the price what it is, if any.
    tier: str = ""
    promotion: Promotion | None = None

    @property
    def text_tokens(self) -> Tokens:
        """The tokens of the prompt without its pictures, which each supplier counts its own way."""
        return self.prompt_tokens - self.picture_tokens

    def count_prompt(self, route: Route) -> Tokens:
        """The tokens of the prompt, with its pictures as a route counts them at most."""
        pictures = route.count_pictures(self.pictures)
        if pictures is None:
            return self.prompt_tokens
        return self.text_tokens + min(pictures, self.picture_tokens)


@dataclass(frozen=True, slots=True)
class AskResult:
    """How an ask ended: its text, tokens and charge, as shown and as booked."""

    ask: str
    outcome: Outcome
    model: str
    text: str
    prompt_tokens: Tokens
    history_tokens: Tokens
    output_tokens: Tokens
    charge: Credits
    #: The person's Credits after it; None when read back from the database.
    remaining_credits: Credits | None = None
    omitted_turns: int = 0
    shortened: bool = False
    failure: AskFailure = AskFailure.NONE
    #: What of the charge the history caused, before rounding; None when read back from the
    #: database.
    history_charge: MicroCredits | None = None
    #: The billed length of audio that was transcribed; None for a question.
    audio: Seconds | None = None
    #: What of the prompt was read from a supplier's cache, and written to one.
    cached_tokens: Tokens = NO_TOKENS
    cache_written_tokens: Tokens = NO_TOKENS
    #: What of the output were thoughts, where the supplier tells it.
    reasoning_tokens: Tokens = NO_TOKENS
    #: How the answer to a program ended: the reason, and the stop sequence that it met.
    finish_reason: str = ""
    stop_sequence: str = ""

    @property
    def is_thought_away(self) -> bool:
        """Whether the model used up its room before it wrote anything."""
        return self.outcome is Outcome.LENGTH and not self.text and self.audio is None


# --- refusals: before anything is held ----------------------------------------------------------


class AskRefusal(Refusal):
    """An ask that was refused before it started; nothing is held."""


class EmptyQuestion(AskRefusal):
    """The question is empty: there is nothing to answer."""

    code: ClassVar[str] = "empty_question"


class QuestionTooLong(AskRefusal):
    """The question leaves the model no room to answer."""

    code: ClassVar[str] = "question_too_long"

    def __init__(self, model: Model, tokens: Tokens) -> None:
        self.model, self.tokens = model, tokens
        self.context = model.prompt_limit


class NotEnoughCredits(AskRefusal):
    """Not even the shortest useful answer can be paid for."""

    code: ClassVar[str] = "not_enough_credits"

    def __init__(
        self,
        model: Model,
        price: Price,
        needed: Credits,
        available: Credits,
        held: Credits,
        *,
        payable_limit: Tokens = NO_TOKENS,
    ):
        self.model, self.price = model, price
        #: The longest answer, in tokens, that could be paid; none where the prompt is too dear.
        self.payable_limit = payable_limit
        #: `available` is free to spend; `held` is reserved by asks that run.
        self.needed, self.available, self.held = needed, available, held


class DearerThanTold(AskRefusal):
    """By now it would be held at more than its person was told."""

    code: ClassVar[str] = "dearer_than_told"

    def __init__(self, quote: Quote) -> None:
        self.quote = quote


class CreditsOwed(AskRefusal):
    """The person owes Credits that a refund took back after they were spent, and must repay
    first."""

    code: ClassVar[str] = "owes"

    def __init__(self, owed: Credits) -> None:
        self.owed = owed


class NoKeyAvailable(AskRefusal):
    """No key can serve this model now."""

    code: ClassVar[str] = "nothing_serves"

    def __init__(self, model: Model) -> None:
        self.model = model


class PicturesUnseen(AskRefusal):
    """The model doesn't see pictures, or not so many."""

    code: ClassVar[str] = "pictures_unseen"

    def __init__(self, model: Model, pictures: tuple[PictureSize, ...]) -> None:
        self.model, self.pictures = model, pictures


class NoKeyForFiles(AskRefusal):
    """No key of the operator's own serves this model now; contributed ones would that take people's
    pictures and files, but the asker doesn't let them see theirs."""

    code: ClassVar[str] = "no_key_for_files"

    def __init__(self, model: Model) -> None:
        self.model = model


class NoTranscriptionKey(AskRefusal):
    """No key can serve a model that transcribes audio now."""

    code: ClassVar[str] = "nothing_hears"


class RecordingTooLong(AskRefusal):
    """The audio is longer than what is transcribed at most."""

    code: ClassVar[str] = "recording_too_long"

    def __init__(self, length: Seconds, max_length: Seconds) -> None:
        self.length, self.max_length = length, max_length


class RecordingUncounted(AskRefusal):
    """How long the audio is can't be counted, and by its size it may be longer than what is
    transcribed at most."""

    code: ClassVar[str] = "recording_uncounted"

    def __init__(self, length: Seconds, max_length: Seconds) -> None:
        self.length, self.max_length = length, max_length


class RecordingsDoubted(AskRefusal):
    """Today a supplier heard far more in audio of this person than was counted in it."""

    code: ClassVar[str] = "recordings_doubted"


class AlreadyAsked(AskRefusal):
    """This very message was asked before; its answer is, or will be, where it belongs."""

    code: ClassVar[str] = "already_asked"

    def __init__(self, ask: str) -> None:
        self.ask = ask


class TooManyAsks(AskRefusal):
    """As many asks run as this process may serve at once."""

    code: ClassVar[str] = "too_many_asks"


class ServiceStopping(AskRefusal):
    """The service is shutting down and takes no new asks."""

    code: ClassVar[str] = "service_stopping"
