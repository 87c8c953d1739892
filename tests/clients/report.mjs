// One JSON line per step on standard output, and an exit code of 1 if a step failed; and the packages of .tools/node.
import { createRequire } from "node:module";

export const MODEL = process.env.SLUICE_MODEL ?? "gpt-demo";
export const PROMPT =
  process.env.SLUICE_PROMPT ?? "Repeat: Write to zq7x.k1@leak.example.com, number 900-55-0001, before noon.";

// The packages lie beside the repository's other tools, where an import does not look.
export const require = createRequire(new URL("../../.tools/node/package.json", import.meta.url));

// The names of the steps that are wanted, with commas between them; all of them where there is none.
const wanted = (process.env.SLUICE_STEPS ?? "").split(",").filter(Boolean);

// Prints what the function puts into its argument; an error is printed, and does not end the program.
export async function step(name, run) {
  if (wanted.length > 0 && !wanted.includes(name)) return;
  const said = {};
  let line;
  try {
    await run(said);
    line = { step: name, ok: true, ...said };
  } catch (error) {
    process.exitCode = 1;
    line = { step: name, ok: false, ...said, ...raised(error) };
  }
  console.log(JSON.stringify(line));
}

// What a program can learn from an error of the SDK.
export function raised(error) {
  const found = { raised: error.constructor.name, message: error.message };
  for (const name of ["status", "code", "type", "param", "requestID", "error"]) {
    if (error[name] !== undefined && error[name] !== null) found[name] = error[name];
  }
  if (error.cause) found.cause = error.cause.constructor.name;
  return found;
}

// Fails where copies of one text differ.
export function equal(what, ...values) {
  if (new Set(values).size !== 1) throw new Error(`${what} differ: ${JSON.stringify(values)}`);
}
