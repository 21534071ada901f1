"""Suppliers' keys as `creditbot check` sees them: those of the database, and those of the settings
that `creditbot run` will take. Each is asked for its models; nothing is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from bots.cli.operator import describe_key
from bots.cli.output import describe_error
from bots.cli.payments import Line
from bots.config.gateways import require_default_model
from bots.config.settings import SupplierConfig, name_supplier_setting
from bots.externals import PLACEHOLDER_KEY, Externals, SettingRefused
from bots.services import Foundation, build_pool, build_pricing
from core.money import format_usd
from core.pool.key_validation import list_key_models
from core.pool.providers.http import SupplierClient
from core.pool.suppliers import Supplier
from core.pool.types import KeyRefused, find_usable_models
from core.pool.vault import Vault

_REASONS = {
    "refused": "its supplier refuses it",
    "unreachable": "its supplier can't be reached, or says nothing that can be read",
}


@dataclass(slots=True)
class KeySurvey:
    """What a look at every key found: a line each, and what the keys can serve."""

    lines: list[Line] = field(default_factory=list)
    #: The ids of the models that some key serves, and the suppliers that there are keys of.
    models: set[str] = field(default_factory=set)
    suppliers: set[str] = field(default_factory=set)
    #: (supplier, end) of the keys that the database has at today's address.
    stored: set[tuple[str, str]] = field(default_factory=set)


async def survey_keys(
    externals: Externals, base: Foundation | None, vault: Vault | None
) -> KeySurvey:
    """Looks at the keys of the database, where it is there and has any, and then at those of the
    settings that it doesn't have yet."""
    survey = KeySurvey()
    if base is not None and vault is not None:
        await _survey_stored(survey, externals, base, vault)
    async with aclosing(SupplierClient()) as client:
        for name, own in externals.own_keys:
            # An address alone gets a placeholder, unless there is a key for it.
            tails = {tail for supplier, tail in survey.stored if supplier == name}
            tail = own.key.get_secret_value()[-4:]
            if tail not in tails and not (tails and tail == PLACEHOLDER_KEY):
                await _survey_setting(survey, externals, client, name, own)
    return survey


async def _survey_stored(
    survey: KeySurvey, externals: Externals, base: Foundation, vault: Vault
) -> None:
    pool = build_pool(base, externals, build_pricing(base, externals), vault).pool
    try:
        records = await pool.list_key_records()
        addresses = {name: supplier.address for name, supplier in externals.suppliers.items()}
        survey.stored = {
            (record.provider, record.tail)
            for record in records
            if record.base_url == addresses.get(record.provider)
        }
        await pool.check_models()
        survey.models |= pool.list_servable_models()
        for key in pool.summarize_keys():
            error = f": {key.last_error}" if key.last_error else ""
            is_fine = key.state == "active" and not error
            survey.lines.append((is_fine, f"key {describe_key(key)}{error}"))
            survey.suppliers.add(key.supplier)
    finally:
        await pool.stop()


async def _survey_setting(
    survey: KeySurvey,
    externals: Externals,
    client: SupplierClient,
    name: str,
    own: SupplierConfig,
) -> None:
    supplier, tail = externals.suppliers[name], own.key.get_secret_value()[-4:]
    has_key = tail != PLACEHOLDER_KEY
    setting = name_supplier_setting(name, "KEY" if has_key else "URL")
    line = f"key {name}{f' …{tail}' if has_key else ''} in {setting}"
    survey.suppliers.add(name)
    try:
        listed = await list_key_models(client, supplier, own.key, own.account)
    except KeyRefused as refused:
        why = _REASONS.get(refused.reason) or describe_error(refused)
        survey.lines.append((False, f"{line}: {why}"))
        return
    if supplier.custom:
        externals.costs.add_local_supplier(name)
        externals.catalogue.add_local_models(name, listed)
    models = _find_models(externals, supplier, [model.id for model in listed])
    survey.models |= models
    budget = format_usd(own.quota)
    survey.lines.append(
        (True, f"{line}, {budget}: lists {len(models)} models, serves once the service runs")
    )


def _find_models(externals: Externals, supplier: Supplier, listed: Sequence[str]) -> set[str]:
    """The models of the catalogue that a key serves, by the models that it lists; all that its
    supplier has where its list doesn't say."""
    routes = [
        (model.id, route.model)
        for model in externals.catalogue.models.values()
        for route in model.routes
        if route.provider == supplier.name
    ]
    usable = find_usable_models(listed, (route for _, route in routes))
    is_trusted = supplier.custom or (supplier.lists_models and usable)
    return {id_ for id_, route in routes if not is_trusted or route in usable}


def check_served_models(survey: KeySurvey, externals: Externals, default_model: str) -> list[Line]:
    """What can be served, and whether that has the settings' default model in it."""
    if not survey.lines:
        return [(False, "keys: none. Add one: creditbot keys add openai --budget 50")]
    served = len(survey.models)
    lines = [*survey.lines, (served > 0, f"models that can be served now: {served}")]
    try:
        model = require_default_model(default_model, externals.catalogue)
    except SettingRefused as refused:
        return [*lines, (False, describe_error(refused))]
    if model is not None and model.id not in survey.models:
        lines.append((False, f"CREDITBOT_DEFAULT_MODEL: no key serves {model.name} now"))
    return lines
