"""What people decide of pictures and files in a chat: whose keys see them, from what price on it is
told before, and what a contributor lets pass."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bots.chat.types import Answer, Card
from core.earnings.types import EarningPolicy
from tests.bots.commands.commands_support import button, text_of
from tests.core.earnings.world import TAKES_OPENAI, Market
from tests.support import service
from tests.support.config import MANY_KEYS
from tests.support.databases import TestClock
from tests.support.documents import make_pdf
from tests.support.pictures import make_jpeg
from tests.support.sent_files import sent_document, sent_picture
from tests.support.service import Service

WHOSE = "Whose keys may see your pictures?"
OPERATORS, ANY = "The operator's keys alone", "Any key of the pool"
SWITCH = "Pictures through any key"


@pytest.fixture
async def tom(database_url: str, clock: TestClock) -> AsyncIterator[Service]:
    async with service.running(database_url, clock, policy=EarningPolicy(TAKES_OPENAI)) as tom:
        yield tom


async def send(tom: Service, text: str = "why?") -> Answer | Card:
    """A small picture with a question."""
    tom.clock.advance(seconds=1)  # type: ignore[attr-defined]
    shown = (await tom.says(text, attachments=[sent_picture(make_jpeg(64, 48))]))[-1]
    assert isinstance(shown, Answer | Card)
    return shown


async def press(tom: Service, screen: Answer | Card, label: str) -> Answer | Card:
    shown = (await tom.presses(button(screen, label)))[-1]
    assert isinstance(shown, Answer | Card)
    return shown


async def toggle(tom: Service, label: str) -> Card:
    card = await press(tom, await tom.screen("/settings"), label)
    assert isinstance(card, Card)
    return card


@pytest.mark.parametrize(("label", "shares"), [(OPERATORS, False), (ANY, True)])
async def test_the_first_picture_asks_whose_keys_and_no_other_does(
    tom: Service, label: str, shares: bool
) -> None:
    asked = await send(tom)
    assert isinstance(asked, Card)
    assert asked.title == WHOSE
    assert (await tom.person()).shares_files is None
    assert not tom.openai.calls
    # Sent once more, it is the same question: neither has been answered.
    assert text_of(await send(tom)).startswith(WHOSE)
    assert isinstance(await press(tom, asked, label), Answer)
    assert (await tom.person()).shares_files is shares
    assert isinstance(await send(tom), Answer)
    state = "on" if shares else "off"
    assert f"{SWITCH}: {state}" in text_of(await tom.screen("/settings"))


async def test_a_price_told_after_it_decides_nothing_again(tom: Service) -> None:
    await choose_threshold(tom, "0 Credits")
    offer = await press(tom, await send(tom), ANY)
    assert "Nothing was asked or charged yet. The prices" in text_of(offer)
    await toggle(tom, f"{SWITCH}: on")
    assert isinstance(await press(tom, offer, "Read and answer"), Answer)
    assert (await tom.person()).shares_files is False


async def test_another_card_of_before_lets_no_more_keys_see(tom: Service) -> None:
    first, second = await send(tom), await send(tom, "and why?")
    assert isinstance(await press(tom, first, OPERATORS), Answer)
    assert isinstance(await press(tom, second, ANY), Answer)
    assert (await tom.person()).shares_files is False


async def test_what_was_asked_decides_and_offers_nothing_more(tom: Service) -> None:
    asked = await send(tom)
    assert isinstance(await press(tom, asked, OPERATORS), Answer)
    await choose_threshold(tom, "0 Credits")
    for label in (ANY, OPERATORS):
        shown = await tom.presses(button(asked, label))
        assert not [one for one in shown if "Nothing was asked or charged yet" in text_of(one)]
    assert (await tom.person()).shares_files is False


async def test_a_document_asks_nobody(tom: Service) -> None:
    shown = await tom.answer("what colour?", attachments=[sent_document(make_pdf(["Blue."]))])
    assert "Blue." in str(tom.openai.calls[-1].body)
    assert shown.text
    assert (await tom.person()).shares_files is None
    assert isinstance(await send(tom), Card), "their first picture does"


async def test_whoever_wants_the_operators_keys_only_is_not_asked(tom: Service) -> None:
    await Market(tom, tom.clock).contributes("ann", "sk-contributed-by-ann-000000", "24")
    tom.openai.calls.clear()
    card = await toggle(tom, "Operator's keys only: off")
    assert SWITCH not in {one.label.partition(":")[0] for row in card.buttons for one in row}
    for _ in range(3):
        assert isinstance(await send(tom), Answer)
    assert {call.key for call in tom.openai.calls} == {MANY_KEYS[0]}
    assert (await tom.person()).shares_files is None
    await toggle(tom, "Operator's keys only: on")
    assert text_of(await send(tom)).startswith(WHOSE), "now it matters"


async def test_settings_turn_it_over(tom: Service) -> None:
    assert f"{SWITCH}: off" in text_of(await tom.screen("/settings"))
    for before, after in (("off", True), ("on", False)):
        await toggle(tom, f"{SWITCH}: {before}")
        assert (await tom.person()).shares_files is after
        assert isinstance(await send(tom), Answer), "who has decided isn't asked"


async def test_a_contributor_lets_files_pass_and_takes_it_back(tom: Service) -> None:
    ann = tom.someone("ann")
    key = await Market(tom, tom.clock).contributes("ann", "sk-contributed-by-ann-000000", "24")
    label = button(await ann.screen("/keys"), "…0000")
    card = (await ann.presses(label))[-1]
    for state, takes in (("off", True), ("on", False)):
        assert isinstance(card, Card)
        card = await press(ann, card, f"Pictures and files: {state}")
        contributions = tom.app.services.earnings.contributions
        person = (await ann.person()).id
        assert (await contributions.get(key, person)).takes_files is takes
        records = await tom.app.services.pool.pool.list_key_records()
        assert [one.takes_files for one in records if one.id == key] == [takes]
        is_told = "may pass through it from now on" in text_of(card)
        assert is_told is takes


async def choose_threshold(tom: Service, label: str) -> Card:
    card = await press(tom, await toggle(tom, "Prices told before"), label)
    assert isinstance(card, Card)
    return card


async def test_from_what_price_on_it_is_told_before(tom: Service) -> None:
    await toggle(tom, f"{SWITCH}: off")
    usual = "Prices told before: as usual"
    assert usual in text_of(await tom.screen("/settings"))
    # A picture is 255 tokens at 5 Credits/1K: reading one costs two, with all that is along more.
    assert isinstance(await send(tom), Answer)
    for label, told, is_offered in (
        ("0 Credits", "from 0 Credits", True),
        ("1,000 Credits", "from 1,000 Credits", False),
        ("5 Credits", "from 5 Credits", False),
    ):
        await tom.says("/new")
        card = await choose_threshold(tom, label)
        assert f"Prices told before: {told}" in text_of(card)
        shown = await send(tom)
        assert isinstance(shown, Card) is is_offered, label
        if isinstance(shown, Card):
            assert "Nothing was asked or charged yet. The prices" in text_of(shown)
            assert isinstance(await press(tom, shown, "Read and answer: ≤"), Answer)
    # Seven pictures are more than five Credits, and less than fifty.
    await tom.says("/new")
    seven = [sent_picture(make_jpeg(64 + number, 48)) for number in range(7)]
    assert isinstance((await tom.says("why?", attachments=seven))[-1], Card)
    assert usual in text_of(await choose_threshold(tom, "As usual"))
    assert (await tom.person()).offer_from is None
    assert isinstance((await tom.says("why?", attachments=seven))[-1], Answer)
