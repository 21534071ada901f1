"""The operator's whole way: `init`, `run`, an owner, keys, gifts and copies beside the service."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import sqlite3
import stat
from collections.abc import AsyncIterator

import aiohttp
import pytest_asyncio
from dotenv import dotenv_values

from core.clock import SystemClock, as_utc_day
from tests.peers.suppliers import Answer, FakeSupplier, Used
from tests.peers.telegram import TOKEN, FakeTelegram
from tests.support.ports import find_free_port
from tests.system.commandline import PATIENCE_S, Place, Process, place, press
from tests.system.peers import telegram

__all__ = ["place", "press", "telegram"]

SUPPLIER_KEY = "sk-canary-first-0000000001"
SECOND_KEY = "sk-canary-second-000000002"
MASTER_KEY, NEXT_KEY = (base64.b64encode(bytes([byte]) * 32).decode() for byte in (1, 2))
MODELS = ["gpt-6.1-sol", "gpt-6.1-terra", "mine"]


@pytest_asyncio.fixture
async def openai() -> AsyncIterator[FakeSupplier]:
    async with FakeSupplier("openai", models=MODELS) as supplier:
        supplier.allow(SUPPLIER_KEY, SECOND_KEY)
        supplier.always(Answer("Because.", usage=Used(1_000, 500)))
        yield supplier


@pytest_asyncio.fixture
async def town(place: Place, telegram: FakeTelegram, openai: FakeSupplier) -> Place:
    """A place where Telegram and OpenAI are to be found, and nothing is set up yet."""
    place.settings = {
        "telegram_api_url": await telegram.start(),
        "supplier_openai_url": openai.url,
        "http_port": str(find_free_port()),
        "metrics_port": str(find_free_port()),
        # Tests ask again and again until something has come round.
        "asks_per_minute": "1000",
    }
    place.secrets = {TOKEN, SUPPLIER_KEY, SECOND_KEY, MASTER_KEY, NEXT_KEY}
    (place.folder / "token").write_text(TOKEN + "\n")
    (place.folder / "key").write_text(SUPPLIER_KEY + "\n")
    return place


def dotenv(place: Place) -> dict[str, str]:
    return {name: value or "" for name, value in dotenv_values(place.folder / ".env").items()}


async def initialised(place: Place) -> str:
    """After `init` with its flags; the owner's one-time code."""
    done = await place.creditbot(
        *("init", "--telegram-token-file", "token", "--supplier", "openai"),
        *("--supplier-key-file", "key", "--budget", "50"),
    )
    place.secrets.add(dotenv(place)["CREDITBOT_MASTER_KEYS"])
    found = re.search(
        r"https://t\.me/credit_test_bot\?start=(own_[\w-]{20,})$", done.out, re.MULTILINE
    )
    assert found, done.out
    return found[1]


async def serving(place: Place) -> Process:
    """A service that runs, and has been told by its supplier what it can serve."""
    service = await place.start("run")
    await service.said("creditbot runs")
    async with asyncio.timeout(PATIENCE_S):
        while f"creditbot_models_servable {len(MODELS)}.0" not in await metrics(place):
            pass
    return service


async def metrics(place: Place) -> str:
    status, page = await fetched(place, "metrics_port", "/metrics")
    assert status == 200
    return page


async def fetched(place: Place, setting: str, path: str) -> tuple[int, str]:
    url = f"http://127.0.0.1:{place.settings[setting]}{path}"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text()


async def answered(telegram: FakeTelegram, sender: int, text: str, shown: str) -> str:
    """What the bot says to a message, once it is there."""
    known = {each.id for each in telegram.chat(sender).bot_messages}

    def new() -> list[str]:
        messages = telegram.chat(sender).bot_messages
        # A message of dots alone only holds Stop.
        told = [each.text for each in messages if each.id not in known and each.text != "…"]
        return [each for each in told if shown in each]

    telegram.says(telegram.users[sender], text)
    await telegram.wait_for(new, PATIENCE_S)
    return new()[-1]


async def test_from_nothing_to_a_service_with_an_owner(
    town: Place, telegram: FakeTelegram, openai: FakeSupplier
) -> None:
    code = await initialised(town)
    file = town.folder / ".env"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(town.database.stat().st_mode) == 0o600
    told = dotenv(town)
    assert told["CREDITBOT_TELEGRAM_TOKEN"] == TOKEN
    assert told["CREDITBOT_SUPPLIER_OPENAI_KEY"] == SUPPLIER_KEY
    assert told["CREDITBOT_SUPPLIER_OPENAI_QUOTA"] == "50"
    assert len(base64.b64decode(told["CREDITBOT_MASTER_KEYS"])) == 32

    checked = await town.creditbot("check")  # the key is adopted by `run`
    line = "✓ key openai …0001 in CREDITBOT_SUPPLIER_OPENAI_KEY, $50.00: lists 3 models, serves"
    assert line in checked.out
    assert "✓ models that can be served now: 3" in checked.out
    service = await serving(town)
    assert await fetched(town, "http_port", "/healthz") == (200, "ok")
    assert await fetched(town, "http_port", "/readyz") == (
        200,
        '{"ready":true,"database":"written","platforms":{"telegram":true}}',
    )
    assert "creditbot_asks_running 0.0" in await metrics(town)
    assert (await fetched(town, "http_port", "/metrics"))[0] == 404
    checked = await town.creditbot("check")
    assert "✗" not in checked.out
    for line in ("settings", "database: live", "master key opens the vault", "Telegram: @credit_"):
        assert f"✓ {line}" in checked.out

    ann, bob = telegram.user(7), telegram.user(8)
    await answered(telegram, 8, "/report", "for the operator only")
    await answered(telegram, 7, f"/start {code}", "You are the owner")
    await answered(telegram, 8, f"/start {code}", "was already used")
    await answered(telegram, 7, "/report", "System layer")
    await answered(telegram, 8, "/report", "for the operator only")
    await answered(telegram, 8, "/model mine", "answers you from now on")
    answer = await answered(telegram, 8, "/ask why?", "left")
    assert "Because." in answer
    done = await service.stopped()
    assert done.code == 0, done.err
    assert (ann.id, bob.id) == (7, 8)

    audited = (await town.creditbot("audit", "--json")).json
    assert audited["findings"] == []
    assert audited["asks"] == {"open": 0, "settled": 1}
    reported = (await town.creditbot("report", "--json")).json
    assert reported["people"] == 2
    charged = int(re.search(r"· (\d+) Credits? ·", answer)[1])  # type: ignore[index]
    assert reported["spent"] == {"mine": charged}
    assert reported["circulation"] == {"gift": 40 - charged}
    # A second `init` keeps what is there, and makes one more link.
    again = await initialised(town)
    assert again != code
    assert dotenv(town) == told


async def test_an_operator_works_beside_the_service_and_replaces_its_master_key(
    town: Place, telegram: FakeTelegram, openai: FakeSupplier
) -> None:
    await initialised(town)
    service = await serving(town)
    telegram.user(7)
    await answered(telegram, 7, "/balance", "20 Credits")

    grant = ("grant", "telegram:7", "500", "--reason", "thanks", "--id", "once")
    assert "Given: 500 Credits" in (await town.creditbot(*grant)).out
    assert "Given before: 500 Credits" in (await town.creditbot(*grant)).out
    await answered(telegram, 7, "/balance", "520 Credits")

    openai.forbid(SUPPLIER_KEY)
    added = await town.creditbot("keys", "add", "openai", "--budget", "7.5", stdin=SECOND_KEY)
    assert "Added openai …0002 with $7.50." in added.out
    listed = await town.creditbot("keys", "list")
    assert "…0001" in listed.out
    assert "…0002" in listed.out
    await town.creditbot("backup", "copy.db")
    assert stat.S_IMODE((town.folder / "copy.db").stat().st_mode) == 0o600
    await town.creditbot("restore", "copy.db", database_url="sqlite:///second.db")
    copy = (await town.creditbot("report", "--json", database_url="sqlite:///second.db")).json
    assert copy == (await town.creditbot("report", "--json")).json
    await town.creditbot("audit", database_url="sqlite:///second.db")
    await answered(telegram, 7, "/model mine", "answers you from now on")
    # The service learns of the new key by itself, and serves from it.
    async with asyncio.timeout(PATIENCE_S):
        while not openai.calls_of(SECOND_KEY):
            told = await answered(telegram, 7, "/ask why?", "")
    assert "Because." in told
    old = dotenv(town)["CREDITBOT_MASTER_KEYS"]
    # A process that runs would be locked out.
    said = await town.refused("keys", "rotate", master_keys=f"{NEXT_KEY},{old}")
    assert "doesn't have the first master key" in said
    await answered(telegram, 7, "/ask still?", "Because.")
    assert (await service.stopped()).code == 0

    rotated = await town.creditbot("keys", "rotate", master_keys=f"{NEXT_KEY},{old}")
    assert int(rotated.out.split()[0]) >= 3
    assert "doesn't open" in await town.refused("keys", "list")
    town.settings["master_keys"] = NEXT_KEY
    service = await serving(town)
    # The key, and what was said before, are opened by the new one.
    await answered(telegram, 7, "/ask and then?", "of them history")
    assert openai.calls[-1].body["messages"][-2]["content"] == "Because."
    assert (await service.stopped()).code == 0


async def test_exports_go_to_a_file_or_to_standard_output(town: Place) -> None:
    town.settings |= {"master_keys": MASTER_KEY, "telegram_token": TOKEN}
    await town.creditbot("migrate")
    for format_ in ("csv", "beancount"):
        done = await town.creditbot("export", "--format", format_)
        to_file = await town.creditbot("export", "--format", format_, "--out", "all.txt")
        assert to_file.out == ""
        assert (town.folder / "all.txt").read_bytes().decode() == done.out
        assert done.out


async def test_the_books_are_taken_back_to_today_alone(town: Place) -> None:
    town.settings |= {"master_keys": MASTER_KEY, "telegram_token": TOKEN}
    await town.creditbot("migrate")
    for wrong in ("2036-11-29", "2020-01-01", "today"):
        assert "Set it right first" in await town.refused("day", "correct", wrong)
    done = await town.creditbot("day", "correct", as_utc_day(SystemClock().now_ms()))
    assert "0 accounts were ahead" in done.out
    assert "The ledger is exact." in (await town.creditbot("audit")).out


async def test_init_changes_nothing_when_something_is_wrong(
    town: Place, telegram: FakeTelegram
) -> None:
    (town.folder / "wrong").write_text("123456:wrong-canary")
    town.secrets.add("wrong-canary")
    right = ("init", "--telegram-token-file", "token")
    key = ("--supplier-key-file", "key")
    for command, words in (
        (("init", "--telegram-token-file", "wrong"), "Telegram refuses that token"),
        (("init", "--telegram-token-file", "missing"), "missing: No such file"),
        ((*right, "--supplier", "opnai", *key, "--budget", "5"), "“opnai” is no supplier here."),
        ((*right, "--supplier", "openai", *key, "--budget", "lots"), "The budget is dollars"),
        ((*right, "--supplier", "openai", *key), "The budget is dollars"),
        ((*right, "--supplier", "openai", *key, "--budget", "0"), "The budget is dollars"),
        ((*right, "--database-url", "mysql://x"), "CREDITBOT_DATABASE_URL"),
        ((*right, "--env-file", "no/folder/.env"), "no/folder/.env"),
    ):
        done = await town.creditbot(*command, code=1)
        assert words in done.err, done
        assert not (town.folder / ".env").exists()
        assert not town.database.exists()


async def test_init_leaves_every_line_that_it_did_not_write(
    town: Place, telegram: FakeTelegram
) -> None:
    file = town.folder / ".env"
    before = (
        "# What our buyers agree to.\n"
        'CREDITBOT_TERMS="Pay first # then ask"\n'
        'CREDITBOT_SUPPORT_CONTACT="write to us\nor call" # two lines\n'
        "\n"
        "export CREDITBOT_LOG_LEVEL=info\n"
        "OTHER='not ours'"
    )
    file.write_text(before)
    known = dotenv(town)
    await initialised(town)
    assert file.read_text().startswith(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    told = dotenv(town)
    assert known.items() <= told.items()
    assert told["CREDITBOT_TERMS"] == "Pay first # then ask"
    assert told["CREDITBOT_SUPPORT_CONTACT"] == "write to us\nor call"
    # A value that has to be quoted is read as it was written, and replaces its own line alone.
    (town.folder / "key").write_text('it\'s#a\\"key"\n')
    town.secrets.add("it's#a")
    await initialised(town)
    now = dotenv(town)
    assert now.pop("CREDITBOT_SUPPLIER_OPENAI_KEY") == 'it\'s#a\\"key"'
    assert now.items() <= told.items()
    assert file.read_text().startswith(before)


async def test_init_leaves_the_comment_behind_a_value_that_it_changes(
    town: Place, telegram: FakeTelegram
) -> None:
    file = town.folder / ".env"
    values = ("sk-old # one", "'sk#old' # it's two", '"sk-old\\"#"\t# three', "sk-old#none", "")
    for value in values:
        file.write_text(f"A=1 # a\nCREDITBOT_SUPPLIER_OPENAI_KEY={value}\nB=2 # b\n")
        await initialised(town)
        text = file.read_text()
        (line,) = re.findall(r"^CREDITBOT_SUPPLIER_OPENAI_KEY=.*$", text, re.MULTILINE)
        comment = re.search(r"[ \t]+# .*$", value)
        assert (
            line == f"CREDITBOT_SUPPLIER_OPENAI_KEY='{SUPPLIER_KEY}'{comment[0] if comment else ''}"
        )
        assert text.startswith("A=1 # a\n")
        assert "\nB=2 # b\n" in text
        assert dotenv(town)["CREDITBOT_SUPPLIER_OPENAI_KEY"] == SUPPLIER_KEY
        file.unlink()


async def test_check_writes_nothing(town: Place, telegram: FakeTelegram) -> None:
    town.settings |= {"master_keys": MASTER_KEY, "telegram_token": TOKEN, "markup_percent": "20"}
    town.settings |= {"supplier_openai_key": SUPPLIER_KEY, "supplier_openai_quota": "5"}
    await town.creditbot("migrate")
    await town.creditbot("keys", "list")  # gives the vault its canary
    before = rows(town)
    checked = await town.creditbot("check")
    assert re.search(r"✓ prices of (\d+) models, \1 of them set by the formula when", checked.out)
    assert rows(town) == before
    # So the first prices are those of the settings, whoever looked before.
    service = await serving(town)
    assert (await service.stopped()).code == 0
    checked = await town.creditbot("check")
    assert re.search(r"✓ prices of \d+ models\n", checked.out)
    with contextlib.closing(sqlite3.connect(town.database)) as database:
        found = database.execute("SELECT input_rate FROM price WHERE model = 'claude-haiku-4-5'")
        assert found.fetchone() == (280,)


def rows(place: Place) -> list[str]:
    """The whole database as text."""
    with contextlib.closing(sqlite3.connect(place.database)) as database:
        return list(database.iterdump())


async def test_init_takes_what_it_asks_for_from_a_pipe(town: Place) -> None:
    done = await town.creditbot("init", stdin=f"{TOKEN}\n", supplier_openai_url="")
    assert "Telegram: @credit_test_bot" in done.out
    assert "No supplier key yet" in done.out
    assert dotenv(town)["CREDITBOT_TELEGRAM_TOKEN"] == TOKEN
