"""JSON from strangers, read within bounds: no deeper than anybody writes it, without numbers that
are none, and with texts that can be stored and sent on.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final, NoReturn

from core.text import repair_text

#: Deeper nesting is refused: what walks through it must not run out of stack.
DEPTH_MAX: Final = 64
#: Made once: `json.dumps` makes one for each call that has options.
_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


class BadJson(ValueError):
    """A text that isn't JSON, or is beyond the bounds; the message says which."""


def load_json(text: str | bytes) -> Any:
    """The value of a JSON text; raises `BadJson`. Of a name that stands twice the last value
    counts."""
    try:
        decoded = text if isinstance(text, str) else text.decode()
        value = json.loads(decoded, parse_constant=_refuse_constant, parse_float=_parse_float)
    except RecursionError:
        raise BadJson(f"it is nested deeper than {DEPTH_MAX} levels") from None
    except BadJson:
        raise
    except ValueError:  # no JSON, no UTF-8, or a number of thousands of digits
        raise BadJson("it is not valid JSON") from None
    if decoded.count("[") + decoded.count("{") > DEPTH_MAX:
        _check_depth(value)
    # Only an escape brings what UTF-8 and databases don't take.
    return _repair(value) if "\\u" in decoded else value


def dump_json(value: Any) -> bytes:
    """A value as compact JSON in UTF-8."""
    text = encode_text(value)
    try:
        return text.encode()
    except UnicodeEncodeError:  # half a sign, out of some answer
        return repair_text(text).encode()


def encode_text(value: Any) -> str:
    """A value as the text of compact JSON."""
    return _encode(value)


def _refuse_constant(name: str) -> NoReturn:
    raise BadJson(f"{name} is not a number")


def _parse_float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise BadJson("a number in it is too large")
    return number


def _check_depth(value: Any) -> None:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(DEPTH_MAX):
        level = [
            child
            for one in level
            for child in (one.values() if isinstance(one, dict) else one)
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    raise BadJson(f"it is nested deeper than {DEPTH_MAX} levels")


def _repair(value: Any) -> Any:
    if isinstance(value, str):
        return repair_text(value)
    if isinstance(value, list):
        return [_repair(one) for one in value]
    if isinstance(value, dict):
        return {repair_text(name): _repair(one) for name, one in value.items()}
    return value
