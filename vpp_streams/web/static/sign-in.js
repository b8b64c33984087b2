// The sign-in page: password and code, a link that works once, or the organisation's own provider.

import { h, text } from "./dom.js";
import { post, safeReturn, send } from "./session.js";

const address = new URLSearchParams(location.hash.slice(1));
const to = safeReturn(address.get("to"));
const link = address.get("link");
// A link must not stay in the history, where another person of this browser finds it.
if (link) history.replaceState(null, "", "sign-in.html");

const said = h("p", { class: "said", role: "alert" });

function say(words, bad = true) {
  said.className = bad ? "said problem" : "said";
  text(said, words);
}

function field(label, attributes, note) {
  const input = h("input", { required: true, ...attributes });
  return { input, element: h("label", { class: "field wide" }, h("span", {}, label), input, note ? h("small", {}, note) : null) };
}

function form(title, fields, button, submit, ...more) {
  const go = h("button", { class: "primary" }, button);
  const element = h("form", {
    class: "sign-in",
    onsubmit: async (event) => {
      event.preventDefault();
      if (go.disabled) return;
      go.disabled = true;
      say("", false);
      try {
        await submit();
      } catch (error) {
        say(error instanceof TypeError ? "The web process does not answer." : error.message);
      }
      go.disabled = false;
    },
  }, h("h1", {}, title), said, fields.map((one) => one.element), go, more);
  document.getElementById("main").replaceChildren(h("section", { class: "panel narrow" }, element));
  fields[0].input.focus();
}

const enter = () => location.replace(to === "docs" ? "docs" : `./${to}`);

function passwordForm(ways) {
  const name = field("Name or e-mail address", { name: "username", autocomplete: "username", maxlength: 256, autocapitalize: "none", spellcheck: "false" });
  const password = field("Password", { name: "password", type: "password", autocomplete: "current-password", maxlength: 256 });
  const code = field("Code of your authenticator app", { name: "code", inputmode: "numeric", autocomplete: "one-time-code", maxlength: 16 });
  code.element.hidden = true;
  code.input.disabled = true;
  const provider = ways.oidc
    ? h("p", {}, h("a", { class: "button", href: `api/v1/session/oidc?to=${encodeURIComponent(to)}` }, `Sign in with ${ways.oidc}`))
    : null;
  const first = ways.accounts
    ? null
    : h("p", { class: "note" }, "There is no account here yet. On the machine of the web process: ", h("code", {}, "vpp accounts add NAME --role operator"));
  form("Sign in", [name, password, code], "Sign in", async () => {
    const body = { account: name.input.value.trim(), password: password.input.value, code: code.input.value.trim() };
    try {
      await post("session", body, { stay: true });
      enter();
    } catch (error) {
      if (error.needs === "code") {
        code.element.hidden = false;
        code.input.disabled = false;
        code.input.value = "";
        setTimeout(() => code.input.focus());
      }
      throw error;
    }
  }, provider, first);
}

function newPasswordForm(sentence) {
  const password = field("New password", { name: "new-password", type: "password", autocomplete: "new-password", minlength: 12, maxlength: 256 }, "12 characters or more; several words are fine");
  const again = field("The same again", { name: "again", type: "password", autocomplete: "new-password", maxlength: 256 });
  form("Choose a password", [password, again], "Set the password", async () => {
    if (password.input.value !== again.input.value) throw new Error("The two passwords differ.");
    const answer = await post("session/link", { link, password: password.input.value }, { stay: true });
    if (answer.signed_in) return enter();
    passwordForm(await waysNow());
    say("The password is set. Sign in with it and with a code.", false);
  });
  say(sentence, false);
}

async function waysNow() {
  const response = await send("session/ways", { stay: true }).catch(() => null);
  return response?.ok ? response.json() : { oidc: null, accounts: true };
}

async function begin() {
  if (link) {
    try {
      await post("session/link", { link }, { stay: true });
      return enter();
    } catch (error) {
      if (error.needs === "password") return newPasswordForm(error.message);
      passwordForm(await waysNow());
      return say(error.message);
    }
  }
  passwordForm(await waysNow());
}

begin();
