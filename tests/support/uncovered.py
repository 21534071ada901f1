"""What no test reaches of the ledger and of payments: the list of reasons, `tests/uncovered.toml`.

`make coverage` ends with it: it reads what the tests' processes measured and names each line and
each way out of a condition that no test reached and no entry gives a reason for, and each entry
that has nothing to excuse any more. Entries quote their lines, for numbers move.
"""

from __future__ import annotations

import json
import linecache
import os
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LIST = ROOT / "tests" / "uncovered.toml"
#: Where money is booked or comes in: nothing there is uncovered without a reason.
ROOMS = ("core/ledger/", "payments/")
#: Of all lines, and of all branches, so many percent are reached at least.
PERCENT_LEAST = 90
#: Where a branch leads that ends its function.
END = "the end"
#: What stands between a condition and where it leads.
ARROW = " → "


@dataclass(frozen=True, order=True)
class Gap:
    """A gap is a line of a function that no test reached, by its text, or a branch, written
    `line → line`; `function` is empty for what a module does when it is imported."""

    file: str
    function: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}, {self.function or 'the module'}: {self.text}"


def read_reasons(file: Path) -> dict[Gap, str]:
    """The gaps that are known, each with its reason. Raises ValueError for one that has none or
    that stands there twice."""
    reasons: dict[Gap, str] = {}
    for entry in tomllib.loads(file.read_text())["gap"]:
        if not entry["reason"].strip():
            raise ValueError(f"{entry}: no reason")
        for text in entry["lines"]:
            gap = Gap(entry["file"], entry["function"], text)
            if gap in reasons:
                raise ValueError(f"{gap}: listed twice")
            reasons[gap] = entry["reason"]
    return reasons


def list_gaps(report: Mapping[str, Any], root: Path = ROOT) -> list[Gap]:
    """What coverage's report (its JSON) says that no test reached in the rooms of money."""
    gaps = []
    for file, measured in report["files"].items():
        if not file.startswith(ROOMS):
            continue
        name = str(root / file)
        for function, region in measured["functions"].items():
            gaps += [Gap(file, function, text) for text in _list_texts(name, region)]
    return gaps


def _list_texts(name: str, region: Mapping[str, Any]) -> Iterator[str]:
    """A branch that leaves a line, or leads to one, that is missing itself says nothing more."""
    missing = set(region["missing_lines"])
    for number in sorted(missing):
        yield _read_line(name, number)
    for origin, target in region["missing_branches"]:
        if not missing & {origin, target}:
            end = END if target < 0 else _read_line(name, target)
            yield f"{_read_line(name, origin)}{ARROW}{end}"


def _read_line(name: str, number: int) -> str:
    return linecache.getline(name, number).strip()


def check_gaps(gaps: Sequence[Gap], reasons: Mapping[Gap, str]) -> list[str]:
    """A sentence about each gap without a reason, and about each reason without a gap."""
    return [
        *(
            f"no test reaches it, and no reason is given: {gap}"
            for gap in gaps
            if gap not in reasons
        ),
        *(f"listed, but reached now, or gone: {gap}" for gap in sorted(reasons.keys() - set(gaps))),
    ]


def check_totals(totals: Mapping[str, Any]) -> list[str]:
    """A sentence for lines, and for branches, of which too few are reached."""
    shares = (
        ("lines", totals["covered_lines"], totals["num_statements"]),
        ("branches", totals["covered_branches"], totals["num_branches"]),
    )
    return [
        f"of all {kind} {100 * reached / count:.1f} % are reached, {PERCENT_LEAST} % must be"
        for kind, reached, count in shares
        if 100 * reached < PERCENT_LEAST * count
    ]


def read_report(root: Path) -> dict[str, Any]:
    """What was measured in a folder, and is combined already, as coverage's JSON. By a process of
    its own: a second measurement ends the one of the process that begins it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "coverage.json"
        subprocess.run(
            [sys.executable, "-m", "coverage", "json", "-q", "-o", str(file)],
            cwd=root,
            env=unmeasured_environ(),
            check=True,
        )
        report: dict[str, Any] = json.loads(file.read_text())
    return report


def unmeasured_environ() -> dict[str, str]:
    """The environment of a process that is no part of what is measured."""
    return {name: value for name, value in os.environ.items() if "COVERAGE" not in name}


def main() -> int:
    """What `make coverage` runs: 1 where anything is wrong, with a line for each."""
    report, reasons = read_report(ROOT), read_reasons(LIST)
    gaps = list_gaps(report)
    faults = [*check_totals(report["totals"]), *check_gaps(gaps, reasons)]
    for fault in faults:
        print(fault, file=sys.stderr)
    totals = report["totals"]
    print(
        f"lines {totals['covered_lines']:,} of {totals['num_statements']:,},"
        f" branches {totals['covered_branches']:,} of {totals['num_branches']:,};"
        f" {len(gaps)} gaps in {' and '.join(ROOMS)}"
    )
    for reason, count in Counter(reasons[gap] for gap in gaps if gap in reasons).most_common():
        print(f"  {count:3} {reason}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
