"""`creditbot codes`: codes to be sold elsewhere, made, listed and voided on the command line."""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import os
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from bots.cli.output import CommandRefused, print_line
from bots.cli.session import open_as_asked
from bots.config.fields import read_dollars
from bots.config.gateways import build_externals
from bots.services import build_pricing, build_vouchers
from core.clock import as_datetime
from core.money import NanoUsd, format_usd
from payments.vouchers import VOUCHERS_MAX, NewCode, VoucherInfo, Vouchers

_DAYS_MAX = 3_650
_LISTED = ("id", "batch", "dollars", "state", "expires", "order", "person")


async def make(arguments: argparse.Namespace) -> int:
    """Prints new codes, or writes them to a file that only its owner reads; no one sees them
    again."""
    cash = _cash(arguments.cash)
    if not 0 < arguments.count <= VOUCHERS_MAX:
        raise CommandRefused(f"--count is between 1 and {VOUCHERS_MAX:,}. No code was made.")
    if arguments.expires is not None and not 0 < arguments.expires <= _DAYS_MAX:
        raise CommandRefused(
            f"--expires is a number of days up to {_DAYS_MAX:,}. No code was made."
        )
    async with _open_vouchers(arguments) as vouchers:
        made = vouchers.generate_vouchers(cash, arguments.count, arguments.expires)
        # First on disk, then in the books: a code that was sold and isn't known is worse.
        if arguments.out is not None:
            _write(arguments.out, _table(made))
        try:
            await vouchers.save_codes(made)
        except BaseException:
            if arguments.out is not None:
                arguments.out.unlink()
            raise
    if arguments.out is None:
        print_line(_table(made).rstrip())
    print_line(
        f"{len(made)} codes of {format_usd(cash)}, batch {made[0].batch}. They are shown this once;"
        " `/redeem` takes them (a service that sold nothing before is started anew first).",
        error=True,
    )
    return 0


async def show(arguments: argparse.Namespace) -> int:
    """Every code, or a batch's, with what became of it; never the code itself."""
    async with _open_vouchers(arguments) as vouchers:
        cards = await vouchers.list_vouchers(arguments.batch)
    if not cards:
        print_line("There are no codes. Make some: creditbot codes make --cash 10 --count 100")
        return 0
    out = csv.writer(sys.stdout)
    out.writerow(_LISTED)
    out.writerows(_row(card) for card in cards)
    return 0


async def void(arguments: argparse.Namespace) -> int:
    """A code or a whole batch: what wasn't used is good no more."""
    async with _open_vouchers(arguments) as vouchers:
        count = await vouchers.void_codes(arguments.name)
    if not count:
        raise CommandRefused(
            f"Nothing that could still be used is named {arguments.name}. `creditbot codes list`"
            " shows ids and batches."
        )
    print_line(f"{count} codes are void.")
    return 0


def _cash(text: str) -> NanoUsd:
    try:
        return read_dollars(text)
    except ValueError:
        raise CommandRefused(
            "--cash is dollars above zero, like 10 or 9.99. No code was made."
        ) from None


@contextlib.asynccontextmanager
async def _open_vouchers(arguments: argparse.Namespace) -> AsyncIterator[Vouchers]:
    async with open_as_asked(arguments) as base:
        externals = build_externals(base.config, base.clock, sells=False)
        yield build_vouchers(base, build_pricing(base, externals))


def _table(made: Sequence[NewCode]) -> str:
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(("code", "dollars", "expires", "id"))
    out.writerows((one.text, _dollars(one.cash), _day(one.expires_at), one.id) for one in made)
    return text.getvalue()


def _write(file: Path, text: str) -> None:
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())


def _row(card: VoucherInfo) -> Sequence[str]:
    return (
        card.id,
        card.batch,
        _dollars(card.cash),
        card.state,
        _day(card.expires_at),
        card.order,
        card.person,
    )


def _dollars(cash: NanoUsd) -> str:
    return format_usd(cash).removeprefix("$").replace(",", "")


def _day(at_ms: int | None) -> str:
    return "" if at_ms is None else as_datetime(at_ms).date().isoformat()
