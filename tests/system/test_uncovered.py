"""The end of `make coverage`: each line and branch of the money that no test reaches has a reason,
and each reason something to excuse."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.uncovered import (
    LIST,
    ROOT,
    Gap,
    check_gaps,
    check_totals,
    list_gaps,
    read_reasons,
    read_report,
    unmeasured_environ,
)

FILE = "payments/till.py"
TILL = '''\
"""A till."""

TYPE = "iron"


class Till:
    def pay(self, amount: int) -> str:
        if amount < 0:
            raise ValueError(amount)
        if amount:
            amount += 1
        for coin in range(amount):
            if coin > 3:
                return "heavy"
        return "light"


def close(till: Till | None) -> None:
    if till is not None:
        till.pay(9)


if not TYPE:
    raise SystemExit
'''
NEGATIVE = Gap(FILE, "Till.pay", "raise ValueError(amount)")
NOTHING = Gap(FILE, "Till.pay", "if amount: → for coin in range(amount):")
HEAVY = Gap(FILE, "Till.pay", 'return "heavy"')
CLOSED = Gap(FILE, "close", "if till is not None: → the end")
CARDBOARD = Gap(FILE, "", "raise SystemExit")


@pytest.fixture
def till(tmp_path: Path) -> Path:
    (tmp_path / "payments").mkdir()
    (tmp_path / FILE).write_text(TILL)
    return tmp_path


def _find_gaps(root: Path, calls: str) -> set[Gap]:
    """What is not reached of the till by calls of it."""
    (root / "run.py").write_text(f"from payments.till import Till, close\n{calls}\n")
    subprocess.run(
        [sys.executable, "-m", "coverage", "run", "--branch", "--source=payments", "run.py"],
        cwd=root,
        env=unmeasured_environ(),
        check=True,
        capture_output=True,
    )
    return set(list_gaps(read_report(root), root))


def test_gaps_are_lines_and_branches_by_their_text(till: Path) -> None:
    unused = {Gap(FILE, "close", text) for text in ("if till is not None:", "till.pay(9)")}
    gaps = _find_gaps(till, "Till().pay(1)")
    assert gaps == {CARDBOARD, NEGATIVE, NOTHING, HEAVY} | unused


def test_what_is_reached_is_no_gap(till: Path) -> None:
    gaps = _find_gaps(till, "Till().pay(0)\nclose(Till())")
    assert gaps == {NEGATIVE, CARDBOARD, CLOSED}


def test_a_gap_wants_a_reason_and_a_reason_wants_a_gap() -> None:
    reasons = {NEGATIVE: "nobody pays less than nothing", HEAVY: "no coin is that heavy"}
    assert check_gaps([NEGATIVE, HEAVY], reasons) == []
    unnamed, unneeded = check_gaps([NEGATIVE, NOTHING], reasons)
    assert unnamed.endswith(f"no reason is given: {NOTHING}")
    assert unneeded.endswith(f"or gone: {HEAVY}")


def test_lines_and_branches_are_each_nine_of_ten() -> None:
    def of(lines: int, branches: int) -> list[str]:
        return check_totals(
            {
                "covered_lines": lines,
                "num_statements": 1_000,
                "covered_branches": branches,
                "num_branches": 100,
            }
        )

    assert of(900, 90) == []
    few_lines, few_branches = of(899, 89)
    assert few_lines.startswith("of all lines 89.9 %")
    assert few_branches.startswith("of all branches 89.0 %")
    assert len(of(1_000, 89)) == len(of(899, 100)) == 1


ENTRY = """[[gap]]
file = "payments/till.py"
function = "Till.pay"
lines = {lines}
reason = "{reason}"
"""


def test_an_entry_names_its_lines_and_one_reason(tmp_path: Path) -> None:
    listed = tmp_path / "listed.toml"
    listed.write_text(ENTRY.format(lines=f"['{NEGATIVE.text}', '{HEAVY.text}']", reason="why"))
    assert read_reasons(listed) == {NEGATIVE: "why", HEAVY: "why"}


@pytest.mark.parametrize(
    ("lines", "reason", "fault"),
    [("['a']", " ", "no reason"), ("['a', 'a']", "why", "listed twice")],
)
def test_an_entry_without_a_reason_or_told_twice_is_refused(
    tmp_path: Path, lines: str, reason: str, fault: str
) -> None:
    listed = tmp_path / "listed.toml"
    listed.write_text(ENTRY.format(lines=lines, reason=reason))
    with pytest.raises(ValueError, match=fault):
        read_reasons(listed)


def test_every_listed_line_stands_where_the_list_says() -> None:
    """Seen by every run of the tests, for few measure what is covered."""
    gone = []
    for gap in read_reasons(LIST):
        file = ROOT / gap.file
        texts = {line.strip() for line in file.read_text().splitlines()} if file.exists() else set()
        if not {part for part in gap.text.split(" → ") if part != "the end"} <= texts:
            gone.append(str(gap))
    assert gone == []
