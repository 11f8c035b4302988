// Find events by id, correlation id, tenant, user, type and time.

import { get } from "../api.js";
import { fill, h, notice, table } from "../dom.js";
import { milliseconds, time, words } from "../format.js";
import { showEvent } from "./event.js";

const FIELDS = [
  ["id", "Event id"],
  ["correlationId", "Correlation id"],
  ["tenant", "Tenant"],
  ["user", "User"],
  ["type", "Type"],
];

const COLUMNS = [
  { title: "Event", value: (row) => h("code", {}, row.eventId) },
  { title: "Received", value: (row) => time(row.receivedAt) },
  { title: "Type", value: (row) => words(row.eventType) },
  { title: "Tenant", value: (row) => row.tenantId },
  { title: "User", value: (row) => row.userId },
  { title: "Stored after", class: "number", value: (row) => (row.processedAt ? milliseconds(Math.max(0, Date.parse(row.processedAt) - Date.parse(row.receivedAt))) : null) },
  { title: "Remark", value: (row) => (row.suspicious ? h("span", { class: "tag warn" }, "Suspicious") : " ") },
];

// The store compares times as text, in UTC.
const instant = (local) => (local ? new Date(local).toISOString().replace("Z", "") : "");

export default {
  title: "Events",

  show(root) {
    const inputs = Object.fromEntries(
      FIELDS.map(([name, label]) => [name, h("input", { id: `find-${name}`, name, "aria-label": label, autocomplete: "off" })]),
    );
    const since = h("input", { id: "find-since", type: "datetime-local", step: "1", "aria-label": "Received from" });
    const until = h("input", { id: "find-until", type: "datetime-local", step: "1", "aria-label": "Received before" });
    const field = (label, input) => h("div", { class: "field" }, h("label", { for: input.id }, label), input);
    const results = h("div", {});
    const form = h(
      "form",
      { class: "card find", role: "search", "aria-label": "Find events" },
      FIELDS.map(([name, label]) => field(label, inputs[name])),
      field("Received from", since),
      field("Received before", until),
      h("div", { class: "actions" }, h("button", { type: "reset" }, "Clear"), h("button", { class: "primary", type: "submit" }, "Find")),
    );
    fill(root, form, results);
    let turn = 0;

    async function find() {
      const mine = ++turn;
      const asked = Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, input.value.trim()]));
      try {
        const { events, limit } = await get("/api/events", { ...asked, since: instant(since.value), until: instant(until.value) });
        if (mine !== turn) return;
        fill(
          results,
          h(
            "section",
            { class: "card" },
            h("h2", {}, events.length >= limit ? `The newest ${limit} events` : `${events.length} events`),
            table("Events", COLUMNS, events, { empty: "No event matches. It may still be in the queue, or be a dead letter.", onrow: (row) => showEvent(row) }),
          ),
        );
      } catch (problem) {
        if (mine === turn) fill(results, notice(problem.message, "bad"));
      }
    }

    form.addEventListener("submit", (event) => {
      event.preventDefault();
      find();
    });
    form.addEventListener("reset", () => setTimeout(find));
    find();
    return () => {
      turn += 1;
    };
  },
};
