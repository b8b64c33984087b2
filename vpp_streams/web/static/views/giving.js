// What every form of an operator needs: the token, an order given, and what became of it in words.

import { h, text } from "../dom.js";
import { order, token } from "../orders.js";

export function field(label, input) {
  return h("label", { class: "field" }, h("span", {}, label), input);
}

/** `give(to, body, done)` POSTs an order and tells what became of it; `onOrder()` comes after it. */
export function giving(onOrder) {
  const said = h("p", { class: "said", role: "status" });
  const secret = h("input", { type: "password", autocomplete: "off", name: "token", placeholder: "kept in this tab only" });
  const tokenField = field("Operator's token", secret);

  function tell(words, bad = false) {
    said.className = bad ? "said problem" : "said";
    text(said, words);
  }

  /** Whether this tab has a token decides what is shown. */
  function showToken() {
    tokenField.hidden = Boolean(token.get());
    secret.disabled = tokenField.hidden;
  }

  async function give(to, body, done) {
    const mine = token.get() ?? secret.value.trim();
    secret.value = "";
    if (!mine) {
      tell("An order needs an operator's token.", true);
      secret.focus();
      return false;
    }
    tell("Waiting for the region …");
    let taken = false;
    try {
      const answer = await order(to, body, mine);
      taken = true;
      tell(answer.state === "written" ? `${answer.request_id} is written; no region worker has answered yet.` : `${answer.request_id}: ${done}${answer.reason ? `, ${answer.reason}` : ""}.`);
    } catch (error) {
      tell(error instanceof TypeError ? "The web process does not answer." : error.message, true);
    }
    showToken();
    onOrder();
    return taken;
  }

  showToken();
  return { said, tokenField, showToken, give };
}
