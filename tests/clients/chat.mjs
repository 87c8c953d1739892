// Chat completions with openai-node: whole, streamed, with several choices, with tools.
import { MODEL, PROMPT, require, step } from "./report.mjs";

const { OpenAI } = require("openai");
const client = new OpenAI();

const functions = { query_database: "sql", lookup_order: "order_id", delete_customer: "name" };
const tools = Object.entries(functions).map(([name, parameter]) => ({
  type: "function",
  function: {
    name,
    parameters: { type: "object", properties: { [parameter]: {} }, required: [parameter] },
  },
}));

const ask = (content = PROMPT, more = {}) =>
  client.chat.completions.create({ model: MODEL, messages: [{ role: "user", content }], ...more });

await step("models", async (said) => {
  said.models = [];
  for await (const model of client.models.list()) said.models.push(model.id);
});

await step("whole", async (said) => {
  const completion = await ask();
  said.text = completion.choices[0].message.content;
  said.finish = completion.choices[0].finish_reason;
  said.usage = completion.usage;
});

await step("stream", async (said) => {
  Object.assign(said, { text: "", chunks: 0 });
  for await (const chunk of await ask(PROMPT, { stream: true, stream_options: { include_usage: true } })) {
    said.chunks += 1;
    said.text += chunk.choices[0]?.delta.content ?? "";
    said.finish = chunk.choices[0]?.finish_reason ?? said.finish;
    said.usage = chunk.usage ?? said.usage;
  }
});

await step("choices", async (said) => {
  said.texts = {};
  for await (const chunk of await ask(PROMPT, { stream: true, n: 2 })) {
    for (const choice of chunk.choices) {
      said.texts[choice.index] = (said.texts[choice.index] ?? "") + (choice.delta.content ?? "");
    }
  }
});

await step("helper", async (said) => {
  const stream = client.chat.completions.stream({ model: MODEL, messages: [{ role: "user", content: PROMPT }] });
  said.text = await stream.finalContent();
});

await step("tool", async (said) => {
  const question = { role: "user", content: "How many customers are there?" };
  const first = await client.chat.completions.create({ model: MODEL, messages: [question], tools });
  const call = first.choices[0].message.tool_calls[0];
  said.call = { [call.function.name]: JSON.parse(call.function.arguments) };
  const result = { role: "tool", tool_call_id: call.id, content: "count: 6, first: zq7x.k1@leak.example.com" };
  const messages = [question, first.choices[0].message, result];
  const second = await client.chat.completions.create({ model: MODEL, messages, tools });
  said.text = second.choices[0].message.content;
});

await step("tool-stream", async (said) => {
  const messages = [{ role: "user", content: "Show order 10 and delete customer Bao Tran" }];
  const stream = client.chat.completions.stream({ model: MODEL, messages, tools });
  const completion = await stream.finalChatCompletion();
  const calls = completion.choices[0].message.tool_calls ?? [];
  said.calls = calls.map((call) => ({ [call.function.name]: JSON.parse(call.function.arguments) }));
  said.finish = completion.choices[0].finish_reason;
});

await step("embeddings", async (said) => {
  const vectors = await client.embeddings.create({ model: "text-embedding-demo", input: ["one text", "another"] });
  said.dimensions = vectors.data.map((item) => item.embedding.length);
});
