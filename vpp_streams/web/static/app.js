// The shell: hash routes to views, one live stream for all of them, and a banner when it is lost.

import { h, text } from "./dom.js";
import { follow } from "./live.js";
import { may, signOut, whoAmI } from "./session.js";
import { accountView } from "./views/account.js";
import { eventsView } from "./views/events.js";
import { heldBanner } from "./views/held.js";
import { homesView, homeView } from "./views/home.js";
import { incidentsView } from "./views/incidents.js";
import { mapView } from "./views/map.js";
import { marketView } from "./views/market.js";
import { pipelineView } from "./views/pipeline.js";
import { regionView } from "./views/region.js";
import { regionsView } from "./views/regions.js";
import { recordsView } from "./views/records.js";
import { rejectedView } from "./views/rejected.js";
import { reportsView } from "./views/reports.js";
import { siteView } from "./views/site.js";
import { sitesView } from "./views/sites.js";
import { statementsView, statementView } from "./views/statements.js";

const routes = [
  [/^\/?$/, firstView, "#/regions"],
  [/^\/home$/, ownView, "#/home"],
  [/^\/home\/([^/]+)$/, homeView, "#/home"],
  [/^\/home\/([^/]+)\/events$/, eventsView, "#/home"],
  [/^\/home\/([^/]+)\/statements$/, statementsView, "#/home"],
  [/^\/home\/([^/]+)\/statements\/([^/]+)$/, statementView, "#/home"],
  [/^\/regions$/, regionsView, "#/regions"],
  [/^\/regions\/([^/]+)$/, regionView, "#/regions"],
  [/^\/sites$/, sitesView, "#/sites"],
  [/^\/sites\/([^/]+)$/, siteView, "#/sites"],
  [/^\/map$/, mapView, "#/sites"],
  [/^\/market$/, marketView, "#/market"],
  [/^\/market\/([^/]+)\/([^/]+)$/, marketView, "#/market"],
  [/^\/incidents$/, incidentsView, "#/incidents"],
  [/^\/reports$/, reportsView, "#/reports"],
  [/^\/reports\/([^/]+)$/, reportsView, "#/reports"],
  [/^\/rejected$/, rejectedView, "#/rejected"],
  [/^\/records$/, recordsView, "#/rejected"],
  [/^\/pipeline$/, pipelineView, "#/pipeline"],
  [/^\/account$/, accountView, ""],
];

/** A page without an answer for this long says so. */
const PATIENCE_MS = 60_000;

const main = document.getElementById("main");
const link = document.getElementById("link");
const linkText = document.getElementById("link-text");
const banner = document.getElementById("banner");
let state = { summary: null };
let me = null;
let view = null;
let timer = null;
let request = null;

/** The first page: the regions, an owner's home or homes, or the sites that somebody may see. */
function firstView(query) {
  if (may("read_region")) return regionsView(query);
  return ownHomes().length ? ownView() : sitesView(query);
}

/** An owner's home, or the list of them. */
function ownView() {
  const homes = ownHomes();
  return homes.length === 1 ? homeView(homes[0]) : homesView();
}

const ownHomes = () => me.roles.filter((one) => one.role === "owner").map((one) => one.scope.replace(/^site:/, ""));

function lostView() {
  return {
    title: "Not found",
    element: h("div", { class: "view" }, h("h1", {}, "Not found"),
      h("p", { class: "empty" }, "This page does not exist. ", h("a", { href: "#/" }, "Go to the regions"))),
  };
}

function find(hash) {
  const [path, query = ""] = hash.slice(1).split("?");
  for (const [pattern, make, home] of routes) {
    const found = pattern.exec(path);
    if (found) return [make, home, found.slice(1).map(decodeURIComponent), new URLSearchParams(query)];
  }
  return [lostView, "", [], new URLSearchParams()];
}

/** Show the view that the address names; `refresh(signal)` of a view runs every `everyMs`. */
function show() {
  const [make, home, words, query] = find(location.hash);
  clearInterval(timer);
  request?.abort();
  const moved = view !== null;
  view?.leave?.();
  view = make(...words, query);
  document.title = `${view.title} · vpp_streams`;
  for (const anchor of document.querySelectorAll("nav a")) {
    if (anchor.getAttribute("href") === home) anchor.setAttribute("aria-current", "page");
    else anchor.removeAttribute("aria-current");
  }
  main.replaceChildren(view.element);
  view.link?.(link.dataset.state);
  if (moved) {
    main.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
  if (state.summary) update(state);
  if (view.refresh) {
    refresh(view);
    timer = setInterval(() => refresh(view), view.everyMs);
  }
}

/** Not while the refresh before it still runs: a page with slow answers would never show one. */
async function refresh(current) {
  if (current.refreshing) return;
  current.refreshing = true;
  request = new AbortController();
  try {
    await current.refresh(AbortSignal.any([request.signal, AbortSignal.timeout(PATIENCE_MS)]));
    current.known = true;
    current.element.querySelector(":scope > .problem")?.remove();
    hidePanels(current, false);
  } catch (error) {
    if (error.name === "AbortError" || current !== view) return;
    const note = current.element.querySelector(":scope > .problem") ?? h("p", { class: "problem", role: "status" });
    text(note, error instanceof TypeError || error.name === "TimeoutError" ? "The web process does not answer." : error.message);
    current.element.prepend(note);
    // What was shown before is kept: a web process that has just started has received no records yet.
    hidePanels(current, error.status === 404 && !current.known);
  } finally {
    current.refreshing = false;
  }
}

/** Hides the panels of a view whose subject does not exist. */
function hidePanels(current, hidden) {
  for (const panel of current.element.querySelectorAll(":scope > .panel")) panel.hidden = hidden;
}

function showLink(linkState) {
  if (link.dataset.state === linkState) return;
  link.dataset.state = linkState;
  view?.link?.(linkState);
  text(linkText, linkState === "live" ? "Live" : "Connection lost");
  banner.hidden = linkState === "live";
  document.body.classList.toggle("lost", linkState !== "live");
  text(banner, linkState === "live" ? "" : "Connection to the web process lost. The numbers below are the last ones received; reconnecting.");
}

const held = heldBanner();
banner.after(held.element);

/** What every page shows of the newest state, and what the present one does. */
function update(newest) {
  held.set(newest.dispatches, location.hash.slice(1).split("?")[0]);
  view?.update?.(newest);
}

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address is that of the page, and stays
  main.focus();
});

/** Show what the person who is signed in may see; regions are followed live. */
async function begin() {
  me = await whoAmI();
  if (me === null) return;
  for (const anchor of document.querySelectorAll("nav [data-needs]")) anchor.hidden = !may(anchor.dataset.needs);
  document.querySelector("nav [data-owner]").hidden = !ownHomes().length;
  text(document.getElementById("who-name"), me.name);
  document.getElementById("who").hidden = false;
  document.getElementById("sign-out").addEventListener("click", signOut);
  if (may("read_region")) state = follow(update, showLink);
  else link.hidden = true;
  addEventListener("hashchange", show);
  show();
}

begin().catch((error) => {
  banner.hidden = false;
  text(banner, error instanceof TypeError ? "The web process does not answer." : error.message);
});
