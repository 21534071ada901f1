"""The clients that people use, as their makers ship them, installed apart in pinned versions."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_NPM = {
    "openai": "6.49.0",
    "@anthropic-ai/sdk": "1.14.0",
    "@anthropic-ai/claude-code": "2.1.197",
    "opencode-ai": "1.18.33",
}
_PIP = {"aider-chat": "0.86.2", "llm": "0.36"}
#: Where a package's own program is: some bring it in a package for each kind of machine.
_PROGRAMS = {
    "@anthropic-ai/claude-code": "node_modules/@anthropic-ai/claude-code-*/claude",
    "opencode-ai": "node_modules/opencode-*/bin/opencode",
    "aider-chat": "aider-chat/bin/aider",
    "llm": "llm/bin/llm",
}


class InstalledClients:
    """A folder of clients. What can't be installed is named in `missing`, and left out."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.missing: dict[str, str] = {}

    def install(self) -> None:
        """Installs what isn't there yet; without a network what is there stays."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, version in _NPM.items():
            if not self._is_there(f"node_modules/{name}", version):
                self._install_npm(name, version)
        for name, version in _PIP.items():
            if not self._is_there(name, version):
                self._install_pip(name, version)

    def find_program(self, package: str) -> Path | None:
        """A package's own program."""
        # The plain one, not those for older processors or other libraries of C.
        found = sorted(self.folder.glob(_PROGRAMS[package]), key=lambda one: len(str(one)))
        return found[0] if found else None

    def find_node(self) -> str | None:
        """Node, where both makers' packages for it are there."""
        has_both = all(
            (self.folder / "node_modules" / name).exists()
            for name in ("openai", "@anthropic-ai/sdk")
        )
        return shutil.which("node") if has_both else None

    def _stamp(self, name: str) -> Path:
        return self.folder / f".{name.replace('/', '-')}"

    def _is_there(self, name: str, version: str) -> bool:
        stamp = self._stamp(name.removeprefix("node_modules/"))
        return (
            (self.folder / name).exists()
            and stamp.exists()
            and stamp.read_text().strip() == version
        )

    def _install_npm(self, name: str, version: str) -> None:
        npm = shutil.which("npm")
        if npm is None:
            self.missing[name] = "there is no npm"
            return
        # Scripts of packages would fetch what is in other packages anyway.
        self._run(
            name,
            version,
            [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", f"{name}@{version}"],
        )

    def _install_pip(self, name: str, version: str) -> None:
        venv = self.folder / name
        shutil.rmtree(venv, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        self._run(name, version, [venv / "bin" / "pip", "-q", "install", f"{name}=={version}"])

    def _run(self, name: str, version: str, command: Sequence[str | Path]) -> None:
        print(f"installing {name} {version} …", flush=True)
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = (done.stderr or done.stdout).strip().splitlines()
            self.missing[name] = lines[-1][:100] if lines else "it can't be installed"
            return
        self._stamp(name).write_text(version)
