"""What the container's image holds: the files that `Dockerfile` copies and `.dockerignore` lets
through, installed into an environment of their own as the image does it.

Dependencies are those of the environment that tests run in: nothing is fetched.
"""

from __future__ import annotations

import fnmatch
import json
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[2]


def list_patterns() -> list[tuple[bool, str]]:
    """`.dockerignore`: (whether it lets through again, pattern), the last that matches counts."""
    lines = (ROOT / ".dockerignore").read_text().split("\n")
    kept = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return [(line.startswith("!"), line.removeprefix("!")) for line in kept]


def is_sent(path: str) -> bool:
    """Whether Docker's builder gets a file, named from the root of the tree."""
    parts = path.split("/")
    sent = True
    for lets_through, pattern in list_patterns():
        bare = pattern.removeprefix("**/")
        above = ["/".join(parts[: count + 1]) for count in range(len(parts))]
        names = parts if bare != pattern else above
        if any(fnmatch.fnmatchcase(name, bare) for name in names):
            sent = lets_through
    return sent


def list_copies() -> list[tuple[list[str], str]]:
    """The `COPY` lines of the stage that builds: sources and destination."""
    build_stage = (ROOT / "Dockerfile").read_text().split("\nFROM ")[1]
    copies = [line.split()[1:] for line in re.findall(r"^COPY .*$", build_stage, re.MULTILINE)]
    return [(words[:-1], words[-1]) for words in copies]


def copy_context(folder: Path) -> None:
    """Copies into `folder` what the stage that builds has: of committed files alone, as a clone
    has nothing else."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    sent = [name for name in listed.stdout.split("\0") if name and is_sent(name)]
    for sources, destination in list_copies():
        for source in sources:
            found = [name for name in sent if name == source or name.startswith(f"{source}/")]
            assert found, f"the Dockerfile copies {source}, which isn't sent to the builder"
            for name in found:
                inner = name.removeprefix(source).lstrip("/") or Path(source).name
                target = folder / destination / inner
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, target)


def install(context: Path, environment: Path) -> None:
    """A new environment at `environment`, with the service installed from `context`."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    site = next(environment.glob("lib/python*/site-packages"))
    # Its own `.pth` files aren't followed: not the one that leads to this tree.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    flags = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--no-compile")
    subprocess.run(
        [environment / "bin/python", "-m", "pip", "install", *flags, "."], cwd=context, check=True
    )


def read_instruction(name: str) -> list[str]:
    """The words of the image's `CMD` or `HEALTHCHECK`, as a list."""
    text = (ROOT / "Dockerfile").read_text()
    found = re.search(rf"^{name}(?: CMD)? (\[.*\])$", text, re.MULTILINE)
    assert found is not None, name
    words: list[str] = json.loads(found[1])
    return words


def read_environment() -> dict[str, str]:
    """The image's own variables."""
    text = (ROOT / "Dockerfile").read_text()
    (line,) = re.findall(r"^ENV (.*)$", text, re.MULTILINE)
    return dict(pair.split("=", 1) for pair in line.split())
