"""The models on sale: who makes them, who serves them, and what people call them.

Names are compared without case, spaces, dots and dashes. A name of the past leads to the model
that stands in for it. Nothing here knows what a model costs.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Protocol, Self

from core.errors import Refusal
from core.money import Tokens
from core.pricing import files
from core.pricing.files import BadOverlay, CatalogueFile, ModelRow, Tokenizer
from core.pricing.rates import Per

ANSWER_LIMIT = Tokens(2_000)
THINKING_ANSWER_LIMIT = Tokens(8_000)

#: The context of a custom address's model whose server doesn't say: a small server's default.
LOCAL_CONTEXT = Tokens(8_192)

_LONG_CONTEXT = 400_000
_SIMILAR_MAX = 3
_SIMILARITY_MIN = 0.5


@dataclass(frozen=True, slots=True)
class Route:
    """A route to a model is a supplier's name, and the supplier's own id of the model."""

    provider: str
    model: str
    #: Where this supplier offers less context than the model has.
    context: Tokens | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Model:
    """A model is on sale: what people call it, what it can do, and by which routes it is served."""

    id: str
    name: str
    maker: str
    #: Tokens of prompt and answer together.
    context: Tokens
    #: The usual limit of an answer, in tokens.
    answer_limit: Tokens
    thinking: bool
    #: Codes for the card: fast, high_performance, thinking, long_context, cheap, code,
    #: open_weights, local.
    features: tuple[str, ...]
    routes: tuple[Route, ...]
    tokenizer: Tokenizer = "estimate"
    aliases: tuple[str, ...] = ()
    #: What its price is per: tokens of a chat, or seconds of audio that it transcribes.
    per: Per = "token"
    #: Ordinary words: they name the model in a choice, but never as the first word of a question.
    nicknames: tuple[str, ...] = ()
    #: Whether it is one of a custom address's own models.
    local: bool = False


class UnknownModel(Refusal):
    """There is no model of that name; `similar` holds up to three ids that look like it."""

    code: ClassVar[str] = "unknown_model"

    def __init__(self, requested_name: str, similar: tuple[str, ...]) -> None:
        self.requested_name, self.similar = requested_name, similar


class ServerModel(Protocol):
    """The server of a custom address lists a model of its own."""

    @property
    def id(self) -> str:
        """The server's own id."""
        ...

    @property
    def context(self) -> Tokens | None:
        """The context in tokens; None where the server doesn't say."""
        ...


def normalize_name(name: str) -> str:
    """A name in lower case, without spaces, dots and dashes: what people vary."""
    return re.sub(r"[\W_]+", "", name.casefold())


class Catalogue:
    """The catalogue holds all models on sale, in the menus' order, and finds them by name."""

    def __init__(
        self,
        models: Iterable[Model],
        retired: Mapping[str, str] = MappingProxyType({}),
        default: str | None = None,
    ) -> None:
        """`retired` leads names of the past to ids; raises ValueError when two models share a name
        or a name leads nowhere."""
        self._models = {model.id: model for model in models}
        self._ids_by_name: dict[str, str] = {}
        self._unambiguous_names: set[str] = set()
        self._retired: dict[str, str] = {}
        for model in self._models.values():
            self._register_names(model)
        for name, successor in retired.items():
            if successor not in self._models:
                raise ValueError(f"{name} leads to {successor}, which is not in the catalogue")
            if (normalized := normalize_name(name)) in self._ids_by_name:
                raise ValueError(
                    f"{name} is retired, and also a name of {self._ids_by_name[normalized]}"
                )
            self._retired[normalized] = successor
        if default is not None and default not in {model.id for model in self.chat_models}:
            raise ValueError(f"the default model {default} is not in the catalogue, or only hears")
        self._default = default

    @classmethod
    def load(cls, overlay: Path | None = None) -> Self:
        """The catalogue that ships, changed by the operator's file; raises `BadOverlay`."""
        shipped, own = files.read_catalogue(), files.read_overlay(overlay)
        try:
            return cls(*_merge_overlay(shipped, own))
        except ValueError as error:
            raise BadOverlay(f"{overlay.name if overlay else 'catalogue'}: {error}") from None

    @property
    def models(self) -> Mapping[str, Model]:
        """By id, in the menus' order; custom addresses' own models come last."""
        return MappingProxyType(self._models)

    @property
    def chat_models(self) -> list[Model]:
        """The models that answer questions."""
        return [model for model in self._models.values() if model.per == "token"]

    @property
    def audio_models(self) -> list[Model]:
        """The models that transcribe audio."""
        return [model for model in self._models.values() if model.per == "second"]

    def is_local(self, route: Route) -> bool:
        """Whether a route leads to a model that only a custom address has."""
        return any(model.local and route in model.routes for model in self._models.values())

    @property
    def default_model(self) -> Model:
        """The model for people who have not chosen one."""
        return self._models[self._default] if self._default else self.chat_models[0]

    def find(self, text: str) -> Model:
        """The model of an id, a name or an alias; for a retired name its successor. Raises
        `UnknownModel`."""
        found = self._find_id(text)
        if found is None:
            raise UnknownModel(text, self._find_similar(text))
        return self._models[found]

    def is_unambiguous_name(self, name: str) -> bool:
        """Whether a word can only mean a model that answers questions, as in `/ask gpt-4 why …`;
        nicknames are ordinary words too."""
        normalized = normalize_name(name)
        return normalized in self._unambiguous_names or normalized in self._retired

    def is_retired(self, text: str) -> bool:
        """Whether a name is retired, so that `find` gives its successor."""
        normalized = normalize_name(text)
        return normalized not in self._ids_by_name and normalized in self._retired

    def add_local_models(self, provider: str, listed: Iterable[ServerModel]) -> None:
        """Puts a custom address's own models on sale under their own names, beside those of the
        catalogue that it serves. Its models that are no longer listed are removed."""
        known = {
            route.model
            for model in self._models.values()
            if not model.local
            for route in model.routes
            if route.provider == provider
        }
        taken = {
            normalize_name(model.id)
            for model in self._models.values()
            if not (model.local and model.routes[0].provider == provider)
        }
        local_models = {
            model.id: model for model in build_local_models(provider, listed, known, taken)
        }
        for model in list(self._models.values()):
            if (
                model.local
                and model.routes[0].provider == provider
                and model.id not in local_models
            ):
                self._remove_model(model)
        for model in local_models.values():
            if model.id not in self._models:
                self._models[model.id] = model
                self._register_names(model)

    def mark_thinking(self, route: Route) -> None:
        """A custom address's own model was seen to think: its answers get the room for that, until
        the service starts again."""
        for model in self._models.values():
            if model.local and not model.thinking and route in model.routes:
                self._models[model.id] = replace(
                    model, thinking=True, answer_limit=THINKING_ANSWER_LIMIT
                )
                return

    def _find_id(self, text: str) -> str | None:
        for normalized in (normalize_name(text), normalize_name(text.rpartition("/")[2])):
            found = self._ids_by_name.get(normalized) or self._retired.get(normalized)
            if found is not None:
                return found
        return None

    def _find_similar(self, text: str) -> tuple[str, ...]:
        ids_by_name = {**self._retired, **self._ids_by_name}
        close = difflib.get_close_matches(
            normalize_name(text)[:60], ids_by_name, n=12, cutoff=_SIMILARITY_MIN
        )
        return tuple(dict.fromkeys(ids_by_name[name] for name in close))[:_SIMILAR_MAX]

    def _register_names(self, model: Model) -> None:
        if model.local:
            # Whoever runs a server means its model by that name, even where it meant another one.
            self._ids_by_name[normalize_name(model.id)] = model.id
            self._unambiguous_names.add(normalize_name(model.id))
            return
        words = (model.id, model.name, *model.aliases)
        for name in (*words, *(route.model for route in model.routes), *model.nicknames):
            holder = self._ids_by_name.setdefault(normalize_name(name), model.id)
            if holder != model.id:
                raise ValueError(f"{name} names both {holder} and {model.id}")
        if model.per == "token":
            self._unambiguous_names.update(normalize_name(word) for word in words)

    def _remove_model(self, model: Model) -> None:
        del self._models[model.id]
        self._ids_by_name, self._unambiguous_names = {}, set()
        for remaining in self._models.values():
            self._register_names(remaining)


def build_local_models(
    provider: str, listed: Iterable[ServerModel], known: Iterable[str], taken: Collection[str] = ()
) -> list[Model]:
    """A server's models that no route of the catalogue leads to; their id begins with the
    supplier's name where another model has that id already."""
    served = {normalize_name(model) for model in known}
    found: dict[str, Model] = {}
    for server_model in listed:
        normalized = normalize_name(server_model.id)
        if (
            not normalized
            or normalized in served
            or len(server_model.id) > 100
            or not server_model.id.isprintable()
        ):
            continue
        found.setdefault(
            normalized,
            Model(
                id=f"{provider}/{server_model.id}" if normalized in taken else server_model.id,
                name=server_model.id,
                maker=provider,
                context=LOCAL_CONTEXT if server_model.context is None else server_model.context,
                answer_limit=ANSWER_LIMIT,
                thinking=False,
                features=("local",),
                routes=(Route(provider, server_model.id),),
                local=True,
            ),
        )
    return list(found.values())


def _merge_overlay(
    shipped: CatalogueFile, overlay: CatalogueFile
) -> tuple[list[Model], dict[str, str], str | None]:
    rows = {row.id: row for row in shipped.model}
    for row in overlay.model:
        before = rows.get(row.id)
        rows[row.id] = (
            row
            if before is None
            else before.model_copy(update=row.model_dump(exclude_unset=True, exclude_none=True))
        )
    retired = {**shipped.retired, **overlay.retired}
    withdrawn = set(overlay.withdrawn)
    if unknown := sorted(withdrawn - set(rows)):
        raise ValueError(f"withdrawn: no such model: {', '.join(unknown)}")
    models = [_build_model(row) for row in rows.values() if row.id not in withdrawn]
    kept = {name: successor for name, successor in retired.items() if successor not in withdrawn}
    default = overlay.default or shipped.default
    # A name that the operator sells a model under is no longer retired.
    sold_names = {
        normalize_name(name) for model in models for name in (model.id, model.name, *model.aliases)
    }
    kept = {
        name: successor
        for name, successor in kept.items()
        if normalize_name(name) not in sold_names
    }
    return models, kept, None if default in withdrawn else default


def _build_model(row: ModelRow) -> Model:
    per = row.per or "token"
    if not row.routes or (per == "token" and not row.context):
        raise ValueError(f"{row.id}: a new model needs context and routes")
    context, thinking = Tokens(row.context or 0), bool(row.thinking)
    limit = THINKING_ANSWER_LIMIT if thinking else ANSWER_LIMIT
    features = list(row.features or ())
    if thinking:
        features.append("thinking")
    if context.units >= _LONG_CONTEXT:
        features.append("long_context")
    return Model(
        id=row.id,
        name=row.name or row.id,
        maker=row.maker or row.routes[0].partition(":")[0],
        context=context,
        answer_limit=Tokens(row.answer_limit) if row.answer_limit else limit,
        thinking=thinking,
        features=tuple(dict.fromkeys(features)),
        routes=tuple(_parse_route(text, context) for text in row.routes),
        tokenizer=row.tokenizer or "estimate",
        aliases=row.aliases or (),
        per=per,
        nicknames=row.nicknames or (),
    )


def _parse_route(text: str, context: Tokens) -> Route:
    provider, _, rest = text.partition(":")
    model, _, context_text = rest.rpartition("@")
    if model and context_text.isdecimal():
        return Route(provider, model, Tokens(int(context_text)))
    return replace(Route(provider, rest), context=context)
