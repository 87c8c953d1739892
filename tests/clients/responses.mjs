// Responses with openai-node, whole and streamed: every copy of a text must be the same one.
import { MODEL, PROMPT, equal, require, step } from "./report.mjs";

const { OpenAI } = require("openai");
const client = new OpenAI();

const functions = { query_database: "sql", lookup_order: "order_id", delete_customer: "name" };
const tools = Object.entries(functions).map(([name, parameter]) => ({
  type: "function",
  name,
  strict: false,
  parameters: { type: "object", properties: { [parameter]: {} }, required: [parameter] },
}));
let whole;

await step("whole", async (said) => {
  whole = await client.responses.create({ model: MODEL, input: PROMPT });
  said.text = whole.output_text;
  said.usage = whole.usage;
});

await step("stream", async (said) => {
  const kinds = new Set();
  const copies = [];
  let next = 0;
  said.text = "";
  for await (const event of await client.responses.create({ model: MODEL, input: PROMPT, stream: true })) {
    kinds.add(event.type);
    // There are servers that number nothing.
    if (event.sequence_number != null) equal("the event's number and its place", event.sequence_number, next);
    next += 1;
    if (event.type === "response.output_text.delta") said.text += event.delta;
    if (event.type === "response.output_text.done") copies.push(event.text);
    if (event.type === "response.content_part.done") copies.push(event.part.text);
    if (event.type === "response.output_item.done") copies.push(event.item.content[0].text);
    if (event.type === "response.completed") {
      copies.push(event.response.output[0].content[0].text);
      said.usage = event.response.usage;
    }
  }
  equal("the copies of the text", said.text, ...copies);
  Object.assign(said, { events: next, copies: copies.length + 1, kinds: [...kinds] });
});

await step("helper", async (said) => {
  const stream = client.responses.stream({ model: MODEL, input: PROMPT });
  said.text = (await stream.finalResponse()).output_text;
});

await step("retrieve", async (said) => {
  const again = await client.responses.retrieve(whole.id);
  said.text = again.output_text;
  equal("the text and its later copy", whole.output_text, again.output_text);
});

await step("tool", async (said) => {
  const question = { role: "user", content: "What is in order 10?" };
  const first = await client.responses.create({ model: MODEL, input: [question], tools });
  const call = first.output[0];
  said.call = { [call.name]: JSON.parse(call.arguments) };
  const output = "a walnut desk, ordered by zq7x.k1@leak.example.com";
  const result = { type: "function_call_output", call_id: call.call_id, output };
  const second = await client.responses.create({ model: MODEL, input: [question, call, result], tools });
  said.text = second.output_text;
});

await step("tool-stream", async (said) => {
  const input = "Show order 10 and delete customer Bao Tran";
  const told = {};
  let final;
  for await (const event of await client.responses.create({ model: MODEL, input, tools, stream: true })) {
    if (event.type === "response.function_call_arguments.delta") {
      told[event.item_id] = (told[event.item_id] ?? "") + event.delta;
    }
    if (event.type === "response.completed") final = event.response;
  }
  const calls = final.output.filter((item) => item.type === "function_call");
  said.calls = calls.map((call) => ({ [call.name]: JSON.parse(call.arguments) }));
  said.texts = final.output.filter((item) => item.type === "message").map((item) => item.content[0].text);
  for (const call of calls) equal("the arguments", told[call.id], call.arguments);
});
