"""`creditbot codes` as an operator uses it; and the demo's whole way: invite, redeem, dispute."""

from __future__ import annotations

import asyncio
import csv
import io
import os
import re
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from tests.system.commandline import PATIENCE_S, Place, place, press
from tests.system.demo_support import BIN

__all__ = ["place", "press"]

DEMO = {"database_url": "sqlite:///.demo/creditbot.db"}


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


async def test_codes_are_made_shown_once_listed_and_voided(place: Place) -> None:
    await place.creditbot("migrate")
    assert "There are no codes" in (await place.creditbot("codes", "list")).out
    made = await place.creditbot("codes", "make", "--cash", "90", "--count", "3")
    printed = rows(made.out)
    assert [row["dollars"] for row in printed] == ["90.00"] * 3
    assert all(re.fullmatch(r"([A-Z2-9]{4}-){3}[A-Z2-9]{4}", row["code"]) for row in printed)
    again = await place.creditbot(
        *("codes", "make", "--cash", "9.99", "--expires", "30", "--out", "out.csv")
    )
    assert again.out == ""
    file = place.folder / "out.csv"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    (kept,) = rows(file.read_text())
    assert kept["dollars"] == "9.99"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", kept["expires"])
    listed = await place.creditbot("codes", "list")
    assert [row["state"] for row in rows(listed.out)] == ["open"] * 4
    secrets = [row["code"] for row in [*printed, kept]]
    data = place.database.read_bytes()
    for code in secrets:
        assert code not in listed.out
        assert code.encode() not in data
        assert code.replace("-", "").encode() not in data
    batch = rows(listed.out)[0]["batch"]
    assert "1 codes are void" in (await place.creditbot("codes", "void", printed[0]["id"])).out
    assert "2 codes are void" in (await place.creditbot("codes", "void", batch)).out
    assert "could still be used" in await place.refused("codes", "void", batch)
    assert len(rows((await place.creditbot("codes", "list", batch)).out)) == 3


async def test_what_can_not_be_made_is_told_and_nothing_is(place: Place) -> None:
    await place.creditbot("migrate")
    (place.folder / "there.csv").write_text("mine")
    for argv, why in (
        (("--cash", "0"), "--cash is dollars"),
        (("--cash", "ten"), "--cash is dollars"),
        (("--cash", "20000"), "Amounts are from $1.00 to $10,000.00"),
        (("--cash", "10", "--count", "0"), "--count is between"),
        (("--cash", "10", "--count", "10001"), "--count is between"),
        (("--cash", "10", "--expires", "0"), "--expires is a number"),
        (("--cash", "10", "--out", "there.csv"), "File exists"),
    ):
        assert why in await place.refused("codes", "make", *argv), argv
    assert (place.folder / "there.csv").read_text() == "mine"
    assert "There are no codes" in (await place.creditbot("codes", "list")).out
    # A live database takes no demo's codes, and the other way round.
    assert "is a live database" in await place.refused(
        *("codes", "make", "--cash", "10", "--demo"), database_url=f"sqlite:///{place.database}"
    )


async def test_the_report_tells_of_disputes(place: Place) -> None:
    await place.creditbot("migrate")
    told = (await place.creditbot("report", "--json")).json
    assert (told["disputes"], told["disputed"], told["bad_debt"]) == (0, "0", "0")
    assert "dispute" not in (await place.creditbot("report")).out, "said where there are any"


@dataclass
class Chat:
    """A demo whose lines are written one after the other, and what it has said."""

    process: asyncio.subprocess.Process
    said: str = ""
    _read: int = field(default=0)

    async def says(self, line: str, until: str) -> str:
        """What is printed from this line on, once it matches."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())
        return await self.hears(until)

    async def hears(self, until: str) -> str:
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            while (found := re.search(until, self.said[self._read :])) is None:
                piece = await self.process.stdout.read(4_096)
                assert piece, self.said
                self.said += piece.decode()
        heard = self.said[self._read : self._read + found.end()]
        self._read += found.end()
        return heard


@asynccontextmanager
async def chat(place: Place) -> AsyncIterator[Chat]:
    process = await asyncio.create_subprocess_exec(
        *(BIN / "creditbot", "demo"),
        cwd=place.folder,
        env={"PATH": os.environ["PATH"], "HOME": str(place.folder)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Chat(process)
        assert process.stdin is not None
        process.stdin.close()
        async with asyncio.timeout(PATIENCE_S):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def number_of(label: str, card: str) -> str:
    """What is typed to press a card's newest button of that label."""
    return re.findall(rf"\[(\d+)\] {label}", card)[-1]


async def test_the_demos_way_from_an_invitation_to_a_dispute(place: Place) -> None:
    async with chat(place) as demo, aiohttp.ClientSession() as browser:
        # The owner, who is there from the beginning, invites whoever writes here.
        await demo.says("/admin", r"\[owner\]\n")
        invited = await demo.says("/refer", r"You earned 0 Credits\.\n")
        code = re.search(r"/start (ref_\w+)", invited)
        assert code is not None
        await demo.says("/admin", r"\[you\]\n")
        assert "invitation is noted" in await demo.says(f"/start {code[1]}", r"Help\n")
        await demo.says("/topup", r"\[3\] Enterprise.*\n")
        page = re.search(r"Pay \$90\.00: (\S+)\n", await demo.says("2", r"Pay \$90\.00: \S+\n"))
        assert page is not None
        await browser.post(f"{page[1]}/pay")
        assert "10,000 Credits have arrived." in await demo.hears(r"Order ord_\w+\n")
        await demo.says("/admin", r"\[owner\]\n")
        assert "A friend topped up" in await demo.hears(r"You have 2,000 Credits now\.\n")
        await browser.post(f"{page[1]}/dispute")
        card = await demo.hears(r"\[\d+\] Evidence  \[\d+\] Accept\n")
        assert "A payment is disputed" in card
        evidence = await demo.says(number_of("Evidence", card), r"→ \S*evidence-ord_\w+\.txt\n")
        order = re.search(r"evidence-(ord_\w+)\.txt", evidence)
        assert order is not None
        file = place.folder / ".demo" / "files" / f"evidence-{order[1]}.txt"
        assert "Each answer is charged in Credits" in file.read_text()
        assert "paid $90.00" in file.read_text()
        assert "90000000000" not in file.read_text(), "cash is written as people read it"
        card = await demo.says(f"/payment {order[1]}", r"\] Evidence  \[\d+\] Accept\n")
        sure = await demo.says(number_of("Accept", card), r"\] Yes, give up \$90\.00 .*Cancel\n")
        await demo.says(number_of("Yes", sure), r"Given up\.")
        await demo.hears(r"1,000 Credits were taken back with it\.\n")
        await demo.says("/admin", r"\[you\]\n")
        made = await place.creditbot("codes", "make", "--cash", "10", "--demo")
        code_line = f"/redeem {rows(made.out)[0]['code']}"
        await demo.says(code_line, r"1,000 Credits have arrived\.(?s:.*?)Order ord_\w+\n")
        audited = await demo.says("/admin", r"\[owner\]\n") + await demo.says("/audit", "Audit: .*")
        assert "Audit: clean" in audited
    place.settings = DEMO
    assert (await place.creditbot("audit", "--json")).json["findings"] == []
    (listed,) = rows((await place.creditbot("codes", "list", "--demo")).out)
    assert listed["state"] == "used"
