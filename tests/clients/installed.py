"""The clients that people use, as their makers ship them, installed apart by lock files: names,
versions and hashes, so that the same bytes come wherever packages come from.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

LOCKS: Final = Path(__file__).parent / "locks"
#: A package each, or two: what is locked together. Programs bring their own binary in a package for
#: each kind of machine, without which the one that is named after them does nothing.
NPM_SETS: Final = ("javascript-sdks", "claude-code", "opencode")
PIP_SETS: Final = ("aider-chat", "llm")
SETS: Final = (*NPM_SETS, *PIP_SETS)
_PROGRAMS: Final = {
    "claude-code": "node_modules/@anthropic-ai/claude-code-*/claude",
    "opencode": "node_modules/opencode-*/bin/opencode",
    "aider-chat": "bin/aider",
    "llm": "bin/llm",
}
#: Scripts of packages would fetch what is in other packages anyway.
_NPM: Final = (
    *("ci", "--ignore-scripts", "--no-audit", "--no-fund"),
    *("--fetch-retries=1", "--fetch-retry-mintimeout=1000"),
)
_PIP: Final = ("--disable-pip-version-check", "-q", "--retries=1", "install", "--require-hashes")


class InstalledClients:
    """A folder of clients. What can't be installed is named in `missing`, and left out."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.missing: dict[str, str] = {}

    def install(self, sets: Collection[str], seconds: float) -> None:
        """Installs what isn't there yet, in so many seconds at most; without a network what is
        there stays."""
        self.folder.mkdir(parents=True, exist_ok=True)
        ends_at = time.monotonic() + seconds
        for name in (one for one in SETS if one in sets):
            lock = _read_lock(name)
            stamp = self.folder / f".{name}"
            if stamp.exists() and stamp.read_text() == lock:
                continue
            began = time.monotonic()
            reason = self._install_set(name, lock, ends_at)
            took = f"{time.monotonic() - began:.1f} s"
            print(f"{name}: {reason or 'installed'} ({took})", flush=True)
            if reason:
                self.missing[name] = reason
            else:
                stamp.write_text(lock)

    def find_program(self, name: str) -> Path | None:
        """A set's own program, where it is whole."""
        if name in self.missing:
            return None
        return next(iter(sorted((self.folder / name).glob(_PROGRAMS[name]))), None)

    def find_node(self) -> str | None:
        """Node, where both makers' packages for it are there."""
        is_there = (self.folder / ".javascript-sdks").exists()
        return shutil.which("node") if is_there and "javascript-sdks" not in self.missing else None

    def _install_set(self, name: str, lock: str, ends_at: float) -> str:
        """Why it can't be installed; empty where it is."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        (self.folder / f".{name}").unlink(missing_ok=True)
        folder.mkdir()
        if name in NPM_SETS:
            npm = shutil.which("npm")
            if npm is None:
                return "there is no npm"
            root = json.loads(lock)["packages"][""]
            (folder / "package.json").write_text(json.dumps(root))
            (folder / "package-lock.json").write_text(lock)
            failed = _run([npm, *_NPM], folder, ends_at)
            # What a machine need not have is left out by npm in silence, whatever kept it away.
            has_program = name not in _PROGRAMS or any(folder.glob(_PROGRAMS[name]))
            return failed or ("" if has_program else "its program did not come")
        made = _run([sys.executable, "-m", "venv", folder], folder, ends_at)
        pip = [folder / "bin" / "python", "-m", "pip", *_PIP, "-r", LOCKS / f"{name}.txt"]
        return made or _run(pip, folder, ends_at)


def _read_lock(name: str) -> str:
    return (LOCKS / f"{name}.{'json' if name in NPM_SETS else 'txt'}").read_text()


def _run(command: Sequence[str | Path], folder: Path, ends_at: float) -> str:
    """Why a command failed, by the first error that it told; empty where it didn't."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=max(0.1, ends_at - time.monotonic()),
        )
    except subprocess.TimeoutExpired:
        return "it takes too long"
    if not done.returncode:
        return ""
    lines = (done.stderr or done.stdout).splitlines()
    return next((one.strip()[:100] for one in lines if "error" in one.lower()), "it failed")
