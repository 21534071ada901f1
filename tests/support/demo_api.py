"""The demo as a process whose API programs may ask: driven by lines on its input, as a person types
them, with what it was asked read from its books.

    with ApiDemo(folder, welcome_credits="0") as demo:
        demo.secret, demo.base                        # a token, and the address before /v1
        demo.list_usage(), demo.count_supplier_calls()
        demo.type_lines("/balance", until=r"Credits")
"""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tests.support.ports import find_free_port

_COMMAND = Path(sys.executable).parent / "creditbot"
_END_SECONDS = 60
_TOKEN = re.compile(r"^(cbk_[0-9A-Za-z]{36})$", re.MULTILINE)


class ApiDemo:
    """A demo that runs in a folder, and a token of its person's."""

    def __init__(self, folder: Path, **settings: str) -> None:
        """`settings` are named without their prefix."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.base = f"http://127.0.0.1:{find_free_port()}"
        self._settings = {"api_port": self.base.rpartition(":")[2], **settings}
        self._process: subprocess.Popen[str] | None = None
        self.secret = ""
        self._client = httpx.Client(base_url=self.base, trust_env=False, timeout=_END_SECONDS)

    def __enter__(self) -> Self:
        """Starts it, and makes the token."""
        named = {f"CREDITBOT_{name.upper()}": value for name, value in self._settings.items()}
        self._process = subprocess.Popen(
            [_COMMAND, "demo"],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder), **named},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.secret = self.make_token()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def make_token(self) -> str:
        """Another token, made as a person makes one."""
        # Whatever the list shows: the last button of its card makes one.
        shown = self.type_lines("/api", until=r"\] Make a token")
        button = re.findall(r"\[(\d+)\] Make a token", shown)[-1]
        shown = self.type_lines(button, "1", until=_TOKEN.pattern)
        found = _TOKEN.search(shown)
        assert found is not None
        return found[1]

    def set_cap(self, number: int, credits_a_day: int) -> None:
        """Another cap for a token, by its place in the list."""
        self.type_lines("/api", str(number), until=r"\] Another cap")
        # The card's buttons: three of the token, then the two caps that are offered, then this.
        self.type_lines("6", str(credits_a_day), until=rf"of {credits_a_day:,} ")

    def type_lines(self, *lines: str, until: str) -> str:
        """Types lines; gives what is shown up to a line in which the pattern is found."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("".join(f"{line}\n" for line in lines))
        self._process.stdin.flush()
        shown = ""
        while re.search(until, shown, re.MULTILINE) is None:
            line = self._process.stdout.readline()
            assert line, f"it ended without {until!r}: {shown}"
            shown += line
        return shown

    def list_usage(self) -> list[dict[str, Any]]:
        """All rows that the API tells, the newest first."""
        rows: list[dict[str, Any]] = []
        after = ""
        while True:
            page = self.get(f"/v1/usage?limit=100{after}")
            rows += page["data"]
            if not page["has_more"]:
                return rows
            after = f"&after={page['next']}"

    def get(self, path: str) -> Any:
        """What a look-up with the token gives."""
        headers = {"authorization": f"Bearer {self.secret}"}
        answer = self._client.get(path, headers=headers)
        answer.raise_for_status()
        return answer.json()

    def count_supplier_calls(self) -> int:
        """How often suppliers were asked for the API's asks."""
        file = self.folder / ".demo" / "creditbot.db"
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as books:
            query = "SELECT coalesce(sum(tries), 0) FROM ask WHERE api_token IS NOT NULL"
            return int(books.execute(query).fetchone()[0])

    def end(self) -> None:
        """Ends it as Ctrl-D does; raises where it ends badly."""
        self._client.close()
        process, self._process = self._process, None
        if process is None:
            return
        try:
            process.communicate(timeout=_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        assert process.returncode == 0, process.returncode
