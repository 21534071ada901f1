"""Renews the lock files of the clients: `python -m tests.clients.locks`, with npm and uv.

Versions stand here. A lock has names, versions and hashes, and no address: packages come from
whatever registry the machine uses.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final

from tests.clients.installed import LOCKS

_SDKS: Final = {"openai": "6.49.0", "@anthropic-ai/sdk": "1.14.0"}
_CLAUDE_CODE, _OPENCODE = "2.1.197", "1.18.33"
_MACHINES: Final = ("linux-x64", "linux-arm64", "darwin-arm64")
#: The programs themselves, a package for each kind of machine.
_NPM: Final[dict[str, dict[str, dict[str, str]]]] = {
    "javascript-sdks": {"dependencies": _SDKS},
    "claude-code": {
        "optionalDependencies": {
            f"@anthropic-ai/claude-code-{one}": _CLAUDE_CODE for one in _MACHINES
        }
    },
    "opencode": {"optionalDependencies": {f"opencode-{one}": _OPENCODE for one in _MACHINES}},
}
_PIP: Final = {"aider-chat": "0.86.2", "llm": "0.36"}
_UV: Final = (
    *("uv", "pip", "compile", "-q", "--universal", "--generate-hashes", "--no-header"),
    *("--no-annotate", "--python-version", "3.11", "-"),
)
#: What a lock says beside names, versions and hashes.
_LEFT_OUT: Final = ("resolved", "funding", "license", "deprecated")


def renew_npm_lock(name: str, wanted: dict[str, Any]) -> None:
    """Lets npm find the versions, and keeps no address of theirs."""
    npm = shutil.which("npm")
    assert npm is not None
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "package.json").write_text(json.dumps({"name": name, **wanted}))
        subprocess.run(
            [npm, "install", "--package-lock-only", "--ignore-scripts", "--no-audit"],
            cwd=folder,
            check=True,
        )
        lock = json.loads((Path(folder) / "package-lock.json").read_text())
    # Not each machine has a package.
    told = lock["packages"][""].get("optionalDependencies", {})
    for absent in [one for one in told if f"node_modules/{one}" not in lock["packages"]]:
        del told[absent]
    for package in lock["packages"].values():
        for field in _LEFT_OUT:
            package.pop(field, None)
    (LOCKS / f"{name}.json").write_text(json.dumps(lock, indent=1) + "\n")


def renew_pip_lock(name: str, version: str) -> None:
    """Lets uv find the versions."""
    wanted = f"{name}=={version}\n"
    done = subprocess.run(_UV, input=wanted, capture_output=True, text=True, check=True)
    (LOCKS / f"{name}.txt").write_text(done.stdout)


if __name__ == "__main__":
    for name, wanted in _NPM.items():
        renew_npm_lock(name, wanted)
    for name, version in _PIP.items():
        renew_pip_lock(name, version)
