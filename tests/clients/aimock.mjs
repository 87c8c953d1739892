// A fake of OpenAI's API by others (@copilotkit/aimock): `node aimock.mjs [PORT]`.
//
// It answers every question with a text that holds protected values, cut so that no piece holds a whole one, or with
// a call of the first tool that is offered. `AIMOCK_KEY` is the key that it wants to see; without it, any will do. The
// first line on standard output is `{"port":…}`; then follows one line per request.
import { require } from "./report.mjs";

const { LLMock } = require("@copilotkit/aimock");

const SECRETS = "Write to zq7x.k1@leak.example.com; the number is 900-55-0001, and again zq7x.k1@leak.example.com.";
const CHUNK = 3;

const offers = (request) => (request.tools ?? []).length > 0 && request.messages.at(-1)?.role === "user";
const keys = process.env.AIMOCK_KEY ? { auth: { apiKeys: [process.env.AIMOCK_KEY] } } : {};
const port = Number(process.argv[2] ?? 0);
const mock = new LLMock({ port, host: "127.0.0.1", chunkSize: CHUNK, latency: 2, ...keys });
mock.on({ predicate: offers }, (request) => {
  const name = request.tools[0].function.name;
  return { toolCalls: [{ name, arguments: JSON.stringify({ sql: "SELECT 1", to: "zq7x.k1@leak.example.com" }) }] };
});
mock.onEmbedding(/./, { embedding: [0.25, 0.5, -0.5] });
mock.on({}, { content: SECRETS });
await mock.start();
console.log(JSON.stringify({ port: mock.port }));

let told = 0;
function tell() {
  const requests = mock.getRequests();
  for (const { method, path, headers, body, response } of requests.slice(told)) {
    console.log(JSON.stringify({ method, path, headers, body, status: response.status }));
  }
  told = requests.length;
}
setInterval(tell, 50);
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, () => {
    tell();
    process.exit(0);
  });
}
