// Orders to the API as an operator. The token stays in this tab: sessionStorage, never an address.

const KEY = "vpp-operator-token";

export const token = {
  get: () => sessionStorage.getItem(KEY),
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

/** POST an order. Throws an Error whose message is one sentence; a token that is nobody's is forgotten. */
export async function order(path, body = {}) {
  const response = await fetch(`api/v1/${path}`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${token.get() ?? ""}` },
    body: JSON.stringify(body),
  });
  const answer = await response.json();
  if (response.status === 401) token.forget();
  if (!response.ok) throw new Error(`${answer.error}${answer.hint ? ` – ${answer.hint}` : ""}`);
  return answer;
}
