"""What the sandbox does with tools and forms of an answer: it calls a tool that a question names,
and fills in schemas with the least that is valid.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bots.sandbox.messages import RequestRefused, SandboxMessage, find_last_message

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_EFFORTS: Final = {"none", "minimal", "low", "medium", "high", "xhigh", "max"}
_CHOICES: Final = {"auto", "none", "required"}
#: So many characters of a question, or of a tool's result, are repeated.
_QUOTED_CHARS: Final = 300
#: Schemas within schemas are followed so deep.
_DEPTH_MAX: Final = 12
_ITEMS_MAX: Final = 100
#: Before what a tool is asked with: "get_weather for Oslo".
_LINK_WORDS: Final = re.compile(r"^\W*((for|with|in|of|about|to|on)\b)?\W*", re.IGNORECASE)
_FORMATS: Final = {
    "date": "2026-01-01",
    "time": "12:00:00Z",
    "date-time": "2026-01-01T12:00:00Z",
    "email": "person@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
_RESULT: Final = "The tool gave me:\n\n> {result}"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool that the sandbox makes; `arguments` is JSON."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """What a request says of tools and of the answer's form."""

    #: The schema of each tool's arguments, by its name.
    schemas: Mapping[str, Mapping[str, Any]]
    #: auto, none, required, or the name of the tool that must be called.
    choice: str = "auto"
    #: None: a text; empty: any JSON object.
    form: Mapping[str, Any] | None = None

    def choose_call(self, messages: Sequence[SandboxMessage]) -> ToolCall | None:
        """The call that the conversation's end asks for: of the tool that must be called, or that
        the person names; None where there is none."""
        last = find_last_message(messages)
        is_asked = last.role == "user" and self.choice != "none"
        found = {name: end for name in self.schemas if (end := _find_name(name, last.text))}
        if self.choice in self.schemas:
            name = self.choice
        elif found and (is_asked or self.choice == "required"):
            # Programs put what they know themselves before what a person says.
            name = max(found, key=lambda one: (found[one], len(one)))
        elif self.choice == "required":
            name = next(iter(self.schemas))
        else:
            return None
        rest = last.text[found.get(name, 0) :]
        words = _LINK_WORDS.sub("", rest).strip(" .!?\n") or last.text
        arguments = build_value(self.schemas[name], words[:_QUOTED_CHARS])
        return ToolCall(f"call_{secrets.token_hex(8)}", name, json.dumps(arguments))

    def compose_own_text(self, messages: Sequence[SandboxMessage]) -> str | None:
        """JSON where it was asked for, or what the last tool gave; None for an answer in words."""
        last = find_last_message(messages)
        if self.form is not None:
            words = " ".join(last.text.split())[:_QUOTED_CHARS]
            built = build_value(self.form, words) if self.form else {"answer": words}
            return json.dumps(built, ensure_ascii=False)
        if last.role != "tool":
            return None
        return _RESULT.format(result=" ".join(last.text.split())[:_QUOTED_CHARS])


def parse_tool_request(body: Mapping[str, Any]) -> ToolRequest:
    """What a request says of tools; raises `RequestRefused` for what OpenAI refuses."""
    effort = body.get("reasoning_effort", "medium")
    if not isinstance(effort, str) or effort not in _EFFORTS:
        raise _refuse("'reasoning_effort' is of no known value.")
    schemas = _parse_tools(body.get("tools"))
    choice = body.get("tool_choice", "auto")
    if isinstance(choice, dict):
        function = choice.get("function")
        choice = function.get("name") if isinstance(function, dict) else None
        if choice not in schemas:
            raise _refuse("'tool_choice' names no tool.")
    elif not isinstance(choice, str) or choice not in _CHOICES:
        raise _refuse("'tool_choice' is of no known value.")
    if not schemas and {"tool_choice", "parallel_tool_calls"} & body.keys():
        raise _refuse("'tool_choice' is only allowed when 'tools' are specified.")
    return ToolRequest(schemas, choice, _parse_form(body.get("response_format")))


def _parse_tools(value: Any) -> dict[str, Mapping[str, Any]]:
    if value is None:
        return {}
    if not isinstance(value, list) or not value:
        raise _refuse("'tools' is empty.")
    schemas: dict[str, Mapping[str, Any]] = {}
    for tool in value:
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or tool.get("type") != "function":
            raise _refuse("A tool is a function.")
        name, json_schema = function.get("name"), function.get("parameters", {"type": "object"})
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise _refuse("A function's name does not match '^[a-zA-Z0-9_-]+$'.")
        if not isinstance(json_schema, dict) or json_schema.get("type", "object") != "object":
            raise _refuse(f"The schema of '{name}' is none of an object.")
        schemas[name] = {"type": "object", **json_schema}
    return schemas


def _parse_form(value: Any) -> Mapping[str, Any] | None:
    form: Mapping[str, Any] = value if isinstance(value, dict) else {}
    kind = form.get("type", "text" if value is None else "")
    if kind == "text":
        return None
    if kind == "json_object":
        return {}
    described = form.get("json_schema")
    described = described if isinstance(described, dict) else {}
    json_schema = described.get("schema")
    if kind != "json_schema" or not isinstance(json_schema, dict) or not described.get("name"):
        raise _refuse("'response_format' is not understood.")
    return json_schema or {"type": "object"}


# --- values -------------------------------------------------------------------------------------


def build_value(json_schema: Mapping[str, Any], words: str) -> Any:
    """The least that a schema takes; texts are made of the words."""
    return _Builder(json_schema, words).build(json_schema, 0)


class _Builder:
    """A builder of values for one schema, to which others within it refer."""

    def __init__(self, root: Mapping[str, Any], words: str) -> None:
        self._root, self._words = root, words

    def build(self, json_schema: Any, depth: int) -> Any:
        """The value of a schema within the whole."""
        if not isinstance(json_schema, dict) or depth > _DEPTH_MAX:
            return None
        if (within := self._find_within(json_schema)) is not None:
            return self.build(within, depth + 1)
        if "const" in json_schema:
            return json_schema["const"]
        among = json_schema.get("enum")
        if isinstance(among, list) and among:
            return among[0]
        return self._build_of_type(json_schema, depth)

    def _find_within(self, json_schema: Mapping[str, Any]) -> Any:
        """The schema to which one leads: by its name, as the first of several, or as all of them;
        None where it says itself what it is."""
        if isinstance(reference := json_schema.get("$ref"), str):
            return self._resolve(reference)
        for name in ("anyOf", "oneOf"):
            if isinstance(options := json_schema.get(name), list) and options:
                return options[0]
        if not isinstance(parts := json_schema.get("allOf"), list):
            return None
        merged: dict[str, Any] = {}
        for part in parts:
            merged |= part if isinstance(part, dict) else {}
        return merged | {key: value for key, value in json_schema.items() if key != "allOf"}

    def _build_of_type(self, json_schema: Mapping[str, Any], depth: int) -> Any:
        kind = json_schema.get("type", "object" if "properties" in json_schema else "string")
        if isinstance(kind, list):
            kind = next((one for one in kind if one != "null"), "null")
        if kind == "object":
            properties = json_schema.get("properties")
            known: Mapping[str, Any] = properties if isinstance(properties, dict) else {}
            required = json_schema.get("required")
            names = required if isinstance(required, list) else ()
            return {str(name): self.build(known.get(str(name), {}), depth + 1) for name in names}
        if kind == "array":
            least = min(_read_count(json_schema, "minItems"), _ITEMS_MAX)
            return [self.build(json_schema.get("items", {}), depth + 1) for _ in range(least)]
        if kind in {"integer", "number"}:
            return _build_number(json_schema)
        if kind == "string":
            return self._build_text(json_schema)
        return False if kind == "boolean" else None

    def _build_text(self, json_schema: Mapping[str, Any]) -> str:
        if (form := json_schema.get("format")) in _FORMATS:
            return _FORMATS[form]
        text = self._words.ljust(min(_read_count(json_schema, "minLength"), _QUOTED_CHARS), ".")
        most = json_schema.get("maxLength")
        return text[:most] if type(most) is int and most >= 0 else text

    def _resolve(self, reference: str) -> Any:
        found: Any = self._root
        for name in filter(None, reference.removeprefix("#").split("/")):
            found = found.get(name) if isinstance(found, dict) else None
        return found if isinstance(found, dict) else {}


def _build_number(json_schema: Mapping[str, Any]) -> int | float:
    """The number next to nothing that its bounds allow."""
    bounds = {
        name: json_schema[name]
        for name in ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
        if type(json_schema.get(name)) in {int, float}
    }
    least = max(bounds.get("minimum", -1), bounds.get("exclusiveMinimum", -2) + 1, 0)
    if "maximum" in bounds or "exclusiveMaximum" in bounds:
        most = min(bounds.get("maximum", least), bounds.get("exclusiveMaximum", least + 1) - 1)
        least = min(least, most)
    step = json_schema.get("multipleOf")
    if type(step) is int and step > 0:
        return int(-(-least // step) * step)
    return int(least) if int(least) == least else least


def _read_count(json_schema: Mapping[str, Any], name: str) -> int:
    count = json_schema.get(name, 0)
    return count if type(count) is int and count > 0 else 0


def _find_name(name: str, text: str) -> int:
    """Where in a text a tool's name ends the last time, written as it is or in words; 0 where it
    isn't there."""
    pattern = re.sub(r"[_-]+", r"[\\s_-]+", re.escape(name).replace(r"\-", "-"))
    ends = [
        one.end() for one in re.finditer(rf"(?<!\w){pattern}(?!\w)", text, re.IGNORECASE | re.ASCII)
    ]
    return ends[-1] if ends else 0


def _refuse(message: str) -> RequestRefused:
    return RequestRefused(400, "invalid_value", message)
