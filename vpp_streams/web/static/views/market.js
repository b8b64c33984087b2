// A region in a market: prices and forecasts, plan against award and measured power, bids, money.

import { chosen, remember } from "../address.js";
import { h, panel, text, tile } from "../dom.js";
import { counted, left, money, number, percent, power, price } from "../format.js";
import { get, getChanged, newest } from "../live.js";
import { bidPanel } from "./bid.js";
import { awardsPanel, offersPanel, rungTone, rungWord, soldPhrase } from "./bids.js";
import { marketCharts } from "./intervals.js";
import { choice } from "./region.js";
import { shareBar } from "./shares.js";

const HOURS = [1, 6, 24];
const NO_MARKET = "There is no record of a market in the last day. `vpp market` runs a simulated one, and `vpp worker optimizer` bids into it; `vpp up` runs both.";

/** Links to every region of every market. */
function chooser(markets, market, region, hours) {
  const all = markets.flatMap((m) => m.regions.map((r) => [m.market, r.region]));
  const word = ([m, r]) => (markets.length > 1 ? `${m} · ${r}` : r);
  return h("div", { class: "choice wrap", role: "group", "aria-label": "Region" }, all.map(([m, r]) =>
    h("a", { class: "pick", href: `#/market/${encodeURIComponent(m)}/${encodeURIComponent(r)}?hours=${hours}`, "aria-current": m === market && r === region ? "true" : null }, word([m, r]))));
}

/** The present figures; `tick(view, nowMs, gateMs)`. */
function nowTiles() {
  const tiles = {
    price: tile("Price now"), power: tile("Award now"), gate: tile("Gate closes in"),
    money: tile("Earned, last day"), delivery: tile("Delivery error"), forecast: tile("Forecast error"),
  };
  return {
    element: h("dl", { class: "tiles pulse" }, Object.values(tiles).map((t) => t.element)),
    tick({ intervals, interval_ms, currency, totals }, nowMs, gateMs) {
      const at = intervals.start_ms.findLastIndex((start) => start <= nowMs);
      const running = at >= 0 && nowMs < intervals.start_ms[at] + interval_ms;
      const soldW = running ? intervals.awarded_w[at] : null;
      const open = gateMs !== null && gateMs > nowMs;
      tiles.price.set(running ? price(intervals.price[at]) : "–", `${currency} per MWh`);
      tiles.power.set(power(soldW), soldW === null ? "no award now" : soldPhrase(soldW).split(" ")[0]);
      tiles.gate.set(open ? left((gateMs - nowMs) / 1000) : "–", open ? "" : "no gate is open");
      tiles.money.set(money(totals.money, currency), counted(totals.delivered, "interval"));
      tiles.delivery.set(totals.delivery_error === null ? "–" : `${number(100 * totals.delivery_error, 2)} %`, "of the awarded energy");
      tiles.forecast.set(price(totals.forecast_error), `${currency} per MWh, mean`);
    },
  };
}

/** The `totals` of the last day, in words. */
function daySentences({ awards, refused, short, forecast_inside }) {
  const inside = forecast_inside === null ? [] : [`${percent(forecast_inside)} of prices were inside the band that should contain 80 % of them.`];
  const shortfalls = short ? `${counted(short, "shortfall was", "shortfalls were")} announced` : "no shortfall was announced";
  return [`${counted(awards, "award")}; ${refused ? `${counted(refused, "bid was", "bids were")} refused` : "no bid was refused"}; ${shortfalls}.`, ...inside];
}

/** How the last day's bids were decided, and their outcomes; `set(totals)`. */
function dayPanel() {
  const basis = h("span");
  const rungs = shareBar(rungTone, rungWord);
  const list = h("ul", { class: "sentences" });
  const element = panel("The last day", basis, h("div", { class: "stack" }, h("h3", {}, "Bids by rung"), rungs.element, list));
  return {
    element,
    set(totals) {
      text(basis, counted(totals.bids, "bid"));
      rungs.set(totals.rungs);
      list.replaceChildren(...daySentences(totals).map((line) => h("li", {}, line)));
    },
  };
}

export function marketView(...words) {
  const parameters = words.pop();
  let [market, region] = words.length ? words : [null, null];
  let [hours, tag, view, nowMs, gateMs, listed] = [chosen(parameters, "hours", HOURS, 6), null, null, Date.now(), null, ""];
  const heading = h("h1", {}, "Market");
  const picks = h("div", { hidden: true });
  const empty = h("p", { class: "empty", hidden: true });
  const unit = h("span");
  const [tiles, charts, day, bid] = [nowTiles(), marketCharts(), dayPanel(), bidPanel()];
  const [offers, awards] = [offersPanel(bid.open), awardsPanel(bid.open)];
  const hourChoice = choice("Hours", HOURS.map((n) => [n, `${n} h`]), hours, (value) => {
    [hours, tag] = [value, null];
    remember({ hours });
    load().catch(() => {});
  });
  const content = h("div", { class: "view", hidden: true },
    tiles.element,
    panel("Prices", unit, charts.prices),
    panel("Power", h("span", {}, "above zero is sold, below zero is bought"), charts.powers),
    offers.element,
    h("div", { class: "split" },
      panel("Money", h("span", {}, "energy as measured and capacity as far as it was there, added up"), charts.money),
      day.element),
    bid.element, awards.element);
  const element = h("div", { class: "view" }, h("div", { class: "title market-title" }, heading, hourChoice), picks, empty, content);

  /** Shows why no region bids, in words. */
  function nothing(markets) {
    content.hidden = true;
    text(empty, markets.length ? `No region has bid into market ${markets.map((m) => m.market).join(", ")} yet. \`vpp worker optimizer\` bids for each live region.` : NO_MARKET);
  }

  function list(markets) {
    const row = chooser(markets, market, region, hours);
    picks.hidden = row.childElementCount < 2;
    const now = `${row.textContent} ${hours}`;
    if (now === listed) return;
    listed = now;
    picks.replaceChildren(row);
  }

  const load = newest(async (signal) => {
    const { at_ms, markets } = await get("markets", {}, signal);
    nowMs = at_ms;
    const first = markets.find((m) => m.regions.length);
    empty.hidden = Boolean(first);
    if (!first) return nothing(markets);
    if (market === null) [market, region] = [first.market, first.regions[0].region];
    gateMs = markets.find((m) => m.market === market)?.gate_ms ?? null;
    list(markets);
    const changed = await getChanged(`markets/${encodeURIComponent(market)}/${encodeURIComponent(region)}`, { hours }, signal, tag);
    content.hidden = false; // before charts are drawn, because a hidden element has no width
    if (changed) {
      show(changed);
      await bid.refresh(signal);
    }
    tick();
  });

  function show(changed) {
    ({ tag, document: view } = changed);
    text(heading, `${view.region} in market ${view.market}`);
    text(unit, `${view.currency} per MWh`);
    charts.set(view, hours, nowMs);
    offers.set(view);
    awards.set(view);
    day.set(view.totals);
  }

  /** What changes with time alone. */
  function tick() {
    offers.tick(nowMs);
    if (view) tiles.tick(view, nowMs, gateMs);
  }

  return {
    title: "Market",
    element,
    everyMs: 2000,
    update({ summary }) {
      nowMs = summary.at_ms;
      tick();
    },
    refresh: load,
  };
}
