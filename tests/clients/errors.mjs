// What openai-node makes of refusals, spent budgets, holds and streams that break off.
//
// `SLUICE_ASKS` is a JSON list of requests: `step`, and as wanted `api` (`responses` or `chat`), `stream`, `prompt`,
// `model`, `timeout` (seconds), `announced` (the same for one request, which the SDK then tells the server), `retries`,
// `key`. Without it the answers of `cookbook.py` are asked for, one by one.
import { MODEL, raised, require, step } from "./report.mjs";

const { OpenAI } = require("openai");

const apis = ["responses", "chat"];
const words = ["refused", "budget", "budget-soon", "pending", "timed-out", "held", "held-then-refused"];
const cookbook = [
  ...words.flatMap((word) =>
    apis.map((api) => ({ step: `${word}-${api}`, api, prompt: `answer:${word}`, timeout: 5 })),
  ),
  ...["refused", "midway", "cut"].flatMap((word) =>
    apis.map((api) => ({ step: `${word}-${api}-stream`, api, prompt: `answer:${word}`, stream: true, timeout: 5 })),
  ),
];

async function ask({ api = "responses", stream = false, prompt, model = MODEL, timeout, announced, retries, key }, said) {
  const more = {};
  if (timeout !== undefined) more.timeout = timeout * 1000;
  if (retries !== undefined) more.maxRetries = retries;
  if (key !== undefined) more.apiKey = key;
  const client = new OpenAI(more);
  const once = announced === undefined ? {} : { timeout: announced * 1000 };
  const given =
    api === "chat"
      ? await client.chat.completions.create({ model, messages: [{ role: "user", content: prompt }], stream }, once)
      : await client.responses.create({ model, input: prompt, stream }, once);
  if (!stream) {
    said.text = api === "chat" ? given.choices[0].message.content : given.output_text;
    return;
  }
  said.text = "";
  for await (const event of given) {
    if (api === "chat") said.text += event.choices[0]?.delta.content ?? "";
    else if (event.type === "response.output_text.delta") said.text += event.delta;
    said.last = event.type ?? event.object;
  }
}

for (const request of JSON.parse(process.env.SLUICE_ASKS ?? "null") ?? cookbook) {
  await step(request.step, async (said) => {
    const began = performance.now();
    try {
      await ask(request, said);
    } catch (error) {
      // The error is what is looked for: the step is done.
      Object.assign(said, raised(error));
    }
    said.seconds = Math.round((performance.now() - began) / 100) / 10;
  });
}
