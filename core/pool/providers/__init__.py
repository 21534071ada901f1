"""Wire adapters: a call in, pieces of an answer out, each fault by what the pool does about it."""

from __future__ import annotations

from core.pool.providers.accounts import AccountInfo, Tells, account
from core.pool.providers.anthropic import Anthropic
from core.pool.providers.cloudflare import Cloudflare
from core.pool.providers.openai import Dialect, OpenAI
from core.pool.providers.types import (
    Adapter,
    Call,
    Clip,
    Fault,
    Finish,
    Limits,
    ListedModel,
    Message,
    Piece,
    SupplierFault,
    Target,
    Text,
    Thinking,
    Usage,
)

__all__ = [
    "AccountInfo",
    "Adapter",
    "Anthropic",
    "Call",
    "Clip",
    "Cloudflare",
    "Dialect",
    "Fault",
    "Finish",
    "Limits",
    "ListedModel",
    "Message",
    "OpenAI",
    "Piece",
    "SupplierFault",
    "Target",
    "Tells",
    "Text",
    "Thinking",
    "Usage",
    "account",
]
