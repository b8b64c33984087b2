// One's own account: roles, password, second factor, sessions and tokens.

import { h, panel, refill, table, text } from "../dom.js";
import { dateTime } from "../format.js";
import { get, newest } from "../live.js";
import { post } from "../session.js";
import { field } from "./giving.js";

const WAYS = { password: "password", link: "link", oidc: "organisation" };
const whereWords = (scope) => (scope === "*" ? "every region" : scope.replace(":", " "));

/** A form that shows the outcome of what it sends; `submit()` returns a sentence. */
function changing(title, fields, button, submit) {
  const said = h("p", { class: "said", role: "status" });
  const element = h("form", {
    class: "order",
    onsubmit: async (event) => {
      event.preventDefault();
      said.className = "said";
      try {
        text(said, await submit());
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

/** The form for the second factor; `shown` keeps what is shown only once, also if the form is replaced. */
function secondFactor(account, shown, reload) {
  const [password, passwordField] = secret("Password", "current-password");
  const done = ({ said }) => {
    shown.replaceChildren(h("p", { class: "said" }, said));
    reload();
    return "";
  };
  if (account.has_totp) {
    return changing("", [passwordField], "Turn it off", async () => done(await post("account/totp/off", { password: password.value })));
  }
  return changing("", [passwordField], "Set it up", async () => {
    const start = await post("account/totp", { password: password.value });
    const code = h("input", { inputmode: "numeric", autocomplete: "one-time-code", required: true, maxlength: 16 });
    const confirm = changing("", [field("Code that the app shows", code)], "Turn it on",
      async () => done(await post("account/totp/confirm", { code: code.value.trim() })));
    shown.replaceChildren(h("div", { class: "stack" },
      h("p", {}, "Scan this with an authenticator app, or type the secret into it. Both are shown only now."),
      h("img", { class: "qr", src: start.qr, alt: `QR code of the secret ${start.secret}` }),
      h("code", {}, start.secret), confirm));
    return "";
  });
}

/** The form for a new token; `shown` keeps the newest one, which is shown only once. */
function tokenForm(account, shown, reload) {
  const name = h("input", { required: true, maxlength: 64, placeholder: "what it is for" });
  const days = h("input", { type: "number", required: true, min: 1, max: 366, value: 90 });
  const boxes = account.may.map((action) => [action, h("input", { type: "checkbox", checked: action.startsWith("read_") })]);
  return changing("New token",
    [field("Name", name), field("Days", days), h("fieldset", { class: "ticks" }, h("legend", {}, "It may"),
      boxes.map(([action, box]) => h("label", { class: "tick" }, box, ` ${action.replaceAll("_", " ")}`)))],
    "Make the token", async () => {
      const may = boxes.filter(([, box]) => box.checked).map(([action]) => action);
      const { token } = await post("account/tokens", { name: name.value, days: Number(days.value), may });
      shown.replaceChildren(h("p", { class: "said" }, `Token “${name.value}”, shown only now: `, h("code", {}, token)));
      reload();
      return "";
    });
}

/** A box for a form that is made again only when `basis`, what it depends on, has changed. */
function keptForm() {
  const element = h("div");
  let before = null;
  return {
    element,
    set(basis, make) {
      if (JSON.stringify(basis) === before) return; // it keeps what was typed into it
      before = JSON.stringify(basis);
      element.replaceChildren(make());
    },
  };
}

export function accountView() {
  const roles = h("ul", { class: "fields" });
  const [sessions, tokens] = [h("div", { class: "rows" }), h("div", { class: "rows" })];
  const [password, second, newToken] = [keptForm(), keptForm(), keptForm()];
  const [secondShown, tokenShown] = [h("div", { role: "status" }), h("div", { role: "status" })];
  const secondBasis = h("span");
  const ending = h("p", { class: "said", role: "status" });

  const end = (what, key) => h("button", {
    type: "button",
    "data-key": `${what}/${key}`,
    onclick: async () => {
      try {
        text(ending, (await post(`account/${what}/${key}/end`)).said);
      } catch (error) {
        text(ending, error.message);
      }
      reload();
    },
  }, "End");

  function show(account) {
    roles.replaceChildren(...account.roles.map((one) => h("li", {}, h("b", {}, one.role), ` of ${whereWords(one.scope)}`)));
    refill(sessions, table("Sessions", [
      { label: "Since", kind: "id", cell: (s) => dateTime(s.made_at_ms) },
      { label: "Seen", kind: "id", cell: (s) => dateTime(s.seen_at_ms) },
      { label: "By", cell: (s) => WAYS[s.how] ?? s.how },
      { label: "From", cell: (s) => s.address },
      { label: "Browser", cell: (s) => s.agent },
      { label: "Action", cell: (s) => (s.key === account.session ? "this one" : end("sessions", s.key)) },
    ], account.sessions, "There is no session."));
    refill(tokens, table("Tokens", [
      { label: "Name", cell: (t) => t.name },
      { label: "May", cell: (t) => t.actions.join(", ").replaceAll("_", " ") },
      { label: "Ends", kind: "id", cell: (t) => dateTime(t.ends_at_ms) },
      { label: "Action", cell: (t) => end("tokens", t.key) },
    ], account.tokens, "You have no tokens. Programs need one; browsers do not."));
    text(secondBasis, account.has_totp ? "on: signing in needs a code" : "off");
    const { has_password: own, has_totp: totp, may } = account;
    const without = () => h("p", { class: "note" }, "This account has no password: its owner signs in with a link or an organisation.");
    password.set(own, () => (own ? passwordForm() : without()));
    second.set([own, totp], () => (own ? secondFactor(account, secondShown, reload) : without()));
    newToken.set(may, () => tokenForm(account, tokenShown, reload));
  }

  const load = newest(async (signal) => show(await get("account", {}, signal)));
  const reload = () => load().catch(() => {}); // what is wrong, the next refresh says

  return {
    title: "Account",
    everyMs: 10_000,
    element: h("div", { class: "view" }, h("h1", {}, "Your account"),
      panel("Roles", null, roles),
      panel("Password", null, password.element),
      panel("Second factor", secondBasis, second.element, secondShown),
      panel("Sessions", null, ending, sessions),
      panel("Tokens", null, tokens, newToken.element, tokenShown)),
    refresh: load,
  };
}
