// Find events by id, correlation id, tenant, user, device, type, time and suspicion, page by page; the address has what is asked.

import { addressOf } from "../address.js";
import { get } from "../api.js";
import { fill, given, h, notice, table } from "../dom.js";
import { count, milliseconds, time, words } from "../format.js";
import { showEvent } from "./event.js";
import { field, finder, textInputs, turns, typed } from "./finding.js";

const FIELDS = { id: "Event id", correlationId: "Correlation id", tenant: "Tenant", user: "User", device: "Device", type: "Type" };

const COLUMNS = [
  { title: "Event", value: (row) => given(row.eventId, "code") },
  { title: "Received", value: (row) => time(row.receivedAt) },
  { title: "Type", value: (row) => given(words(row.eventType)) },
  { title: "Tenant", value: (row) => given(row.tenantId) },
  { title: "User", value: (row) => (row.userId ? h("a", { href: addressOf("users", { user: row.userId, tenant: row.tenantId }) }, given(row.userId)) : null) },
  { title: "Stored after", class: "number", value: (row) => (row.processedAt ? milliseconds(Math.max(0, Date.parse(row.processedAt) - Date.parse(row.receivedAt))) : null) },
  { title: "Remark", value: (row) => (row.suspicious ? h("span", { class: "tag warn" }, "Suspicious") : " ") },
];

// Times in the address have their zone, so that a link means the same everywhere.
const instant = (local) => (local ? new Date(local).toISOString() : "");

function local(text) {
  const moment = new Date(text ?? "");
  if (Number.isNaN(moment.getTime())) return "";
  return new Date(moment.getTime() - moment.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

export default {
  title: "Events",
  // Its own address, or that of one event by its tenant and id.
  parts: [0, 2],

  show(root, { query, rest }) {
    const asked = Object.fromEntries(query);
    const inputs = textInputs(FIELDS, asked);
    const since = h("input", { id: "find-since", type: "datetime-local", step: "1", "aria-label": "Received from", value: local(asked.since) });
    const until = h("input", { id: "find-until", type: "datetime-local", step: "1", "aria-label": "Received before", value: local(asked.until) });
    const suspicious = h("input", { id: "find-suspicious", type: "checkbox", checked: asked.suspicious === "true" });
    const results = h("div", {}, notice("Loading…"));
    const fields = [
      ...Object.entries(FIELDS).map(([name, label]) => field(label, inputs[name])),
      field("Received from", since),
      field("Received before", until),
      h("label", { class: "check" }, suspicious, "Suspicious only"),
    ];
    const read = () => ({
      ...typed(inputs, asked),
      since: instant(since.value),
      until: instant(until.value),
      suspicious: suspicious.checked ? "true" : "",
    });
    fill(root, finder("events", "Find events", fields, { read, again: find }), results);
    let over = false;

    async function find() {
      try {
        const { events, next } = await get("/api/events", asked);
        if (over) return;
        const heading = asked.after ? `${count(events.length)} older events` : next ? `The newest ${count(events.length)} events` : `${count(events.length)} events`;
        fill(
          results,
          h(
            "section",
            { class: "card" },
            h("h2", {}, heading),
            table("Events", COLUMNS, events, { empty: "No event matches. It may still be in the queue, or be a dead letter.", onrow: showEvent }),
            turns("events", asked, next, { first: "Newest", following: "Older" }),
          ),
        );
      } catch (problem) {
        if (!over) fill(results, notice(problem.message, "bad"));
      }
    }

    find();
    if (rest.length === 2) showEvent({ tenantId: rest[0], eventId: rest[1] });
    return () => {
      over = true;
    };
  },
};
