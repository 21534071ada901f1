// The official SDKs for JavaScript, a scenario each: `javascript_sdks.mjs openai|anthropic SCENARIO`,
// with BASE, TOKEN, MODEL and PICTURE in the environment. It says what it read, or `error` and a status.
import { readFileSync } from "node:fs";
import OpenAI from "openai";
import Anthropic from "@anthropic-ai/sdk";

const [name, scenario] = process.argv.slice(2);
const { BASE, TOKEN, MODEL, PICTURE } = process.env;
const SKY = "Why is the sky blue?";
const CITIES = ["Oslo", "Rome", "Lima"];
const schema = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};
const patience = scenario === "time-out" ? { timeout: 1000 } : {};
const picture = () => readFileSync(PICTURE).toString("base64");

async function runOpenai() {
  const client = new OpenAI({ apiKey: TOKEN, baseURL: `${BASE}/v1`, ...patience });
  const asked = { model: MODEL, messages: [{ role: "user", content: SKY }] };
  if (scenario === "stream" || scenario === "break") {
    let text = "";
    for await (const chunk of await client.chat.completions.create({ ...asked, stream: true }))
      text += chunk.choices[0]?.delta?.content ?? "";
    return text;
  }
  if (scenario === "tools") {
    asked.messages = [];
    asked.tools = [{ type: "function", function: { name: "get_weather", parameters: schema } }];
    for (const city of CITIES) {
      asked.messages.push({ role: "user", content: `Use get_weather for ${city}` });
      const message = (await client.chat.completions.create(asked)).choices[0].message;
      const call = message.tool_calls[0];
      if (JSON.parse(call.function.arguments).city !== city) throw new Error(call.function.arguments);
      asked.messages.push(message, { role: "tool", tool_call_id: call.id, content: `Rain in ${city}` });
      asked.messages.push((await client.chat.completions.create(asked)).choices[0].message);
    }
    return asked.messages.at(-1).content;
  }
  if (scenario === "schema")
    asked.response_format = { type: "json_schema", json_schema: { name: "place", schema } };
  if (scenario === "picture") {
    const url = `data:image/png;base64,${picture()}`;
    asked.messages[0].content = [{ type: "text", text: SKY }, { type: "image_url", image_url: { url } }];
  }
  if (scenario === "400") asked.temperature = 9;
  return (await client.chat.completions.create(asked)).choices[0].message.content;
}

async function runAnthropic() {
  const client = new Anthropic({ apiKey: TOKEN, baseURL: BASE, ...patience });
  const asked = { model: MODEL, max_tokens: 1000, messages: [{ role: "user", content: SKY }] };
  if (scenario === "stream" || scenario === "break")
    return await client.messages.stream(asked).finalText();
  if (scenario === "tools") {
    asked.messages = [];
    asked.tools = [{ name: "get_weather", input_schema: schema }];
    let message;
    for (const city of CITIES) {
      asked.messages.push({ role: "user", content: `Use get_weather for ${city}` });
      message = await client.messages.create(asked);
      const call = message.content.at(-1);
      if (call.input.city !== city) throw new Error(JSON.stringify(call.input));
      const result = { type: "tool_result", tool_use_id: call.id, content: `Rain in ${city}` };
      asked.messages.push({ role: "assistant", content: message.content });
      asked.messages.push({ role: "user", content: [result] });
      message = await client.messages.create(asked);
      asked.messages.push({ role: "assistant", content: message.content });
    }
    return message.content.at(-1).text;
  }
  if (scenario === "schema") asked.output_config = { format: { type: "json_schema", schema } };
  if (scenario === "picture") {
    const source = { type: "base64", media_type: "image/png", data: picture() };
    asked.messages[0].content = [{ type: "image", source }, { type: "text", text: SKY }];
  }
  if (scenario === "403") asked.max_tokens = 20000;
  if (scenario === "400") asked.temperature = 9;
  return (await client.messages.create(asked)).content.at(-1).text;
}

try {
  console.log(await (name === "openai" ? runOpenai() : runAnthropic()));
} catch (error) {
  if (!(error instanceof OpenAI.APIError || error instanceof Anthropic.APIError || /stream/i.test(error?.constructor?.name)))
    throw error;
  console.log("error", error.status ?? error.constructor.name, String(error.message).slice(0, 300));
}
