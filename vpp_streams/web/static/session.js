// Requests to the API with the session of this browser, and who is signed in.

/** Paths that may be opened after signing in: pages of ours, whatever the address says. */
const RETURN = /^(#\/[\w/%.~:?=&-]{0,500}|docs)$/;

export const safeReturn = (to) => (RETURN.test(to ?? "") ? to : "#/");

/** Open the sign-in page, which comes back here. */
export function toSignIn() {
  const here = location.pathname.endsWith("/docs") ? "docs" : location.hash;
  location.replace(`sign-in.html#to=${encodeURIComponent(safeReturn(here))}`);
}

/**
 * `fetch` of a path of the API. A change carries the header that only pages of ours can send.
 * Without a session (401) the sign-in page opens, unless `stay` is set.
 */
export async function send(path, { stay = false, ...more } = {}) {
  const page = more.method && more.method !== "GET" ? { "X-VPP-Page": "1" } : {};
  const response = await fetch(`api/v1/${path}`, { ...more, headers: { ...more.headers, ...page } });
  if (response.status === 401 && !stay) toSignIn();
  return response;
}

/** The problem in an answer, as an Error of one sentence with the answer's `status`. */
export async function problemOf(response) {
  const problem = await response.json().catch(() => null);
  const words = problem?.error ? `${problem.error}${problem.hint ? ` – ${problem.hint}` : ""}` : `The web process does not answer (${response.status}).`;
  return Object.assign(new Error(words), { status: response.status, needs: response.headers.get("X-VPP-Needs") });
}

/** POST a document; returns the decoded answer. Throws an Error whose message is one sentence. */
export async function post(path, body = {}, options = {}) {
  const response = await send(path, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), ...options,
  });
  if (!response.ok) throw await problemOf(response);
  return response.json();
}

let actions = [];

/** Who is signed in: {name, roles, may}; null while the sign-in page opens. */
export async function whoAmI() {
  const response = await send("me");
  if (response.status === 401) return null;
  if (!response.ok) throw await problemOf(response);
  const me = await response.json();
  actions = me.may;
  return me;
}

/** Whether the person may do an action anywhere: what nobody here may do is not offered. */
export const may = (action) => actions.includes(action);

/** End the session of this browser, and open the sign-in page. */
export async function signOut() {
  await post("session/end").catch(() => {});
  location.replace("sign-in.html");
}
