"""How each client is started for a scenario: its words, its surroundings, and what it must say."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tests.clients.installed import InstalledClients

GPT, CLAUDE = "gpt-6.1-sol", "claude-sonnet-5-5"
SKY = "Why is the sky blue?"
_FILES = Path(__file__).parent
_PICTURE = _FILES.parents[1] / "docs" / "pictures" / "paid.png"
_NOTE = "the secret is 42"

#: What is said where an ask is refused, whatever the client makes of it.
REFUSED = {
    "400": ("",),
    "401": ("The token is missing or not valid",),
    "402": ("You have 0 Credits",),
    "403": ("a UTC day",),
    "404": ("There is no model", "issue with the selected model"),
}
_SDK_ANSWERS = {
    "chat": "I am the sandbox",
    "stream": "I am the sandbox",
    "tools": "Rain in Lima",
    "schema": '"city"',
    "picture": "mostly",
    "break": "error",
    "time-out": "error",
    "down": "error 5",
}
#: By the SDKs' own settings: a call of a tool and its result, three times; and what went wrong is
#: tried twice again, but no stream that had begun.
_SDK_TRIES = {"tools": 6, "time-out": 3, "down": 3}
#: What CI runs of a program (with tools, or else without), and what it leaves out of the SDKs: each
#: is long.
_QUICK = frozenset(("401", "recovery"))
_SLOW = frozenset(("402", "403", "down"))
_SKY_IS_BLUE = "The sky is blue."


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a client asks, with what, and where it may write."""

    base: str
    token: str
    #: A model that there isn't, in place of the client's own.
    wrong_model: str
    folder: Path


Command = tuple[list[str | Path], dict[str, str]]


@dataclass(frozen=True, slots=True)
class Client:
    """A client, what it must say in each scenario of its own, and how often it may ask."""

    name: str
    answers: Mapping[str, str]
    build: Callable[[str, Target], Command]
    #: Where it is more than once; None: as often as it likes.
    tries: Mapping[str, int] | None = None
    is_quick: bool = False

    @property
    def scenarios(self) -> list[str]:
        """Those that it is run through."""
        listed = [*self.answers, *(one for one in REFUSED if one not in {"400", *self.answers})]
        if not self.is_quick:
            return listed
        if self.tries is not None:  # an SDK
            return [one for one in listed if one not in _SLOW]
        chat = "tools" if "tools" in self.answers else "chat"
        return [one for one in listed if one == chat or one in _QUICK]

    def find_expected(self, scenario: str) -> tuple[str, ...]:
        """Words of which one must be in what it says."""
        if scenario in self.answers:
            return (self.answers[scenario],)
        return REFUSED[scenario]

    def find_tries(self, scenario: str) -> Container[int]:
        """How often it may ask."""
        return range(1, 100) if self.tries is None else (self.tries.get(scenario, 1),)


def list_sets(only: str, *, is_quick: bool) -> set[str]:
    """What must be installed for the clients whose names have this in them."""
    return {
        set_
        for name, set_ in _SETS.items()
        if only in name and set_ and not (is_quick and set_ in _SLOW_SETS)
    }


def list_clients(installed: InstalledClients, only: str, *, is_quick: bool) -> list[Client]:
    """Those that are there and whose names have this in them."""
    clients = [_make_sdk("Python", maker, sys.executable, _FILES) for maker in _MAKERS]
    node = installed.find_node()
    if node is not None:
        # Packages are looked for beside the script.
        beside = installed.folder / "javascript-sdks"
        shutil.copy(_FILES / "javascript_sdks.mjs", beside)
        clients += [_make_sdk("JavaScript", maker, node, beside) for maker in _MAKERS]
    for name, make in _PROGRAMS.items():
        program = installed.find_program(_SETS[name])
        if program is not None:
            clients.append(make(program))
    wanted = list_sets(only, is_quick=is_quick) | (set() if is_quick else {""})
    return [
        replace(one, is_quick=is_quick)
        for one in clients
        if only in one.name and _SETS[one.name] in wanted
    ]


_MAKERS = ("openai", "anthropic")
#: By a client's name: what is installed for it; those of Python are there for the tests anyway.
_SETS = {
    "openai (Python)": "",
    "anthropic (Python)": "",
    "openai (JavaScript)": "javascript-sdks",
    "anthropic (JavaScript)": "javascript-sdks",
    "Claude Code": "claude-code",
    "opencode": "opencode",
    "aider": "aider-chat",
    "llm": "llm",
}
#: What CI leaves out, for it runs two others that are made of the same SDK.
_SLOW_SETS = frozenset(("llm",))


def _make_sdk(language: str, maker: str, runs: str, folder: Path) -> Client:
    script = folder / ("python_sdks.py" if language == "Python" else "javascript_sdks.mjs")

    def build(scenario: str, target: Target) -> Command:
        model = target.wrong_model or (GPT if maker == "openai" else CLAUDE)
        if scenario in {"break", "time-out", "down"}:
            model = GPT
        environment = {
            "BASE": target.base,
            "TOKEN": target.token,
            "MODEL": model,
            "PICTURE": str(_PICTURE),
        }
        return [runs, script, maker, scenario], environment

    errors = {status: f"error {status}" for status in REFUSED}
    return Client(f"{maker} ({language})", _SDK_ANSWERS | errors, build, _SDK_TRIES)


def _make_claude_code(program: Path) -> Client:
    def build(scenario: str, target: Target) -> Command:
        (target.folder / "note.txt").write_text(_NOTE)
        question = "Read note.txt" if scenario == "tools" else SKY
        model = target.wrong_model or (GPT if scenario == "recovery" else CLAUDE)
        return [program, "-p", question, "--allowedTools", "Read"], {
            "ANTHROPIC_BASE_URL": target.base,
            "ANTHROPIC_AUTH_TOKEN": target.token,
            "ANTHROPIC_MODEL": model,
            "ANTHROPIC_SMALL_FAST_MODEL": model,
            "DISABLE_TELEMETRY": "1",
            "DISABLE_ERROR_REPORTING": "1",
            "DISABLE_AUTOUPDATER": "1",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        }

    answers = {"chat": "I am the sandbox", "tools": _NOTE, "recovery": _SKY_IS_BLUE}
    return Client("Claude Code", answers, build)


def _make_opencode(program: Path) -> Client:
    def build(scenario: str, target: Target) -> Command:
        (target.folder / "note.txt").write_text(_NOTE)
        model = target.wrong_model or GPT
        options = {"baseURL": f"{target.base}/v1", "apiKey": target.token}
        provider = {
            "npm": "@ai-sdk/openai-compatible",
            "options": options,
            "models": {model: {"name": model}},
        }
        settings = {
            "autoupdate": False,
            "share": "disabled",
            "provider": {"here": provider},
            "permission": {"*": "allow"},
        }
        (target.folder / "opencode.json").write_text(json.dumps(settings))
        question = f"read {target.folder / 'note.txt'}" if scenario == "tools" else SKY
        return [program, "run", "-m", f"here/{model}", question], {
            "OPENCODE_DISABLE_AUTOUPDATE": "1",
            "OPENCODE_DISABLE_MODELS_FETCH": "1",
            "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
            "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
        }

    answers = {"chat": "I am the sandbox", "tools": "The tool gave me", "recovery": _SKY_IS_BLUE}
    return Client("opencode", answers, build)


def _make_aider(program: Path) -> Client:
    def build(scenario: str, target: Target) -> Command:
        flags = (
            *("--no-check-update", "--analytics-disable", "--no-git", "--no-auto-commits"),
            *("--yes-always", "--no-show-model-warnings", "--no-pretty", "--no-detect-urls"),
        )
        model = f"openai/{target.wrong_model or GPT}"
        return [program, "--model", model, *flags, "--message", SKY], {
            "OPENAI_API_BASE": f"{target.base}/v1",
            "OPENAI_API_KEY": target.token,
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        }

    return Client("aider", {"chat": "I am the sandbox", "recovery": _SKY_IS_BLUE}, build)


_TOOL = 'def get_weather(city: str) -> str:\n    "Tells it"\n    return "Rain in " + city\n'


def _make_llm(program: Path) -> Client:
    def build(scenario: str, target: Target) -> Command:
        lines = (
            "- model_id: here",
            f"  model_name: {target.wrong_model or GPT}",
            f"  api_base: {target.base}/v1",
            "  api_key_name: here",
            "  supports_tools: true",
            "  supports_schema: true",
            "  vision: true",
        )
        (target.folder / "extra-openai-models.yaml").write_text("\n".join(lines))
        asked: list[str | Path] = {
            "chat": ["--no-stream", SKY],
            "schema": ["--schema", "city, people int", "Oslo"],
            "tools": ["--functions", _TOOL, "use get_weather for Lima"],
            "picture": ["-a", _PICTURE, "What is on it?"],
        }.get(scenario, [SKY])
        environment = {"LLM_USER_PATH": str(target.folder)}
        return [program, "-m", "here", "--key", target.token, *asked], environment

    answers = {name: _SDK_ANSWERS[name] for name in ("chat", "stream", "schema", "picture")}
    return Client("llm", answers | {"tools": "Rain in Lima"}, build)


_PROGRAMS: dict[str, Callable[[Path], Client]] = {
    "Claude Code": _make_claude_code,
    "opencode": _make_opencode,
    "aider": _make_aider,
    "llm": _make_llm,
}
