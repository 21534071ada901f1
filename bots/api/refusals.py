"""Refusals of an ask as errors of the API, in plain English: what is needed, what there is, what
helps. People who ask in a chat read the same refusals in their language, with buttons.
"""

from __future__ import annotations

from bots.api.access import refuse_haste
from bots.api.errors import ApiError, refuse_request, report_failure
from core.asks.api_calls import TokenCapReached
from core.asks.rate_limit import (
    DailyLimitReached,
    OwnDailyLimitReached,
    RateLimited,
    TooManyConcurrentAsks,
)
from core.asks.types import (
    CreditsOwed,
    EmptyQuestion,
    NoKeyAvailable,
    NoKeyForFiles,
    NotEnoughCredits,
    PicturesUnseen,
    QuestionTooLong,
    ServiceStopping,
    TooManyAsks,
)
from core.asks.unpaid_work import NoOwnKeyAvailable, PicturesPaused, UnpaidWorkSpent
from core.db.errors import DatabaseUnavailable
from core.errors import Refusal
from core.ledger.types import LedgerBusy, LedgerUnavailable
from core.money import Credits
from core.users.limits import FeaturePaused, PersonBlocked

_BUSY_SECONDS = 5
_NO_KEY_SECONDS = 20
_NEXT_DAY = "The UTC day ends it."


def describe_refusal(refusal: Refusal) -> ApiError:
    """The error of a refusal; one that nobody foresaw here is a failure of ours."""
    for describe in _DESCRIPTIONS:
        error = describe(refusal)
        if error is not None:
            return error
    return report_failure()


def refuse_empty_balance(available: Credits, held: Credits) -> ApiError:
    """Nothing is left to spend, whatever is asked."""
    text = f"You have {_say(available)}{_say_held(held)}. Get more in the chat with the bot."
    return ApiError(402, text, code="insufficient_credits")


def refuse_model(name: str, similar: tuple[str, ...]) -> ApiError:
    """There is no such model, or not for this token: nobody is told which."""
    near = f" Did you mean {', '.join(similar)}?" if similar else ""
    text = f"There is no model {name[:64]!r} for this token.{near}"
    return ApiError(404, text, code="model_not_found", param="model")


def _describe_money(refusal: Refusal) -> ApiError | None:
    match refusal:
        case NotEnoughCredits():
            need, have = _say(refusal.needed), _say(refusal.available)
            text = f"This needs {need}; you have {have}{_say_held(refusal.held)}."
            if refusal.payable_limit.units:
                text += f" An answer of {refusal.payable_limit.units} tokens could be paid."
            text += " Get more Credits in the chat with the bot, or ask for a shorter answer."
            return ApiError(402, text, code="insufficient_credits")
        case CreditsOwed():
            text = f"You owe {_say(refusal.owed)}, to be repaid first."
            return ApiError(402, text, code="credits_owed")
        case TokenCapReached():
            text = (
                f"This token may spend {_say(refusal.per_day)} a UTC day, and this may cost"
                f" {_say(refusal.needed)}: more than is left of them. {_NEXT_DAY}"
            )
            return ApiError(403, text, code="token_limit_reached")
        case DailyLimitReached() | OwnDailyLimitReached():
            text = f"Your limit of {_say(refusal.per_day)} a UTC day is reached. {_NEXT_DAY}"
            return ApiError(403, text, code="daily_limit_reached")
        case UnpaidWorkSpent():
            text = f"Too many of your answers today cost nothing but our money. {_NEXT_DAY}"
            return ApiError(403, text, code="daily_limit_reached")
    return None


def _describe_person(refusal: Refusal) -> ApiError | None:
    match refusal:
        case PersonBlocked():
            return ApiError(403, "Your account is blocked.", code="account_paused")
        case FeaturePaused():
            said = f" {refusal.sentence}" if refusal.sentence else ""
            text = f"The operator paused asking for now.{said}"
            return ApiError(403, text, code="account_paused")
        case PicturesPaused():
            text = f"Too many of your pictures were refused today. {_NEXT_DAY}"
            return ApiError(403, text, code="pictures_paused")
    return None


def _describe_haste(refusal: Refusal) -> ApiError | None:
    match refusal:
        case RateLimited():
            text = f"You may ask {refusal.per_minute} times a minute."
            return refuse_haste(text, refusal.seconds)
        case TooManyConcurrentAsks():
            return refuse_haste(f"You may ask {refusal.at_once} at once.", 2)
        case TooManyAsks() | LedgerBusy():
            return refuse_haste("The service is busy.", _BUSY_SECONDS)
    return None


def _describe_supply(refusal: Refusal) -> ApiError | None:
    match refusal:
        case NoKeyAvailable() | NoOwnKeyAvailable():
            text = f"Nothing serves {refusal.model.id} right now. Try again later."
            return _refuse_now(text, _NO_KEY_SECONDS)
        case NoKeyForFiles():
            text = (
                f"No key that may see your pictures serves {refusal.model.id} now. Whether those"
                " that people contributed may, you say in the chat with the bot."
            )
            return _refuse_now(text, _NO_KEY_SECONDS)
        case ServiceStopping() | LedgerUnavailable() | DatabaseUnavailable():
            return _refuse_now("The service is not ready. Try again.", _BUSY_SECONDS)
    return None


def _describe_request(refusal: Refusal) -> ApiError | None:
    match refusal:
        case QuestionTooLong():
            text = (
                f"The messages are {refusal.tokens.units} tokens, which leaves no room for an"
                f" answer: {refusal.model.id} takes {refusal.context.units}."
            )
            return refuse_request(text, code="context_length_exceeded", param="messages")
        case PicturesUnseen(model=model, pictures=sizes):
            counts = range(len(sizes))[::-1]
            seen = next(n for n in counts if model.count_pictures(sizes[:n]) is not None)
            most = f"sees {seen} of them at most" if seen else "doesn't see pictures"
            text = f"A request holds {len(sizes)} pictures; {model.id} {most}."
            return refuse_request(text, code="unsupported_content", param="messages")
        case EmptyQuestion():
            return refuse_request("There is nothing to answer.", param="messages")
    return None


def _refuse_now(message: str, seconds: float) -> ApiError:
    return ApiError(503, message, code="overloaded", retry_seconds=seconds)


def _say(amount: Credits) -> str:
    return f"{amount.units} Credit{'' if amount.units == 1 else 's'}"


def _say_held(held: Credits) -> str:
    return f", and {_say(held)} reserved by answers that are running" if held.units else ""


_DESCRIPTIONS = (
    _describe_money,
    _describe_person,
    _describe_haste,
    _describe_supply,
    _describe_request,
)
