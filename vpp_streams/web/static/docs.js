// The API's documentation, rendered from openapi.json; needs no network beyond this server.

import { h, text } from "./dom.js";
import { toSignIn } from "./session.js";
import { tryOut } from "./try_out.js";

const response = await fetch("openapi.json");
if (response.status === 401) toSignIn();
const document_ = await response.json();
const schemas = document_.components.schemas;
const nameOf = (ref) => ref.split("/").pop();
const SCHEMAS = "Schemas";

function typeOf(schema) {
  if (schema.$ref) return h("a", { href: `#${nameOf(schema.$ref)}` }, nameOf(schema.$ref));
  const choices = schema.anyOf ?? schema.allOf;
  if (choices) return h("span", {}, choices.flatMap((c, i) => (i ? [" or ", typeOf(c)] : [typeOf(c)])));
  if (schema.enum) return schema.enum.map((v) => JSON.stringify(v)).join(" or ");
  if (schema.type === "array") return h("span", {}, "list", schema.items ? [" of ", typeOf(schema.items)] : []);
  if (schema.type === "object" && schema.additionalProperties) return h("span", {}, "map to ", typeOf(schema.additionalProperties));
  return schema.type ?? "any";
}

/** A parameter's type, limits, default and meaning, as words with commas. */
function parameter(p) {
  const schema = p.schema.anyOf?.find((s) => s.type !== "null") ?? p.schema;
  const words = [["minimum", "at least"], ["maximum", "at most"], ["maxLength", "maximum characters:"]]
    .filter(([key]) => schema[key] !== undefined).map(([key, label]) => `${label} ${schema[key]}`);
  if (p.schema.default !== undefined) words.push(`default ${JSON.stringify(p.schema.default)}`);
  if (p.description) words.push(p.description);
  return h("li", {}, h("code", {}, p.name), " ", typeOf(schema), words.map((word) => `, ${word}`));
}

const idOf = (path, method) => `${method}-${path.replace("/api/v1/", "").replaceAll(/[^\w]+/g, "-")}`;

function operation(path, method, described) {
  const [, answer] = Object.entries(described.responses).find(([status]) => /^[23]/.test(status));
  const schema = answer.content?.["application/json"]?.schema;
  const body = described.requestBody?.content["application/json"].schema;
  const parameters = (described.parameters ?? []).filter((p) => p.in !== "header");
  return h("details", { class: "panel schema", id: idOf(path, method) },
    h("summary", {}, h("h3", {}, h("code", {}, `${method.toUpperCase()} ${path}`))),
    h("p", { class: "preline" }, described.description ?? described.summary ?? ""),
    parameters.length ? h("ul", { class: "fields" }, parameters.map(parameter)) : null,
    described.security ? h("p", { class: "note" }, "Requires a right to give orders (a session, or Authorization: Bearer …)", body ? [" and ", typeOf(body)] : []) : null,
    h("p", { class: "note" }, "Answers ", schema ? typeOf(schema) : answer.description),
    tryOut({ path, method, parameters, fields: body && schemas[nameOf(body.$ref)].properties }));
}

function shape([name, schema]) {
  const fields = Object.entries(schema.properties ?? {});
  return h("details", { class: "panel schema", id: name }, h("summary", {}, h("h3", {}, h("code", {}, name))),
    h("p", { class: "preline" }, schema.description ?? ""),
    h("ul", { class: "fields" }, fields.map(([field, s]) => h("li", {}, h("code", {}, field), " ", typeOf(s),
      s.description ? h("span", { class: "note" }, ` – ${s.description}`) : null))));
}

/** Operations by their tag, in the order of the document. */
function tagged() {
  const found = new Map();
  for (const [path, item] of Object.entries(document_.paths)) {
    for (const [method, described] of Object.entries(item)) {
      const tag = described.tags?.[0] ?? "Other";
      found.set(tag, [...(found.get(tag) ?? []), [path, method, described]]);
    }
  }
  return found;
}

/** The contents: every operation, filtered by what is typed; and every schema. */
function contents(groups) {
  const search = h("input", { type: "search", placeholder: "Find a path or schema", "aria-label": "Find a path or schema" });
  const found = h("p", { class: "unseen", role: "status" });
  const entry = (id, words) => h("li", {}, h("a", { href: `#${id}` }, words));
  const lists = [
    ...[...groups].map(([tag, operations]) => [tag, operations.map(([path, method]) => entry(idOf(path, method), `${method.toUpperCase()} ${path.replace("/api/v1", "")}`))]),
    [SCHEMAS, Object.keys(schemas).map((name) => entry(name, name))],
  ].map(([tag, entries]) => h("details", { open: tag !== SCHEMAS }, h("summary", {}, tag), h("ul", {}, entries)));
  search.addEventListener("input", () => {
    const wanted = search.value.trim().toLowerCase();
    let count = 0;
    for (const list of lists) {
      for (const item of list.querySelectorAll("li")) {
        item.hidden = !item.textContent.toLowerCase().includes(wanted);
        count += item.hidden ? 0 : 1;
      }
      list.hidden = !list.querySelector("li:not([hidden])");
      if (wanted) list.open = true;
    }
    text(found, `${count} found`);
  });
  return h("nav", { class: "contents", "aria-label": "Contents" }, search, found, lists);
}

const groups = tagged();
document.getElementById("main").replaceChildren(
  h("div", { class: "api" }, contents(groups), h("div", { class: "view" },
    h("h1", {}, "API"),
    h("p", { class: "preline" }, document_.info.description),
    h("p", {}, "Machine readable: ", h("a", { href: "openapi.json" }, "openapi.json"), ". The body of every error is ", typeOf({ $ref: "#/Problem" }), "."),
    [...groups].flatMap(([tag, operations]) => [h("h2", {}, tag), ...operations.map((one) => operation(...one))]),
    h("h2", {}, SCHEMAS),
    Object.entries(schemas).map(shape))));

/** Opens the part that the address names: the page was empty when the browser looked for it. */
function openNamed() {
  const part = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (part instanceof HTMLDetailsElement) part.open = true;
  part?.scrollIntoView();
}

addEventListener("hashchange", openNamed);
openNamed();
