// The common parts of operators' forms: the token, sending an order, and its outcome in words.

import { h, text } from "../dom.js";
import { order, token } from "../orders.js";

export function field(label, input) {
  return h("label", { class: "field" }, h("span", {}, label), input);
}

/**
 * `give(to, body, done, answers)` POSTs an order and shows its outcome; `answers` is false where the
 * region role does not answer. `onOrder()` is called after it.
 */
export function giving(onOrder) {
  const said = h("p", { class: "said", role: "status" });
  const secret = h("input", { type: "password", autocomplete: "off", name: "token", placeholder: "kept in this tab only" });
  const tokenField = field("Operator's token", secret);

  function showOutcome(words, bad = false) {
    said.className = bad ? "said problem" : "said";
    text(said, words);
  }

  /** Shows the token's field only if this tab has no token. */
  function showToken() {
    tokenField.hidden = Boolean(token.get());
    secret.disabled = tokenField.hidden;
  }

  async function give(to, body, done, answers = true) {
    const mine = token.get() ?? secret.value.trim();
    secret.value = "";
    if (!mine) {
      showOutcome("An order needs an operator's token.", true);
      secret.focus();
      return false;
    }
    showOutcome("Waiting for the region …");
    let accepted = false;
    try {
      const answer = await order(to, body, mine);
      accepted = true;
      showOutcome(answers && answer.state === "written" ? `${answer.request_id} is written; no region worker has answered yet.` : `${answer.request_id ?? answer.incident_id}: ${done}${answer.reason ? `, ${answer.reason}` : ""}.`);
    } catch (error) {
      showOutcome(error instanceof TypeError ? "The web process does not answer." : error.message, true);
    }
    showToken();
    onOrder();
    return accepted;
  }

  showToken();
  return { said, tokenField, showToken, give };
}
