"""The official SDKs for Python, a scenario each: `python_sdks.py openai|anthropic SCENARIO`, with
BASE, TOKEN, MODEL and PICTURE in the environment. It says what it read, or `error` and a status.
Each SDK takes a second to be imported, so only the one that is meant is.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from pathlib import Path
from typing import Any

SKY = "Why is the sky blue?"
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


def run_openai(scenario: str, base: str, token: str, model: str) -> str:
    """What OpenAI's reads."""
    import openai

    patience: dict[str, Any] = {"timeout": 1} if scenario == "time-out" else {}
    client = openai.OpenAI(api_key=token, base_url=f"{base}/v1", **patience)
    asked: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": SKY}]}
    if scenario in {"stream", "break"}:
        chunks = client.chat.completions.create(**asked, stream=True)
        return "".join(one.choices[0].delta.content or "" for one in chunks if one.choices)
    if scenario == "tools":
        return _call_openai_tools(client, asked)
    if scenario == "schema":
        form = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA}}
        asked |= {"response_format": form}
    if scenario == "picture":
        url = f"data:image/png;base64,{_read_picture()}"
        shown = {"type": "image_url", "image_url": {"url": url}}
        asked["messages"][0]["content"] = [{"type": "text", "text": SKY}, shown]
    if scenario == "400":
        asked |= {"temperature": 9}
    return client.chat.completions.create(**asked).choices[0].message.content or ""


def _call_openai_tools(client: Any, asked: dict[str, Any]) -> str:
    """Three turns: a call and its result in each."""
    tools = [{"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}]
    messages: list[Any] = []
    for city in ("Oslo", "Rome", "Lima"):
        messages.append({"role": "user", "content": f"Use get_weather for {city}"})
        asked |= {"messages": messages, "tools": tools}
        message = client.chat.completions.create(**asked).choices[0].message
        assert message.tool_calls
        call = message.tool_calls[0]
        assert json.loads(call.function.arguments) == {"city": city}
        result = {"role": "tool", "tool_call_id": call.id, "content": f"Rain in {city}"}
        messages += [message, result]
        messages.append(client.chat.completions.create(**asked).choices[0].message)
    return messages[-1].content or ""


def run_anthropic(scenario: str, base: str, token: str, model: str) -> str:
    """What Anthropic's reads."""
    import anthropic

    patience: dict[str, Any] = {"timeout": 1} if scenario == "time-out" else {}
    client = anthropic.Anthropic(api_key=token, base_url=base, **patience)
    asked: dict[str, Any] = {
        "model": model,
        "max_tokens": 1_000,
        "messages": [{"role": "user", "content": SKY}],
    }
    if scenario in {"stream", "break"}:
        with client.messages.stream(**asked) as stream:
            return stream.get_final_text()
    if scenario == "tools":
        return _call_anthropic_tools(client, asked)
    if scenario == "schema":
        asked |= {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}
    if scenario == "picture":
        source = {"type": "base64", "media_type": "image/png", "data": _read_picture()}
        shown = {"type": "image", "source": source}
        asked["messages"][0]["content"] = [shown, {"type": "text", "text": SKY}]
    if scenario == "403":
        asked |= {"max_tokens": 20_000}
    if scenario == "400":
        asked |= {"extra_body": {"temperature": 9}}
    return str(client.messages.create(**asked).content[-1].text)


def _call_anthropic_tools(client: Any, asked: dict[str, Any]) -> str:
    messages: list[Any] = []
    asked |= {"messages": messages, "tools": [{"name": "get_weather", "input_schema": SCHEMA}]}
    text = ""
    for city in ("Oslo", "Rome", "Lima"):
        messages.append({"role": "user", "content": f"Use get_weather for {city}"})
        message = client.messages.create(**asked)
        call = message.content[-1]
        assert call.input == {"city": city}
        result = {"type": "tool_result", "tool_use_id": call.id, "content": f"Rain in {city}"}
        messages.append({"role": "assistant", "content": message.content})
        messages.append({"role": "user", "content": [result]})
        message = client.messages.create(**asked)
        messages.append({"role": "assistant", "content": message.content})
        text = message.content[-1].text
    return text


def _read_picture() -> str:
    return base64.b64encode(Path(os.environ["PICTURE"]).read_bytes()).decode()


def main(name: str, scenario: str) -> None:
    """Runs one scenario."""
    run = run_openai if name == "openai" else run_anthropic
    facts = (os.environ["BASE"], os.environ["TOKEN"], os.environ["MODEL"])
    try:
        print(run(scenario, *facts))
    except Exception as error:
        if not hasattr(error, "request"):  # no error of either API
            raise
        print("error", getattr(error, "status_code", type(error).__name__), str(error)[:300])


if __name__ == "__main__":
    main(*sys.argv[1:])
