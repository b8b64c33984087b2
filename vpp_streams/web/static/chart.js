// A line chart of some series over time, as SVG: axes, legend that hides series, and a cursor
// that is moved by mouse, finger and arrow keys.

import { h, svg, text } from "./dom.js";
import { clock, clockSeconds } from "./format.js";
import { bandPath, linePath, medianStep, stepPath } from "./paths.js";

const EDGE = { top: 10, right: 12, bottom: 24, left: 64 };
/** A hole in the data longer than this is shown as a gap, not as a line across it. */
const GAP_STEPS = 6;

function niceTicks(low, high, wanted) {
  const rough = (high - low) / wanted || 1;
  const magnitude = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * magnitude).find((s) => s >= rough);
  const ticks = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high + step / 1e6; tick += step) {
    ticks.push(Math.abs(tick) < step / 1e6 ? 0 : tick);
  }
  return ticks;
}

/** The ticks of an axis with their labels. A label that would be there twice is there once. */
export function labelled(low, high, wanted, word) {
  const ticks = niceTicks(low, high, wanted);
  const step = ticks.length > 1 ? ticks[1] - ticks[0] : 1;
  const digits = [0, 1, 2, 3, 4, 5].find((n) => Math.abs(step * 10 ** n - Math.round(step * 10 ** n)) < 1e-6) ?? 6;
  const labels = ticks.map((tick) => word(tick, digits));
  const kept = new Map(); // label -> index of the tick that has it
  ticks.forEach((tick, i) => { if (tick === 0 || !kept.has(labels[i])) kept.set(labels[i], i); });
  return ticks.map((tick, i) => [tick, kept.get(labels[i]) === i ? labels[i] : ""]);
}

function timeTicks(first, last, wanted) {
  const minutes = [1, 2, 5, 10, 15, 30, 60, 120, 240, 360, 720, 1440];
  const span = last - first;
  const step = (minutes.find((m) => span / (m * 60_000) <= wanted) ?? 1440) * 60_000;
  const ticks = [];
  for (let tick = Math.ceil(first / step) * step; tick <= last; tick += step) ticks.push(tick);
  return ticks;
}

/**
 * `series`: [{name, tone, format(value), shape}] in drawing order; shape "step": a value holds until
 * the next time, "band": values are [low, high]. `range`: fixed [low, high] or null; `tick(value,
 * digits)`: the label on the axis, where ticks differ in that many decimals;
 * `gapMs`: a longer hole is a gap, null = six times the usual step.
 * Returns {element, set(times, columns, {stepMs, nowMs})}: columns are arrays as long as times,
 * null = no value; `stepMs`: how long a step lasts; `nowMs`: later times are marked as ahead.
 */
export function lineChart({ label, series, range = null, tick, height = 240, gapMs = null }) {
  const hidden = new Set();
  let times = [];
  let columns = series.map(() => []);
  let cursor = null;
  let [stepMs, nowMs] = [0, null];

  const plot = svg("svg", { class: "plot", role: "img", tabindex: 0, height, "aria-label": label });
  const readout = h("p", { class: "readout", "aria-live": "off" });
  const legend = h("div", { class: "legend", role: "group", "aria-label": `${label}: series` },
    series.map((s) => h("button", {
      type: "button", class: s.shape === "band" ? `band ${s.tone}` : s.tone, "aria-pressed": "true",
      onclick: (event) => {
        if (!hidden.delete(s.name)) hidden.add(s.name);
        event.currentTarget.setAttribute("aria-pressed", String(!hidden.has(s.name)));
        draw();
      },
    }, h("span", { class: "swatch", "aria-hidden": "true" }), s.name)));
  const element = h("figure", { class: "chart" }, legend, plot, readout);

  let scale = null;
  const shown = () => series.map((s, i) => [s, columns[i]]).filter(([s]) => !hidden.has(s.name));

  function bounds() {
    if (range) return range;
    const values = shown().flatMap(([, column]) => column).flat().filter((v) => v !== null && v !== undefined);
    const low = values.reduce((least, v) => Math.min(least, v), 0);
    const high = values.reduce((most, v) => Math.max(most, v), 0);
    const margin = (high - low || 1) * 0.06;
    return [low < 0 ? low - margin : 0, high > 0 ? high + margin : (low < 0 ? 0 : 1)];
  }

  function draw() {
    const width = plot.clientWidth;
    if (!width) return;
    plot.setAttribute("viewBox", `0 0 ${width} ${height}`);
    if (times.length < 2) {
      plot.replaceChildren(svg("text", { x: width / 2, y: height / 2, class: "nothing" }, times.length ? "One value so far; the line starts with the next" : "Waiting for data"));
      scale = null;
      return;
    }
    const [low, high] = bounds();
    const [first, last] = [times[0], times[times.length - 1] + stepMs];
    const x = (t) => EDGE.left + ((t - first) / (last - first)) * (width - EDGE.left - EDGE.right);
    const y = (v) => height - EDGE.bottom - ((v - low) / (high - low)) * (height - EDGE.top - EDGE.bottom);
    scale = { x, y, width, first, last };
    const rows = labelled(low, high, 5, tick).map(([v, words]) => svg("g", {},
      svg("line", { x1: EDGE.left, x2: width - EDGE.right, y1: y(v), y2: y(v), class: v === 0 ? "zero" : "rule" }),
      svg("text", { x: EDGE.left - 8, y: y(v) + 4, class: "tick end" }, words)));
    const marks = timeTicks(first, last, Math.max(2, width / 110)).map((t) =>
      svg("text", { x: x(t), y: height - 6, class: x(t) > width - EDGE.right - 12 ? "tick end" : "tick middle" }, clock(t)));
    const gap = gapMs ?? medianStep(times) * GAP_STEPS;
    const lines = shown().map(([s, column]) =>
      svg("path", { d: drawn(s, column, x, y, gap), class: `${s.shape === "band" ? "band" : "line"} ${s.tone}` }));
    plot.replaceChildren(...ahead(), ...rows, ...marks, ...lines, pointer());
    showReadout();
  }

  function drawn(s, column, x, y, gap) {
    if (s.shape === "band") return bandPath(times, column, x, y, stepMs);
    if (s.shape === "step") return stepPath(times, column, x, y, stepMs);
    return linePath(times, column, x, y, gap);
  }

  /** Times after now, shaded. */
  function ahead() {
    if (nowMs === null || nowMs >= scale.last || nowMs <= scale.first) return [];
    const at = scale.x(nowMs);
    return [
      svg("rect", { x: at, y: EDGE.top, width: scale.width - EDGE.right - at, height: height - EDGE.top - EDGE.bottom, class: "ahead" }),
      svg("text", { x: at + 6, y: EDGE.top + 12, class: "tick" }, "ahead"),
    ];
  }

  /** Where the cursor of a value is drawn: in the middle of its step. */
  const middle = (i) => times[i] + stepMs / 2;

  /** The index shown while nothing is pointed at: the newest that is not ahead. */
  function newest() {
    if (nowMs === null) return times.length - 1;
    const later = times.findIndex((time) => time > nowMs);
    return later < 0 ? times.length - 1 : Math.max(0, later - 1);
  }

  function pointer() {
    const group = svg("g", { class: "pointer" });
    if (cursor === null || !scale) return group;
    const i = Math.min(cursor, times.length - 1);
    const at = scale.x(middle(i));
    group.append(svg("line", { x1: at, x2: at, y1: EDGE.top, y2: height - EDGE.bottom }));
    for (const [s, column] of shown()) {
      if (column[i] === null || column[i] === undefined || s.shape === "band") continue;
      group.append(svg("circle", { cx: at, cy: scale.y(column[i]), r: 3.5, class: s.tone }));
    }
    return group;
  }

  function showReadout() {
    const i = cursor === null ? newest() : Math.min(cursor, times.length - 1);
    if (i < 0) return text(readout, "");
    const values = shown().map(([s, column]) => `${s.name} ${s.format(column[i])}`);
    return text(readout, [clockSeconds(times[i]), ...values].join(" · "));
  }

  function moveTo(index) {
    cursor = index === null ? null : Math.max(0, Math.min(times.length - 1, index));
    plot.querySelector(".pointer")?.replaceWith(pointer());
    showReadout();
  }

  function nearest(event) {
    if (!scale) return null;
    const share = (event.offsetX - EDGE.left) / (scale.width - EDGE.left - EDGE.right);
    const wanted = scale.first + share * (scale.last - scale.first);
    let best = 0;
    times.forEach((_, i) => { if (Math.abs(middle(i) - wanted) < Math.abs(middle(best) - wanted)) best = i; });
    return best;
  }

  plot.addEventListener("pointermove", (event) => moveTo(nearest(event)));
  plot.addEventListener("pointerleave", () => moveTo(null));
  plot.addEventListener("blur", () => moveTo(null));
  plot.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    moveTo((cursor ?? newest()) + step * (event.shiftKey ? 10 : 1));
    readout.setAttribute("aria-live", "polite");
  });
  new ResizeObserver(draw).observe(plot);

  return {
    element,
    set(newTimes, newColumns, steps = {}) {
      times = newTimes;
      columns = newColumns;
      stepMs = steps.stepMs ?? 0;
      nowMs = steps.nowMs ?? null;
      draw();
    },
  };
}

/** A small chart of one or more series without axes; `set(times, columns)` as for a chart. */
export function sparkline({ label, tones }) {
  const height = 56;
  const plot = svg("svg", { class: "plot", role: "img", "aria-label": label });
  let latest = [[], []];
  function draw() {
    const [times, columns] = latest;
    const width = plot.clientWidth;
    if (!width || times.length < 2) return;
    plot.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const values = columns.flat().filter((v) => v !== null);
    const [low, high] = [Math.min(0, ...values), Math.max(0, ...values)];
    const [first, last] = [times[0], times[times.length - 1]];
    const x = (t) => ((t - first) / (last - first)) * width;
    const y = (v) => height - 2 - ((v - low) / (high - low || 1)) * (height - 4);
    const gapMs = medianStep(times) * GAP_STEPS;
    plot.replaceChildren(
      svg("line", { x1: 0, x2: width, y1: y(0), y2: y(0), class: "rule" }),
      ...columns.map((column, i) => svg("path", { d: linePath(times, column, x, y, gapMs), class: `line ${tones[i]}` })));
  }
  new ResizeObserver(draw).observe(plot);
  return {
    element: plot,
    set(times, columns) { latest = [times, columns]; draw(); },
  };
}
