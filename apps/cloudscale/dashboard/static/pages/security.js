// Alerts, suspicious events with their evidence, and the busiest clients.

import { addressOf } from "../address.js";
import { get } from "../api.js";
import { block, card, definitions, dialog, fill, given, h, table } from "../dom.js";
import { count, time, visible, words } from "../format.js";
import { showEvent } from "./event.js";
import { refreshing } from "./refreshing.js";

const KINDS = {
  velocity: "Too many requests",
  user_velocity: "Too many requests for a user",
  unusual_amount: "Unusual amount",
  shared_value: "One value, many users",
  impossible_travel: "Impossible travel",
  cart_abandoned: "Cart abandoned",
};

function ruleOf({ fraud }) {
  if (!fraud) return "";
  const kind = KINDS[fraud.rule] ?? words(fraud.rule);
  return fraud.counted ? `${kind}: ${count(fraud.count)} ${fraud.counted} in ${fraud.windowSeconds} s, limit ${fraud.limit}` : kind;
}

function showAlert(alert) {
  dialog(
    KINDS[alert.kind] ?? words(alert.kind),
    definitions([
      ["Raised", time(alert.createdAt)],
      ["Tenant", given(alert.tenantId)],
      ["Client", given(alert.clientAddress)],
      ["User", alert.userId ? h("a", { href: addressOf("users", { user: alert.userId, tenant: alert.tenantId }) }, given(alert.userId)) : null],
      ["Correlation id", alert.correlationId ? h("a", { href: addressOf("events", { correlationId: alert.correlationId }) }, given(alert.correlationId)) : null],
      ["Events", h("a", { href: addressOf("events", { tenant: alert.tenantId, user: alert.userId, suspicious: "true" }) }, alert.userId ? "Suspicious ones of this user" : "Suspicious ones of this tenant")],
    ]),
    h("h3", {}, "Evidence"),
    block(alert.evidence ?? {}),
  );
}

export default {
  title: "Security",

  show(root, { query }) {
    const chosen = { user: query.get("user"), tenant: query.get("tenant") };
    const filters = Object.entries(chosen).filter(([, value]) => value);
    const page = refreshing(
      root,
      5,
      () => get("/api/security", chosen),
      ({ alerts, suspicious, clients, clientsOf }) => {
        const alertColumns = [
          { title: "Alert", value: (row) => KINDS[row.kind] ?? words(row.kind) },
          { title: "Raised", value: (row) => time(row.createdAt) },
          { title: "Tenant", value: (row) => given(row.tenantId) },
          { title: "Client or user", value: (row) => given(row.clientAddress ?? row.userId) },
        ];
        const suspiciousColumns = [
          { title: "Event", value: (row) => given(row.eventId, "code") },
          { title: "Received", value: (row) => time(row.receivedAt) },
          { title: "Type", value: (row) => given(words(row.eventType)) },
          { title: "Tenant", value: (row) => given(row.tenantId) },
          { title: "Client", value: (row) => given(row.clientAddress) },
          { title: "Rule", value: ruleOf, class: "wide" },
        ];
        const clientColumns = [
          { title: "Client", value: (row) => given(row.clientAddress, "code") },
          { title: "Events", value: (row) => count(row.events), class: "number" },
          { title: "Suspicious", value: (row) => count(row.suspicious), class: "number" },
          { title: "Tenants", value: (row) => given(row.tenants.join(", ")) },
        ];
        fill(
          root,
          filters.length
            ? h("p", { class: "chips" }, filters.map(([name, value]) => h("a", { class: "chip", href: addressOf("security", { ...chosen, [name]: "" }) }, `${words(name)}: ${visible(value)} `, h("span", { "aria-hidden": "true" }, "✕"), h("span", { class: "hidden" }, "remove"))))
            : null,
          h("p", { class: "muted" }, "What the rules of the fraud check have found. The engagement score of a user is something else."),
          h(
            "div",
            { class: "columns" },
            card("Alerts", table("Alerts", alertColumns, alerts, { empty: "No alerts.", tall: true, onrow: showAlert })),
            card(
              "Top clients",
              h("p", { class: "muted" }, `Of the last ${count(clientsOf)} events.`),
              table("Top clients", clientColumns, clients, { empty: "No events yet." }),
            ),
          ),
          card(
            "Suspicious events",
            h("p", { class: "muted" }, h("a", { href: addressOf("events", { ...chosen, suspicious: "true" }) }, "All of them, page by page")),
            table("Suspicious events", suspiciousColumns, suspicious, { empty: "No suspicious events.", tall: true, onrow: (row) => showEvent(row) }),
          ),
        );
      },
    );
    return page.stop;
  },
};
