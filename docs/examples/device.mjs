// A device for Node, as device.py: node device.mjs URL DEVICE_ID TOKEN. See docs/devices.md.
// Node 22 and later have WebSocket; Node 20 needs: node --experimental-websocket device.mjs …
// It leaves out what a product needs besides: `boot_used` (D-19), Drain (D-36) and the wait after
// 1008 (D-38).

const [url, deviceId, token] = process.argv.slice(2);
const boot = Math.floor(Math.random() * 2 ** 32).toString(16);
const kept = new Map(); // readings without an Ack, by number
let [nextSeq, tries] = [0, 0];

function connect() {
  const headers = { Authorization: `Bearer ${token}` };
  const ws = new WebSocket(`${url}/v1/${deviceId}`, { protocols: ["vpp.v1"], headers });
  const send = (...message) => ws.send(JSON.stringify(message));
  const later = []; // numbers to send as Backfill
  let timer, backfillAt, ended;
  const measure = () => {
    const [seq, body] = [nextSeq++, { t: Date.now(), pv: 1234.5 }];
    kept.set(seq, body);
    send(6, `${seq}`, "Telemetry", { b: boot, s: seq, ...body });
    const old = Date.now() > backfillAt ? later.shift() : undefined;
    if (!kept.has(old)) return;
    const rows = [Object.values(kept.get(old))];
    send(6, `${old}`, "Backfill", { b: boot, from: old, cols: ["t", "pv"], rows });
  };
  ws.onopen = () => send(2, "hello", "Hello", { boot, next_seq: nextSeq, measures_only: true });
  ws.onmessage = ({ data }) => {
    const [type, id, what, payload] = JSON.parse(data);
    if (type === 3 && id === "hello") {
      tries = 0;
      const [lowest, highest] = what.backfill.delay_ms;
      backfillAt = Date.now() + lowest + Math.random() * (highest - lowest);
      later.push(...kept.keys());
      timer = setInterval(measure, what.interval_ms);
    } else if (what === "Ack") {
      for (let seq = payload.from; seq <= payload.upto; seq++) kept.delete(seq);
    } else if (what === "Setpoint") {
      send(3, id, { status: "rejected", reason: "no_battery" });
    } else if (type === 4 && ["bad_message", "unknown_action"].includes(what)) {
      kept.delete(Number(id));
    } else if (type === 4) {
      later.push(Number(id));
    }
  };
  const end = ({ code }) => {
    clearInterval(timer);
    if (ended || code === 4001) return; // 4001: another client has this identity
    ended = true; // a connection that fails reports an error, a close, or both
    setTimeout(connect, Math.random() * Math.min(60_000, 1000 * 2 ** tries++));
  };
  ws.onclose = ws.onerror = end;
}

connect();
