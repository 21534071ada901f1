"""The models that programs can ask: those that answer questions, that some key serves now, and that
have a price; for a token, those of its list.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from bots.api.refusals import refuse_model
from core.api_tokens.types import ApiToken
from core.money import MicroCredits, format_decimal
from core.pricing.catalogue import Catalogue, Model, UnknownModel
from core.pricing.deals import Deals
from core.pricing.prices import Price

#: Makers date their models' ids; the catalogue doesn't.
_DATE: Final = re.compile(r"-(\d{8}|\d{4}-\d{2}-\d{2})$")
#: When a model appeared isn't known here; makers themselves tell unknown times so.
_NO_TIME: Final = "1970-01-01T00:00:00Z"


class ModelOffers:
    """Finds and describes the models that a token may ask."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        deals: Deals,
        list_servable_models: Callable[[], Collection[str]],
    ) -> None:
        """`list_servable_models` gives the ids of those that some key serves now."""
        self._catalogue, self._deals = catalogue, deals
        self._list_servable_models = list_servable_models

    def find_model(self, name: str, token: ApiToken) -> Model:
        """The model of a name; raises `ApiError`, the same for one that there isn't and one that
        isn't for this token."""
        try:
            model = self._find(name)
        except UnknownModel as unknown:
            raise refuse_model(name, self._filter_names(unknown.similar, token)) from None
        if not _is_for(model, token):
            raise refuse_model(name, ())
        return model

    def _find(self, name: str) -> Model:
        try:
            return self._catalogue.find(name)
        except UnknownModel:
            undated = _DATE.sub("", name)
            if undated == name:
                raise
            return self._catalogue.find(undated)

    def _filter_names(self, names: tuple[str, ...], token: ApiToken) -> tuple[str, ...]:
        """The ids of what these names mean, as far as they are for a token."""
        models = [self._catalogue.find(name) for name in names]
        return tuple(dict.fromkeys(one.id for one in models if _is_for(one, token)))

    async def list_offered(self, token: ApiToken) -> list[tuple[Model, Price]]:
        """The models that a token may ask now, and what they cost its person."""
        await self._deals.refresh_prices()
        await self._deals.load_person(token.person)
        servable = self._list_servable_models()
        offered = []
        for model in self._catalogue.chat_models:
            if model.id in servable and _is_for(model, token):
                deal = self._deals.find_deal(token.person, model.id)
                if deal is not None:
                    offered.append((model, deal.price))
        return offered


def _is_for(model: Model, token: ApiToken) -> bool:
    return model.per == "token" and (not token.models or model.id in token.models)


def describe_openai_model(model: Model, price: Price) -> dict[str, Any]:
    """A model in OpenAI's shape, with what it takes and costs."""
    return {
        "id": model.id,
        "object": "model",
        "created": 0,
        "owned_by": model.maker,
        **_describe(model, price),
    }


def describe_anthropic_model(model: Model, price: Price) -> dict[str, Any]:
    """A model in Anthropic's shape, with what it takes and costs."""
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.name,
        "created_at": _NO_TIME,
        "lifecycle": "active",
        "max_input_tokens": model.prompt_limit.units,
        "max_tokens": model.context.units,
        **_describe(model, price),
    }


def _describe(model: Model, price: Price) -> Mapping[str, Any]:
    """Prices as exact decimal texts: Credits are money, which no float holds."""
    inward, outward = price.format_per_1k()

    def of_kind(percent: int) -> str:
        per_1k = price.input_rate.multiply_by(1_000).share_up(percent, 100)
        return format_decimal(MicroCredits(per_1k.units))

    return {
        "name": model.name,
        "context_length": model.context.units,
        "usual_answer_limit": model.answer_limit.units,
        "sees_pictures": model.sees_pictures,
        "credits_per_1000_input": inward,
        "credits_per_1000_cached_input": of_kind(price.percents.cached),
        "credits_per_1000_picture_input": of_kind(price.percents.picture),
        "credits_per_1000_output": outward,
    }
