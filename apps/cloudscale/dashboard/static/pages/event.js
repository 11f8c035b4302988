// One event in a dialog: its way through the pipeline with timings, then all its fields.

import { addressOf, eventAddress } from "../address.js";
import { get } from "../api.js";
import { block, definitions, dialog, fill, given, h, notice } from "../dom.js";
import { milliseconds, span, time, words } from "../format.js";

function apart(seconds) {
  if (seconds > 0) return `${span(seconds)} later`;
  return seconds < 0 ? `${span(-seconds)} earlier than the device's clock said` : null;
}

function steps(event) {
  const created = Date.parse(event.createdAt);
  const received = Date.parse(event.receivedAt);
  const processed = Date.parse(event.processedAt);
  const before = (received - created) / 1000;
  // Ingestion writes its own time into an event that has none.
  const isTimed = event.createdAt !== event.receivedAt;
  const list = [
    ["Created on the device", isTimed ? event.createdAt : null, isTimed ? null : "The event did not say when. The time of acceptance stands for it."],
    ["Accepted by ingestion", event.receivedAt, apart(before)],
    ["Stored by a worker", event.processedAt, Number.isNaN(processed) ? null : `${milliseconds(Math.max(0, processed - received))} later`],
  ];
  return h(
    "ol",
    { class: "way" },
    list.map(([name, at, after]) => h("li", {}, h("b", {}, name), at || !after ? h("span", {}, time(at)) : null, h("span", { class: "muted" }, after ?? ""))),
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
        ["Event id", given(event.eventId, "code")],
        ["Type", given(words(event.eventType))],
        ["Tenant", given(event.tenantId)],
        ["User", event.userId ? h("a", { href: addressOf("users", { user: event.userId, tenant: event.tenantId }) }, given(event.userId)) : null],
        ["Device", typeof event.deviceId === "string" ? h("a", { href: addressOf("devices", { id: event.deviceId, tenant: event.tenantId }) }, given(event.deviceId, "code")) : null],
        ["Correlation id", h("a", { href: addressOf("events", { correlationId: event.correlationId }) }, given(event.correlationId, "code"))],
        ["Client", given(event.clientAddress)],
        ["Fraud check", event.suspicious ? h("span", { class: "tag warn" }, "Suspicious") : "Not suspicious"],
        ["Alerts", event.userId ? h("a", { href: addressOf("security", { user: event.userId, tenant: event.tenantId }) }, "Of this user") : null],
        ["Link", h("a", { href: eventAddress(event) }, "To this event")],
        ["Trace", event.traceparent ? given(event.traceparent.split("-")[1], "code") : null],
      ]),
      h("h3", {}, "Its way through the pipeline"),
      steps(event),
      h("h3", {}, "Document"),
      block(event),
    );
  } catch (problem) {
    fill(body, notice(problem.message, "bad"));
  }
}
