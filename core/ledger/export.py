"""Exports of the ledger: beancount's plain-text accounts, and CSV.

Account codes and ids are all that they say of people; no prompt, key or address is in the ledger.
"""

from __future__ import annotations

import csv as csv_module
import re
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import groupby
from typing import Any, TextIO

import sqlalchemy as sa

from core.clock import as_datetime, as_utc_day
from core.db import schema
from core.db.database import Database
from core.ledger.types import UNITS, BalanceLimit, TransferKind
from core.money import format_decimal

_ROWS_A_TIME = 5_000
#: beancount's root for an account, by its limit: what people may still spend is a liability.
_ROOTS = {
    BalanceLimit.DEBITS_WITHIN_CREDITS: "Liabilities",
    BalanceLimit.CREDITS_WITHIN_DEBITS: "Assets",
    BalanceLimit.NONE: "Equity",
}
_OPENING_DAY = "1970-01-01"
_COLUMNS = (
    *("seq", "at", "submission", "entry", "n", "kind", "debit", "credit", "amount", "unit"),
    *("pending", "debit_previous", "credit_previous"),
)


async def write_beancount(db: Database, out: TextIO) -> None:
    """Writes every posted transfer, and each account's balance, for `bean-check` to compare.

    Holds are left out: nothing has moved until they are posted.
    """
    await db.read_snapshot(lambda connection: _write_beancount(connection, out))


async def write_csv(db: Database, out: TextIO) -> None:
    """Writes every transfer with all its columns; amounts are exact decimals."""
    await db.read_snapshot(lambda connection: _write_csv(connection, out))


def to_beancount_account(code: str, limit: BalanceLimit) -> str:
    """An account's code as a beancount name: `user/p_1/gift` → `Liabilities:User:P-5f1:Gift`."""
    return ":".join([_ROOTS[limit], *[_encode_part(part) for part in code.split("/")]])


def from_beancount_account(name: str) -> str:
    """The code that `to_beancount_account` made `name` from."""
    return "/".join([_decode_component(component) for component in name.split(":")[1:]])


# Each part must start with a capital or a digit, and hold letters, digits and dashes. A small first
# letter becomes a capital; what starts with neither a small letter nor a digit gets `0-` before it;
# any other character becomes a dash and two hexadecimal digits a byte.


def _encode_part(part: str) -> str:
    body = "".join(
        [
            chr(byte) if chr(byte).isalnum() and byte < 0x80 else f"-{byte:02x}"
            for byte in part.encode()
        ]
    )
    if re.match("[a-z]", body):
        return body[0].upper() + body[1:]
    return body if re.match("[0-9]", body) else f"0-{body}"


def _decode_component(component: str) -> str:
    prefixed = re.match("0-(?![0-9a-f])", component)
    body = component[2:] if prefixed else component[0].lower() + component[1:]
    raw = re.sub(rb"-([0-9a-f]{2})", lambda found: bytes.fromhex(found[1].decode()), body.encode())
    return raw.decode()


def _read_transfers(connection: sa.Connection) -> Iterator[Any]:
    transfer, submission = schema.transfer, schema.submission
    debit, credit = schema.account.alias("d"), schema.account.alias("c")
    result = connection.execute(
        sa.select(
            transfer,
            submission.c.id.label("submission_id"),
            submission.c.at,
            *(debit.c.code.label("debit_code"), debit.c.limit_kind.label("debit_limit")),
            *(credit.c.code.label("credit_code"), credit.c.limit_kind.label("credit_limit")),
            debit.c.unit,
        )
        .join(submission, submission.c.seq == transfer.c.submission)
        .join(debit, debit.c.id == transfer.c.debit)
        .join(credit, credit.c.id == transfer.c.credit)
        .order_by(transfer.c.seq)
        .execution_options(yield_per=_ROWS_A_TIME)
    )
    for rows in result.partitions():
        yield from rows


def _format_amount(unit: str, units: int) -> str:
    return format_decimal(UNITS[unit](units))


def _write_beancount(connection: sa.Connection, out: TextIO) -> None:
    accounts = connection.execute(sa.select(schema.account).order_by(schema.account.c.code)).all()
    out.write('option "title" "creditbot"\n\n')
    out.writelines(f"{_OPENING_DAY} commodity {unit}\n" for unit in UNITS)
    for account in accounts:
        name = to_beancount_account(account.code, BalanceLimit(account.limit_kind))
        out.write(f"{_OPENING_DAY} open {name} {account.unit}\n")
    last = _OPENING_DAY
    for _seq, group in groupby(_read_transfers(connection), lambda row: row.submission):
        rows = [row for row in group if row.kind in {TransferKind.POSTED, TransferKind.POST}]
        if rows:
            day = as_utc_day(rows[0].at)
            last = max(last, day)
            _write_transaction(out, day, rows)
    after = (date.fromisoformat(last) + timedelta(days=1)).isoformat()
    out.write("\n")
    for account in accounts:
        name = to_beancount_account(account.code, BalanceLimit(account.limit_kind))
        balance = _format_amount(account.unit, account.debits_posted - account.credits_posted)
        out.write(f"{after} balance {name} {balance} ~ 0 {account.unit}\n")


def _write_transaction(out: TextIO, day: str, rows: list[Any]) -> None:
    title = re.sub(r'["\\\n]', "_", rows[0].submission_id)
    out.write(f'\n{day} * "{title}"\n')
    for row in rows:
        debit = to_beancount_account(row.debit_code, BalanceLimit(row.debit_limit))
        credit = to_beancount_account(row.credit_code, BalanceLimit(row.credit_limit))
        amount = _format_amount(row.unit, row.amount)
        out.write(f"  {debit}  {amount} {row.unit}\n  {credit}  -{amount} {row.unit}\n")


def _write_csv(connection: sa.Connection, out: TextIO) -> None:
    writer = csv_module.writer(out)
    writer.writerow(_COLUMNS)
    for row in _read_transfers(connection):
        writer.writerow(
            (
                *(row.seq, as_datetime(row.at).isoformat(), row.submission_id, row.entry, row.n),
                *(TransferKind(row.kind).name.lower(), row.debit_code, row.credit_code),
                *(_format_amount(row.unit, row.amount), row.unit, row.pending),
                *(row.debit_previous, row.credit_previous),
            )
        )
