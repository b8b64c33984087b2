// The live stream: the newest summary and every region, and whether records still arrive.

import { send, problemOf } from "./session.js";

/** After this long without an event the numbers on the page are old, even if the connection is open. */
const SILENT_MS = 5000;
const AGAIN_MS = 2000;

/**
 * Server-sent events of a response, as {event, data}. An EventSource would not say that the session
 * has ended.
 */
async function* eventsOf(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = block.split("\n").map((line) => line.split(/: ?(.*)/s));
      yield Object.fromEntries(fields);
    }
  }
}

/** Follow /api/v1/stream; `onUpdate(state)` with {summary, regions, dispatches, standings, incidents, alarms}, `onLink("live"|"lost")`. */
export function follow(onUpdate, onLink) {
  const state = { summary: null, regions: new Map(), dispatches: new Map(), standings: new Map(), incidents: new Map(), alarms: { total: 0, alarms: [], regions: [], records_rejected: 0, incidents_open: 0, incidents_unacknowledged: 0 } };
  let receivedAt = performance.now();
  let open = null;

  function apply({ event, data }) {
    receivedAt = performance.now();
    if (event === "update") {
      state.summary = JSON.parse(data);
      for (const region of state.summary.regions) state.regions.set(region.region, region);
      onLink("live");
      onUpdate(state);
    } else if (event === "control") {
      const control = JSON.parse(data);
      for (const now of control.regions) state.dispatches.set(now.region, now);
      state.standings = new Map(control.standings.map((one) => [one.region, one.standing]));
      state.incidents = new Map(control.standings.map((one) => [one.region, one.incidents_open]));
      state.alarms = control.alarms;
      if (state.summary) onUpdate(state);
    }
  }

  async function listen() {
    open = new AbortController();
    try {
      const response = await send("stream", { signal: open.signal });
      if (!response.ok) throw await problemOf(response);
      receivedAt = performance.now();
      for await (const received of eventsOf(response)) apply(received);
    } catch (error) {
      if (!(error instanceof TypeError || error.name === "AbortError" || error.status)) console.error(error);
    }
    onLink("lost");
    setTimeout(listen, AGAIN_MS);
  }

  listen();
  setInterval(() => {
    if (performance.now() - receivedAt <= SILENT_MS) return;
    onLink("lost");
    receivedAt = performance.now();
    open.abort(); // a connection without events counts as lost
  }, 1000);
  return state;
}

/** GET a JSON document of the API. Throws an Error of one sentence, with the answer's `status`. */
export async function get(path, parameters = {}, signal = undefined) {
  return (await answer(path, parameters, signal)).json();
}

/** As `get`, for a document with an ETag: {tag, document}; null if it has not changed since `tag`. */
export async function getChanged(path, parameters, signal, tag) {
  const response = await answer(path, parameters, signal);
  const now = response.headers.get("ETag");
  return now !== null && now === tag ? null : { tag: now, document: await response.json() };
}

/**
 * `load(signal, …)`, which reads something and shows it, so that a new call ends the one before: an
 * older answer, also one for another filter, never replaces a newer one. What is ended throws an
 * AbortError.
 */
export function newest(load) {
  let running = null;
  return async (signal, ...more) => {
    running?.abort();
    running = new AbortController();
    return load(signal ? AbortSignal.any([signal, running.signal]) : running.signal, ...more);
  };
}

/** Parameters as the end of an address; those without a value are left out. */
export function queryOf(parameters) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== null && value !== undefined && value !== "") query.set(name, value);
  }
  return query.size ? `?${query}` : "";
}

async function answer(path, parameters, signal) {
  const response = await send(`${path}${queryOf(parameters)}`, { signal });
  if (!response.ok) throw await problemOf(response);
  return response;
}
