"""What the command line says: lines on the terminal, and refusals as its operator reads them: what
is wrong, which command is next.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

from bots.chat.i18n import render
from bots.chat.types import TelegramUnavailable
from bots.commands.errors import explain_refusal
from bots.externals import SettingRefused
from bots.http import PortInUse
from core.db.errors import (
    DatabaseExists,
    DatabaseUnavailable,
    ForeignDatabase,
    NeedsMigration,
    NewerDatabase,
    OnlySqlite,
    WrongDatabaseKind,
)
from core.errors import Refusal
from core.pool.types import BadBudget, KeyRefused
from core.pool.vault import SecretsUnopenable, UnopenableSecrets, VaultLocked
from core.pricing.files import BadOverlay


class CommandRefused(Refusal):
    """A command of the command line can't go on; it says why itself."""

    code: ClassVar[str] = "command_refused"

    def __init__(self, words: str) -> None:
        self.words = words


def print_line(line: str, *, error: bool = False) -> None:
    """One line, to standard output or standard error."""
    stream = sys.stderr if error else sys.stdout
    stream.write(line + "\n")
    stream.flush()


def describe_error(refusal: Refusal) -> str:
    """The sentence for an operator; chat's sentence where there is no other."""
    sentence = _SENTENCES.get(type(refusal))
    if sentence is None:
        return render(explain_refusal(refusal), "en")
    if isinstance(sentence, str):
        return sentence.format_map(vars(refusal))
    return sentence(refusal)


def describe_unopenable(secrets: UnopenableSecrets) -> str:
    """What of a table can't be opened, and what would open it."""
    named = f" ({', '.join(secrets.keys)})" if secrets.keys else ""
    why = "They were altered."
    if secrets.needed_keys:
        why = (
            f"They were sealed by the master key {', '.join(secrets.needed_keys)}: put it back into"
            " CREDITBOT_MASTER_KEYS."
        )
    return (
        f"{secrets.rows} of {secrets.total} secrets of table {secrets.table} can't be opened"
        f"{named}. {why}"
    )


def _all_unopenable(refusal: SecretsUnopenable) -> str:
    return "\n".join((*map(describe_unopenable, refusal.unopenable), "Nothing was changed."))


def _telegram_unavailable(refusal: TelegramUnavailable) -> str:
    if refusal.token_refused:
        return "Telegram refuses CREDITBOT_TELEGRAM_TOKEN. @BotFather has the right one."
    if refusal.reason:
        return f"Telegram could not be started: {refusal.reason}"
    return (
        "Telegram doesn't answer. Check the network, and CREDITBOT_TELEGRAM_API_URL if it is set."
    )


def _key_refused(refusal: KeyRefused) -> str:
    if refusal.reason == "account":
        return f"A key of {refusal.supplier} needs its account's id: --account. Nothing was kept."
    return render(explain_refusal(refusal), "en")


def _setting_refused(refusal: SettingRefused) -> str:
    return f"{refusal.setting} can't be used: {describe_error(refusal.refusal)}"


#: A sentence with the refusal's own fields, or what makes it of the refusal.
_SENTENCES: Final[Mapping[type[Refusal], str | Callable[[Any], str]]] = {
    CommandRefused: "{words}",
    ForeignDatabase: (
        "{database} holds something else than creditbot's tables. Nothing was changed. Name another"
        " database in CREDITBOT_DATABASE_URL."
    ),
    NewerDatabase: (
        "{database} was written by a newer creditbot. Nothing was changed. Update this program, or"
        " restore a backup of this version's."
    ),
    NeedsMigration: (
        "{database} is not there, or of an older version. Run `creditbot migrate` first."
    ),
    DatabaseUnavailable: ("{database} can't be opened or reached. Check CREDITBOT_DATABASE_URL."),
    DatabaseExists: "{database} is there already and was left alone. Move it away first.",
    OnlySqlite: "{database} is no SQLite file. PostgreSQL has its own: pg_dump, pg_restore.",
    WrongDatabaseKind: (
        "This is a {found} database; the command is for a {wanted} one. Nothing was changed."
    ),
    VaultLocked: (
        "CREDITBOT_MASTER_KEYS doesn't open this database's vault. Put the key that it was made"
        " with into the list (the first one seals, all open)."
    ),
    SecretsUnopenable: _all_unopenable,
    BadOverlay: "CREDITBOT_OVERLAY can't be used: {reason}",
    SettingRefused: _setting_refused,
    PortInUse: (
        "{host}:{port} can't be listened on: something else does, or the address isn't this"
        " machine's. Set {port_setting} or {host_setting}."
    ),
    TelegramUnavailable: _telegram_unavailable,
    KeyRefused: _key_refused,
    BadBudget: "--budget must be above zero: dollars, like 50 or 12.5. Nothing was kept.",
}
