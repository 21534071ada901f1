"""`creditbot demo` as a stranger starts it: a process, a pipe, a new file; and its books after."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import stat
import subprocess
from pathlib import Path

import pytest

from tests.peers.suppliers import Answer, FakeSupplier, Used
from tests.support.audio import wav
from tests.support.databases import Postgres
from tests.system.commandline import PATIENCE_S, Done, Place, place, press
from tests.system.demo_support import BIN, LINES, answers, the_real

__all__ = ["place", "press"]

OWN_URL = {"database_url": "sqlite:///books/demo.db"}


def number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    assert found, (pattern, text)
    return int(found[1].replace(",", ""))


async def books(place: Place) -> dict[str, int]:
    """Credits by model, as the ledger has them."""
    report = (await place.creditbot("report", "--json")).json
    spent: dict[str, int] = report["spent"]
    return spent


@pytest.fixture(scope="module")
def born(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    """The real program, started once: the folder that it leaves, and what it said."""
    folder = tmp_path_factory.mktemp("demo")
    (folder / "books").mkdir()
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    done = subprocess.run(
        [BIN / "creditbot", "demo"],
        cwd=folder,
        env=environment | {"CREDITBOT_DATABASE_URL": OWN_URL["database_url"]},
        input=LINES.encode(),
        capture_output=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert b"Traceback" not in done.stdout + done.stderr
    return folder, Done(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture
def chatted(place: Place, born: tuple[Path, Done]) -> Done:
    """What the real program said; the place is as it left it."""
    folder, done = born
    shutil.copytree(folder, place.folder, dirs_exist_ok=True)
    place.settings = OWN_URL
    return done


async def test_the_charge_is_the_same_wherever_it_is_told(place: Place, chatted: Done) -> None:
    assert chatted.code == 0, chatted.err
    before, asked, usage, after = answers(chatted)
    charge = number(r"· ([\d,]+) Credits? · [\d,]+ left", asked)
    assert charge >= 1
    assert number(r"  ([\d,]+) Cr\n", usage) == charge
    assert number(r"Spent: ([\d,]+) Credit", usage) == charge
    have = number(r"([\d,]+) Credits\n", before)
    assert have - number(r"([\d,]+) Credits\n", after) == charge
    assert number(r"· ([\d,]+) left", asked) == have - charge
    assert "sandbox" in asked
    assert list((await books(place)).values()) == [charge]
    assert chatted.err == "", "nothing but the chat"

    audited = (await place.creditbot("audit", "--json")).json
    assert audited["asks"] == {"open": 0, "settled": 1}
    assert audited["holds"] == 0
    assert audited["findings"] == []
    secret = place.folder / ".demo"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in secret.iterdir()} == {0o600}
    assert stat.S_IMODE((place.folder / "books" / "demo.db").stat().st_mode) == 0o600


async def test_bean_check_accepts_the_export(place: Place, chatted: Done) -> None:
    await place.creditbot("export", "--format", "beancount", "--out", "all.beancount")
    checked = await the_real(place, BIN / "bean-check", "all.beancount")
    assert (checked.code, checked.out, checked.err) == (0, "", "")
    text = (place.folder / "all.beancount").read_text()
    (place.folder / "all.beancount").write_text(text.replace(" CREDIT\n", "7 CREDIT\n", 1))
    checked = await the_real(place, BIN / "bean-check", "all.beancount")
    assert checked.code != 0, "it would accept anything"


#: One row each, changed by hand.
#: Somebody's: an operator who was notified is a person too.
_POCKET = "(SELECT min(code) FROM account WHERE code LIKE 'user/%/gift')"
ALTERATIONS = {
    "an amount": "UPDATE transfer SET amount = amount + 1 WHERE seq = (SELECT max(seq) FROM t)",
    "a payee": "UPDATE transfer SET credit = debit WHERE seq = (SELECT max(seq) FROM t)",
    "a lost transfer": "DELETE FROM transfer WHERE seq = (SELECT max(seq) FROM t)",
    "a balance": f"UPDATE account SET credits_posted = credits_posted + 5 WHERE code = {_POCKET}",
    "a held sum": f"UPDATE account SET debits_pending = debits_pending + 5 WHERE code = {_POCKET}",
    "a floor": f"UPDATE account SET limit_kind = '' WHERE code = {_POCKET}",
    "a charge": "UPDATE usage SET charge = charge + 1",
    "a lost submission": "DELETE FROM submission WHERE seq = (SELECT max(seq) FROM submission)",
    "a lost usage": "DELETE FROM usage",
    "an ask open again": "UPDATE ask SET state = 'open'",
}


async def test_one_row_changed_by_hand_and_the_audit_says_so(place: Place, chatted: Done) -> None:
    kept = place.folder / "books" / "demo.db"
    missed = []
    for what, statement in ALTERATIONS.items():
        copy = place.folder / "copy.db"
        shutil.copyfile(kept, copy)
        altered(copy, statement.replace("FROM t)", "FROM transfer)"))
        done = await the_audit(place, copy)
        if done.code != 1 or "FINDING" not in done.out:
            missed.append(what)
        copy.unlink()
    assert missed == []
    assert (await the_audit(place, kept)).code == 0


async def the_audit(place: Place, file: Path) -> Done:
    process = await place.start("audit", database_url=f"sqlite:///{file}")
    return await process.ended()


def altered(file: Path, statement: str) -> None:
    """Changes one row behind the product's back, its guards taken off."""
    with sqlite3.connect(file) as database:
        guards = database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        for (name,) in guards.fetchall():
            database.execute(f'DROP TRIGGER "{name}"')
        database.execute("PRAGMA ignore_check_constraints = ON")
        assert database.execute(statement).rowcount == 1, statement
    database.close()


async def test_a_second_run_goes_on_where_the_first_one_left(place: Place) -> None:
    first = await place.creditbot("demo", stdin=LINES)
    key = (place.folder / ".demo" / "master.key").read_bytes()
    lines = "/balance\nwhat did I just ask?\n/balance\n"
    second = await place.creditbot("demo", stdin=lines)
    assert (place.folder / ".demo" / "master.key").read_bytes() == key
    left = number(r"([\d,]+) Credits\n", answers(first)[-1])
    before, recalled, after = answers(second, lines)
    assert number(r"([\d,]+) Credits\n", before) == left
    assert "why is the sky blue?" in recalled
    assert number(r"([\d,]+) Credits\n", after) < left
    place.settings = {"database_url": "sqlite:///.demo/creditbot.db"}
    assert (await place.creditbot("audit", "--json")).json["asks"] == {"open": 0, "settled": 2}
    for file in (place.folder / ".demo").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    lines = "/admin\n/report\n/admin\n/report\n"
    desk = answers(await place.creditbot("demo", stdin=lines), lines)
    assert "System layer" in desk[1]
    assert "for the operator only" in desk[3]


async def test_a_demo_on_postgresql_makes_its_own_tables(place: Place, postgres: Postgres) -> None:
    """`creditbot migrate` would make a live database of it, which the demo refuses."""
    database = postgres.create()
    place.settings = {"database_url": postgres.url(database)}
    done = await place.creditbot("demo", stdin="/balance\n")
    assert "1,000 Credits" in done.out
    await place.creditbot("audit")
    postgres.drop(database)


async def test_nothing_to_read_and_a_reader_who_is_gone(place: Place) -> None:
    assert (await place.creditbot("demo")).out == ""
    done = await (await place.start("demo", stdin=LINES, deaf=True)).ended()
    assert (done.code, done.err) == (0, "")
    place.settings = {"database_url": "sqlite:///.demo/creditbot.db"}
    audited = (await place.creditbot("audit", "--json")).json
    assert audited["findings"] == []
    assert audited["holds"] == 0
    done = await (await place.start("export", "--format", "csv", deaf=True)).ended()
    assert (done.code, done.err) == (1, "")


@pytest.mark.parametrize("key", ["", "sk-canary-local-00001"])
async def test_a_model_server_of_ones_own_takes_the_sandboxs_place(place: Place, key: str) -> None:
    async with FakeSupplier("openai", models=["mine:7b", "other"], strict=False) as server:
        server.allow("none", "sk-canary-local-00001")
        server.script(Answer("I am local.", usage=Used(20, 3)))
        place.secrets.add("sk-canary-local-00001")
        lines = "/models\n1\n/ask mine:7b who are you?\n/ask gpt-4 and you?\n/usage\n"
        done = await place.creditbot(
            "demo",
            stdin=lines,
            supplier_openai_url=server.url,
            supplier_openai_key=key,
        )
    models, maker, asked, unserved, usage = answers(done, lines)
    assert "2 models are available." in models
    assert "mine:7b" in maker
    assert "I am local." in asked
    assert "mine:7b · 23 tokens" in asked
    assert "isn't available right now" in unserved
    assert "mine:7b" in usage
    assert [call.body["model"] for call in server.calls] == ["mine:7b"]
    assert {call.key for call in server.calls} == {key or "none"}


async def test_the_owner_adds_a_key_that_nobody_sees(place: Place) -> None:
    """A pipe's line after the prompt is the key; wrong ones are told in a sentence each."""
    place.secrets |= {"sk-sandbox-canary-9876", "sk-nobody-knows-4321"}
    typed = ("sk-sandbox-canary-9876", "sk-nobody-knows-4321", "sk-sandbox-canary-9876", "")
    add = "/pool add openai 12.5"
    lines = "/admin\n" + "".join(f"{add}\n{key}\n" for key in typed) + "/pool\n"
    done = await place.creditbot("demo", stdin=lines)
    told = done.out.split(f"> {add}\n")[1:]
    for each, said in zip(
        told,
        (
            "Added OpenAI …9876 with $12.50.",
            "OpenAI refuses that key.",
            "OpenAI …9876 is in the pool already.",
            "Cancelled. Nothing was changed.",
        ),
        strict=True,
    ):
        assert each.startswith("A key of OpenAI\nIt may cost $12.50.\n")
        assert f"API key:\n{said}" in each
    assert told[-1].count("9876") == 2, "its row and its button"
    place.settings = {"database_url": "sqlite:///.demo/creditbot.db"}
    assert (await place.creditbot("audit", "--json")).json["findings"] == []


async def test_audio_is_written_down_at_its_price_a_minute_and_asked(place: Place) -> None:
    (place.folder / "my voice.wav").write_bytes(wav(61))
    lines = "/admin\n/setprice whisper 2\n1\n/admin\n/models\n'my voice.wav'\n1\n/usage\n"
    shown = answers(await place.creditbot("demo", stdin=lines), lines)
    assert "Whisper: 2 Credits / minute" in shown[2]
    assert "🎤 Whisper — 2 Credits / minute" in shown[4]
    assert "I did not listen to these 61 seconds" in shown[5]
    assert "◈ Whisper · 61 s of audio · 3 Credits · 997 left" in shown[5]
    assert "[1] 💬 Ask this" in shown[5]
    assert "Sunlight is a mix" in shown[6]
    assert "Whisper" in shown[7]
    place.settings = {"database_url": "sqlite:///.demo/creditbot.db"}
    assert (await books(place))["whisper-1"] == 3
    audited = (await place.creditbot("audit", "--json")).json
    assert audited["asks"] == {"open": 0, "settled": 2}
    assert audited["findings"] == []
