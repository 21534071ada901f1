"""Canaries: secrets and words are planted everywhere they pass, and looked for everywhere else.

Planted: a supplier key (in the vault), the master key, a question, an answer, a sound, a supplier's
own error text. Looked for in: logs, refusals, exports, a backup, metrics, the report, every column.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path

import aiohttp
import pytest

from bots import http
from bots.chat.audio import AudioAttachment
from bots.chat.i18n import render
from bots.chat.types import Answer
from bots.commands.errors import explain_refusal
from bots.http import HttpServer, ServerAddress, build_metrics_app
from bots.http_connections import HttpLimits
from core.admin.report import build_report
from core.admin.trial_balance import ReportPeriod
from core.db.backup import back_up_database
from core.errors import Refusal
from core.ledger.export import write_beancount, write_csv
from core.pool.providers.types import Fault, SupplierFault
from tests.peers.suppliers import Answer as Says, Drop, Heard, Refuse, Script
from tests.support import service
from tests.support.config import KEYS, MASTER_KEY
from tests.support.databases import TestClock
from tests.support.service import Service
from tests.system import canaries
from tests.system.canaries import Everything, columns, logs

__all__ = ["logs"]

QUESTION = "canary-question-8f3a"
ANSWER = "canary-answer-77c1"
FAULT = "canary-supplier-text-19d2"
#: What is heard, and the name that its sender gave to it.
SOUND = "canary-sound-5b0e"
KEY = KEYS[0]
MASTER = base64.b64encode(MASTER_KEY).decode()
CANARIES = (QUESTION, ANSWER, FAULT, SOUND, KEY, KEY[3:], MASTER)

#: One of every class of failure, each with the canary in its text.
FAILURES: tuple[Script, ...] = (
    Refuse(401, code="invalid_api_key", message=f"{FAULT} {KEY}"),
    Refuse(402, code="insufficient_quota", message=FAULT),
    Refuse(429, code="rate_limit_exceeded", message=FAULT),
    Refuse(400, code="context_length_exceeded", message=f"{FAULT} {QUESTION}"),
    Refuse(400, code="invalid_value", message=FAULT),
    Refuse(500, type="server_error", message=FAULT),
    Refuse(503, body=f"<html>{FAULT}</html>".encode()),
    Refuse(200, body=f"not an event stream {FAULT}".encode()),
    Drop(),
    Says(chunks=(ANSWER, ANSWER), breaks_after=1),
    Says(chunks=(ANSWER, ANSWER), fails_after=1),
)


HEARINGS: tuple[Script, ...] = (
    Heard(ANSWER, seconds=61),
    Refuse(400, code="invalid_value", message=f"{FAULT} {SOUND}"),
    Refuse(200, body=FAULT.encode()),
)


def clean(place: str, text: str | bytes) -> None:
    """No canary there, plain or in base64."""
    assert not (found := canaries.found(CANARIES, text)), f"{found} in {place}"


async def _talk(tom: Service, clock: TestClock) -> list[str]:
    """A conversation in which everything happens once; what the person was told."""
    told = []
    tom.openai.always(Says(ANSWER))
    for script in (Says(ANSWER), *FAILURES):
        tom.openai.script(script)
        answer = await tom.says(f"/ask gpt-4 {QUESTION}")
        told.append(str(answer[-1]))
        for card in await tom.app.services.pool.pool.list_keys():
            await tom.app.services.pool.pool.resume_key(card.id)
        clock.advance(seconds=120)
    for hearing in HEARINGS:
        tom.openai.script(hearing)
        shown = await tom.says(
            QUESTION, audio=AudioAttachment(61, 64, "audio/ogg", f"{SOUND}.ogg", _sound)
        )
        told.append(str(shown[-1]))
        clock.advance(seconds=120)
    return told


async def _sound() -> bytes:
    return b"OggS" + SOUND.encode()


async def _crash(tom: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug deep inside, whose exception quotes everything."""

    def broken(*_: object, **__: object) -> object:
        raise RuntimeError(f"{QUESTION} {ANSWER} {KEY}")

    monkeypatch.setattr(tom.app.services.pool.pool, "stream", broken)
    shown = await tom.says(f"/ask gpt-4 {QUESTION}")
    assert isinstance(shown[-1], Answer)
    monkeypatch.setattr(tom.app.services.asks.conversations, "load_context", broken)
    shown = await tom.says(f"/ask gpt-4 {QUESTION}")
    assert "wrong on our side" in str(shown[-1])


async def test_no_canary_is_anywhere_but_where_it_belongs(
    database_url: str,
    clock: TestClock,
    logs: Everything,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with service.running(database_url, clock) as tom:
        told = await _talk(tom, clock)
        await _crash(tom, monkeypatch)
        monkeypatch.undo()
        for line in told:
            assert FAULT not in line
            assert KEY not in line
        for name, content in await columns(tom.app.services.base.db):
            clean(name, content)
        for write in (write_beancount, write_csv):
            out = io.StringIO()
            await write(tom.app.services.base.db, out)
            clean(write.__name__, out.getvalue())
        base, now = tom.app.services.base, tom.clock.now_ms()
        clean(
            "the report",
            repr(
                await build_report(
                    base.db, base.payment_records, ReportPeriod.whole_history(now), now
                )
            ),
        )
        clean("the keys' cards", repr(await tom.app.services.pool.pool.list_keys()))
        clean("the plan", repr(tom.app.services.externals.own_keys))
        await _metrics_are_clean(tom)
        if tom.app.services.base.db.dialect == "sqlite":
            await back_up_database(database_url, tmp_path / "copy.db")
            clean("the backup", (tmp_path / "copy.db").read_bytes())
            for part in Path(database_url.removeprefix("sqlite:///")).parent.iterdir():
                clean(part.name, part.read_bytes())
        for call in tom.openai.calls:
            assert call.headers["Authorization"].endswith(call.key)
            clean("a call's other headers", str({**call.headers, "Authorization": ""}))
            assert KEY not in str(call.body)
            assert SOUND not in str(call.body.get("file", ("",))[0])
    clean("the logs", "\n".join(logs.lines))
    assert logs.lines, "something was logged"


async def _metrics_are_clean(tom: Service) -> None:
    await tom.app.services.admin.monitor.check_process()
    figures = http.build_metrics_registry(
        tom.app.services.asks.asks,
        tom.app.services.pool.pool,
        tom.app.services.admin.monitor,
        tom.app.chat.readiness.platform_states,
    )
    server = HttpServer(build_metrics_app(figures), ServerAddress("127.0.0.1", 0), HttpLimits())
    port = await server.start()
    try:
        async with (
            aiohttp.ClientSession() as client,
            client.get(f"http://127.0.0.1:{port}/metrics/") as answer,
        ):
            clean("the metrics", await answer.text())
    finally:
        await server.stop()


def test_faults_and_refusals_say_nothing_of_what_caused_them() -> None:
    fault = SupplierFault(Fault.INVALID_KEY, status=401, code="invalid_api_key")
    clean("a fault", f"{fault} {fault!r}")
    assert render(explain_refusal(Refusal()), "en")
