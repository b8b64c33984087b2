// The alarm strip: regions with a finding, and devices that do not report the desired power.

import { h, text } from "../dom.js";
import { count, counted } from "../format.js";
import { alarmSentence } from "../words.js";

const SHOWN = 5;

/** A strip for one region, or for all of them; `set(alarms, nowMs)` with an AlarmList fills it. */
export function alarmStrip(region = null) {
  const title = h("strong");
  const list = h("ul");
  const ofRegions = h("ul");
  const incidents = h("p", { hidden: true }, h("a", { href: "#/incidents" }));
  const records = h("p", { hidden: true }, h("a", { href: "#/records" }));
  const element = h("section", { class: "alarms", role: "status", "aria-label": "Alarms", hidden: true }, incidents, ofRegions, title, list, records);
  return {
    element,
    set(alarms, nowMs) {
      const here = alarms.alarms.filter((alarm) => region === null || alarm.region === region);
      // A region's own page shows its findings beside its name.
      const regions = region === null ? alarms.regions : [];
      const refused = region === null ? alarms.records_rejected : 0;
      records.hidden = refused === 0;
      text(records.firstChild, `${counted(refused, "record was", "records were")} refused in the last 5 minutes`);
      const open = region === null ? alarms.incidents_open : 0;
      incidents.hidden = open === 0;
      text(incidents.firstChild, `${counted(open, "incident is", "incidents are")} open; nobody attends to ${count(alarms.incidents_unacknowledged)}`);
      element.hidden = here.length === 0 && regions.length === 0 && refused === 0 && open === 0;
      title.hidden = here.length === 0;
      regions.forEach((alarm, i) => {
        const row = ofRegions.children[i] ?? ofRegions.appendChild(h("li", {}, h("a"), h("span")));
        const [link, said] = row.children;
        link.setAttribute("href", `#/regions/${encodeURIComponent(alarm.region)}`);
        text(link, alarm.region);
        text(said, `: ${alarm.finding.said}`);
      });
      while (ofRegions.children.length > regions.length) ofRegions.lastChild.remove();
      const total = region === null ? alarms.total : here.length;
      const more = region !== null && alarms.total > alarms.alarms.length ? " or more" : "";
      text(title, `${count(total)}${more} ${total === 1 ? "device does" : "devices do"} not report the desired power`);
      // Rows are kept, so that a link with the focus keeps it.
      here.slice(0, SHOWN).forEach((alarm, i) => {
        const row = list.children[i] ?? list.appendChild(h("li", {}, h("a"), h("span")));
        const [link, said] = row.children;
        link.setAttribute("href", alarm.site_id ? `#/sites/${encodeURIComponent(alarm.site_id)}` : "#/sites");
        text(link, alarm.device_id);
        text(said, ` ${alarmSentence(alarm, nowMs)}`);
      });
      while (list.children.length > Math.min(SHOWN, here.length)) list.lastChild.remove();
    },
  };
}
