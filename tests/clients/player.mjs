// The player's own half that reads recordings and keeps their time, as its page runs it in a worker: what it makes of
// the cast in the file that is named, as one document.
import { readFileSync } from "node:fs";

const seen = { output: "", sizes: [], reset: null, duration: null, ended: false };
const open = new Map();
globalThis.onmessage = null;
globalThis.postMessage = ({ id, result, error, params }) => {
  if (id !== undefined) {
    const { resolve, reject } = open.get(id);
    return error === undefined ? resolve(result) : reject(new Error(JSON.stringify(error)));
  }
  const { name, event } = params;
  if (name === "output") seen.output += [event].flat().join("");
  if (name === "resize") seen.sizes.push([event.cols, event.rows]);
  if (name === "reset") seen.reset = [event.size.cols, event.size.rows];
  if (name === "ended") seen.ended = true;
  if (name === "error") throw new Error(JSON.stringify(event));
};
await import(new URL("dist/worker.js", new URL(process.env.PLAYER + "/", "file:")).href);

let last = 0;
const ask = (method, params) =>
  new Promise((resolve, reject) => {
    last += 1;
    open.set(last, { resolve, reject });
    globalThis.onmessage({ data: { id: last, method, params } });
  });

const data = readFileSync(process.argv[2], "utf8");
await ask("new", [{ data }, { preload: true }]);
for (const name of ["output", "resize", "reset", "ended", "error"]) await ask("addEventListener", [name]);
await ask("terminalReady");
await ask("init");
seen.duration = await ask("getDuration");
await ask("seek", "100%");
console.log(JSON.stringify(seen));
