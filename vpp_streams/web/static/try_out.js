// A form that sends a request of the API and shows the answer as it is.

import { h, text } from "./dom.js";
import { send } from "./session.js";

const SHOWN = 20_000;

/** A value to begin with for a field of an order; null = what is left out. */
function example(schema) {
  if (schema.default !== undefined) return schema.default;
  const one = schema.anyOf?.find((s) => s.type !== "null") ?? schema;
  if (schema.anyOf?.some((s) => s.type === "null")) return null;
  return { number: 0, integer: 0, boolean: false, array: [], object: {} }[one.type] ?? "";
}

function input(p) {
  const schema = p.schema.anyOf?.find((s) => s.type !== "null") ?? p.schema;
  const values = schema.enum;
  const field = values
    ? h("select", { name: p.name }, p.required ? null : h("option", { value: "" }, ""), values.map((v) => h("option", {}, v)))
    : h("input", { name: p.name, required: p.required, placeholder: p.schema.default ?? "" });
  return h("label", { class: "field" }, h("span", {}, p.name), field);
}

async function shownAnswer(response) {
  // The live stream never ends: its first events show what it sends.
  if (response.headers.get("Content-Type")?.startsWith("text/event-stream")) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const [first, second] = [await reader.read(), await reader.read()];
    await reader.cancel();
    return `${first.value}${second.value ?? ""}`;
  }
  const words = await response.text();
  try {
    return JSON.stringify(JSON.parse(words), null, 2);
  } catch {
    return words;
  }
}

/** `operation`: {path, method, parameters, fields}; `fields` are those of its body. */
export function tryOut({ path, method, parameters, fields }) {
  const body = fields && h("textarea", { name: "body", rows: 8, spellcheck: "false", "aria-label": "Body, JSON" },
    JSON.stringify(Object.fromEntries(Object.entries(fields).map(([name, schema]) => [name, example(schema)]).filter(([, value]) => value !== null)), null, 2));
  const status = h("p", { class: "said", role: "status" });
  const shown = h("pre", { class: "answer", tabindex: 0, "aria-label": "Answer", hidden: true });
  const form = h("form", { class: "order" },
    parameters.map(input), body ?? null, h("button", { class: method === "get" ? "" : "danger" }, "Send"));

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (method !== "get" && !confirm(`${method.toUpperCase()} ${path} is not a trial: send it to this system?`)) return;
    const value = (name) => form.elements.namedItem(name).value;
    const query = new URLSearchParams(parameters.filter((p) => p.in === "query" && value(p.name) !== "").map((p) => [p.name, value(p.name)]));
    const to = path.replace("/api/v1/", "").replaceAll(/\{(\w+)\}/g, (_, name) => encodeURIComponent(value(name))) + (query.size ? `?${query}` : "");
    const extra = method === "get" ? {} : { method: method.toUpperCase(), headers: { "Content-Type": "application/json" }, body: body?.value };
    text(status, "Waiting …");
    try {
      const response = await send(to, { stay: true, ...extra });
      const words = await shownAnswer(response);
      text(status, `${response.status} ${response.statusText}: /api/v1/${to}`);
      text(shown, words.length > SHOWN ? `${words.slice(0, SHOWN)}\n… ${words.length - SHOWN} more characters` : words);
      shown.hidden = false;
    } catch (error) {
      text(status, error instanceof TypeError ? "The web process does not answer." : error.message);
    }
  });
  return h("details", { class: "try" }, h("summary", {}, "Try it"), form, status, shown);
}
