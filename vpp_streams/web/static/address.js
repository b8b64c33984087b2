// The part of a page's state that its address has, so that Back, a reload and a link keep it.

/** The path and the parameters behind the `#` of the address. */
function parts() {
  const [path, query = ""] = location.hash.slice(1).split("?");
  return { path, query: new URLSearchParams(query) };
}

/** The address of this page with other parameters; an empty value leaves one out. */
export function addressWith(changes, path = parts().path) {
  const { query } = parts();
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === undefined || value === "") query.delete(name);
    else query.set(name, value);
  }
  return `#${path}${query.size ? `?${query}` : ""}`;
}

/**
 * Put parameters into the address of the page that is shown. It becomes an entry of its own for
 * Back, except while somebody types (`typing`).
 */
export function remember(changes, { typing = false } = {}) {
  const to = addressWith(changes);
  if (to === location.hash) return;
  history[typing ? "replaceState" : "pushState"](null, "", to);
}

/** The chosen one of `values` in the parameters, else `other`. Values are compared as text. */
export function chosen(parameters, name, values, other) {
  return values.find((value) => String(value) === parameters.get(name)) ?? other;
}
