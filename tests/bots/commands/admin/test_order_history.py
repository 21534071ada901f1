"""An order's history in words that people use: every step that the books can keep, in both
languages.
"""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from pathlib import Path

import pytest

from bots.chat.i18n import LANGUAGES, render
from bots.commands.admin.order_history import DISPUTE_STATE_NAMES, STEP_NAMES, list_history_rows
from bots.commands.cancel import CONSENT
from core.money import Credits, NanoUsd, Stars
from payments import dispute_service, refunds
from payments.types import Order

_WRITERS = {"order_event_row": 2, "record_event": 1, "record_intent": 1}
_STATES = {"state": ("expired", "failed", "open", "won", "lost")}
_ORDER = Order(
    id="ord_1",
    person="usr_1",
    place="telegram:7",
    shown_in="",
    gateway="sandbox",
    external_id="cs_1",
    state="credited",
    url="",
    value=NanoUsd(90_000_000_000),
    amount=NanoUsd(90_000_000_000),
    paid=NanoUsd(90_000_000_000),
    refunded=NanoUsd(0),
    lost=NanoUsd(0),
    bought=Credits(9_000),
    bonus=Credits(1_000),
    offer=None,
    referral="",
    share=Credits(0),
    dispute="",
    dispute_state="",
    created_at=0,
    expires_at=0,
)


def _list_written_steps() -> set[str]:
    """Each step that the code of `payments` writes, by the argument that names it."""
    steps = {refunds.REFUND_REQUESTED, dispute_service.ACCEPTANCE_REQUESTED}
    for file in Path("payments").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                if name in _WRITERS and len(node.args) > _WRITERS[name]:
                    steps |= _read_step(node.args[_WRITERS[name]])
    return steps


def _read_step(named: ast.expr) -> set[str]:
    if isinstance(named, ast.Constant):
        return {str(named.value)}
    if isinstance(named, ast.JoinedStr):  # f"dispute {state}"
        return {f"dispute {state}" for state in DISPUTE_STATE_NAMES}
    return set()


def test_every_step_that_is_written_has_words_in_each_language() -> None:
    steps = _list_written_steps()
    assert {"created", "paid", "refunded", "dispute won", "refund-given"} <= steps
    assert steps <= set(STEP_NAMES)
    program_words = re.compile(r"^(credited|pending|recreated|claimed|.*[a-z]-[a-z].*)$")
    for step, phrase in (STEP_NAMES | DISPUTE_STATE_NAMES).items():
        assert not program_words.match(render(phrase, "en")), step
        assert not re.search("[a-z]", render(phrase, "zh-CN")), step


@pytest.mark.parametrize("language", LANGUAGES)
def test_figures_are_told_as_people_read_them(language: str) -> None:
    history = [
        (0, "created", {"gateway": "code", "amount": 90_000_000_000}),
        (0, "created", {"consent": CONSENT.format(days=14), "gateway": "sandbox"}),
        (0, "paid", {"paid": 90_000_000_000, "credits": 10_000, "inviter": -1_000}),
        (0, "refund-asked", {"cause": "btn_1", "payment pi_1": 45_000_000_000}),
        (0, "refund-given", {"cause": "btn_1"}),
        (0, "warning", {"gateway": "stripe", "warning": "fraud", "reason": ""}),
        (0, "withdrawn from", {"cash": 45_000_000_000, "credits": 5_000, "used": 1}),
        (0, "dispute lost", {"amount": 90_000_000_000, "bad_debt": 1_000_000_000}),
    ]
    rows = list_history_rows(_ORDER, history)
    told = [render(figures, language) for _, _, figures in rows]
    in_words = {
        "en": [
            "Code, $90.00",
            "agreed to use at once, 14 days to withdraw, Sandbox checkout",
            "$90.00, 10,000 Credits, inviter: −1,000 Credits",
            "$45.00 of pi_1",
            "",
            "Card and more, may be fraud",
            "$45.00, 5,000 Credits, 1 Credit used",
            "$90.00, $1.00 not recovered",
        ],
        "zh-CN": [
            "兑换码、$90.00",
            "同意立即使用，14 天内可撤回、沙盒收银台",
            "$90.00、10,000 积分、邀请人：−1,000 积分",
            "pi_1 的 $45.00",
            "",
            "银行卡等、可能是欺诈",
            "$45.00、5,000 积分、已用 1 积分",
            "$90.00、$1.00 未能追回",
        ],
    }
    assert told == in_words[language]


def test_stars_are_told_as_stars() -> None:
    order = replace(_ORDER, amount=Stars(6_924), paid=Stars(6_924))
    ((_, what, figures),) = list_history_rows(order, [(0, "paid", {"paid": 6_924})])
    assert (render(what, "en"), render(figures, "en")) == ("paid", "6,924 ⭐")
