"""Dialogs on the wire: what Discord takes of a form, however long its words; opened once."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bots.chat.types import (
    Button,
    ButtonPress,
    Card,
    Form,
    FormCard,
    FormSubmission,
    IncomingMessage,
    InputField,
    Output,
)
from bots.discord.adapter import DiscordAdapter
from bots.discord.components import build_modal
from tests.bots.discord.scripted import DiscordFront
from tests.peers.discord import FakeDiscord
from tests.peers.discord_world import Refusal, checked_modal

LONG = "Bank account number, as it stands on your statement 🏦 " * 4
BANK = Form(
    "frm_bank",
    LONG,
    tuple(InputField(f"field{n}", f"{n} {LONG}", LONG, least=n, most=4000) for n in range(5)),
)
CARD = FormCard(
    BANK, ("Where should it be sent?",), "Enter it", "Send it", Button("btn_no", "Cancel")
)


class FormFront(DiscordFront):
    """Asks with a form, which is gone once it was filled in."""

    def __init__(self) -> None:
        super().__init__()
        self.filled: list[FormSubmission] = []
        self.script = self._asks

    async def _asks(self, _: IncomingMessage) -> AsyncIterator[Output]:
        yield CARD

    async def get_form(self, press: ButtonPress) -> Form | Card:
        self.pressed.append(press)
        return Card(lines=("That has expired.",), aside=True) if self.filled else BANK

    async def submit_form(self, submission: FormSubmission) -> AsyncIterator[Output]:
        again = submission.message in [each.message for each in self.filled]
        self.filled.append(submission)
        if not again:
            yield Card(lines=("Kept.",))


@pytest.fixture
def front(fake: FakeDiscord) -> FormFront:
    front = FormFront()
    front.changed = fake.changed
    return front


async def test_a_long_form_is_cut_to_what_a_dialog_holds_and_comes_back_whole(
    fake: FakeDiscord, front: FormFront, discord: DiscordAdapter
) -> None:
    ann = fake.user(7)
    fake.slash(ann, "/balance", {}, fake.text)
    card = await fake.seen(fake.text, "Where should it be sent?", ann)
    press = fake.presses(ann, card, "Enter it")
    await fake.wait_for(lambda: press.modal)
    fake.again(press)
    shown = press.modal
    assert len(shown["title"]) == 45
    assert [len(part["label"]) for part in shown["components"]] == [45] * 5
    assert [part["component"]["required"] for part in shown["components"]] == [False, *[True] * 4]
    typed = {f"field{n}": f"{n} → 值 😀" * (n + 1) for n in range(5)}
    sent = fake.submits(ann, press, **typed)
    fake.again(sent)
    await fake.seen(fake.text, "Kept.", ann)
    got = front.filled[0]
    assert {name: value.get_secret_value() for name, value in got.values.items()} == typed
    assert (got.form, got.place.code, got.sender.id) == ("frm_bank", "discord:7:", "7")
    assert got.message == str(sent.id)
    # The form is gone: now a press is a press, and its answer the asker's alone.
    late = fake.presses(ann, card, "Enter it")
    await fake.seen(fake.text, "That has expired.", ann)
    assert (press.callbacks, sent.callbacks, late.callbacks) == ([9], [5], [6])
    assert fake.messages(fake.text) == []
    assert [press.button for press in front.pressed] == ["frm_bank"] * len(front.pressed)


async def test_the_fake_refuses_what_discord_refuses_of_a_dialog() -> None:
    good = build_modal(BANK).to_dict()
    assert checked_modal(good) is good
    part = good["components"][0]
    for bad in (
        {**good, "title": "x" * 46},
        {**good, "custom_id": "x" * 101},
        {**good, "components": []},
        {**good, "components": [part, part]},
        {**good, "components": [{**part, "label": "x" * 46}]},
        {**good, "components": [{**part, "description": "x" * 101}]},
        {**good, "components": [{**part, "component": {**part["component"], "max_length": 5000}}]},
        {**good, "components": [{**part, "component": {**part["component"], "label": "old"}}]},
    ):
        with pytest.raises(Refusal):
            checked_modal(bad)


async def test_a_dialog_after_anything_else_is_refused(
    fake: FakeDiscord, front: FormFront, discord: DiscordAdapter
) -> None:
    """Acknowledged before: nothing opens, and nobody is told anything twice."""
    ann = fake.user(7)
    fake.slash(ann, "/balance")
    card = await fake.seen(fake.dm(ann), "Where should it be sent?")
    fake.fail_next("POST /interactions", 400, 40060)
    press = fake.presses(ann, card, "Enter it")
    await fake.wait_for(lambda: any(call.status == 400 for call in fake.calls))
    assert press.modal == {}
    again = fake.presses(ann, card, "Enter it")
    await fake.wait_for(lambda: again.modal)
    assert len(fake.messages(fake.dm(ann))) == 1
