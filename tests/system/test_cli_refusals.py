"""What the command line says when it can't go on: one sentence, the next step, nothing changed."""

from __future__ import annotations

import base64
import shutil
import socket
import sqlite3
from pathlib import Path

import pytest

from tests.peers.telegram import TOKEN, FakeTelegram
from tests.system.commandline import Place, place, press

__all__ = ["place", "press"]

KEY, OTHER_KEY = (base64.b64encode(bytes([byte]) * 32).decode() for byte in (1, 2))
WRITING = [
    ("run",),
    ("grant", "telegram:7", "5", "--reason", "thanks"),
    ("keys", "list"),
]


@pytest.fixture(autouse=True)
def settings(place: Place) -> None:
    place.settings = {"master_keys": KEY, "telegram_token": TOKEN, "http_port": "0"}
    place.secrets = {KEY, OTHER_KEY, TOKEN}


def born(place: Place, template: Path) -> None:
    """Gives the place a migrated, live database."""
    shutil.copyfile(template, place.database)


async def test_everything_wrong_with_settings_is_told_at_once(place: Place) -> None:
    said = await place.refused(
        "run",
        master_keys="c2hvcnQ=",
        admins="bob",
        database_url="mysql://root:hunter2@db/x",
        profile="bold",
        http_port="70000",
        welcome_credits="many",
        overlay="missing.toml",
        telegram_webhook_url="https://bot.example/webhooks/telegram",
        supplier_openai_key="sk-canary-in-a-setting",
        telegram_tokn="x",
    )
    lines = said.splitlines()
    assert lines[0] == "These settings can't be used:"
    for name in (
        "MASTER_KEYS",
        "ADMINS",
        "DATABASE_URL",
        "PROFILE",
        "HTTP_PORT",
        "WELCOME_CREDITS",
        "SUPPLIER_OPENAI_QUOTA",
        "TELEGRAM_TOKN",
        "OVERLAY",
        "TELEGRAM_WEBHOOK_SECRET",
    ):
        assert any(line.startswith(f"  CREDITBOT_{name} ") for line in lines), (name, said)
    assert "hunter2" not in said
    assert "canary" not in said
    assert list(place.folder.iterdir()) == []


async def test_what_a_service_needs_and_has_not(place: Place) -> None:
    assert "CREDITBOT_MASTER_KEYS is not set. `creditbot init`" in await place.refused(
        "run", master_keys=""
    )
    assert "CREDITBOT_TELEGRAM_TOKEN" in await place.refused("run", telegram_token="")
    said = await place.refused("run", supplier_openia_key="sk-x", supplier_openia_quota="5")
    assert "CREDITBOT_SUPPLIER_OPENIA_KEY names no supplier; known are anthropic," in said
    said = await place.refused("run", default_model="gpt-99")
    assert "CREDITBOT_DEFAULT_MODEL can't be used: There is no model “gpt-99”" in said
    said = await place.refused("run", supplier_openai_key="hello", supplier_openai_quota="5")
    assert "CREDITBOT_SUPPLIER_OPENAI_KEY doesn't look like a key of OpenAI" in said


async def test_a_key_of_somebody_elses_is_refused_by_its_setting(
    place: Place, sqlite_template: Path
) -> None:
    born(place, sqlite_template)
    secret = "sk-canary-somebodys-0001"
    await place.creditbot("keys", "add", "openai", "--budget", "5", stdin=secret)
    with sqlite3.connect(place.database) as database:
        database.execute("UPDATE key SET owner = 'usr_somebody'")
    database.close()
    said = await place.refused("run", supplier_openai_key=secret, supplier_openai_quota="5")
    assert said.startswith("CREDITBOT_SUPPLIER_OPENAI_KEY can't be used: OpenAI …0001 is in the")


async def test_a_master_key_that_does_not_open_the_vault(
    place: Place, sqlite_template: Path
) -> None:
    born(place, sqlite_template)
    await place.creditbot("keys", "list")
    for command in (("run",), ("keys", "list")):
        said = await place.refused(*command, master_keys=OTHER_KEY)
        assert "CREDITBOT_MASTER_KEYS doesn't open this database's vault" in said
    said = await place.refused("keys", "rotate", master_keys=OTHER_KEY)
    assert "1 of 1 secrets of table vault_secret can't be opened." in said
    assert "put it back into CREDITBOT_MASTER_KEYS.\nNothing was changed." in said
    done = await place.creditbot("check", code=1, master_keys=OTHER_KEY)
    assert "✗ CREDITBOT_MASTER_KEYS doesn't open this database's vault" in done.out
    # Nothing was locked out by trying.
    await place.creditbot("keys", "list")


@pytest.mark.parametrize("command", [*WRITING, ("migrate",), ("audit",), ("demo",)])
async def test_a_newer_database_and_a_foreign_one_are_left_alone(
    place: Place, sqlite_template: Path, command: tuple[str, ...]
) -> None:
    born(place, sqlite_template)
    with sqlite3.connect(place.database) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    foreign = place.folder / "foreign.db"
    with sqlite3.connect(foreign) as database:
        database.execute("CREATE TABLE holiday (photo TEXT)")
    database.close()
    scribble = place.folder / "scribble.db"
    scribble.write_text("Dear diary, " * 100)
    for name, words in (
        ("creditbot.db", "was written by a newer creditbot"),
        ("foreign.db", "holds something else"),
        ("scribble.db", "holds something else"),
    ):
        file = place.folder / name
        before = file.read_bytes()
        said = await place.refused(*command, database_url=f"sqlite:///{name}")
        assert words in said
        assert "Nothing was changed." in said
        assert file.read_bytes() == before


async def test_live_and_demo_are_kept_apart_both_ways(place: Place, sqlite_template: Path) -> None:
    born(place, sqlite_template)
    demo = {"database_url": "sqlite:///demo.db"}
    await place.creditbot("demo", stdin="/balance\n", **demo)
    for command in [*WRITING, ("migrate",)]:
        said = await place.refused(*command, **demo)
        assert "This is a demo database; the command is for a live one." in said
    for command in (("demo",), *((*command, "--demo") for command in WRITING[1:])):
        said = await place.refused(*command, database_url="sqlite:///creditbot.db")
        assert "This is a live database; the command is for a demo one." in said
    for command in (("audit",), ("report",), ("export", "--format", "csv")):
        await place.creditbot(*command, **demo)


async def test_a_database_that_is_not_there(place: Place) -> None:
    for command in (("audit",), ("report",), ("export", "--format", "csv"), *WRITING[1:]):
        said = await place.refused(*command)
        assert "creditbot migrate" in said
    assert "can't be opened or reached" in await place.refused("backup", "copy.db")
    assert "copy.db is not there" in await place.refused("restore", "copy.db")
    nowhere = {"database_url": "postgresql://bot:hunter2@127.0.0.1:1/credits"}
    place.secrets.add("hunter2")
    for command in (("migrate",), ("audit",), ("run",)):
        assert "can't be opened or reached" in await place.refused(*command, **nowhere)
    (place.folder / "copy.db").touch()
    for command in (("backup", "copy.db"), ("restore", "copy.db")):
        assert "pg_dump" in await place.refused(*command, **nowhere)
    assert "can't be opened or reached" in await place.refused(
        "migrate", database_url="sqlite:///no/such/folder/x.db"
    )
    assert not place.database.exists()


async def test_files_are_never_written_over(place: Place, sqlite_template: Path) -> None:
    born(place, sqlite_template)
    await place.creditbot("backup", "copy.db")
    assert "is there already" in await place.refused("backup", "copy.db")
    assert "is there already" in await place.refused("restore", "copy.db")
    scribble = place.folder / "scribble.db"
    scribble.write_text("Dear diary, " * 100)
    fresh = {"database_url": "sqlite:///fresh.db"}
    assert "holds something else" in await place.refused("restore", "scribble.db", **fresh)
    assert not (place.folder / "fresh.db").exists()
    said = await place.refused("export", "--format", "csv", "--out", "no/such/folder/x.csv")
    assert "no/such/folder/x.csv" in said


async def test_a_port_that_is_taken(place: Place) -> None:
    fake = FakeTelegram()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        try:
            url = await fake.start()
            for name, host in (("http", "HTTP"), ("metrics", "HTTP"), ("api", "API")):
                settings = {"telegram_api_url": url, "http_port": "0", f"{name}_port": port}
                said = await place.refused("run", api=str(name == "api"), **settings)
                assert f"127.0.0.1:{port} can't be listened on" in said
                assert f"Set CREDITBOT_{name.upper()}_PORT or CREDITBOT_{host}_HOST" in said
        finally:
            await fake.stop()


async def test_a_telegram_that_refuses_the_token_or_does_not_answer(place: Place) -> None:
    fake = FakeTelegram(token="123456:another")
    try:
        url = await fake.start()
        said = await place.refused("run", telegram_api_url=url)
        assert "CREDITBOT_TELEGRAM_TOKEN" in said
        done = await place.creditbot("check", code=1, telegram_api_url=url)
        assert "✗ Telegram refuses CREDITBOT_TELEGRAM_TOKEN" in done.out
    finally:
        await fake.stop()


@pytest.mark.parametrize(
    ("command", "stdin", "words"),
    [
        (("keys", "add", "opnai", "--budget", "5"), "sk-canary-0123456789", "openai"),
        (("keys", "add", "openai", "--budget", "five"), "sk-canary-0123456789", "--budget"),
        (("keys", "add", "openai", "--budget", "0"), "sk-canary-0123456789", "--budget"),
        (("keys", "add", "openai", "--budget", "5"), "not-a-key-canary", "OpenAI"),
        (("keys", "add", "openai", "--budget", "5"), "", "standard input"),
        (("keys", "add", "cloudflare", "--budget", "5"), "c" * 40, "--account"),
        (("grant", "telegram:404", "5", "--reason", "x"), "", "telegram:404"),
        (("grant", "telegram:7", "0", "--reason", "x"), "", "above zero"),
        (("grant", "telegram:7", "-5", "--reason", "x"), "", "above zero"),
        (("grant", "telegram:7", "5", "--reason", " "), "", "reason"),
    ],
)
async def test_arguments_that_make_no_sense(
    place: Place, sqlite_template: Path, command: tuple[str, ...], stdin: str, words: str
) -> None:
    born(place, sqlite_template)
    place.secrets |= {"canary", "c" * 40}
    said = await place.refused(*command, stdin=stdin)
    assert words in said
    assert len(said.splitlines()) == 1
    assert "no keys" in (await place.creditbot("keys", "list")).out


async def test_a_key_that_is_there_already(place: Place, sqlite_template: Path) -> None:
    born(place, sqlite_template)
    place.secrets.add("sk-canary-0123456789")
    add = ("keys", "add", "openai", "--budget", "5")
    await place.creditbot(*add, stdin="sk-canary-0123456789\n")
    said = await place.refused(*add, stdin="sk-canary-0123456789\n")
    assert "OpenAI …6789 is in the pool already" in said


async def test_the_parser_names_what_it_knows(place: Place) -> None:
    for command, words in (
        ((), "command"),
        (("balance",), "invalid choice"),
        (("export",), "--format"),
        (("grant", "telegram:7", "five", "--reason", "x"), "invalid int"),
    ):
        done = await place.creditbot(*command, code=2)
        assert words in done.err
    assert "--budget" in (await place.creditbot("keys", "add", "--help")).out


async def test_an_overlay_that_can_not_be_used(place: Place, sqlite_template: Path) -> None:
    (place.folder / "mine.toml").write_text("[models.mine]\nname = 5\n")
    said = await place.refused("run", overlay="mine.toml")
    assert "CREDITBOT_OVERLAY can't be used" in said
    born(place, sqlite_template)
    done = await place.creditbot("check", code=1, overlay="mine.toml")
    assert "CREDITBOT_OVERLAY can't be used" in done.out


async def test_a_service_that_ends_is_not_waited_for(place: Place) -> None:
    service = await place.start("run", telegram_token="")
    with pytest.raises(AssertionError, match="CREDITBOT_TELEGRAM_TOKEN"):
        await service.said("creditbot runs")
