"""Refusals as the operator reads them on the command line: what is wrong, which command is next."""

from __future__ import annotations

from functools import singledispatch

from bots.chat.i18n import render
from bots.commands.errors import explain_refusal
from bots.http import PortInUse
from bots.telegram.adapter import TelegramUnavailable
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


class Unusable(Refusal):
    """A command that can't go on, in its own words."""

    def __init__(self, words: str) -> None:
        self.words = words


@singledispatch
def in_words(refusal: Refusal) -> str:
    """The sentence for an operator; chat's sentence where there is no other."""
    return render(explain_refusal(refusal), "en")


@in_words.register
def _(refusal: Unusable) -> str:
    return refusal.words


@in_words.register
def _(refusal: ForeignDatabase) -> str:
    return (
        f"{refusal.database} holds something else than creditbot's tables. Nothing was changed."
        " Name another database in CREDITBOT_DATABASE_URL."
    )


@in_words.register
def _(refusal: NewerDatabase) -> str:
    return (
        f"{refusal.database} was written by a newer creditbot. Nothing was changed. Update this"
        " program, or restore a backup of this version's."
    )


@in_words.register
def _(refusal: NeedsMigration) -> str:
    return (
        f"{refusal.database} is not there, or of an older version. Run `creditbot migrate` first."
    )


@in_words.register
def _(refusal: DatabaseUnavailable) -> str:
    return f"{refusal.database} can't be opened or reached. Check CREDITBOT_DATABASE_URL."


@in_words.register
def _(refusal: DatabaseExists) -> str:
    return f"{refusal.database} is there already and was left alone. Move it away first."


@in_words.register
def _(refusal: OnlySqlite) -> str:
    return f"{refusal.database} is no SQLite file. PostgreSQL has its own: pg_dump, pg_restore."


@in_words.register
def _(refusal: WrongDatabaseKind) -> str:
    return (
        f"This is a {refusal.found} database; the command is for a {refusal.wanted} one. Nothing"
        " was changed."
    )


@in_words.register
def _(refusal: VaultLocked) -> str:
    del refusal
    return (
        "CREDITBOT_MASTER_KEYS doesn't open this database's vault. Put the key that it was made"
        " with into the list (the first one seals, all open)."
    )


@in_words.register
def _(refusal: SecretsUnopenable) -> str:
    return "\n".join((*map(shut_in_words, refusal.unopenable), "Nothing was changed."))


def shut_in_words(shut: UnopenableSecrets) -> str:
    """What of a table can't be opened, and what would open it."""
    named = f" ({', '.join(shut.keys)})" if shut.keys else ""
    why = "They were altered."
    if shut.needed_keys:
        why = (
            f"They were sealed by the master key {', '.join(shut.needed_keys)}: put it back into"
            " CREDITBOT_MASTER_KEYS."
        )
    return (
        f"{shut.rows} of {shut.total} secrets of table {shut.table} can't be opened{named}. {why}"
    )


@in_words.register
def _(refusal: BadOverlay) -> str:
    return f"CREDITBOT_OVERLAY can't be used: {refusal.reason}"


@in_words.register
def _(refusal: PortInUse) -> str:
    return (
        f"{refusal.host}:{refusal.port} can't be listened on: something else does, or the address"
        " isn't this machine's. Set CREDITBOT_HTTP_PORT (0: off) or CREDITBOT_HTTP_HOST."
    )


@in_words.register
def _(refusal: TelegramUnavailable) -> str:
    if refusal.token_refused:
        return "Telegram refuses CREDITBOT_TELEGRAM_TOKEN. @BotFather has the right one."
    if refusal.reason:
        return f"Telegram could not be started: {refusal.reason}"
    return (
        "Telegram doesn't answer. Check the network, and CREDITBOT_TELEGRAM_API_URL if it is set."
    )


@in_words.register
def _(refusal: KeyRefused) -> str:
    if refusal.reason == "account":
        return f"A key of {refusal.supplier} needs its account's id: --account. Nothing was kept."
    return render(explain_refusal(refusal), "en")


@in_words.register
def _(refusal: BadBudget) -> str:
    del refusal
    return "--budget must be above zero: dollars, like 50 or 12.5. Nothing was kept."
