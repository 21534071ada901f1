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
from core.pricing.files import BadOverlay, ModelRow, Sheet, Tokenizer
from core.pricing.rates import Per

ANSWER_LIMIT = Tokens(2_000)
THINKING_ANSWER_LIMIT = Tokens(8_000)

#: The context of a custom address's model whose server doesn't say: a small server's default.
LOCAL_CONTEXT = Tokens(8_192)

_LONG_CONTEXT = 400_000
_NEAR_MAX = 3
_NEAR_ENOUGH = 0.5


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

    def __init__(self, asked: str, near: tuple[str, ...]) -> None:
        self.asked, self.near = asked, near


class Listed(Protocol):
    """The server of a custom address lists a model of its own."""

    @property
    def id(self) -> str:
        """The server's own id."""
        ...

    @property
    def context(self) -> Tokens | None:
        """The context in tokens; None where the server doesn't say."""
        ...


def normalised(name: str) -> str:
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
        self._names: dict[str, str] = {}
        self._words: set[str] = set()
        self._retired: dict[str, str] = {}
        for model in self._models.values():
            self._name(model)
        for name, successor in retired.items():
            if successor not in self._models:
                raise ValueError(f"{name} leads to {successor}, which is not in the catalogue")
            if (short := normalised(name)) in self._names:
                raise ValueError(f"{name} is retired, and also a name of {self._names[short]}")
            self._retired[short] = successor
        if default is not None and default not in {model.id for model in self.asked}:
            raise ValueError(f"the default model {default} is not in the catalogue, or only hears")
        self._default = default

    @classmethod
    def load(cls, overlay: Path | None = None) -> Self:
        """The catalogue that ships, changed by the operator's file; raises `BadOverlay`."""
        shipped, own = files.catalogue(), files.overlay(overlay)
        try:
            return cls(*_merged(shipped, own))
        except ValueError as error:
            raise BadOverlay(f"{overlay.name if overlay else 'catalogue'}: {error}") from None

    @property
    def models(self) -> Mapping[str, Model]:
        """By id, in the menus' order; custom addresses' own models come last."""
        return MappingProxyType(self._models)

    @property
    def asked(self) -> list[Model]:
        """The models that answer questions."""
        return [model for model in self._models.values() if model.per == "token"]

    @property
    def hearing(self) -> list[Model]:
        """The models that transcribe audio."""
        return [model for model in self._models.values() if model.per == "second"]

    def is_local(self, route: Route) -> bool:
        """Whether a route leads to a model that only a custom address has."""
        return any(model.local and route in model.routes for model in self._models.values())

    @property
    def default(self) -> Model:
        """The model for people who have not chosen one."""
        return self._models[self._default] if self._default else self.asked[0]

    def find(self, text: str) -> Model:
        """The model of an id, a name or an alias; for a retired name its successor. Raises
        `UnknownModel`."""
        found = self._find(text)
        if found is None:
            raise UnknownModel(text, self._near(text))
        return self._models[found]

    def has(self, word: str) -> bool:
        """Whether a word can only mean a model that answers questions, as in `/ask gpt-4 why …`;
        nicknames are ordinary words too."""
        short = normalised(word)
        return short in self._words or short in self._retired

    def is_retired(self, text: str) -> bool:
        """Whether a name is retired, so that `find` gives its successor."""
        short = normalised(text)
        return short not in self._names and short in self._retired

    def add_local(self, provider: str, listed: Iterable[Listed]) -> None:
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
            normalised(model.id)
            for model in self._models.values()
            if not (model.local and model.routes[0].provider == provider)
        }
        mine = {model.id: model for model in listed_models(provider, listed, known, taken)}
        for model in list(self._models.values()):
            if model.local and model.routes[0].provider == provider and model.id not in mine:
                self._forget(model)
        for model in mine.values():
            if model.id not in self._models:
                self._models[model.id] = model
                self._name(model)

    def _find(self, text: str) -> str | None:
        for short in (normalised(text), normalised(text.rpartition("/")[2])):
            found = self._names.get(short) or self._retired.get(short)
            if found is not None:
                return found
        return None

    def _near(self, text: str) -> tuple[str, ...]:
        every = {**self._retired, **self._names}
        close = difflib.get_close_matches(normalised(text)[:60], every, n=12, cutoff=_NEAR_ENOUGH)
        return tuple(dict.fromkeys(every[name] for name in close))[:_NEAR_MAX]

    def _name(self, model: Model) -> None:
        if model.local:
            # Whoever runs a server means its model by that name, even where it meant another one.
            self._names[normalised(model.id)] = model.id
            self._words.add(normalised(model.id))
            return
        words = (model.id, model.name, *model.aliases)
        for name in (*words, *(route.model for route in model.routes), *model.nicknames):
            holder = self._names.setdefault(normalised(name), model.id)
            if holder != model.id:
                raise ValueError(f"{name} names both {holder} and {model.id}")
        if model.per == "token":
            self._words.update(normalised(word) for word in words)

    def _forget(self, model: Model) -> None:
        del self._models[model.id]
        self._names, self._words = {}, set()
        for kept in self._models.values():
            self._name(kept)


def listed_models(
    provider: str, listed: Iterable[Listed], known: Iterable[str], taken: Collection[str] = ()
) -> list[Model]:
    """A server's models that no route of the catalogue leads to; their id begins with the
    supplier's name where another model has that id already."""
    served = {normalised(model) for model in known}
    found: dict[str, Model] = {}
    for one in listed:
        short = normalised(one.id)
        if not short or short in served or len(one.id) > 100 or not one.id.isprintable():
            continue
        found.setdefault(
            short,
            Model(
                id=f"{provider}/{one.id}" if short in taken else one.id,
                name=one.id,
                maker=provider,
                context=LOCAL_CONTEXT if one.context is None else one.context,
                answer_limit=ANSWER_LIMIT,
                thinking=False,
                features=("local",),
                routes=(Route(provider, one.id),),
                local=True,
            ),
        )
    return list(found.values())


def _merged(shipped: Sheet, own: Sheet) -> tuple[list[Model], dict[str, str], str | None]:
    rows = {row.id: row for row in shipped.model}
    for row in own.model:
        before = rows.get(row.id)
        rows[row.id] = (
            row
            if before is None
            else before.model_copy(update=row.model_dump(exclude_unset=True, exclude_none=True))
        )
    retired = {**shipped.retired, **own.retired}
    gone = set(own.withdrawn)
    if unknown := sorted(gone - set(rows)):
        raise ValueError(f"withdrawn: no such model: {', '.join(unknown)}")
    models = [_model(row) for row in rows.values() if row.id not in gone]
    kept = {name: successor for name, successor in retired.items() if successor not in gone}
    default = own.default or shipped.default
    # A name that the operator sells a model under is no longer retired.
    sold = {normalised(name) for model in models for name in (model.id, model.name, *model.aliases)}
    kept = {name: successor for name, successor in kept.items() if normalised(name) not in sold}
    return models, kept, None if default in gone else default


def _model(row: ModelRow) -> Model:
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
        routes=tuple(_route(text, context) for text in row.routes),
        tokenizer=row.tokenizer or "estimate",
        aliases=row.aliases or (),
        per=per,
        nicknames=row.nicknames or (),
    )


def _route(text: str, context: Tokens) -> Route:
    provider, _, rest = text.partition(":")
    model, _, less = rest.rpartition("@")
    if model and less.isdecimal():
        return Route(provider, model, Tokens(int(less)))
    return replace(Route(provider, rest), context=context)
