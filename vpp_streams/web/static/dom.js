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
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

/** Set an element's text, only if it has changed. */
export function text(element, value) {
  if (element.textContent !== value) element.textContent = value;
}

/**
 * A table; `columns` are {label, unseen?, head?, sorted?, kind?: "number" | "id", cell(row)}: `unseen`
 * labels are only read aloud, `head` is shown in place of the label. On narrow screens each row is a
 * card. A box that the table overflows can be scrolled with the keyboard.
 */
export function table(caption, columns, rows, empty) {
  if (!rows.length) return h("p", { class: "empty" }, empty);
  const head = columns.map((c) => h("th", { scope: "col", class: c.kind, "aria-sort": c.sorted },
    c.unseen ? h("span", { class: "unseen" }, c.label) : c.head ?? c.label));
  const body = rows.map((row) =>
    h("tr", {}, columns.map((c) =>
      h("td", { class: c.kind, "data-label": c.unseen ? "" : c.label }, h("span", {}, c.cell(row))),
    )),
  );
  const element = h("table", {},
    h("caption", { class: "unseen" }, caption),
    h("thead", {}, h("tr", {}, head)),
    h("tbody", {}, body),
  );
  new ResizeObserver(() => scrollable(element.parentElement, caption)).observe(element);
  return element;
}

/** Lets the keyboard reach a box that has to be scrolled sideways, and no other. */
function scrollable(box, name) {
  const over = box && box.scrollWidth > box.clientWidth;
  for (const [attribute, value] of [["tabindex", "0"], ["role", "region"], ["aria-label", name]]) {
    if (over) box.setAttribute(attribute, value);
    else box?.removeAttribute(attribute);
  }
}

/**
 * Replace a box's content; a link or button in it that has the focus and is there again keeps it. It
 * is known by `data-key`, its address, or its words.
 */
export function refill(box, ...content) {
  const keyOf = (one) => one.dataset.key ?? one.getAttribute("href") ?? one.textContent;
  const focused = box.contains(document.activeElement) && document.activeElement !== box ? document.activeElement : null;
  box.replaceChildren(...content);
  if (!focused || focused === document.activeElement) return;
  const again = [...box.querySelectorAll("a, button")].find((one) => keyOf(one) === keyOf(focused));
  again?.focus({ preventScroll: true });
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
