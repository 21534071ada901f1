"""Every refusal has a sentence, filled from its own fields."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import get_args, get_type_hints

import pytest

from bots.chat.i18n import LANGUAGES, render
from bots.chat.reply import Phrase
from bots.cli import output as command_line
from bots.commands import errors
from bots.commands.errors import SENTENCES, explain_refusal
from core.admin.erasure import NotErasable
from core.errors import Refusal
from core.money import parse_usd
from core.pool.types import KeyRefused
from payments.offer import BadAmount
from payments.promo_codes import CodeRefused
from payments.types import CheckoutRefused, RefundUnsupported, UnknownOrder

#: Caught by whoever asked the ledger, a gateway or a front end: nobody is shown them.
INTERNAL = {
    "AccountMismatch",
    "AlreadyAsked",
    "BadMasterKey",
    "BadPrice",
    "BalanceTooLarge",
    "CompanionRefused",
    "DearerThanTold",
    "DiscordRefused",
    "DiscordUnavailable",
    "HoldNotFound",
    "HoldResolved",
    "IdempotencyConflict",
    "InvalidSignature",
    "InvalidToken",
    "NetworkNotAllowed",
    "NoCost",
    "NotDelivered",
    "SettleTooMuch",
    "TelegramRefused",
    "TokenCapReached",
    "Unsealable",
}


def all_refusals(kind: type[Refusal] = Refusal) -> Iterator[type[Refusal]]:
    for below in kind.__subclasses__():
        if below.__module__.partition(".")[0] in ("bots", "core", "payments"):
            yield below
            yield from all_refusals(below)


def test_every_refusal_has_a_sentence_of_its_own() -> None:
    known = set(SENTENCES) | set(command_line._SENTENCES)
    silent = {
        kind.__name__
        for kind in all_refusals()
        if not kind.__subclasses__() and not known & set(kind.__mro__[:-4])
    }
    assert silent <= INTERNAL, silent - INTERNAL


def fields(kind: type) -> set[str]:
    """What a refusal's constructor keeps."""
    source = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    return {
        node.attr
        for node in ast.walk(source)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    }


@pytest.mark.parametrize(
    "kind",
    [kind for kind, said in SENTENCES.items() if not callable(said)],
    ids=lambda it: it.__name__,
)
def test_a_sentence_names_fields_of_its_refusal(kind: type) -> None:
    said = SENTENCES[kind]
    for phrase in said.values() if isinstance(said, Mapping) else [said]:
        assert isinstance(phrase, Phrase)
        assert set(re.findall(r"{(\w+)}", phrase.text)) <= fields(kind)


@pytest.mark.parametrize(
    "kind", [NotErasable, CheckoutRefused, CodeRefused, RefundUnsupported, KeyRefused]
)
def test_there_is_a_sentence_for_every_reason(kind: type) -> None:
    said, reasons = SENTENCES[kind], get_type_hints(kind.__init__)["reason"]
    assert isinstance(said, Mapping)
    assert set(said) == set(get_args(reasons))


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences_show_their_values(language: str) -> None:
    shown = render(explain_refusal(BadAmount(parse_usd("1"), parse_usd("10000"))), language)
    assert "$1.00" in shown
    assert "$10,000.00" in shown
    large = render(explain_refusal(errors.RecordingTooLarge(3 * 2**20 + 1, 2 * 2**20)), language)
    assert re.search(r"\b4 MB.*\b2 MB", large)


def test_what_was_typed_is_not_repeated_at_any_length() -> None:
    shown = render(explain_refusal(UnknownOrder("x" * 4_000)), "en")
    assert shown == f"There is no order {'x' * 40}. /paysupport lists yours."


def test_a_refusal_without_a_sentence_is_still_told() -> None:
    class New(Refusal):
        """A refusal of tomorrow."""

    told = render(explain_refusal(New()), "en")
    assert told == "That can't be done. /help shows what can; /balance shows what is held."
