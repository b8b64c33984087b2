// A chart of a report's rows with uPlot (vendor/uplot), which is loaded with the first one.

import { h, text } from "./dom.js";

const HEIGHT = 280;
const TONES = ["battery", "load", "grid", "price", "solar", "good", "warn", "muted"];

/** Words for the ticks of the time axis: times of day on a short span, else dates. */
function tickWords(starts, ends, zone) {
  const days = (ends[ends.length - 1] - starts[0]) / 86_400_000;
  const parts = days <= 2 ? { hour: "2-digit", minute: "2-digit" } : (days <= 100 ? { day: "numeric", month: "short" } : { month: "short", year: "numeric" });
  const format = new Intl.DateTimeFormat("en-GB", { timeZone: zone, ...parts });
  return (s) => format.format(s * 1000);
}

/** A chart of series {name, values, format}; arrow keys read its values. */
export function reportChart() {
  const plot = h("div", { class: "report-plot", tabindex: 0, role: "img", "aria-label": "Chart of the table below; arrow keys read its values" });
  const legend = h("div", { class: "legend" });
  const readout = h("p", { class: "readout" });
  const element = h("figure", { class: "chart" }, plot, legend, readout);
  let [chart, shownNow, drawing] = [null, null, 0];

  /** The colour of a tone now, light or dark, as a canvas needs it. */
  function resolved(name) {
    const probe = h("span", { class: `tone ${name}` });
    element.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  }

  function read(index) {
    if (!shownNow) return;
    const { starts, series, words } = shownNow;
    if (index === null || index === undefined || index < 0 || index >= starts.length) return text(readout, "");
    text(readout, [words(index), ...series.map((s) => `${s.name} ${s.format(s.values[index])}`)].join(" · "));
  }

  function draw(uPlot) {
    const { starts, ends, series, zone } = shownNow;
    chart?.destroy();
    chart = null;
    legend.replaceChildren();
    plot.replaceChildren();
    const width = plot.clientWidth;
    if (!width) return;
    if (!series.length) {
      plot.append(h("p", { class: "empty" }, "Nothing was measured in this span."));
      return;
    }
    // A value holds until its period ends: two points for each, and a gap where nothing is known.
    const times = starts.flatMap((start, i) => [start / 1000, ends[i] / 1000 - 0.001]);
    const columns = series.map((s) => s.values.flatMap((v) => [v ?? null, v ?? null]));
    const [ink, rule] = [resolved("muted"), resolved("rule")];
    const axis = { stroke: ink, grid: { stroke: rule, width: 1 }, ticks: { stroke: rule, width: 1 }, font: "12px system-ui, sans-serif" };
    chart = new uPlot({
      width, height: HEIGHT, legend: { show: false }, cursor: { drag: { x: false, y: false } },
      tzDate: (s) => uPlot.tzDate(new Date(s * 1000), zone),
      scales: { y: { range: (_, low, high) => [Math.min(0, low ?? 0), Math.max(0, high ?? 1) * 1.05 || 1] } },
      axes: [{ ...axis, space: 80, values: (_, ticks) => ticks.map(tickWords(starts, ends, zone)) }, { ...axis, size: 76, values: (_, ticks) => ticks.map((v) => series[0].format(v)) }],
      series: [{}, ...series.map((s, i) => ({
        label: s.name, stroke: resolved(TONES[i % TONES.length]), width: 2, points: { show: false },
      }))],
      hooks: { setCursor: [(u) => { if (u.cursor.idx !== null) read(Math.floor(u.cursor.idx / 2)); }] },
    }, [times, ...columns], plot);
    buttons();
  }

  function buttons() {
    legend.replaceChildren(...shownNow.series.map((s, i) => h("button", {
      type: "button", "aria-pressed": "true",
      onclick: (event) => {
        const on = event.currentTarget.getAttribute("aria-pressed") !== "true";
        event.currentTarget.setAttribute("aria-pressed", String(on));
        chart.setSeries(i + 1, { show: on });
      },
    }, h("span", { class: `swatch tone ${TONES[i % TONES.length]}` }), s.name)));
  }

  let at = null;
  plot.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || !shownNow?.starts.length) return;
    event.preventDefault();
    const last = shownNow.starts.length - 1;
    at = Math.max(0, Math.min(last, (at ?? (step > 0 ? -1 : last + 1)) + step));
    readout.setAttribute("aria-live", "polite");
    read(at);
  });
  new ResizeObserver(() => chart?.setSize({ width: plot.clientWidth, height: HEIGHT })).observe(plot);

  return {
    element,
    /** `starts` and `ends` of periods in ms, `words(index)` of a period. */
    async set(given) {
      const turn = (drawing += 1);
      shownNow = given;
      at = null;
      text(readout, "");
      const { default: uPlot } = await import("./vendor/uplot/uPlot.esm.js");
      if (turn === drawing) draw(uPlot);
    },
  };
}
