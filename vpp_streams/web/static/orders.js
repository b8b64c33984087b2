// Orders to the API as an operator. The token stays in this tab: in sessionStorage, never in an address.

const KEY = "vpp-operator-token";

export const token = {
  get: () => sessionStorage.getItem(KEY),
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

/**
 * `fetch` with the operator's token, if this tab has one: operators have places when others have
 * taken all of theirs. A token that no operator has (401) is forgotten.
 */
export async function send(path, { headers = {}, ...more } = {}, mine = token.get()) {
  const response = await fetch(`api/v1/${path}`, {
    ...more, headers: mine ? { ...headers, Authorization: `Bearer ${mine}` } : headers,
  });
  if (response.status === 401 && token.get() === mine) token.forget();
  return response;
}

/** The problem in an answer, as an Error of one sentence with the answer's `status`. */
export async function problemOf(response) {
  const problem = await response.json().catch(() => null);
  const words = problem?.error ? `${problem.error}${problem.hint ? ` – ${problem.hint}` : ""}` : `The web process does not answer (${response.status}).`;
  return Object.assign(new Error(words), { status: response.status });
}

/**
 * POST an order with a token, which is kept unless no operator has it; later reads of this tab use
 * it too. Throws an Error whose message is one sentence.
 */
export async function order(path, body, mine) {
  const response = await send(path, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  }, mine);
  if (![401, 429].includes(response.status)) token.set(mine);
  if (!response.ok) throw await problemOf(response);
  return response.json();
}
