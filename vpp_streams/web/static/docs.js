// The API's documentation, rendered from openapi.json; needs no network beyond this server.

import { h, panel } from "./dom.js";
import { toSignIn } from "./session.js";

const response = await fetch("openapi.json");
if (response.status === 401) toSignIn();
const document_ = await response.json();
const schemas = document_.components.schemas;
const nameOf = (ref) => ref.split("/").pop();

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

function operation(path, method, described) {
  const [, answer] = Object.entries(described.responses).find(([status]) => /^[23]/.test(status));
  const schema = answer.content?.["application/json"]?.schema;
  const body = described.requestBody?.content["application/json"].schema;
  const example = path.includes("{") || method !== "get" ? null : h("a", { href: path.slice(1) }, "try it");
  const parameters = (described.parameters ?? []).filter((p) => p.in !== "header");
  return panel(h("code", {}, `${method.toUpperCase()} ${path}`), example,
    h("p", {}, described.description ?? described.summary ?? ""),
    parameters.length ? h("ul", { class: "fields" }, parameters.map(parameter)) : null,
    described.security ? h("p", { class: "note" }, "Requires a right to give orders (a session, or Authorization: Bearer …)", body ? [" and ", typeOf(body)] : []) : null,
    h("p", { class: "note" }, "Answers ", schema ? typeOf(schema) : answer.description));
}

function shape([name, schema]) {
  const fields = Object.entries(schema.properties ?? {});
  return h("section", { class: "panel", id: name }, h("header", {}, h("h2", {}, h("code", {}, name))),
    h("p", { class: "preline" }, schema.description ?? ""),
    h("ul", { class: "fields" }, fields.map(([field, s]) => h("li", {}, h("code", {}, field), " ", typeOf(s),
      s.description ? h("span", { class: "note" }, ` – ${s.description}`) : null))));
}

document.getElementById("main").replaceChildren(
  h("div", { class: "view" },
    h("h1", {}, "API"),
    h("p", { class: "preline" }, document_.info.description),
    h("p", {}, "Machine readable: ", h("a", { href: "openapi.json" }, "openapi.json"), ". The body of every error is ", typeOf({ $ref: "#/Problem" }), "."),
    Object.entries(document_.paths).flatMap(([path, item]) =>
      Object.entries(item).map(([method, described]) => operation(path, method, described))),
    h("h1", {}, "Schemas"),
    Object.entries(schemas).map(shape)));
