"""What somebody reads whose Credits don't pay for a question, and the ways on from there: buying
Credits, a cheaper model, earning Credits. Each stands there only where it leads somewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from bots.chat.command import Request
from bots.chat.i18n import render
from bots.chat.reply import Choice, Phrase, Reply, say
from bots.commands.drafts import QuestionDraft, QuestionDrafts, make_draft
from bots.commands.models import ModelCommands
from bots.commands.text import format_credits, format_price
from core import ids
from core.asks.types import NotEnoughCredits, Question
from core.money import Credits
from core.pricing.catalogue import Model

TOP_UP_LABEL: Final = say("➕ Top up")
EXAMPLE_QUESTION: Final = say("Why is the sky blue?")
EARN_LABEL: Final = say("🔑 Earn Credits")


class ShortageCards:
    """The cards of a shortage of Credits, as this service can help with one."""

    def __init__(
        self,
        *,
        model_commands: ModelCommands,
        drafts: QuestionDrafts,
        can_buy_on: Callable[[str], bool],
        takes_keys: bool,
    ) -> None:
        """`can_buy_on` says of a platform whether Credits are sold there."""
        self._model_commands, self._drafts = model_commands, drafts
        self._can_buy_on, self._takes_keys = can_buy_on, takes_keys

    def list_sources(self, request: Request) -> tuple[Choice, ...]:
        """The ways to more Credits."""
        return (
            *((Choice(TOP_UP_LABEL, "topup"),) if self._can_buy_on(request.place.platform) else ()),
            *((Choice(EARN_LABEL, "contribute"),) if self._takes_keys else ()),
        )

    async def make_example_choice(self, request: Request) -> Choice:
        """A first question, asked of the person's own model by a press."""
        id_ = ids.derive_id(
            "ask", request.at_ms, request.place.code, request.message, "example question"
        )
        text = render(EXAMPLE_QUESTION, request.person.language)
        label = say("💬 {question}", question=EXAMPLE_QUESTION)
        return await self._drafts.make_choice(label, QuestionDraft(id_, text), request.person)

    async def make_card(
        self, refusal: NotEnoughCredits, request: Request, question: Question
    ) -> Reply:
        """What the question needs and what there is; a press asks it of a cheaper model."""
        rows = [row for row in (self.list_sources(request),) if row]
        cheaper = None
        if question.recording is None:
            cheaper = await self._model_commands.find_cheaper_model(
                request.person,
                refusal.model,
                needed=refusal.needed,
                available=refusal.available,
                pictures=[one.size for one in question.pictures],
            )
        if cheaper is not None:
            rows.append((await self._make_cheaper_choice(request, question, cheaper),))
        lines = _describe_shortage(refusal, is_private=request.place.private)
        return Reply(lines, choices=tuple(rows))

    async def make_balance_choice(
        self, request: Request, model: Model, charge: Credits, available: Credits
    ) -> Choice | None:
        """Beside a balance that doesn't pay for an average answer of one's model, which is
        `charge`: a cheaper model."""
        if charge <= available:
            return None
        cheaper = await self._model_commands.find_cheaper_model(
            request.person, model, needed=charge, available=available
        )
        return None if cheaper is None else _make_use_choice(cheaper)

    async def _make_cheaper_choice(
        self, request: Request, question: Question, cheaper: Model
    ) -> Choice:
        """The same question to the cheaper model; one that follows an answer is pressed again."""
        if question.follows:
            return _make_use_choice(cheaper)
        draft = replace(make_draft(question), model=cheaper.id)
        label = say("Ask a cheaper model: {model}", model=cheaper.name)
        return await self._drafts.make_choice(label, draft, request.person)


def _make_use_choice(model: Model) -> Choice:
    return Choice(say("Cheaper model: {model}", model=model.name), "use", {"model": model.id})


def _describe_shortage(refusal: NotEnoughCredits, *, is_private: bool) -> tuple[Phrase, ...]:
    """Where others read, nothing of the balance."""
    need, have = format_credits(refusal.needed), format_credits(refusal.available)
    if not is_private:
        told = say("This needs {need}: more than you have.", need=need)
    elif refusal.held.units:
        told = say(
            "This needs {need}; you have {have}, and {held} more are reserved by answers that are"
            " still running. Wait for them to finish, or go on from here.",
            need=need,
            have=have,
            held=refusal.held,
        )
    else:
        told = say("This needs {need}; you have {have}.", need=need, have=have)
    price = say("{model}: {price}", model=refusal.model.name, price=format_price(refusal.price))
    return told, price, say("Nothing was charged.")
