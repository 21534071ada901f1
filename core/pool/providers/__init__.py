"""Wire adapters: a call in, pieces of an answer out, each fault by what the pool does about it."""

from __future__ import annotations

from core.pool.providers.anthropic import Anthropic
from core.pool.providers.cloudflare import Cloudflare
from core.pool.providers.openai import Dialect, OpenAI
from core.pool.providers.types import (
    Adapter,
    Call,
    Clip,
    Fault,
    Finish,
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
    "Adapter",
    "Anthropic",
    "Call",
    "Clip",
    "Cloudflare",
    "Dialect",
    "Fault",
    "Finish",
    "ListedModel",
    "Message",
    "OpenAI",
    "Piece",
    "SupplierFault",
    "Target",
    "Text",
    "Thinking",
    "Usage",
]
