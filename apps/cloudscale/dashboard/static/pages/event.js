// One event in a dialog: its way through the pipeline with timings, then all its fields.

import { addressOf, eventAddress } from "../address.js";
import { get } from "../api.js";
import { definitions, dialog, fill, h, notice } from "../dom.js";
import { milliseconds, span, time, words } from "../format.js";

function steps(event) {
  const created = Date.parse(event.createdAt);
  const received = Date.parse(event.receivedAt);
  const processed = Date.parse(event.processedAt);
  const before = (received - created) / 1000;
  const list = [
    ["Created on the device", event.createdAt, null],
    ["Accepted by ingestion", event.receivedAt, before > 0 ? `${span(before)} later` : null],
    ["Stored by a worker", event.processedAt, Number.isNaN(processed) ? null : `${milliseconds(Math.max(0, processed - received))} later`],
  ];
  return h(
    "ol",
    { class: "way" },
    list.map(([name, at, after]) => h("li", {}, h("b", {}, name), h("span", {}, time(at)), h("span", { class: "muted" }, after ?? ""))),
  );
}

export async function showEvent({ eventId, tenantId }) {
  const body = h("div", {}, notice("Loading…"));
  dialog("Event", body);
  try {
    const { event } = await get(`/api/events/${encodeURIComponent(eventId)}`, { tenant: tenantId });
    fill(
      body,
      definitions([
        ["Event id", h("code", {}, event.eventId)],
        ["Type", words(event.eventType)],
        ["Tenant", event.tenantId],
        ["User", event.userId ? h("a", { href: addressOf("users", { user: event.userId, tenant: event.tenantId }) }, event.userId) : null],
        ["Correlation id", h("a", { href: addressOf("events", { correlationId: event.correlationId }) }, h("code", {}, event.correlationId))],
        ["Client", event.clientAddress],
        ["Fraud check", event.suspicious ? h("span", { class: "tag warn" }, "Suspicious") : "Not suspicious"],
        ["Alerts", event.userId ? h("a", { href: addressOf("security", { user: event.userId, tenant: event.tenantId }) }, "Of this user") : null],
        ["Link", h("a", { href: eventAddress(event) }, "To this event")],
        ["Trace", event.traceparent ? h("code", {}, event.traceparent.split("-")[1]) : null],
      ]),
      h("h3", {}, "Its way through the pipeline"),
      steps(event),
      h("h3", {}, "Document"),
      h("pre", { tabindex: "0" }, JSON.stringify(event, null, 2)),
    );
  } catch (problem) {
    fill(body, notice(problem.message, "bad"));
  }
}
