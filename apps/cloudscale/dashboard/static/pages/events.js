// Find events by id, correlation id, tenant, user, type, time and suspicion, page by page; the address has what is asked.

import { addressOf } from "../address.js";
import { get } from "../api.js";
import { fill, h, notice, table } from "../dom.js";
import { milliseconds, time, words } from "../format.js";
import { showEvent } from "./event.js";

const FIELDS = { id: "Event id", correlationId: "Correlation id", tenant: "Tenant", user: "User", type: "Type" };

const COLUMNS = [
  { title: "Event", value: (row) => h("code", {}, row.eventId) },
  { title: "Received", value: (row) => time(row.receivedAt) },
  { title: "Type", value: (row) => words(row.eventType) },
  { title: "Tenant", value: (row) => row.tenantId },
  { title: "User", value: (row) => (row.userId ? h("a", { href: addressOf("users", { user: row.userId, tenant: row.tenantId }) }, row.userId) : null) },
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

  show(root, { query, rest }) {
    const asked = Object.fromEntries(query);
    const inputs = Object.fromEntries(
      Object.entries(FIELDS).map(([name, label]) => [name, h("input", { id: `find-${name}`, name, "aria-label": label, autocomplete: "off", value: asked[name] ?? "" })]),
    );
    const since = h("input", { id: "find-since", type: "datetime-local", step: "1", "aria-label": "Received from", value: local(asked.since) });
    const until = h("input", { id: "find-until", type: "datetime-local", step: "1", "aria-label": "Received before", value: local(asked.until) });
    const suspicious = h("input", { id: "find-suspicious", type: "checkbox", checked: asked.suspicious === "true" });
    const field = (label, input) => h("div", { class: "field" }, h("label", { for: input.id }, label), input);
    const results = h("div", {}, notice("Loading…"));
    const form = h(
      "form",
      { class: "card find", role: "search", "aria-label": "Find events" },
      Object.entries(FIELDS).map(([name, label]) => field(label, inputs[name])),
      field("Received from", since),
      field("Received before", until),
      h("label", { class: "check" }, suspicious, "Suspicious only"),
      h("div", { class: "actions" }, h("a", { class: "button", href: addressOf("events") }, "Clear"), h("button", { class: "primary", type: "submit" }, "Find")),
    );
    fill(root, form, results);
    let over = false;

    const given = () => ({
      ...Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, input.value.trim()])),
      since: instant(since.value),
      until: instant(until.value),
      suspicious: suspicious.checked ? "true" : "",
    });

    function turning(events, next) {
      const first = asked.after ? h("a", { class: "button", href: addressOf("events", { ...asked, after: "" }) }, "Newest") : null;
      const older = next ? h("a", { class: "button", href: addressOf("events", { ...asked, after: next }) }, "Older") : null;
      return first || older ? h("nav", { class: "actions turning", "aria-label": "Pages of events" }, [first, older]) : null;
    }

    async function find() {
      try {
        const { events, next } = await get("/api/events", asked);
        if (over) return;
        const heading = asked.after ? `${events.length} older events` : next ? `The newest ${events.length} events` : `${events.length} events`;
        fill(
          results,
          h(
            "section",
            { class: "card" },
            h("h2", {}, heading),
            table("Events", COLUMNS, events, { empty: "No event matches. It may still be in the queue, or be a dead letter.", onrow: showEvent }),
            turning(events, next),
          ),
        );
      } catch (problem) {
        if (!over) fill(results, notice(problem.message, "bad"));
      }
    }

    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const address = addressOf("events", given());
      if (address === (location.hash || "#/events")) find();
      else location.hash = address;
    });
    find();
    if (rest.length === 2) showEvent({ tenantId: rest[0], eventId: rest[1] });
    return () => {
      over = true;
    };
  },
};
