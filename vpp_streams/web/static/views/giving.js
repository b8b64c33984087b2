// The common parts of forms for orders: sending an order, and its outcome in words.

import { h, text } from "../dom.js";
import { post } from "../session.js";

export function field(label, input) {
  return h("label", { class: "field" }, h("span", {}, label), input);
}

/**
 * `give(to, body, done, answers)` POSTs an order and shows its outcome; `answers` is false where the
 * region role does not answer. `onOrder()` is called after it.
 */
export function giving(onOrder) {
  const said = h("p", { class: "said", role: "status" });

  function showOutcome(words, bad = false) {
    said.className = bad ? "said problem" : "said";
    text(said, words);
  }

  async function give(to, body, done, answers = true) {
    showOutcome("Waiting for the region …");
    let accepted = false;
    try {
      const answer = await post(to, body);
      accepted = true;
      showOutcome(answers && answer.state === "written" ? `${answer.request_id} is written; no region worker has answered yet.` : `${answer.request_id ?? answer.incident_id}: ${done}${answer.reason ? `, ${answer.reason}` : ""}.`);
    } catch (error) {
      showOutcome(error instanceof TypeError ? "The web process does not answer." : error.message, true);
    }
    onOrder();
    return accepted;
  }

  return { said, give };
}
