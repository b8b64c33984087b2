// Builds elements. Data becomes only text or an attribute's value, never markup.

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element with attributes (class, on*, aria-*, …) and children (nodes or text). */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** An SVG element. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Set an element's text, only if it has changed. */
export function text(element, value) {
  if (element.textContent !== value) element.textContent = value;
}

/** A table; `columns` are {label, kind?: "number" | "id", cell(row)}; on narrow screens each row is a card. */
export function table(caption, columns, rows, empty) {
  if (!rows.length) return h("p", { class: "empty" }, empty);
  const head = columns.map((c) => h("th", { scope: "col", class: c.kind }, c.label));
  const body = rows.map((row) =>
    h("tr", {}, columns.map((c) =>
      h("td", { class: c.kind, "data-label": c.label }, h("span", {}, c.cell(row))),
    )),
  );
  return h("table", {},
    h("caption", { class: "unseen" }, caption),
    h("thead", {}, h("tr", {}, head)),
    h("tbody", {}, body),
  );
}

/** A box with a heading, the basis of its numbers, and content. */
export function panel(title, basis, ...content) {
  const aside = basis ? h("div", { class: "basis" }, basis) : null;
  return h("section", { class: "panel" }, h("header", {}, h("h2", {}, title), aside), content);
}

/** A number with its name. Returns the element; `set(value, note)` changes it. */
export function tile(label, kind = "") {
  const value = h("dd", { class: "value" }, "–");
  const note = h("dd", { class: "note" });
  const element = h("div", { class: `tile ${kind}` }, h("dt", {}, label), value, note);
  return { element, set(shown, words = "") { text(value, shown); text(note, words); } };
}

/** A bar whose length is a share 0..1; the number is shown beside it. */
export function bar(tone) {
  const length = h("span", { class: tone });
  return {
    element: h("div", { class: "bar-track", "aria-hidden": "true" }, length),
    set(share) { length.style.width = `${100 * Math.max(0, Math.min(1, share || 0))}%`; },
  };
}
