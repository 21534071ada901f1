// Libraries of JavaScript that front ends are built on, each as its pages say: a chat, a stream, a
// call of a tool and its result, an answer by a schema, a picture. For the recorder, in a folder
// beside whose node_modules it was copied: `front_ends.mjs ai-openai-compatible`.
const [name] = process.argv.slice(2);
const { BASE, KEY, MODEL } = process.env;
const SKY = "Why is the sky blue?";
const CITY = "How is the weather in Lima?";
const PICTURE =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==";

// Opencode, Cherry Studio and many chats stand on Vercel's.
async function runAi(model) {
  const { generateText, streamText, generateObject, tool, stepCountIs } = await import("ai");
  const { z } = await import("zod");
  await generateText({ model, system: "You are careful.", prompt: SKY });
  for await (const _ of streamText({ model, prompt: SKY }).textStream);
  const get_weather = tool({
    description: "Tells the weather of a city.",
    inputSchema: z.object({ city: z.string() }),
    execute: ({ city }) => `Rain in ${city}`,
  });
  await generateText({ model, prompt: CITY, tools: { get_weather }, stopWhen: stepCountIs(2) });
  await generateObject({ model, schema: z.object({ city: z.string() }), prompt: "Lima" }).catch(console.error);
  const image = { type: "file", mediaType: "image/png", data: PICTURE };
  await generateText({ model, messages: [{ role: "user", content: [{ type: "text", text: SKY }, image] }] });
}

// n8n, Flowise and LibreChat's agents stand on LangChain's.
async function runLangchain(model) {
  const { HumanMessage, ToolMessage } = await import("@langchain/core/messages");
  const { tool } = await import("@langchain/core/tools");
  const { z } = await import("zod");
  await model.invoke([["system", "You are careful."], ["human", SKY]]);
  for await (const _ of await model.stream(SKY));
  const get_weather = tool(({ city }) => `Rain in ${city}`, {
    name: "get_weather",
    description: "Tells the weather of a city.",
    schema: z.object({ city: z.string() }),
  });
  const bound = model.bindTools([get_weather]);
  const said = [new HumanMessage(CITY)];
  const answer = await bound.invoke(said);
  const result = new ToolMessage({ content: "Rain in Lima", tool_call_id: answer.tool_calls[0].id });
  await bound.invoke([...said, answer, result]);
  await model.withStructuredOutput(z.object({ city: z.string() })).invoke("Lima").catch(console.error);
  const url = { url: `data:image/png;base64,${PICTURE}` };
  await model.invoke([new HumanMessage({ content: [{ type: "text", text: SKY }, { type: "image_url", image_url: url }] })]);
}

// LibreChat's own agents: an answer and a tool's call, streamed, as its server runs them.
async function runLibrechat(llmConfig) {
  const { Run } = await import("@librechat/agents");
  const { HumanMessage } = await import("@langchain/core/messages");
  const { tool } = await import("@langchain/core/tools");
  const { z } = await import("zod");
  const get_weather = tool(({ city }) => `Rain in ${city}`, {
    name: "get_weather",
    description: "Tells the weather of a city.",
    schema: z.object({ city: z.string() }),
  });
  for (const [asked, tools] of [[SKY, []], [CITY, [get_weather]]]) {
    const graphConfig = { type: "standard", instructions: "You are careful.", tools, llmConfig };
    const run = await Run.create({ runId: asked.length.toString(), graphConfig, returnContent: true });
    const config = { runId: "1", streamMode: "values", version: "v2", configurable: { thread_id: "1" } };
    await run.processStream({ messages: [new HumanMessage(asked)] }, config);
  }
}

// LobeChat's runtime of models, with what its page sends of a new assistant. BUNDLE: esbuild's of the
// two providers in its package, whose other packages it finds in a node_modules beside.
async function runLobe(provider) {
  const runtimes = await import(process.env.BUNDLE);
  const openai = provider === "LobeOpenAI";
  const runtime = new runtimes[provider]({ apiKey: KEY, baseURL: openai ? `${BASE}/v1` : BASE });
  const usual = { model: MODEL, temperature: 1, top_p: 1, frequency_penalty: 0, presence_penalty: 0, stream: true };
  const say = async (more) => (await runtime.chat({ ...usual, ...more }, { user: "somebody" })).text();
  const careful = { role: "system", content: "You are careful." };
  const sky = { role: "user", content: SKY };
  const parameters = { type: "object", properties: { query: { type: "string" } }, required: ["query"] };
  const named = { name: "web____search____builtin", description: "Searches the web.", parameters };
  const tools = [{ type: "function", function: named }];
  const call = { id: "call_1", type: "function", function: { name: named.name, arguments: '{"query": "sky"}' } };
  const called = { role: "assistant", content: "", tool_calls: [call] };
  const found = { role: "tool", name: named.name, tool_call_id: "call_1", content: "It scatters." };
  const shown = { type: "image_url", image_url: { url: `data:image/png;base64,${PICTURE}`, detail: "auto" } };
  await say({ messages: [careful, sky] });
  await say({ messages: [sky], tools });
  await say({ messages: [sky, called, found], tools });
  await say({ messages: [{ role: "user", content: [{ type: "text", text: SKY }, shown] }] });
  const thinking = { thinking: { type: "enabled", budget_tokens: 1024 }, enabledContextCaching: true };
  await say({ messages: [careful, sky], max_tokens: 4000, ...(openai ? { reasoning_effort: "low" } : thinking) });
  const schema = { name: "city", strict: true, schema: { ...parameters, additionalProperties: false } };
  await runtime.generateObject({ model: MODEL, messages: [sky], schema }, { user: "somebody" });
}

// Cherry Studio's core, as its chats stream.
async function runCherry(provider, settings, providerOptions) {
  const { createExecutor } = await import("@cherrystudio/ai-core");
  const { tool, stepCountIs } = await import("ai");
  const { z } = await import("zod");
  const executor = await createExecutor(provider, settings);
  const say = async (content, more) => {
    const run = await executor.streamText({ model: MODEL, messages: [{ role: "user", content }], ...more });
    for await (const _ of run.fullStream);
  };
  const get_weather = tool({
    description: "Tells the weather of a city.",
    inputSchema: z.object({ city: z.string() }),
    execute: ({ city }) => `Rain in ${city}`,
  });
  const image = { type: "image", image: PICTURE, mediaType: "image/png" };
  await say(SKY, { system: "You are careful.", temperature: 1, topP: 1 });
  await say(CITY, { tools: { get_weather }, stopWhen: stepCountIs(2) });
  await say([{ type: "text", text: SKY }, image], { maxOutputTokens: 4096 });
  await say(SKY, { maxOutputTokens: 3000, providerOptions });
  await executor.generateText({ model: MODEL, messages: [{ role: "user", content: "hi" }] });
}

const told = { apiKey: KEY, baseURL: `${BASE}/v1` };
const runs = {
  "ai-openai-compatible": async () =>
    runAi((await import("@ai-sdk/openai-compatible")).createOpenAICompatible({ name: "mine", ...told })(MODEL)),
  "ai-openai": async () => runAi((await import("@ai-sdk/openai")).createOpenAI(told).chat(MODEL)),
  "ai-anthropic": async () => runAi((await import("@ai-sdk/anthropic")).createAnthropic(told)(MODEL)),
  "openrouter-ai-sdk-provider": async () => {
    const { createOpenRouter } = await import("@openrouter/ai-sdk-provider");
    // As agents set it up, to be told what an answer cost and to see its thoughts.
    await runAi(createOpenRouter(told)(MODEL, { usage: { include: true }, reasoning: { effort: "low" } }));
  },
  "langchain-openai-js": async () => {
    const { ChatOpenAI } = await import("@langchain/openai");
    await runLangchain(new ChatOpenAI({ model: MODEL, apiKey: KEY, configuration: { baseURL: told.baseURL } }));
  },
  "langchain-anthropic-js": async () => {
    const { ChatAnthropic } = await import("@langchain/anthropic");
    await runLangchain(new ChatAnthropic({ model: MODEL, apiKey: KEY, anthropicApiUrl: BASE, maxTokens: 1000 }));
  },
  "lobe-chat-openai": () => runLobe("LobeOpenAI"),
  "lobe-chat-anthropic": () => runLobe("LobeAnthropicAI"),
  "cherry-openai-compatible": () =>
    runCherry("openai-compatible", { ...told, name: "mine", includeUsage: true }, { mine: { reasoningEffort: "low" } }),
  "cherry-anthropic": () =>
    runCherry("anthropic", told, { anthropic: { thinking: { type: "enabled", budgetTokens: 1024 } } }),
  "librechat-agents-openai": () =>
    runLibrechat({
      provider: "openAI",
      model: MODEL,
      apiKey: KEY,
      user: "somebody",
      streaming: true,
      streamUsage: true,
      configuration: { baseURL: told.baseURL },
    }),
  "librechat-agents-anthropic": () =>
    runLibrechat({
      provider: "anthropic",
      model: MODEL,
      apiKey: KEY,
      maxTokens: 4096,
      promptCache: true,
      thinking: { type: "enabled", budget_tokens: 2000 },
      clientOptions: { baseURL: BASE, defaultHeaders: { "anthropic-beta": "prompt-caching-2024-07-31" } },
    }),
  "openai-agents-js": async () => {
    const agents = await import("@openai/agents");
    const { default: OpenAI } = await import("openai");
    const { z } = await import("zod");
    agents.setTracingDisabled(true);
    const model = new agents.OpenAIChatCompletionsModel(new OpenAI(told), MODEL);
    const weather = agents.tool({
      name: "get_weather",
      description: "Tells the weather of a city.",
      parameters: z.object({ city: z.string() }),
      execute: ({ city }) => `Rain in ${city}`,
    });
    await agents.run(new agents.Agent({ name: "one", instructions: "Be careful.", model }), SKY);
    await agents.run(new agents.Agent({ name: "two", tools: [weather], model }), CITY);
    for await (const _ of await agents.run(new agents.Agent({ name: "three", model }), SKY, { stream: true }));
  },
};
await runs[name]();
