// The lines of charts as SVG path data: straight lines, steps, and bands between two values.

const missing = (value) => value === null || value === undefined;

/** The median distance between consecutive times, ms. */
export function medianStep(times) {
  const steps = times.slice(1).map((time, i) => time - times[i]).sort((a, b) => a - b);
  return steps[Math.floor(steps.length / 2)] ?? 1000;
}

/** A line through the values; a hole longer than `gapMs` is a gap. */
export function linePath(times, values, x, y, gapMs) {
  let d = "";
  let before = null;
  times.forEach((time, i) => {
    if (missing(values[i])) { before = null; return; }
    const joined = before !== null && time - before <= gapMs;
    d += `${joined ? "L" : "M"}${x(time).toFixed(1)} ${y(values[i]).toFixed(1)}`;
    before = time;
  });
  return d;
}

/** Runs of consecutive known intervals, as [first index, last index]. */
function runs(times, known, stepMs) {
  const found = [];
  times.forEach((time, i) => {
    if (!known(i)) return;
    const last = found.at(-1);
    if (last && last[1] === i - 1 && time - times[i - 1] <= stepMs * 1.01) last[1] = i;
    else found.push([i, i]);
  });
  return found;
}

/** Each value holds from its time on for `stepMs`. */
export function stepPath(times, values, x, y, stepMs) {
  return runs(times, (i) => !missing(values[i]), stepMs).map(([first, last]) => {
    let d = "";
    for (let i = first; i <= last; i += 1) {
      const at = y(values[i]).toFixed(1);
      d += `${i === first ? "M" : "L"}${x(times[i]).toFixed(1)} ${at}H${x(times[i] + stepMs).toFixed(1)}`;
    }
    return d;
  }).join("");
}

/** The area between two values that hold from their time on for `stepMs`; `values` are [low, high] or null. */
export function bandPath(times, values, x, y, stepMs) {
  return runs(times, (i) => !missing(values[i]), stepMs).map(([first, last]) => {
    const [there, back] = [[], []];
    for (let i = first; i <= last; i += 1) {
      const [from, to] = [x(times[i]).toFixed(1), x(times[i] + stepMs).toFixed(1)];
      there.push(`${from} ${y(values[i][1]).toFixed(1)}L${to} ${y(values[i][1]).toFixed(1)}`);
      back.unshift(`${to} ${y(values[i][0]).toFixed(1)}L${from} ${y(values[i][0]).toFixed(1)}`);
    }
    return `M${there.join("L")}L${back.join("L")}Z`;
  }).join("");
}
