"""Each sentence that says that nothing was charged, and what leads to it: the books don't move."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
import sqlalchemy as sa

from bots.chat.attachments import SentAttachment
from bots.chat.types import Place
from core.admin_log import admin_log_row
from core.asks import streaming
from core.asks.unpaid_work import CONTENT_REFUSALS_MAX, PICTURE_REFUSALS_MAX, UnpaidWork
from core.attachments.types import PICTURES_MAX
from core.db import schema
from core.pool.types import KeyRecord
from core.users.limits import Allowance
from tests.bots.chat.i18n_support import list_texts
from tests.bots.commands.commands_support import button, text_of
from tests.peers.refusals import REFUSALS
from tests.peers.suppliers import Answer as Says, Hang, Refuse, Script, Used
from tests.support import service
from tests.support.databases import TestClock
from tests.support.documents import make_pdf
from tests.support.pictures import make_empty_png, make_jpeg
from tests.support.sent_files import decide_whose_keys, sent_picture
from tests.support.service import Service

TESTS: Final = Path(__file__).parents[2]
CLAIM: Final = re.compile(r"othing was (?:asked or )?charged")
ASK: Final = "/ask gpt-4 why?"

#: Somebody new comes to a sentence, in the owner's world; gives what they read.
Leads = Callable[[Service, Service], Awaitable[str]]


async def quiet(tom: Service, work: Awaitable[list[Any]]) -> str:
    """What is told, while nothing of theirs moves and nothing stays held."""
    before = await tom.credits(), await tom.held()
    told = text_of(*await work)
    assert (await tom.credits(), await tom.held()) == before, told
    return told


def answered(*scripts: Script, text: str = ASK) -> Leads:
    async def ask(_: Service, tom: Service) -> str:
        tom.openai.script(*scripts)
        return await quiet(tom, tom.says(text))

    return ask


def limited(limit: str) -> Leads:
    async def ask(owner: Service, tom: Service) -> str:
        await tom.person()
        await owner.screen(f"/limit telegram:{tom.sender} {limit}")
        await tom.answer(ASK)
        return await quiet(tom, tom.says(ASK))

    return ask


async def stop(_: Service, tom: Service) -> str:
    tom.openai.script(Says("late", before=asyncio.Event()))
    count = len(tom.openai.calls)

    async def stopped() -> list[Any]:
        asking = asyncio.ensure_future(tom.says(ASK))
        await tom.openai.arrived(count + 1)
        await tom.says("/stop")
        return await asking

    return await quiet(tom, stopped())


async def time_out(_: Service, tom: Service) -> str:
    seconds, streaming.FIRST_TEXT_SECONDS = streaming.FIRST_TEXT_SECONDS, 0.1  # type: ignore[misc]
    try:
        tom.openai.script(Hang())
        return await quiet(tom, tom.says(ASK))
    finally:
        streaming.FIRST_TEXT_SECONDS = seconds  # type: ignore[misc]


async def pause(owner: Service, tom: Service) -> str:
    await owner.presses(button(await owner.screen("/pause"), "⏸ Asks"))
    told = await quiet(tom, tom.says(ASK))
    asked = (await owner.presses(button(await owner.screen("/pause"), "▶ Asks")))[-1]
    await owner.presses(button(asked, "Yes"))  # type: ignore[arg-type]
    return told


async def ask_in(tom: Service, group: str) -> list[Any]:
    incoming = tom.incoming(ASK, place=Place("telegram", group, private=False))
    return [one async for one in tom.app.chat.dispatcher.handle_message(incoming)]


async def ask_at_once(owner: Service, tom: Service) -> str:
    await tom.person()
    told = []
    for most in (1, 2):
        await owner.screen(f"/limit telegram:{tom.sender} once {most}")
        held, count = asyncio.Event(), len(tom.openai.calls)
        tom.openai.script(*[Says("slow", before=held)] * most)
        asking = [asyncio.ensure_future(ask_in(tom, f"-{number}")) for number in range(most)]
        await tom.openai.arrived(count + most)
        told.append(await quiet(tom, ask_in(tom, "-9")))
        held.set()
        await asyncio.gather(*asking)
    return "\n".join(told)


async def be_blocked(owner: Service, tom: Service) -> str:
    person = await tom.person()
    row = admin_log_row(owner.clock, actor="usr_owner", act="block", before={}, after={})
    limits = owner.app.services.users.limits
    blocked = Allowance(blocked=True)
    await limits.set_allowance(person.id, blocked, actor="usr_owner", companion=row)
    return await quiet(tom, tom.says(ASK))


async def spend_unpaid_work(_: Service, tom: Service) -> str:
    work = tom.app.services.asks.asks._rate_limiter._unpaid_work
    per_day, work._per_day = work._per_day, type(work._per_day)(0)
    try:
        return await quiet(tom, tom.says(ASK))
    finally:
        work._per_day = per_day


async def ask_while_stopping(_: Service, tom: Service) -> str:
    asks = tom.app.services.asks.asks
    asks._stopping = True
    try:
        return await quiet(tom, tom.says(ASK))
    finally:
        asks._stopping = False


async def send_sticker(_: Service, tom: Service) -> str:
    told = []
    for text in ("", "why?"):
        incoming = replace(tom.incoming(text), attachments=(SentAttachment("sticker"),))
        shown = tom.app.chat.dispatcher.handle_message(incoming)
        told.append(await quiet(tom, _listed(shown)))
    return "\n".join(told)


def send_pictures(*contents: bytes, text: str = "why?", shares: bool | None = False) -> Leads:
    """Pictures with a question, by somebody who has decided whose keys may see them, or not."""

    async def send(_: Service, tom: Service) -> str:
        await decide_whose_keys(tom, shares=shares)
        sent = [sent_picture(content) for content in contents]
        return await quiet(tom, tom.says(text, attachments=sent))

    return send


async def ask_again_of_a_blind_model(_: Service, tom: Service) -> str:
    """The model saw the picture that is asked about again, and sees none any more."""
    await decide_whose_keys(tom, shares=False)
    answer = await tom.answer(ASK, attachments=[sent_picture(make_jpeg(64, 48))])
    catalogue = tom.app.services.pricing.catalogue
    listing, seeing = catalogue._listing, catalogue.find("gpt-4")
    blind = replace(seeing, routes=(replace(seeing.routes[0], pictures=""),))
    catalogue._listing = replace(listing, models={**listing.models, "gpt-4": blind})
    try:
        return await quiet(tom, tom.presses(button(answer, "Again")))  # type: ignore[arg-type]
    finally:
        catalogue._listing = listing


async def send_after_refused_pictures(_: Service, tom: Service) -> str:
    for number in range(PICTURE_REFUSALS_MAX):
        tom.openai.script(REFUSALS["content"])
        await send_pictures(make_jpeg(64 + number, 48))(tom, tom)
    return await send_pictures(make_jpeg(64, 48))(tom, tom)


@contextmanager
def change_keys(tom: Service, **changes: object) -> Iterator[None]:
    """The operator's own keys are others meanwhile: they aren't read anew, as they are now and
    then."""
    pool = tom.app.services.pool.pool
    records = [one for one in pool._records.values() if one.contributor is None]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(KeyRecord, "refresh_from", lambda *_, **__: None)
        for record in records:
            for name, value in changes.items():
                patched.setattr(record, name, value)
        yield


async def send_where_contributed_keys_serve(_: Service, tom: Service) -> str:
    """Every key of the operator's own becomes somebody's who lets pictures pass."""
    with change_keys(tom, contributor="per_ann", takes_files=True):
        return await send_pictures(make_jpeg(64, 48))(tom, tom)


async def send_to_blind_models_alone(_: Service, tom: Service) -> str:
    """The only model that sees has no key."""
    with change_keys(tom, state="paused"):
        return await send_pictures(make_jpeg(64, 48), text="/ask claude-3 why?")(tom, tom)


async def ask_without_key(_: Service, tom: Service) -> str:
    tom.openai.script(Refuse(401))
    await tom.says(ASK)
    return await quiet(tom, tom.says(ASK))


async def ask_after_refusals(_: Service, tom: Service) -> str:
    work = tom.app.services.asks.asks._rate_limiter._unpaid_work
    read, person = work.read_today, (await tom.person()).id

    async def read_refused(_: str) -> UnpaidWork:
        return replace(await read(person), content_refusals=CONTENT_REFUSALS_MAX)

    work.read_today = read_refused  # type: ignore[method-assign]
    try:
        return await quiet(tom, tom.says(ASK))
    finally:
        work.read_today = read  # type: ignore[method-assign]


async def _listed(shown: Any) -> list[Any]:
    return [one async for one in shown]


#: How each begins.
PATHS: Final[dict[str, Leads]] = {
    "The model's supplier won't answer": answered(REFUSALS["content"]),
    "The model used up its room": answered(
        Says("", usage=Used(20, 2_000), thinking=3, finish="length")
    ),
    "That is too long for this model": answered(REFUSALS["too long"]),
    "No answer came": answered(REFUSALS["unknown words"]),
    "With what was said before, that is": answered(text="/ask gpt-4 " + "why " * 40_000),
    "There is no model “{word}”": answered(text="gtp-4 why?"),
    "“{word}” could be a word": answered(text="llama why?"),
    "Too many questions: the most": limited("minute 1"),
    "You've reached your limit": limited("day 1"),
    "Stopped before anything arrived": stop,
    "The model didn't answer in time": time_out,
    "Questions are paused": pause,
    "{count} of your questions are being": ask_at_once,
    "A question of yours is being": ask_at_once,
    "The operator has blocked this": be_blocked,
    "Too many of your questions today": spend_unpaid_work,
    "The service is restarting": ask_while_stopping,
    "I can't read {what}. Nothing was charged": send_sticker,
    "I can't read {what}. Nothing was asked": send_sticker,
    "At most {max} pictures go": send_pictures(*[make_jpeg(8, 8)] * (PICTURES_MAX + 1)),
    "“{name}” has more pixels": send_pictures(make_empty_png(60_000, 60_000)),
    "“{name}” is no picture": send_pictures(make_pdf(["words"])),
    "Asked this once": send_pictures(make_jpeg(64, 48), shares=None),
    "Nothing was asked or charged.": send_pictures(make_jpeg(64, 48), text="/ask claude-3 why?"),
    "Nothing was asked or charged, and no model": send_to_blind_models_alone,
    "{model} doesn't see these": ask_again_of_a_blind_model,
    "Models' rules refused several of your pictures": send_after_refused_pictures,
    "Pictures and files go to the operator's": send_where_contributed_keys_serve,
    # From here on the key is gone.
    "{model} isn't available right": ask_without_key,
    "Models' rules refused several of your questions": ask_after_refusals,
}

#: Those to which another test leads, and looks at the books: how each begins, and where.
ELSEWHERE: Final = {
    "Nothing was charged.": "bots/commands/test_shortage.py",
    "This needs {needed}": "bots/commands/test_shortage.py",
    "You owe {owed}": "system/test_buying.py",
    "You've reached your own daily": "bots/commands/test_commands.py",
    "Too many questions at once": "bots/commands/test_voice.py",
    "Audio can't be transcribed": "bots/commands/test_voice.py",
    "Its length can't be": "bots/commands/test_voice.py",
    "A supplier heard far more": "bots/commands/test_voice.py",
    "That is {length} long": "bots/commands/test_voice.py",
    "That file has {megabytes} MB": "bots/commands/test_voice.py",
    "That could not be fetched": "bots/commands/test_voice.py",
    "I couldn't hear any words": "bots/commands/test_voice.py",
    "That couldn't be transcribed": "bots/commands/test_voice.py",
    "The supplier doesn't take audio": "bots/commands/test_voice.py",
    "The service was interrupted before": "system/test_crash_discord.py",
    "“{name}” could not be fetched": "system/test_attachments.py",
    "“{name}” is larger than": "system/test_attachments.py",
    "“{name}” unpacks to far more": "core/attachments/test_reader.py",
    "“{name}” is neither text": "system/test_documents.py",
    "“{name}” is damaged": "system/test_documents.py",
    "“{name}” took too long to read": "core/attachments/test_reader.py",
    "“{name}” holds pictures of": "system/test_documents.py",
    "“{name}” opens only with": "system/test_documents.py",
    "There are no words in": "system/test_documents.py",
    "Nothing was asked or charged yet. The prices": "system/test_documents.py",
    "There is no button {number}": "bots/console/test_console.py",
    "Several of your files wait": "bots/commands/test_file_offers.py",
    # Telegram asks first, and takes nothing where it is told no.
    "Telegram doesn't take this": "system/test_stars.py",
    "This invoice has expired": "bots/telegram/test_payments.py",
    "This invoice is somebody else's": "system/test_stars.py",
    "This invoice is out of date": "system/test_stars.py",
    "This order is paid already": "system/test_stars.py",
    "The books can't be read right": "payments/test_telegram_stars.py",
}


def find_claims() -> set[str]:
    """Every sentence of the product that says so."""
    both = {text for pair in list_texts().items() for text in pair}
    return {text for text in both if CLAIM.search(text)}


def find_beginning(text: str, beginnings: set[str]) -> str:
    found = {each for each in beginnings if text.startswith(each)}
    return max(found, key=len, default="")


def test_every_such_sentence_is_led_to() -> None:
    known = PATHS.keys() | ELSEWHERE.keys()
    assert [text for text in find_claims() if not find_beginning(text, known)] == []
    used = {find_beginning(text, known) for text in find_claims()}
    assert known - used == set(), "sentences that are gone"
    assert [file for file in ELSEWHERE.values() if not (TESTS / file).is_file()] == []


def _is_said(sentence: str, told: str) -> bool:
    return all(part in told for part in re.split(r"\{\w+\}", sentence))


async def test_what_says_that_nothing_was_charged_moves_nothing(
    sqlite_url: str, clock: TestClock
) -> None:
    claims = find_claims()
    async with service.running(sqlite_url, clock) as tom:
        owner = tom.someone("1")
        for number, (beginning, lead) in enumerate(PATHS.items(), 100):
            told = await lead(owner, owner.someone(str(number)))
            sentences = [text for text in claims if text.startswith(beginning)]
            assert any(_is_said(each, told) for each in sentences), (beginning, told)
        usage = schema.usage
        charged = sa.select(sa.func.count()).where(usage.c.charge > 0)
        # Twice the first of two a minute or day, twice the one and the two at once, and the
        # picture that is asked about again.
        assert (await tom.app.services.base.db.fetch(charged))[0][0] == 2 + 2 * 3 + 1
