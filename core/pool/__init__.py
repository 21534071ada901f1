"""The pool of keys: the vault that seals them, the suppliers, the router, health, the stream."""

from __future__ import annotations

from core.pool.conclusions import KEY_RESTS
from core.pool.examining import Findings
from core.pool.pool import Pool
from core.pool.providers import (
    Clip,
    Fault,
    Finish,
    ListedModel,
    Message,
    Piece,
    SupplierFault,
    Text,
    Thinking,
    Usage,
)
from core.pool.providers.types import NO_AUDIO
from core.pool.records import (
    BY_OPERATOR,
    OVER,
    BadBudget,
    Candidate,
    DuplicateKey,
    KeyCard,
    KeyRefused,
    NotItsKey,
    PausedByOperator,
    PoolRefusal,
    Terms,
    UnknownKey,
    UnknownSupplier,
)
from core.pool.suppliers import SUPPLIERS, Supplier, guessed
from core.pool.vault import (
    BadMasterKey,
    DataKey,
    NotAllOpens,
    SealedColumn,
    Shut,
    Survey,
    Unsealable,
    Vault,
    VaultLocked,
)

__all__ = [
    "BY_OPERATOR",
    "KEY_RESTS",
    "NO_AUDIO",
    "OVER",
    "SUPPLIERS",
    "BadBudget",
    "BadMasterKey",
    "Candidate",
    "Clip",
    "DataKey",
    "DuplicateKey",
    "Fault",
    "Findings",
    "Finish",
    "KeyCard",
    "KeyRefused",
    "ListedModel",
    "Message",
    "NotAllOpens",
    "NotItsKey",
    "PausedByOperator",
    "Piece",
    "Pool",
    "PoolRefusal",
    "SealedColumn",
    "Shut",
    "Supplier",
    "SupplierFault",
    "Survey",
    "Terms",
    "Text",
    "Thinking",
    "UnknownKey",
    "UnknownSupplier",
    "Unsealable",
    "Usage",
    "Vault",
    "VaultLocked",
    "guessed",
]
