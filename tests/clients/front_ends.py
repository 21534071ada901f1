"""Libraries that front ends are built on, each as its pages say: a chat, a stream, a call of a tool
and its result, an answer by a schema, a picture. For the recorder, in an environment that has them:

    python -m tests.clients.wire_recorder dspy 3.4.1 -- PYTHON tests/clients/front_ends.py dspy
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import pydantic

BASE, KEY, MODEL = os.environ["BASE"], os.environ["KEY"], os.environ["MODEL"]
SKY, CITY = "Why is the sky blue?", "How is the weather in Lima?"
#: Of one white pixel.
PICTURE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)


class Place(pydantic.BaseModel):
    """A city and its people."""

    city: str
    people: int


def get_weather(city: str) -> str:
    """Tells the weather of a city.

    Args:
        city: its name
    """
    return f"Rain in {city}"


def run_langchain(model: Any) -> None:
    """LangChain's chat models, as n8n, Flowise and LibreChat's agents have them."""
    from langchain.agents import create_agent
    from langchain_core.messages import HumanMessage
    from langchain_core.tools import tool

    model.invoke([("system", "You are careful."), ("human", SKY)])
    list(model.stream(SKY))
    agent = create_agent(model, [tool(get_weather)], system_prompt="You are careful.")
    agent.invoke({"messages": [("human", CITY)]})
    model.with_structured_output(Place).invoke("Lima")
    shown = {"type": "image", "base64": PICTURE, "mime_type": "image/png"}
    model.invoke([HumanMessage([{"type": "text", "text": SKY}, shown])])


def run_langchain_openai() -> None:
    """As a gateway is used: its base URL, and no Responses."""
    from langchain_openai import ChatOpenAI

    told: dict[str, Any] = {"base_url": f"{BASE}/v1", "api_key": KEY, "model": MODEL}
    run_langchain(ChatOpenAI(temperature=0.7, **told))


def run_langchain_anthropic() -> None:
    """The other wire."""
    from langchain_anthropic import ChatAnthropic

    run_langchain(ChatAnthropic(base_url=BASE, api_key=KEY, model=MODEL, max_tokens=1_000))


def run_llama_index(model: Any) -> None:
    """LlamaIndex's models."""
    from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock
    from llama_index.core.tools import FunctionTool

    asked = [ChatMessage(role="system", content="You are careful."), ChatMessage(content=SKY)]
    model.chat(asked)
    list(model.stream_chat(asked))
    model.predict_and_call([FunctionTool.from_defaults(get_weather)], CITY)
    model.structured_predict(Place, _make_prompt())
    shown = ImageBlock(image=PICTURE.encode(), image_mimetype="image/png")
    model.chat([ChatMessage(blocks=[TextBlock(text=SKY), shown])])


def _make_prompt() -> Any:
    from llama_index.core import PromptTemplate

    return PromptTemplate("Lima")


def run_llama_index_openai() -> None:
    """What stands before servers like OpenAI's."""
    from llama_index.llms.openai_like import OpenAILike

    told: dict[str, Any] = {"api_base": f"{BASE}/v1", "api_key": KEY, "model": MODEL}
    run_llama_index(OpenAILike(is_chat_model=True, is_function_calling_model=True, **told))


def run_llama_index_anthropic() -> None:
    """The other wire."""
    from llama_index.llms.anthropic import Anthropic

    run_llama_index(Anthropic(model="claude-sonnet-4-5", base_url=BASE, api_key=KEY))


def run_pydantic_ai(model: Any) -> None:
    """Pydantic AI's agents: a schema is a tool to them."""
    from pydantic_ai import Agent, BinaryContent

    agent = Agent(model, system_prompt="You are careful.")
    agent.run_sync(SKY)
    agent.run_stream_sync(SKY).get_output()
    Agent(model, tools=[get_weather]).run_sync(CITY)
    Agent(model, output_type=Place).run_sync("Lima")
    import base64

    shown = BinaryContent(base64.b64decode(PICTURE), media_type="image/png")
    agent.run_sync([SKY, shown])


def run_pydantic_ai_openai() -> None:
    """Chat completions."""
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    run_pydantic_ai(
        OpenAIChatModel(MODEL, provider=OpenAIProvider(base_url=f"{BASE}/v1", api_key=KEY))
    )


def run_pydantic_ai_anthropic() -> None:
    """Messages."""
    import anthropic
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.providers.anthropic import AnthropicProvider

    client = anthropic.AsyncAnthropic(base_url=BASE, api_key=KEY)
    run_pydantic_ai(AnthropicModel(MODEL, provider=AnthropicProvider(anthropic_client=client)))


def run_litellm(prefix: str, base: str) -> None:
    """LiteLLM as a client, as many agents have it."""
    import litellm

    told: dict[str, Any] = {"model": f"{prefix}/{MODEL}", "api_base": base, "api_key": KEY}
    asked: list[dict[str, Any]] = [{"role": "user", "content": SKY}]
    litellm.completion(messages=asked, **told)
    usage = {"include_usage": True}
    list(litellm.completion(messages=asked, stream=True, stream_options=usage, **told))
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
    function = {"name": "get_weather", "parameters": {**parameters, "required": ["city"]}}
    tool = {"type": "function", "function": function}
    said: list[Any] = [{"role": "user", "content": CITY}]
    answer = litellm.completion(messages=said, tools=[tool], tool_choice="auto", **told)
    message = answer.choices[0].message
    said += [message, {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "Rain"}]
    litellm.completion(messages=said, tools=[tool], **told)
    litellm.completion(messages=asked, response_format=Place, drop_params=True, **told)
    url = {"url": f"data:image/png;base64,{PICTURE}"}
    shown = [{"type": "text", "text": SKY}, {"type": "image_url", "image_url": url}]
    litellm.completion(messages=[{"role": "user", "content": shown}], **told)


def run_openai_agents() -> None:
    """OpenAI's library for agents, kept to chat completions."""
    import agents
    import openai

    agents.set_tracing_disabled(disabled=True)
    client = openai.AsyncOpenAI(base_url=f"{BASE}/v1", api_key=KEY)
    model = agents.OpenAIChatCompletionsModel(MODEL, client)
    tool = agents.function_tool(get_weather)
    agents.Runner.run_sync(agents.Agent("one", instructions="Be careful.", model=model), SKY)
    agents.Runner.run_sync(agents.Agent("two", tools=[tool], model=model), CITY)
    agents.Runner.run_sync(agents.Agent("three", output_type=Place, model=model), "Lima")


def run_instructor() -> None:
    """Answers by a schema, each of the ways that it knows."""
    import instructor
    import openai

    for mode in (instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA, instructor.Mode.JSON):
        made = openai.OpenAI(base_url=f"{BASE}/v1", api_key=KEY)
        client = instructor.from_openai(made, mode=mode)
        asked: list[Any] = [{"role": "user", "content": "Lima"}]
        told: dict[str, Any] = {"response_model": Place, "max_retries": 0}
        _try(client.chat.completions.create, model=MODEL, messages=asked, **told)


def run_haystack() -> None:
    """Haystack's generator for chats."""
    from haystack.components.generators.chat import OpenAIChatGenerator
    from haystack.dataclasses import ChatMessage
    from haystack.tools import create_tool_from_function
    from haystack.utils import Secret

    made = OpenAIChatGenerator(Secret.from_token(KEY), MODEL, api_base_url=f"{BASE}/v1")
    asked = [ChatMessage.from_system("You are careful."), ChatMessage.from_user(CITY)]
    made.run(asked)
    made.run(asked, streaming_callback=lambda _: None)
    tool = create_tool_from_function(get_weather)
    called = made.run(asked, tools=[tool])["replies"][0]
    result = ChatMessage.from_tool("Rain", origin=called.tool_call)
    made.run([*asked, called, result], tools=[tool])


def run_smolagents() -> None:
    """Hugging Face's agents."""
    import smolagents

    model = smolagents.OpenAIModel(MODEL, api_base=f"{BASE}/v1", api_key=KEY)
    agent = smolagents.ToolCallingAgent([smolagents.tool(get_weather)], model, max_steps=2)
    _try(agent.run, CITY)


def run_dspy() -> None:
    """DSPy, over LiteLLM."""
    import dspy

    dspy.configure(lm=dspy.LM(f"openai/{MODEL}", api_base=f"{BASE}/v1", api_key=KEY, cache=False))
    _try(dspy.Predict("question -> answer"), question=SKY)


def _try(run: Callable[..., Any], *args: Any, **fields: Any) -> None:
    """Runs what may not like what it is answered."""
    try:
        run(*args, **fields)
    except Exception as error:
        print(type(error).__name__, file=sys.stderr)


RUNS: dict[str, Callable[[], None]] = {
    "langchain-openai": run_langchain_openai,
    "langchain-anthropic": run_langchain_anthropic,
    "llama-index-llms-openai-like": run_llama_index_openai,
    "llama-index-llms-anthropic": run_llama_index_anthropic,
    "pydantic-ai-openai": run_pydantic_ai_openai,
    "pydantic-ai-anthropic": run_pydantic_ai_anthropic,
    "litellm-openai": lambda: run_litellm("openai", f"{BASE}/v1"),
    "litellm-anthropic": lambda: run_litellm("anthropic", BASE),
    "openai-agents": run_openai_agents,
    "instructor": run_instructor,
    "haystack-ai": run_haystack,
    "smolagents": run_smolagents,
    "dspy": run_dspy,
}

if __name__ == "__main__":
    RUNS[sys.argv[1]]()
