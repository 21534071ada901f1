"""How each client is started for a scenario: its words, its surroundings, and what it must say."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
    """A client, the scenarios that it is run through, and what it must say in each."""

    name: str
    answers: Mapping[str, str]
    build: Callable[[str, Target], Command]

    def find_expected(self, scenario: str) -> tuple[str, ...]:
        """Words of which one must be in what it says."""
        if scenario in self.answers:
            return (self.answers[scenario],)
        return REFUSED[scenario]


def list_clients(installed: InstalledClients) -> list[Client]:
    """Those that are there."""
    clients = [_make_sdk("Python", maker, sys.executable, installed) for maker in _MAKERS]
    node = installed.find_node()
    if node is not None:
        # Packages are looked for beside the script.
        shutil.copy(_FILES / "javascript_sdks.mjs", installed.folder)
        clients += [_make_sdk("JavaScript", maker, node, installed) for maker in _MAKERS]
    for package, make in _PROGRAMS.items():
        program = installed.find_program(package)
        if program is not None:
            clients.append(make(program))
    return clients


_MAKERS = ("openai", "anthropic")


def _make_sdk(language: str, maker: str, runs: str, installed: InstalledClients) -> Client:
    is_python = language == "Python"
    script = _FILES / "python_sdks.py" if is_python else installed.folder / "javascript_sdks.mjs"

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
    return Client(f"{maker} ({language})", _SDK_ANSWERS | errors, build)


def _make_claude_code(program: Path) -> Client:
    def build(scenario: str, target: Target) -> Command:
        (target.folder / "note.txt").write_text(_NOTE)
        question = "Read note.txt" if scenario == "tools" else SKY
        model = target.wrong_model or CLAUDE
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

    return Client("Claude Code", {"chat": "I am the sandbox", "tools": _NOTE}, build)


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

    return Client("opencode", {"chat": "I am the sandbox", "tools": "The tool gave me"}, build)


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

    return Client("aider", {"chat": "I am the sandbox"}, build)


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
    "@anthropic-ai/claude-code": _make_claude_code,
    "opencode-ai": _make_opencode,
    "aider-chat": _make_aider,
    "llm": _make_llm,
}
