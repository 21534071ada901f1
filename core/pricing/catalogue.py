"""The models on sale: who makes them, who serves them, and what people call them.

Names are compared without case, spaces, dots and dashes. A name of the past leads to the model
that stands in for it. A model or a route whose last day is known leaves by itself on its end, by
the clock, and its names lead to its successor. Nothing here knows what a model costs.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Protocol, Self

from core.attachments.types import PictureSize
from core.clock import DAY_MS, Clock
from core.errors import Refusal
from core.money import Tokens
from core.pricing import files
from core.pricing.files import BadOverlay, CatalogueFile, ModelRow, RouteRow, Tokenizer
from core.pricing.picture_tokens import count_pictures
from core.pricing.rates import Per

ANSWER_LIMIT = Tokens(2_000)
THINKING_ANSWER_LIMIT = Tokens(8_000)

#: The context of a custom address's model whose server doesn't say: a small server's default.
LOCAL_CONTEXT = Tokens(8_192)

_LONG_CONTEXT = 400_000
#: Before every end.
_FIRST_DAY = 0
_SIMILAR_MAX = 3
#: Below two thirds nonsense is like something: `nonsense` is like Sonnet by 0.57, `gtp-4` like
#: GPT-4 by 0.75 (`difflib`'s ratio).
_SIMILARITY_MIN = 0.66


@dataclass(frozen=True, slots=True)
class Route:
    """A route to a model is a supplier's name, and the supplier's own id of the model."""

    provider: str
    model: str
    #: Where this supplier offers less context than the model has.
    context: Tokens | None = field(default=None, compare=False)
    #: The most tokens of a prompt, where this supplier limits it apart from the context.
    input_limit: Tokens | None = field(default=None, compare=False)
    #: The first UTC day on which the supplier doesn't serve it any more; None: not known.
    ends: date | None = field(default=None, compare=False)
    #: The rule by which it counts pictures, of `PICTURE_RULES`; empty: it doesn't see.
    pictures: str = field(default="", compare=False)

    def count_pictures(self, sizes: Sequence[PictureSize]) -> Tokens | None:
        """What pictures of these sizes cost here at most, in tokens of the prompt; None where it
        doesn't see so many."""
        return count_pictures(self.pictures, sizes)


@dataclass(frozen=True, slots=True)
class Model:
    """A model is on sale: what people call it, what it can do, and by which routes it is served."""

    id: str
    name: str
    maker: str
    #: Tokens of prompt and answer together; see `input_limit`.
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
    #: The most tokens of a prompt, where it is limited apart from the context; None: one window.
    input_limit: Tokens | None = None
    #: The first UTC day on which it isn't served any more, and the id of what stands in for it.
    ends: date | None = None
    successor: str = ""

    @property
    def prompt_limit(self) -> Tokens:
        """The most tokens that a prompt may have, were its answer empty."""
        return self.context if self.input_limit is None else min(self.context, self.input_limit)

    @property
    def sees_pictures(self) -> bool:
        """Whether some route of it takes pictures."""
        return any(route.pictures for route in self.routes)

    def count_pictures(self, sizes: Sequence[PictureSize]) -> Tokens | None:
        """What pictures of these sizes cost at most, in tokens, by the dearest of the routes that
        see so many; None where none does."""
        counts = (route.count_pictures(sizes) for route in self.routes)
        return max((count for count in counts if count is not None), default=None)

    def calculate_answer_room(self, prompt: Tokens, route: Route | None = None) -> Tokens:
        """The tokens that a prompt leaves for the answer, by a route whose limits may be narrower;
        zero where the prompt itself is too long."""
        context, input_limit = self.context, self.input_limit
        if route is not None and route.context is not None:
            context, input_limit = route.context, route.input_limit
        if input_limit is not None and prompt > input_limit:
            return Tokens(0)
        return Tokens(max(0, context.units - prompt.units))

    def find_end(self) -> date | None:
        """The day on which it ends: its own, or that of the last of its routes; None: not known."""
        ends = [route.ends for route in self.routes]
        known = [day for day in ends if day is not None]
        last_route = max(known) if known and len(known) == len(ends) else None
        return min((day for day in (self.ends, last_route) if day is not None), default=None)


@dataclass(frozen=True, slots=True)
class ComingEnd:
    """A model, or one of several routes to it, ends on a day that is known."""

    ends: date
    model: Model
    #: The route that ends while the model stays; None when the model ends.
    route: Route | None
    #: What the model's names lead to from then on; None where nothing stands in.
    successor: Model | None

    @property
    def subject(self) -> str:
        """What ends, as an id that stays the same."""
        return self.model.id if self.route is None else f"{self.route.provider}:{self.route.model}"

    @property
    def suppliers(self) -> frozenset[str]:
        """Whose keys it concerns."""
        routes = self.model.routes if self.route is None else (self.route,)
        return frozenset(route.provider for route in routes)


@dataclass(frozen=True, slots=True)
class _Listing:
    """What is on sale during one UTC day, and what each name means on it."""

    day: int
    models: Mapping[str, Model]
    ids_by_name: Mapping[str, str]
    #: Names of the past, and of models that ended by then, with the ids that they lead to.
    retired: Mapping[str, str]
    unambiguous_names: Collection[str]


class UnknownModel(Refusal):
    """There is no model of that name; `similar` holds up to three names that look like it."""

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
        clock: Clock | None = None,
    ) -> None:
        """`retired` leads names of the past to ids; without a `clock` nothing ends. Raises
        ValueError when two models share a name or a name leads nowhere."""
        self._clock = clock
        self._catalogued = {model.id: model for model in models}
        self._local: dict[str, Model] = {}
        self._retired = dict(retired)
        self._default = default
        self._check_successors()
        self._listing = self._build_listing(_FIRST_DAY)
        for name, successor in retired.items():
            if successor not in self._catalogued:
                raise ValueError(f"{name} leads to {successor}, which is not in the catalogue")
            if (holder := self._listing.ids_by_name.get(normalize_name(name))) is not None:
                raise ValueError(f"{name} is retired, and also a name of {holder}")
        chat_models = {model.id for model in self._catalogued.values() if model.per == "token"}
        if default is not None and default not in chat_models:
            raise ValueError(f"the default model {default} is not in the catalogue, or only hears")

    @classmethod
    def load(cls, overlay: Path | None = None, clock: Clock | None = None) -> Self:
        """The catalogue that ships, changed by the operator's file, as it is at each time of the
        clock; raises `BadOverlay`."""
        shipped, own = files.read_catalogue(), files.read_overlay(overlay)
        try:
            return cls(*_merge_overlay(shipped, own), clock)
        except ValueError as error:
            raise BadOverlay(f"{overlay.name if overlay else 'catalogue'}: {error}") from None

    @property
    def models(self) -> Mapping[str, Model]:
        """Those on sale now by id, in the menus' order; custom addresses' own models come last."""
        return self._get_listing().models

    @property
    def chat_models(self) -> list[Model]:
        """The models that answer questions."""
        return [model for model in self.models.values() if model.per == "token"]

    @property
    def audio_models(self) -> list[Model]:
        """The models that transcribe audio."""
        return [model for model in self.models.values() if model.per == "second"]

    def is_local(self, route: Route) -> bool:
        """Whether a route leads to a model that only a custom address has."""
        return any(route in model.routes for model in self._local.values())

    @property
    def default_model(self) -> Model:
        """The model for people who have not chosen one."""
        default = self._default and self._find_successor(self._default, self._get_listing().models)
        return self.models[default] if default else self.chat_models[0]

    def get_name(self, id_: str) -> str:
        """A model as people read it, also after its end; the id of one that is not known."""
        model = self.models.get(id_) or self._catalogued.get(id_)
        return id_ if model is None else model.name

    def find(self, text: str) -> Model:
        """The model of an id, a name or an alias; for a retired name, or that of a model that
        ended, its successor. Raises `UnknownModel`."""
        found = self._find_id(text)
        if found is None:
            raise UnknownModel(text, self._find_similar(text))
        return self.models[found]

    def find_nearest(self, text: str, similarity: float) -> Model | None:
        """The model that answers questions whose name, of today or the past, is most like a text,
        by `difflib`'s ratio at least so much; None where none is."""
        listing = self._get_listing()
        ids_by_name = {**listing.retired, **listing.ids_by_name}
        near = difflib.get_close_matches(
            normalize_name(text)[:60], ids_by_name, n=1, cutoff=similarity
        )
        model = listing.models[ids_by_name[near[0]]] if near else None
        return model if model is not None and model.per == "token" else None

    def find_own_model(self, text: str) -> Model | None:
        """The one model of custom addresses that has this name after its maker's or supplier's
        (`gemma-9` finds `google/gemma-9`); None where there is none, or several."""
        normalized = normalize_name(text)
        found = [
            model
            for model in self._local.values()
            if normalize_name(model.id.rpartition("/")[2]) == normalized
        ]
        return found[0] if len(found) == 1 else None

    def is_unambiguous_name(self, name: str) -> bool:
        """Whether a word can only mean a model that answers questions, as in `/ask gpt-4 why …`;
        nicknames are ordinary words too."""
        normalized, listing = normalize_name(name), self._get_listing()
        if normalized in listing.unambiguous_names:
            return True
        return normalized not in listing.ids_by_name and self.find_own_model(name) is not None

    def is_retired(self, text: str) -> bool:
        """Whether a name is retired, or of a model that ended, so that `find` gives a successor."""
        normalized, listing = normalize_name(text), self._get_listing()
        return normalized not in listing.ids_by_name and normalized in listing.retired

    def list_coming_ends(self, days: int) -> list[ComingEnd]:
        """The models and routes on sale that end within so many days, the next first."""
        today = self._get_listing().day
        found = []
        for model in self.models.values():
            end = model.find_end()
            if end is not None and _to_day(end) <= today + days:
                on_that_day = self._build_listing(_to_day(end)).models
                successor = self._find_successor(model.id, on_that_day)
                found.append(
                    ComingEnd(end, model, None, on_that_day[successor] if successor else None)
                )
            found += [
                ComingEnd(route.ends, model, route, None)
                for route in model.routes
                if route.ends is not None
                and (end is None or route.ends < end)
                and _to_day(route.ends) <= today + days
            ]
        return sorted(found, key=lambda one: one.ends)

    def add_local_models(self, provider: str, listed: Iterable[ServerModel]) -> None:
        """Puts a custom address's own models on sale under their own names, beside those of the
        catalogue that it serves. Its models that are no longer listed are removed."""
        models = [*self.models.values()]
        known = {
            route.model
            for model in models
            if not model.local
            for route in model.routes
            if route.provider == provider
        }
        taken = {
            normalize_name(model.id)
            for model in models
            if not (model.local and model.routes[0].provider == provider)
        }
        found = {model.id: model for model in build_local_models(provider, listed, known, taken)}
        kept = {
            id_: model
            for id_, model in self._local.items()
            if model.routes[0].provider != provider or id_ in found
        }
        self._local = {**kept, **{id_: one for id_, one in found.items() if id_ not in kept}}
        self._listing = self._build_listing(self._listing.day)

    def _get_listing(self) -> _Listing:
        if self._clock is not None:
            today = self._clock.now_ms() // DAY_MS
            if today != self._listing.day:
                self._listing = self._build_listing(today)
        return self._listing

    def _build_listing(self, day: int) -> _Listing:
        """Raises ValueError when two models share a name."""
        live = (_without_ended_routes(model, day) for model in self._catalogued.values())
        models = {model.id: model for model in live if model is not None}
        models |= self._local
        ids_by_name: dict[str, str] = {}
        unambiguous: set[str] = set()
        for model in models.values():
            _register_names(model, ids_by_name, unambiguous)
        retired: dict[str, str] = {}
        names_of_the_past = [
            *((name, target, True) for name, target in self._retired.items()),
            *(
                (name, model.id, is_word)
                for model in self._catalogued.values()
                if model.id not in models or models[model.id].local
                for name, is_word in _list_names(model)
            ),
        ]
        for name, target, is_word in names_of_the_past:
            normalized = normalize_name(name)
            successor = self._find_successor(target, models)
            if successor is None or normalized in ids_by_name:
                continue
            retired[normalized] = successor
            if is_word and models[successor].per == "token":
                unambiguous.add(normalized)
        return _Listing(day, MappingProxyType(models), ids_by_name, retired, unambiguous)

    def _check_successors(self) -> None:
        for model in self._catalogued.values():
            successor = self._catalogued.get(model.successor)
            if model.successor and (successor is None or successor.per != model.per):
                raise ValueError(f"{model.id}: its successor {model.successor} can't stand in")
            passed = {model.id}
            while successor is not None:
                if successor.id in passed:
                    raise ValueError(f"{model.id} is its own successor")
                passed.add(successor.id)
                successor = self._catalogued.get(successor.successor)

    def _find_successor(self, id_: str, models: Mapping[str, Model]) -> str | None:
        """The id itself if it is among the models, else that of the next successor that is."""
        if id_ in models:
            return id_
        ended = self._catalogued.get(id_)
        return self._find_successor(ended.successor, models) if ended is not None else None

    def mark_thinking(self, route: Route) -> None:
        """A custom address's own model was seen to think: its answers get the room for that, until
        the service starts again."""
        for model in self._local.values():
            if not model.thinking and route in model.routes:
                thinking = replace(model, thinking=True, answer_limit=THINKING_ANSWER_LIMIT)
                self._local = {**self._local, model.id: thinking}
                self._listing = self._build_listing(self._listing.day)
                return

    def _find_id(self, text: str) -> str | None:
        listing = self._get_listing()
        for normalized in (normalize_name(text), normalize_name(text.rpartition("/")[2])):
            found = listing.ids_by_name.get(normalized) or listing.retired.get(normalized)
            if found is not None:
                return found
        own_model = self.find_own_model(text)
        return None if own_model is None else own_model.id

    def _find_similar(self, text: str) -> tuple[str, ...]:
        listing = self._get_listing()
        ids_by_name = {**listing.retired, **listing.ids_by_name}
        close = difflib.get_close_matches(
            normalize_name(text)[:60], ids_by_name, n=12, cutoff=_SIMILARITY_MIN
        )
        ids = dict.fromkeys(ids_by_name[name] for name in close)
        return tuple(listing.models[id_].name for id_ in ids)[:_SIMILAR_MAX]


def _to_day(day: date) -> int:
    """The days since 1970-01-01, as a clock's milliseconds count them."""
    return (day - date(1970, 1, 1)).days


def _without_ended_routes(model: Model, day: int) -> Model | None:
    """The model with the routes that it has on a day; None after its end."""
    end = model.find_end()
    if end is not None and _to_day(end) <= day:
        return None
    live = tuple(route for route in model.routes if route.ends is None or day < _to_day(route.ends))
    return model if len(live) == len(model.routes) else replace(model, routes=live)


def _list_names(model: Model) -> list[tuple[str, bool]]:
    """A model's names, and of each whether it can only mean the model."""
    is_word = model.per == "token"
    return [
        *((name, is_word) for name in (model.id, model.name, *model.aliases)),
        *((route.model, False) for route in model.routes),
        *((name, False) for name in model.nicknames),
    ]


def _register_names(model: Model, ids_by_name: dict[str, str], unambiguous: set[str]) -> None:
    if model.local:
        # Whoever runs a server means its model by that name, even where it meant another one.
        ids_by_name[normalize_name(model.id)] = model.id
        unambiguous.add(normalize_name(model.id))
        return
    for name, is_word in _list_names(model):
        normalized = normalize_name(name)
        holder = ids_by_name.setdefault(normalized, model.id)
        if holder != model.id:
            raise ValueError(f"{name} names both {holder} and {model.id}")
        if is_word:
            unambiguous.add(normalized)


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
        rows[row.id] = row if before is None else _change_row(before, row)
    retired = {**shipped.retired, **overlay.retired}
    withdrawn = set(overlay.withdrawn)
    if unknown := sorted(withdrawn - set(rows)):
        raise ValueError(f"withdrawn: no such model: {', '.join(unknown)}")
    models = [_build_model(row) for row in rows.values() if row.id not in withdrawn]
    models = [
        replace(model, successor="") if model.successor in withdrawn else model for model in models
    ]
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


def _change_row(before: ModelRow, row: ModelRow) -> ModelRow:
    """A shipped model with what the operator's row changes. Routes of the operator's own don't end
    on the day of those that ship, and see only where they are the same."""
    changes = {
        name: value for name in row.model_fields_set if (value := getattr(row, name)) is not None
    }
    if "routes" in changes:
        changes.setdefault("ends", None)
        kept = {_get_provider(one) for one in row.routes or () if one in (before.routes or ())}
        seeing = {name: rule for name, rule in (before.pictures or {}).items() if name in kept}
        changes.setdefault("pictures", seeing)
    return before.model_copy(update=changes)


def _build_model(row: ModelRow) -> Model:
    per = row.per or "token"
    if not row.routes or (per == "token" and not row.context):
        raise ValueError(f"{row.id}: a new model needs context and routes")
    context, thinking = Tokens(row.context or 0), bool(row.thinking)
    input_limit = None if row.input is None else Tokens(row.input)
    limit = THINKING_ANSWER_LIMIT if thinking else ANSWER_LIMIT
    pictures = row.pictures or {}
    if unserved := sorted(set(pictures) - {_get_provider(one) for one in row.routes}):
        raise ValueError(f"{row.id}: pictures, but no route: {', '.join(unserved)}")
    routes = tuple(_build_route(one, context, input_limit, pictures) for one in row.routes)
    model = Model(
        id=row.id,
        name=row.name or row.id,
        maker=row.maker or routes[0].provider,
        context=context,
        answer_limit=Tokens(row.answer_limit) if row.answer_limit else limit,
        thinking=thinking,
        features=(),
        routes=routes,
        tokenizer=row.tokenizer or "estimate",
        aliases=row.aliases or (),
        per=per,
        nicknames=row.nicknames or (),
        input_limit=input_limit,
        ends=row.ends,
        successor=row.successor or "",
    )
    features = list(row.features or ())
    if thinking:
        features.append("thinking")
    if model.prompt_limit.units >= _LONG_CONTEXT:
        features.append("long_context")
    return replace(model, features=tuple(dict.fromkeys(features)))


def _get_provider(row: str | RouteRow) -> str:
    return (row if isinstance(row, str) else row.route).partition(":")[0]


def _build_route(
    row: str | RouteRow, context: Tokens, input_limit: Tokens | None, pictures: Mapping[str, str]
) -> Route:
    ends = None if isinstance(row, str) else row.ends
    provider, _, rest = (row if isinstance(row, str) else row.route).partition(":")
    model, _, context_text = rest.rpartition("@")
    rule = pictures.get(provider, "")
    if model and context_text.isdecimal():
        return Route(provider, model, Tokens(int(context_text)), ends=ends, pictures=rule)
    return Route(provider, rest, context, input_limit, ends, rule)
