// A chart of a report's rows with uPlot (vendor/uplot), which is loaded with the first one.

import { h, text } from "./dom.js";

const HEIGHT = 280;
const TONES = ["battery", "load", "grid", "price", "solar", "good", "warn", "muted"];

/** `set(report, series, zone)`; a series is {name, values, format}. Arrow keys move the cursor. */
export function reportChart() {
  const plot = h("div", { class: "report-plot", tabindex: 0, role: "img", "aria-label": "Chart of the table below; arrow keys read its values" });
  const legend = h("div", { class: "legend" });
  const readout = h("p", { class: "readout" });
  const element = h("figure", { class: "chart" }, plot, legend, readout);
  let [chart, shownNow, drawing] = [null, null, 0];

  const color = (name) => getComputedStyle(element).getPropertyValue(`--${name}`).trim() || "currentColor";

  /** One of light-dark(a, b), as the canvas needs it. */
  function resolved(name) {
    const probe = h("span", { class: `tone ${name}` });
    element.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found || color(name);
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
    plot.replaceChildren();
    const width = plot.clientWidth;
    if (!width || !starts.length) return;
    // The last value holds until its period ends.
    const times = [...starts, ends[ends.length - 1]].map((ms) => ms / 1000);
    const columns = series.map((s) => [...s.values, s.values[s.values.length - 1]].map((v) => v ?? null));
    const [ink, rule] = [resolved("muted"), resolved("rule")];
    const axis = { stroke: ink, grid: { stroke: rule, width: 1 }, ticks: { stroke: rule, width: 1 }, font: "12px system-ui, sans-serif" };
    chart = new uPlot({
      width, height: HEIGHT, legend: { show: false }, cursor: { drag: { x: false, y: false } },
      tzDate: (s) => uPlot.tzDate(new Date(s * 1000), zone),
      scales: { y: { range: (_, low, high) => [Math.min(0, low ?? 0), Math.max(0, high ?? 1) * 1.05 || 1] } },
      axes: [axis, { ...axis, size: 76, values: (_, ticks) => ticks.map((v) => series[0].format(v)) }],
      series: [{}, ...series.map((s, i) => ({
        label: s.name, stroke: resolved(TONES[i % TONES.length]), width: 2, points: { show: false }, paths: uPlot.paths.stepped({ align: 1 }),
      }))],
      hooks: { setCursor: [(u) => { if (u.cursor.idx !== null) read(u.cursor.idx); }] },
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
