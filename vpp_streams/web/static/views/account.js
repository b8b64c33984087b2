// One's own account: roles, password, second factor, sessions and tokens.

import { h, panel, table, text } from "../dom.js";
import { dateTime } from "../format.js";
import { get } from "../live.js";
import { post } from "../session.js";
import { field } from "./giving.js";

const WAYS = { password: "password", link: "link", oidc: "organisation" };
const whereWords = (scope) => (scope === "*" ? "every region" : scope.replace(":", " "));

/** A form that shows the outcome of what it sends; `submit()` returns a sentence or an element. */
function changing(title, fields, button, submit) {
  const said = h("p", { class: "said", role: "status" });
  const element = h("form", {
    class: "order",
    onsubmit: async (event) => {
      event.preventDefault();
      said.className = "said";
      try {
        said.replaceChildren(await submit());
        element.reset();
      } catch (error) {
        said.className = "said problem";
        text(said, error instanceof TypeError ? "The web process does not answer." : error.message);
      }
    },
  }, fields, h("button", { class: "primary" }, button));
  return h("div", {}, title ? h("h3", {}, title) : null, element, said);
}

const secret = (label, autocomplete, more = {}) => {
  const input = h("input", { type: "password", required: true, autocomplete, maxlength: 256, ...more });
  return [input, field(label, input)];
};

function passwordForm() {
  const [old, oldField] = secret("Present password", "current-password");
  const [fresh, freshField] = secret("New password, 12 characters or more", "new-password", { minlength: 12 });
  return changing("Change the password", [oldField, freshField], "Change it",
    async () => (await post("account/password", { old: old.value, new: fresh.value })).said);
}

function secondFactor(account, reload) {
  const [password, passwordField] = secret("Password", "current-password");
  if (account.has_totp) {
    return changing("", [passwordField], "Turn it off", async () => {
      const { said } = await post("account/totp/off", { password: password.value });
      reload();
      return said;
    });
  }
  return changing("", [passwordField], "Set it up", async () => {
    const start = await post("account/totp", { password: password.value });
    const code = h("input", { inputmode: "numeric", autocomplete: "one-time-code", required: true, maxlength: 16 });
    const confirm = changing("", [field("Code that the app shows", code)], "Turn it on", async () => {
      const { said } = await post("account/totp/confirm", { code: code.value.trim() });
      reload();
      return said;
    });
    return h("div", { class: "stack" },
      h("p", {}, "Scan this with an authenticator app, or type the secret into it. Both are shown only now."),
      h("img", { class: "qr", src: start.qr, alt: `QR code of the secret ${start.secret}` }),
      h("code", {}, start.secret), confirm);
  });
}

function tokenForm(account, reload) {
  const name = h("input", { required: true, maxlength: 64, placeholder: "what it is for" });
  const days = h("input", { type: "number", required: true, min: 1, max: 366, value: 90 });
  const boxes = account.may.map((action) => [action, h("input", { type: "checkbox", checked: action.startsWith("read_") })]);
  return changing("New token",
    [field("Name", name), field("Days", days), h("fieldset", { class: "ticks" }, h("legend", {}, "It may"),
      boxes.map(([action, box]) => h("label", { class: "tick" }, box, ` ${action.replaceAll("_", " ")}`)))],
    "Make the token", async () => {
      const may = boxes.filter(([, box]) => box.checked).map(([action]) => action);
      const { token } = await post("account/tokens", { name: name.value, days: Number(days.value), may });
      reload();
      return h("span", {}, "Shown only now: ", h("code", {}, token));
    });
}

export function accountView() {
  const roles = h("ul", { class: "fields" });
  const [sessions, tokens] = [h("div", { class: "rows" }), h("div", { class: "rows" })];
  const [password, second, newToken] = [h("div"), h("div"), h("div")];
  const secondBasis = h("span");
  const ending = h("p", { class: "said", role: "status" });
  let shown = "";

  const end = (what, key) => h("button", {
    type: "button",
    onclick: async () => {
      try {
        text(ending, (await post(`account/${what}/${key}/end`)).said);
      } catch (error) {
        text(ending, error.message);
      }
      load();
    },
  }, "End");

  function show(account) {
    roles.replaceChildren(...account.roles.map((one) => h("li", {}, h("b", {}, one.role), ` of ${whereWords(one.scope)}`)));
    sessions.replaceChildren(table("Sessions", [
      { label: "Since", kind: "id", cell: (s) => dateTime(s.made_at_ms) },
      { label: "Seen", kind: "id", cell: (s) => dateTime(s.seen_at_ms) },
      { label: "By", cell: (s) => WAYS[s.how] ?? s.how },
      { label: "From", cell: (s) => s.address },
      { label: "Browser", cell: (s) => s.agent },
      { label: "Action", cell: (s) => (s.key === account.session ? "this one" : end("sessions", s.key)) },
    ], account.sessions, "There is no session."));
    tokens.replaceChildren(table("Tokens", [
      { label: "Name", cell: (t) => t.name },
      { label: "May", cell: (t) => t.actions.join(", ").replaceAll("_", " ") },
      { label: "Ends", kind: "id", cell: (t) => dateTime(t.ends_at_ms) },
      { label: "Action", cell: (t) => end("tokens", t.key) },
    ], account.tokens, "You have no tokens. Programs need one; browsers do not."));
    const kind = JSON.stringify([account.has_password, account.has_totp, account.may]);
    if (kind === shown) return; // the forms keep what was typed into them
    shown = kind;
    text(secondBasis, account.has_totp ? "on: signing in needs a code" : "off");
    const without = () => h("p", { class: "note" }, "This account has no password: its owner signs in with a link or an organisation.");
    password.replaceChildren(account.has_password ? passwordForm() : without());
    second.replaceChildren(account.has_password ? secondFactor(account, load) : without());
    newToken.replaceChildren(tokenForm(account, load));
  }

  async function load(signal) {
    show(await get("account", {}, signal));
  }

  return {
    title: "Account",
    everyMs: 10_000,
    element: h("div", { class: "view" }, h("h1", {}, "Your account"),
      panel("Roles", null, roles),
      panel("Password", null, password),
      panel("Second factor", secondBasis, second),
      panel("Sessions", null, ending, sessions),
      panel("Tokens", null, tokens, newToken)),
    refresh: load,
  };
}
