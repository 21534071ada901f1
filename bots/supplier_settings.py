"""Settings of suppliers, which the operator names: another address, an own key and its budget."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import SecretStr

from core.money import NanoUsd, parse_usd

SUPPLIER = re.compile(r"CREDITBOT_SUPPLIER_([A-Z0-9_]+?)_(URL|KEY|QUOTA|ACCOUNT)")
_NO_SECRET = SecretStr("")
_NO_BUDGET = NanoUsd(0)


@dataclass(frozen=True, slots=True)
class SupplierSetting:
    """What is set for one supplier: another address, an own key with its budget."""

    url: str = ""
    key: SecretStr = _NO_SECRET
    quota: NanoUsd = _NO_BUDGET
    account: str = ""


def address(url: str) -> str:
    """The text, if it is an address; else raises ValueError."""
    if url and not re.fullmatch(r"https?://[^\s/]+(/\S*)?", url):
        raise ValueError("is an address like https://example.org")
    return url.rstrip("/")


def is_budget(text: str) -> bool:
    """Whether this is a number of dollars that a key may cost."""
    try:
        return parse_usd(text) > _NO_BUDGET
    except ValueError:
        return False


def settings_of_suppliers(
    found: Mapping[str, str], problems: dict[str, str]
) -> Mapping[str, SupplierSetting]:
    """Each supplier's that is named; what is wrong joins `problems`."""
    parts: dict[str, dict[str, str]] = {}
    for name, value in found.items():
        matched = SUPPLIER.fullmatch(name)
        if matched:
            parts.setdefault(matched[1].lower().replace("_", "-"), {})[matched[2]] = value
    suppliers = {}
    for supplier, given in parts.items():
        prefix = f"CREDITBOT_SUPPLIER_{supplier.upper().replace('-', '_')}"
        quota = _NO_BUDGET
        if is_budget(given.get("QUOTA", "1")):
            quota = parse_usd(given.get("QUOTA", "0"))
        else:
            problems[f"{prefix}_QUOTA"] = "is a budget in dollars above zero, like 50 or 12.5"
        if "KEY" in given and "QUOTA" not in given and "URL" not in given:
            problems[f"{prefix}_QUOTA"] = "is needed with a key: the dollars that it may cost"
        try:
            url = address(given.get("URL", ""))
        except ValueError as wrong:
            problems[f"{prefix}_URL"] = str(wrong)
            continue
        suppliers[supplier] = SupplierSetting(
            url=url,
            key=SecretStr(given.get("KEY", "")),
            quota=quota,
            account=given.get("ACCOUNT", ""),
        )
    return suppliers
