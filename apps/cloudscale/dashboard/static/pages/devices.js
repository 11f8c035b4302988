// Registered devices: when each was last seen, and how far its clock is off.

import { addressOf } from "../address.js";
import { get } from "../api.js";
import { card, definitions, dialog, fill, given, h, table } from "../dom.js";
import { count, span, time, words } from "../format.js";
import { field, finder, textInputs, turns, typed } from "./finding.js";
import { refreshing } from "./refreshing.js";

const FIELDS = { tenant: "Tenant", id: "Device", type: "Type", model: "Model" };

// A clock is told apart from a late event by the smallest difference of late; see the documentation of devices.
function clock(seconds, bound) {
  if (seconds == null) return null;
  const off = Math.abs(seconds);
  const text = off < 1 ? "Right" : `${span(off)} ${seconds > 0 ? "behind" : "ahead"}`;
  return off > bound ? h("span", { class: "tag warn" }, text) : text;
}

const events = (row, text) => h("a", { href: addressOf("events", { device: row.id, tenant: row.tenantId }) }, text);

const columns = (bound) => [
  { title: "Device", value: (row) => given(row.id, "code") },
  { title: "Tenant", value: (row) => given(row.tenantId) },
  { title: "Type", value: (row) => given(row.type && words(row.type)) },
  { title: "Model", value: (row) => given(row.model) },
  { title: "Last seen", value: (row) => (row.lastSeen ? time(row.lastSeen) : h("span", { class: "muted" }, "Not seen")) },
  { title: "Clock", value: (row) => clock(row.skewSeconds, bound) },
  { title: "Events", value: (row) => events(row, "Show") },
];

function showDevice(row, bound) {
  const about = Object.entries(row.metadata).map(([name, value]) => [given(name), given(typeof value === "string" ? value : JSON.stringify(value))]);
  const late = row.differenceSeconds == null ? null : `${span(Math.abs(row.differenceSeconds))} ${row.differenceSeconds < 0 ? "before" : "after"} the time it names`;
  dialog(
    "Device",
    definitions([
      ["Device", given(row.id, "code")],
      ["Tenant", given(row.tenantId)],
      ["Type", given(row.type && words(row.type))],
      ["Model", given(row.model)],
      ["Registered", time(row.createdAt)],
      ["First seen", row.firstSeen ? time(row.firstSeen) : "Not seen"],
      ["Last seen", row.lastSeen ? time(row.lastSeen) : "Not seen"],
      ["Clock", clock(row.skewSeconds, bound)],
      ["Last measured event came", late],
      ["Events", events(row, "Of this device")],
    ]),
    about.length ? h("h3", {}, "Metadata") : null,
    about.length ? definitions(about) : null,
  );
}

export default {
  title: "Devices",

  show(root, { query }) {
    const asked = Object.fromEntries([...Object.keys(FIELDS), "after"].map((name) => [name, query.get(name) ?? ""]));
    const inputs = textInputs(FIELDS, asked);
    const filtered = Object.keys(FIELDS).some((name) => asked[name]);
    const results = h("div", {});
    const fields = Object.entries(FIELDS).map(([name, label]) => field(label, inputs[name]));
    fill(root, finder("devices", "Find devices", fields, { read: () => typed(inputs, asked), again: () => page.refresh() }), results);
    const page = refreshing(
      results,
      5,
      () => get("/api/devices", asked),
      ({ devices, skewBoundSeconds: bound, next }) => {
        const about = `A clock that is more than ${span(bound)} off is highlighted. Events of such a device stand at a wrong time.`;
        const empty = asked.after ? "No device follows." : filtered ? "No device matches." : "No devices. cloudscale devices create registers one.";
        const heading = next || asked.after ? `${count(devices.length)} devices of more` : `${count(devices.length)} ${devices.length === 1 ? "device" : "devices"}`;
        const list = table("Devices", columns(bound), devices, { empty, onrow: (row) => showDevice(row, bound) });
        fill(results, card(heading, h("p", { class: "muted" }, about), list, turns("devices", asked, next, { first: "First", following: "Next" })));
      },
    );
    return page.stop;
  },
};
