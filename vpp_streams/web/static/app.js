// The shell: hash routes to views, one live stream for all of them, and a banner when it is lost.

import { h, text } from "./dom.js";
import { follow } from "./live.js";
import { heldBanner } from "./views/held.js";
import { incidentsView } from "./views/incidents.js";
import { mapView } from "./views/map.js";
import { marketView } from "./views/market.js";
import { pipelineView } from "./views/pipeline.js";
import { regionView } from "./views/region.js";
import { regionsView } from "./views/regions.js";
import { recordsView } from "./views/records.js";
import { rejectedView } from "./views/rejected.js";
import { siteView } from "./views/site.js";
import { sitesView } from "./views/sites.js";

const routes = [
  [/^\/?$/, regionsView, "#/regions"],
  [/^\/regions$/, regionsView, "#/regions"],
  [/^\/regions\/([^/]+)$/, regionView, "#/regions"],
  [/^\/sites$/, sitesView, "#/sites"],
  [/^\/sites\/([^/]+)$/, siteView, "#/sites"],
  [/^\/map$/, mapView, "#/sites"],
  [/^\/market$/, marketView, "#/market"],
  [/^\/market\/([^/]+)\/([^/]+)$/, marketView, "#/market"],
  [/^\/incidents$/, incidentsView, "#/incidents"],
  [/^\/rejected$/, rejectedView, "#/rejected"],
  [/^\/records$/, recordsView, "#/rejected"],
  [/^\/pipeline$/, pipelineView, "#/pipeline"],
];

const main = document.getElementById("main");
const link = document.getElementById("link");
const linkText = document.getElementById("link-text");
const banner = document.getElementById("banner");
let view = null;
let timer = null;
let request = null;

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

async function refresh(current) {
  request?.abort();
  request = new AbortController();
  try {
    await current.refresh(request.signal);
    current.known = true;
    current.element.querySelector(":scope > .problem")?.remove();
    hidePanels(current, false);
  } catch (error) {
    if (error.name === "AbortError" || current !== view) return;
    const note = current.element.querySelector(":scope > .problem") ?? h("p", { class: "problem", role: "status" });
    text(note, error instanceof TypeError ? "The web process does not answer." : error.message);
    current.element.prepend(note);
    // What was shown before is kept: a web process that has just started has received no records yet.
    hidePanels(current, error.status === 404 && !current.known);
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

const state = follow(update, showLink);
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address is that of the page, and stays
  main.focus();
});
addEventListener("hashchange", show);
show();
