"""The suppliers: each one's address, wire format and dialect. A contributed key is sent to its
supplier's address only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal, Self

from core.pool.providers.accounts import AccountApi
from core.pool.providers.anthropic import AnthropicAdapter
from core.pool.providers.http import SupplierClient
from core.pool.providers.message_parts import CallOptions
from core.pool.providers.openai import (
    PLAIN_DIALECT,
    CloudflareAdapter,
    OpenAIAdapter,
    OpenAIDialect,
)
from core.pool.providers.types import SupplierAdapter

WireFormat = Literal["openai", "anthropic", "cloudflare"]


@dataclass(frozen=True, slots=True)
class Supplier:
    """A supplier has an address, a way in which calls to it are written, and keys of some shape."""

    name: str
    #: As people know it.
    title: str
    wire: WireFormat
    base_url: str
    dialect: OpenAIDialect = PLAIN_DIALECT
    #: Whether the address is the operator's own: it serves own keys only, and its own models too.
    custom: bool = False
    #: Whether its list of models names all models that a key can use.
    lists_models: bool = True
    #: A pattern of its keys; a key that doesn't match is refused before it is sent anywhere.
    key_shape: str = r"[!-~]{8,400}"
    #: A pattern by which its keys begin and no other supplier's do (empty: there is none), and
    #: whether all of its keys begin so.
    key_prefix_pattern: str = ""
    all_have_prefix: bool = True
    #: The format and the address in which it describes the account behind a key; empty: it doesn't.
    account_api: AccountApi = ""
    account_url: str = ""
    #: Whether the limits that it tells are each model's, not the key's.
    limits_each_model: bool = False
    #: How long it keeps a prompt after its last use, in seconds.
    cache_seconds: float = 300.0

    #: By what name keys remember a custom address that may be another each time, while whoever
    #: listens there stays the same; empty: by the address itself.
    address_name: str = ""

    def with_base_url(self, base_url: str) -> Self:
        """The same supplier at an address of the operator's own."""
        return replace(
            self, base_url=base_url.rstrip("/"), custom=True, key_shape=_ANY_KEY, account_api=""
        )

    @property
    def address(self) -> str:
        """The address as a key's row names it: empty for the built-in one."""
        return (self.address_name or self.base_url) if self.custom else ""

    def matches_key_shape(self, secret: str) -> bool:
        """Whether a key has this supplier's shape."""
        return re.fullmatch(self.key_shape, secret) is not None

    def choose_options(self, options: CallOptions | None) -> CallOptions | None:
        """What of a call's options is sent there: sampling parameters only to servers of the
        operator's own, since current models refuse them; what those don't take is found out by
        their dialect, which Anthropic's wire has none of."""
        is_sampled = self.custom and self.wire == "openai"
        return options if options is None or is_sampled else options.without_sampling()

    def list_stops(self, options: CallOptions | None) -> tuple[str, ...]:
        """The stop sequences before which an answer must be cut here: only Anthropic's wire takes
        them, and not those of blanks alone."""
        stops = () if options is None else options.stop
        is_heeded = self.wire == "anthropic"
        return tuple(one for one in stops if not (is_heeded and one.strip()))

    def create_adapter(
        self, client: SupplierClient, dialect: OpenAIDialect | None = None
    ) -> SupplierAdapter:
        """An adapter over an HTTP client; it speaks another `dialect` than the supplier's own
        where one is given."""
        if self.wire == "anthropic":
            return AnthropicAdapter(client)
        if self.wire == "cloudflare":
            return CloudflareAdapter(client, dialect or self.dialect)
        return OpenAIAdapter(client, dialect or self.dialect)


_ANY_KEY = r"[!-~]{1,400}"
_COMPLETION: Literal["max_completion_tokens"] = "max_completion_tokens"

#: Admin keys can't run models; subscription tokens may not be used by other products.
_OPENAI_KEY = r"sk-(?!admin-|ant-|or-)[!-~]{8,400}"
_ANTHROPIC_KEY = r"sk-ant-(?!admin|oat)[!-~]{8,400}"

_ALL = (
    Supplier(
        "openai",
        "OpenAI",
        "openai",
        "https://api.openai.com/v1",
        OpenAIDialect(_COMPLETION, is_openai=True, sends_detail=True),
        key_shape=_OPENAI_KEY,
        key_prefix_pattern=r"sk-(proj|svcacct|None)-|sk-[A-Za-z0-9]{10,}T3BlbkFJ",
        all_have_prefix=False,
        cache_seconds=1_800.0,
    ),
    Supplier(
        "anthropic",
        "Anthropic",
        "anthropic",
        "https://api.anthropic.com",
        key_shape=_ANTHROPIC_KEY,
        key_prefix_pattern=r"sk-ant-",
    ),
    Supplier(
        "google",
        "Google",
        "openai",
        "https://generativelanguage.googleapis.com/v1beta/openai",
        key_shape=r"(AIza|AQ\.)[!-~]{8,400}",
        key_prefix_pattern=r"AIza|AQ\.",
    ),
    Supplier(
        "deepseek",
        "DeepSeek",
        "openai",
        "https://api.deepseek.com/v1",
        OpenAIDialect(sends_detail=True),
        account_api="deepseek",
        account_url="https://api.deepseek.com/user/balance",
    ),
    Supplier(
        "xai",
        "xAI",
        "openai",
        "https://api.x.ai/v1",
        OpenAIDialect(_COMPLETION, conversation_header="x-grok-conv-id", sends_detail=True),
        key_prefix_pattern=r"xai-",
        account_api="xai",
        account_url="https://api.x.ai/v1/api-key",
    ),
    # Mistral refuses fields that it doesn't know; it reports usage unasked.
    Supplier(
        "mistral",
        "Mistral",
        "openai",
        "https://api.mistral.ai/v1",
        OpenAIDialect(asks_usage=False, sends_bare_urls=True),
    ),
    Supplier(
        "moonshot",
        "Moonshot AI",
        "openai",
        "https://api.moonshot.ai/v1",
        account_api="moonshot",
        account_url="https://api.moonshot.ai/v1/users/me/balance",
    ),
    Supplier("zai", "Z.ai", "openai", "https://api.z.ai/api/paas/v4", lists_models=False),
    Supplier("minimax", "MiniMax", "openai", "https://api.minimax.io/v1", lists_models=False),
    Supplier(
        "groq",
        "Groq",
        "openai",
        "https://api.groq.com/openai/v1",
        OpenAIDialect(_COMPLETION),
        key_prefix_pattern=r"gsk_",
        limits_each_model=True,
    ),
    Supplier(
        "cerebras",
        "Cerebras",
        "openai",
        "https://api.cerebras.ai/v1",
        OpenAIDialect(_COMPLETION),
        key_prefix_pattern=r"csk-",
    ),
    Supplier("together", "Together AI", "openai", "https://api.together.xyz/v1"),
    # Lists an account's own deployments only.
    Supplier(
        "fireworks",
        "Fireworks AI",
        "openai",
        "https://api.fireworks.ai/inference/v1",
        lists_models=False,
    ),
    Supplier(
        "cohere", "Cohere", "openai", "https://api.cohere.ai/compatibility/v1", lists_models=False
    ),
    Supplier(
        "cloudflare",
        "Cloudflare",
        "cloudflare",
        "https://api.cloudflare.com/client/v4",
        key_shape=r"[A-Za-z0-9_-]{20,200}",
        key_prefix_pattern=r"cf[ua]t_",
        all_have_prefix=False,
    ),
)

#: Keys that are never taken: those that administer an organisation or belong to a subscription.
_ADMIN_KEY, _SUBSCRIPTION_KEY = re.compile(r"sk-(ant-)?admin"), re.compile(r"sk-ant-(oat|ort)")

#: Every supplier of the catalogue, at its own address.
SUPPLIERS: Mapping[str, Supplier] = MappingProxyType({one.name: one for one in _ALL})


def find_forbidden_kind(secret: str) -> Literal["admin", "subscription"] | None:
    """The kind of a key that is never taken, None for others: it administers an organisation and
    can't run models, or belongs to a subscription that other products may not use."""
    if _ADMIN_KEY.match(secret):
        return "admin"
    return "subscription" if _SUBSCRIPTION_KEY.match(secret) else None


def guess_suppliers(secret: str, suppliers: Mapping[str, Supplier]) -> tuple[str, ...]:
    """The suppliers that a key may be of: those whose prefix it has, else all whose shape it has
    and whose keys have no prefix of their own."""
    by_prefix = [
        one.name
        for one in SUPPLIERS.values()
        if one.key_prefix_pattern and re.match(one.key_prefix_pattern, secret)
    ]
    if by_prefix:
        return tuple(name for name in by_prefix if name in suppliers)
    return tuple(
        name
        for name, one in suppliers.items()
        if one.matches_key_shape(secret)
        and (not one.key_prefix_pattern or one.wire == "cloudflare" or name == "openai")
    )
