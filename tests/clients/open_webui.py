"""Open WebUI's server, asked as its page asks it: whole answers and streams, a chat's settings,
a picture, a tool that is described in words or called natively, and the small tasks beside a chat.
For the recorder, in an environment that has it:

    python -m tests.clients.wire_recorder open-webui 0.12.4 -- PYTHON tests/clients/open_webui.py
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

BASE, KEY, MODEL = os.environ["BASE"], os.environ["KEY"], os.environ["MODEL"]
PORT: Final = 18473
#: Its first start fills a database.
START_SECONDS: Final = 200
SKY: Final = "Why is the sky blue?"
CITY: Final = "How is the weather in Lima?"
#: Of one white pixel.
PICTURE: Final = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)
SETTINGS: Final = {
    "WEBUI_AUTH": "False",
    "WEBUI_SECRET_KEY": "one of this run",
    "ENABLE_OLLAMA_API": "False",
    "OPENAI_API_BASE_URL": f"{BASE}/v1",
    "OPENAI_API_KEY": KEY,
    "TASK_MODEL_EXTERNAL": MODEL,
    # Nothing is fetched, and nobody is told.
    "OFFLINE_MODE": "True",
    "HF_HUB_OFFLINE": "1",
    "RAG_EMBEDDING_ENGINE": "openai",
    "ENABLE_VERSION_UPDATE_CHECK": "False",
    "ANONYMIZED_TELEMETRY": "False",
    "DO_NOT_TRACK": "1",
    "SCARF_NO_ANALYTICS": "true",
}
WEATHER: Final = '''"""
title: Weather
"""


class Tools:
    def get_weather(self, city: str) -> str:
        """
        Tells the weather of a city.
        :param city: its name
        """
        return "Rain in " + city
'''


class Page:
    """What a page that is open in a browser asks the server."""

    def __init__(self) -> None:
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
        self._token = ""

    def call(self, path: str, body: dict[str, Any] | None = None) -> str:
        """What the server answers; raises `URLError`."""
        headers = {"content-type": "application/json", "authorization": f"Bearer {self._token}"}
        told = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{PORT}{path}", told, headers)
        with self._open(request, timeout=60) as answer:
            said: str = answer.read().decode()
        return said

    def sign_in(self) -> None:
        """Waits until the server answers, and comes in as its only person."""
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            with contextlib.suppress(OSError):
                self.call("/health")
                break
            time.sleep(0.5)
        told = self.call("/api/v1/auths/signin", {"email": "", "password": ""})
        self._token = json.loads(told)["token"]

    def ask(self, content: object, **more: Any) -> None:
        """A chat's question."""
        messages = [{"role": "user", "content": content}]
        said = self.call(
            "/api/chat/completions",
            {"model": MODEL, "messages": messages, "stream": True, **more},
        )
        print(said[:200], file=sys.stderr)


@contextlib.contextmanager
def running() -> Iterator[Page]:
    """The server, whose binary stands beside this Python."""
    data = Path(os.environ["HOME"]) / "data"
    data.mkdir()
    command = [Path(sys.executable).parent / "open-webui", "serve", "--host", "127.0.0.1"]
    server = subprocess.Popen(
        [*command, "--port", str(PORT)],
        env={**os.environ, **SETTINGS, "DATA_DIR": str(data)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        page = Page()
        page.sign_in()
        yield page
    finally:
        server.terminate()
        server.wait(20)


def ask_in_chat(page: Page) -> None:
    """As the page does, with a chat of its own: the server goes on by itself when it was told, and
    names the chat afterwards."""
    chat = {"title": "", "models": [MODEL], "messages": [], "history": {"messages": {}}}
    made = json.loads(page.call("/api/v1/chats/new", {"chat": chat}))
    page.ask(
        CITY,
        tool_ids=["weather"],
        params={"function_calling": "native"},
        stream_options={"include_usage": True},
        chat_id=made["id"],
        id="m1",
        session_id="s1",
        background_tasks={"title_generation": True, "tags_generation": True},
    )
    time.sleep(10)


def main() -> None:
    """Asks for each."""
    with running() as page:
        page.ask(SKY, stream=False)
        page.ask(SKY, stream_options={"include_usage": True})
        settings = {"temperature": 0.7, "top_p": 0.9, "max_tokens": 500, "seed": 7, "stop": ["END"]}
        settings |= {"frequency_penalty": 0.1, "presence_penalty": 0.1, "reasoning_effort": "low"}
        page.ask(SKY, params=settings)
        shown = {"type": "image_url", "image_url": {"url": PICTURE}}
        page.ask([{"type": "text", "text": SKY}, shown])
        tool = {"id": "weather", "name": "Weather", "content": WEATHER, "meta": {}}
        page.call("/api/v1/tools/create", tool)
        page.ask(CITY, tool_ids=["weather"], params={"function_calling": "default"})
        ask_in_chat(page)
        said = [{"role": "user", "content": SKY}, {"role": "assistant", "content": "It scatters."}]
        for task in ("title", "tags", "queries", "emoji"):
            told = {"model": MODEL, "messages": said, "prompt": "sky", "type": "web_search"}
            page.call(f"/api/v1/tasks/{task}/completions", told)


if __name__ == "__main__":
    main()
