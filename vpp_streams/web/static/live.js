// The live stream: the newest summary and every region, and whether we still hear of them.

/** Without news for this long the numbers on the page are old, whatever the socket says. */
const SILENT_MS = 5000;
const AGAIN_MS = 2000;

/** Follow /api/v1/stream; `onUpdate(state)` with {summary, regions, dispatches, standings, alarms}, `onLink("live"|"lost")`. */
export function follow(onUpdate, onLink) {
  const state = { summary: null, regions: new Map(), dispatches: new Map(), standings: new Map(), alarms: { total: 0, alarms: [], regions: [] } };
  let source;
  let heardAt = performance.now();

  function connect() {
    source = new EventSource("api/v1/stream");
    source.addEventListener("update", (event) => {
      heardAt = performance.now();
      state.summary = JSON.parse(event.data);
      for (const region of state.summary.regions) state.regions.set(region.region, region);
      onLink("live");
      onUpdate(state);
    });
    source.addEventListener("control", (event) => {
      const control = JSON.parse(event.data);
      for (const now of control.regions) state.dispatches.set(now.region, now);
      state.standings = new Map(control.standings.map((one) => [one.region, one.standing]));
      state.alarms = control.alarms;
      if (state.summary) onUpdate(state);
    });
    source.addEventListener("error", () => {
      onLink("lost");
      // The browser tries again by itself, except after an answer that was no stream.
      if (source.readyState === EventSource.CLOSED) setTimeout(connect, AGAIN_MS);
    });
  }

  connect();
  setInterval(() => {
    if (performance.now() - heardAt > SILENT_MS) onLink("lost");
  }, 1000);
  return state;
}

/** GET a JSON document of the API. Throws an Error of one sentence, with the answer's `status`. */
export async function get(path, parameters = {}, signal = undefined) {
  return (await answer(path, parameters, signal)).json();
}

/** As `get`, of a document that has a tag: {tag, document}; null while it is still that of `tag`. */
export async function getChanged(path, parameters, signal, tag) {
  const response = await answer(path, parameters, signal);
  const now = response.headers.get("ETag");
  return now !== null && now === tag ? null : { tag: now, document: await response.json() };
}

async function answer(path, parameters, signal) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== null && value !== undefined && value !== "") query.set(name, value);
  }
  const tail = query.size ? `?${query}` : "";
  const response = await fetch(`api/v1/${path}${tail}`, { signal });
  if (!response.ok) {
    const told = await response.json();
    const problem = `${told.error}${told.hint ? ` – ${told.hint}` : ""}`;
    throw Object.assign(new Error(problem), { status: response.status });
  }
  return response;
}
