"""The vault: seals keys and people's texts, so that a database or a backup alone reveals nothing.

AES-256-GCM. Every secret is sealed by a data key of its own, and that is wrapped by a master key
from the environment; both are bound to a context (whose, which supplier, which address), so that
nothing can be swapped in the database. A sealed value names its format and its master key:

    secret     1 | master key id 4 | nonce 12 | wrapped data key 48 | nonce 12 | ciphertext
    data key   2 | master key id 4 | nonce 12 | wrapped data key 48
    text       3 | nonce 12 | ciphertext                        (under a person's data key)

Only this file knows cryptography.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from core.db import schema
from core.db.database import Database
from core.db.writes import Insert, Update
from core.errors import Refusal
from core.ledger.ledger import Ledger

KEY_BYTES = 32

_NONCE_BYTES = 12
_ID_BYTES = 4
_WRAPPED_BYTES = KEY_BYTES + 16
_SECRET, _DATA_KEY, _TEXT = b"\x01", b"\x02", b"\x03"
#: Where the wrapped data key ends, in a secret and in a data key.
_HEAD_BYTES = 1 + _ID_BYTES + _NONCE_BYTES + _WRAPPED_BYTES
_FINGERPRINT = "fingerprint"
#: So many hexadecimal digits are a derived id; OpenAI takes 64 characters for a cache's key.
_DERIVED_LENGTH = 40


class VaultLocked(Refusal):
    """None of the given master keys opens a sealed value; `needed_key` is the short id of the one
    that does."""

    code: ClassVar[str] = "vault_locked"

    def __init__(self, needed_key: str) -> None:
        self.needed_key = needed_key


class BadMasterKey(Refusal):
    """No master key was given, or one is not 32 bytes long."""

    code: ClassVar[str] = "bad_master_key"


class Unsealable(Refusal):
    """A sealed value was altered, or belongs to another context."""

    code: ClassVar[str] = "unsealable"


@dataclass(frozen=True, slots=True)
class UnopenableSecrets:
    """Some sealed values of one table can't be opened."""

    table: str
    #: How many rows can't be opened, and how many are sealed.
    rows: int
    total: int
    #: The short ids of the master keys that sealed them; none for what was altered.
    needed_keys: tuple[str, ...]
    #: Which suppliers' keys are among them, like `openai …0001`.
    keys: tuple[str, ...]


class SecretsUnopenable(Refusal):
    """Some sealed values can't be opened: none of the given master keys sealed them, or they were
    altered."""

    code: ClassVar[str] = "not_all_opens"

    def __init__(self, unopenable: tuple[UnopenableSecrets, ...]) -> None:
        self.unopenable = unopenable


@dataclass(frozen=True, slots=True)
class VaultSurvey:
    """A survey counts a database's secrets: how many are sealed, how many by older master keys, and
    which can't be opened."""

    sealed_count: int
    #: Those that are sealed by another master key than the first.
    older_key_count: int
    unopenable: tuple[UnopenableSecrets, ...]


class DataKey:
    """A person's data key seals their questions and answers. It is never shown, and never stored
    unwrapped."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, context: str, text: bytes) -> bytes:
        """Seals a text, bound to its context."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return _TEXT + nonce + self._cipher.encrypt(nonce, text, _associated_data(_TEXT, context))

    def unseal(self, context: str, sealed: bytes) -> bytes:
        """Opens a sealed text; raises `Unsealable`."""
        if sealed[:1] != _TEXT:
            raise Unsealable
        nonce, ciphertext = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        return _decrypt(self._cipher, nonce, ciphertext, _associated_data(_TEXT, context))


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """A column holds sealed secrets or data keys: its table, the name of the id column, and the
    context in which each row's value is sealed."""

    table: sa.Table
    id: str
    column: str
    context: Callable[[sa.Row[Any]], str]


_SealedRow = tuple[sa.Row[Any], bytes]


def key_context(id_: str, provider: str, base_url: str) -> str:
    """The context of a supplier's key: its row, its supplier and its address; not its contributor,
    who may change by a link."""
    return f"key\0{id_}\0{provider}\0{base_url}"


#: Those of the pool itself; other rooms declare theirs, and the object graph knows all.
POOL_SECRETS: Final = (
    SealedColumn(schema.vault_secret, "name", "sealed", lambda row: f"vault/{row.name}"),
    SealedColumn(
        schema.key, "id", "sealed", lambda row: key_context(row.id, row.provider, row.base_url)
    ),
)


class Vault:
    """The vault holds the master keys, and seals and unseals secrets by them."""

    def __init__(self, master_keys: Sequence[bytes]) -> None:
        """The first key seals, all of them open; raises `BadMasterKey`. See `open`."""
        if not master_keys or any(len(key) != KEY_BYTES for key in master_keys):
            raise BadMasterKey
        self._master_keys: Mapping[bytes, AESGCM] = {
            _master_key_id(key): AESGCM(key) for key in master_keys
        }
        self._first_key_id = _master_key_id(master_keys[0])
        self._fingerprint_key = b""

    @classmethod
    async def open(cls, master_keys: Sequence[bytes], db: Database, ledger: Ledger) -> Self:
        """Opens the vault of a database; the first time its fingerprint key is made. Raises
        `VaultLocked` when no given master key opens that, `BadMasterKey`."""
        vault = cls(master_keys)
        sealed = await _read_fingerprint_key(db)
        if sealed is None:
            new_sealed = vault.seal(f"vault/{_FINGERPRINT}", secrets.token_bytes(KEY_BYTES))
            row = {"name": _FINGERPRINT, "sealed": new_sealed}
            await ledger.record(Insert(schema.vault_secret, row, ignore=True))
            sealed = await _read_fingerprint_key(db)
            assert sealed is not None
        vault._fingerprint_key = vault.unseal(f"vault/{_FINGERPRINT}", sealed)
        return vault

    @property
    def master_key_ids(self) -> tuple[str, ...]:
        """The short ids of the master keys; the first one seals."""
        return tuple(id_.hex() for id_ in self._master_keys)

    def seal(self, context: str, secret: bytes) -> bytes:
        """Seals a secret under a data key of its own, bound to its context."""
        head, cipher = self._create_wrapped_key(_SECRET, context)
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return head + nonce + cipher.encrypt(nonce, secret, _associated_data(_SECRET, context))

    def unseal(self, context: str, sealed: bytes) -> bytes:
        """Opens a sealed secret; raises `Unsealable`, `VaultLocked`."""
        cipher = AESGCM(self._unwrap(_SECRET, context, sealed))
        nonce, ciphertext = (
            sealed[_HEAD_BYTES : _HEAD_BYTES + _NONCE_BYTES],
            sealed[_HEAD_BYTES + _NONCE_BYTES :],
        )
        return _decrypt(cipher, nonce, ciphertext, _associated_data(_SECRET, context))

    def create_data_key(self, context: str) -> tuple[bytes, DataKey]:
        """A new data key, wrapped for storing and ready for use."""
        key = secrets.token_bytes(KEY_BYTES)
        return self._wrap(_DATA_KEY, context, key), DataKey(key)

    def unwrap_data_key(self, context: str, wrapped: bytes) -> DataKey:
        """A stored data key, ready for use; raises `Unsealable`, `VaultLocked`."""
        return DataKey(self._unwrap(_DATA_KEY, context, wrapped))

    def fingerprint(self, provider: str, secret: str) -> bytes:
        """A keyed hash that recognizes the same secret and reveals nothing else; it stays the same
        when master keys change."""
        assert self._fingerprint_key, "the vault is not open"
        message = f"{provider}\0{secret}".encode()
        return self._digest(message)

    def derive_id(self, kind: str, *names: str) -> str:
        """A keyed hash of names, for outsiders: the same names of a kind have the same, and nobody
        who doesn't hold the vault's key can tell which they are."""
        assert self._fingerprint_key, "the vault is not open"
        message = "\0".join(("id", kind, *names)).encode()
        return self._digest(message).hex()[:_DERIVED_LENGTH]

    def _digest(self, message: bytes) -> bytes:
        # `hmac.digest` gives the interpreter to other threads, however short the message is.
        return hmac.new(self._fingerprint_key, message, hashlib.sha256).digest()

    def rewrap(self, context: str, sealed: bytes) -> bytes | None:
        """A sealed secret or data key, wrapped by the first master key; None if it is already."""
        if sealed[1 : 1 + _ID_BYTES] == self._first_key_id:
            return None
        kind = sealed[:1]
        return self._wrap(kind, context, self._unwrap(kind, context, sealed)) + sealed[_HEAD_BYTES:]

    async def survey_secrets(self, db: Database, columns: Sequence[SealedColumn]) -> VaultSurvey:
        """Tries to open everything that is sealed in these columns, and lists what can't be opened.
        Needs no open vault."""
        sealed = older = 0
        unopenable = []
        for column in columns:
            rows = await _read_sealed(db, column)
            sealed += len(rows)
            older += sum(value[1 : 1 + _ID_BYTES] != self._first_key_id for _, value in rows)
            if (found := self._find_unopenable(column, rows)) is not None:
                unopenable.append(found)
        return VaultSurvey(sealed, older, tuple(unopenable))

    def _find_unopenable(
        self, column: SealedColumn, rows: Sequence[_SealedRow]
    ) -> UnopenableSecrets | None:
        needed_keys, keys, count = set(), [], 0
        for row, value in rows:
            try:
                self._unwrap(value[:1], column.context(row), value)
            except VaultLocked as locked:
                needed_keys.add(locked.needed_key)
            except Unsealable:
                pass
            else:
                continue
            count += 1
            if column.table is schema.key:
                keys.append(f"{row.provider} …{row.tail}")
        if not count:
            return None
        return UnopenableSecrets(
            column.table.name, count, len(rows), tuple(sorted(needed_keys)), tuple(keys)
        )

    async def rotate_master_key(
        self, db: Database, ledger: Ledger, columns: Sequence[SealedColumn]
    ) -> int:
        """Wraps everything in these columns by the first master key, while the service runs;
        answers with how many values changed. Afterwards the other master keys can be removed. All
        or nothing: raises `SecretsUnopenable` before anything is changed. Needs no open vault."""
        surveyed = await self.survey_secrets(db, columns)
        if surveyed.unopenable:
            raise SecretsUnopenable(surveyed.unopenable)
        changed = 0
        for column in columns:
            for row, before in await _read_sealed(db, column):
                after = self.rewrap(column.context(row), before)
                if after is None:
                    continue
                if not await ledger.try_record(
                    Update(
                        column.table,
                        {column.id: getattr(row, column.id)},
                        {column.column: after},
                        expect={column.column: before},
                    )
                ):
                    continue  # erased or rotated by another process meanwhile
                changed += 1
        return changed

    def _create_wrapped_key(self, kind: bytes, context: str) -> tuple[bytes, AESGCM]:
        key = secrets.token_bytes(KEY_BYTES)
        return self._wrap(kind, context, key), AESGCM(key)

    def _wrap(self, kind: bytes, context: str, key: bytes) -> bytes:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        ciphertext = self._master_keys[self._first_key_id].encrypt(
            nonce, key, _associated_data(kind + b"key", context)
        )
        return kind + self._first_key_id + nonce + ciphertext

    def _unwrap(self, kind: bytes, context: str, sealed: bytes) -> bytes:
        if sealed[:1] != kind or len(sealed) < _HEAD_BYTES:
            raise Unsealable
        master = sealed[1 : 1 + _ID_BYTES]
        if master not in self._master_keys:
            raise VaultLocked(master.hex())
        nonce, ciphertext = (
            sealed[1 + _ID_BYTES : 1 + _ID_BYTES + _NONCE_BYTES],
            sealed[1 + _ID_BYTES + _NONCE_BYTES : _HEAD_BYTES],
        )
        return _decrypt(
            self._master_keys[master], nonce, ciphertext, _associated_data(kind + b"key", context)
        )


async def _read_sealed(db: Database, sealed_column: SealedColumn) -> list[_SealedRow]:
    """The rows whose value in a sealed column isn't NULL, each with that value."""
    column = sealed_column.table.c[sealed_column.column]
    rows = await db.fetch(
        sa.select(sealed_column.table)
        .where(column.is_not(None))
        .order_by(sealed_column.table.c[sealed_column.id])
    )
    return [(row, bytes(getattr(row, sealed_column.column))) for row in rows]


async def _read_fingerprint_key(db: Database) -> bytes | None:
    table = schema.vault_secret
    rows = await db.fetch(sa.select(table.c.sealed).where(table.c.name == _FINGERPRINT))
    return bytes(rows[0][0]) if rows else None


def _master_key_id(master: bytes) -> bytes:
    """The short id of a master key, which reveals nothing of it."""
    return hashlib.sha256(b"creditbot master key\0" + master).digest()[:_ID_BYTES]


def _associated_data(kind: bytes, context: str) -> bytes:
    return b"creditbot\0" + kind + b"\0" + context.encode()


def _decrypt(cipher: AESGCM, nonce: bytes, ciphertext: bytes, associated_data: bytes) -> bytes:
    try:
        return cipher.decrypt(nonce, ciphertext, associated_data)
    except (InvalidTag, ValueError):
        raise Unsealable from None
