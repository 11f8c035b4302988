// Profiles and scores of users.

import { addressOf, keepAddress } from "../address.js";
import { get } from "../api.js";
import { card, definitions, dialog, fill, h, table } from "../dom.js";
import { count, time, words } from "../format.js";
import { refreshing } from "./refreshing.js";

const money = (amount, currency) => `${amount.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 })} ${currency}`;
const purchases = (row) => Object.entries(row.purchases ?? {}).map(([currency, sum]) => money(sum, currency)).join(", ");

const COLUMNS = [
  { title: "User", value: (row) => h("code", {}, row.userId) },
  { title: "Tenant", value: (row) => row.tenantId },
  { title: "Engagement score", value: (row) => count(row.score), class: "number" },
  { title: "Events", value: (row) => count(row.events), class: "number" },
  { title: "Purchases", value: purchases, class: "number" },
  { title: "Last seen", value: (row) => time(row.lastSeen) },
];

function showUser(row) {
  dialog(
    "User",
    definitions([
      ["User", h("code", {}, row.userId)],
      ["Tenant", row.tenantId],
      ["Engagement score", count(row.score)],
      ["Purchases", purchases(row)],
      ["First seen", time(row.firstSeen)],
      ["Last seen", time(row.lastSeen)],
      ["Events", h("a", { href: addressOf("events", { user: row.userId, tenant: row.tenantId }) }, "Of this user")],
      ["Alerts", h("a", { href: addressOf("security", { user: row.userId, tenant: row.tenantId }) }, "Of this user")],
    ]),
    h("h3", {}, "Events by type"),
    definitions(Object.entries(row.counts ?? {}).map(([type, events]) => [words(type), count(events)])),
  );
}

export default {
  title: "Users",

  show(root, { head, query }) {
    const user = h("input", { type: "search", "aria-label": "User id", placeholder: "User id" });
    const tenant = h("input", { type: "search", "aria-label": "Tenant", placeholder: "Tenant" });
    user.value = query.get("user") ?? "";
    tenant.value = query.get("tenant") ?? "";
    head.append(h("div", { class: "actions" }, tenant, user));
    const page = refreshing(
      root,
      5,
      () => get("/api/users", { user: user.value.trim(), tenant: tenant.value.trim() }),
      ({ users, count: total }) => {
        const known = total == null ? "" : `${count(total)} users have a profile. `;
        fill(
          root,
          card("Highest engagement scores", h("p", { class: "muted" }, `${known}A profile sums up all stored events of its user. The engagement score says how much a user does, and nothing of fraud.`), table("Users", COLUMNS, users, { empty: "No profiles.", onrow: showUser })),
        );
      },
    );
    let waiting;
    for (const input of [user, tenant]) {
      input.addEventListener("input", () => {
        clearTimeout(waiting);
        waiting = setTimeout(() => {
          keepAddress("users", { user: user.value.trim(), tenant: tenant.value.trim() });
          page.refresh();
        }, 300);
      });
    }
    return page.stop;
  },
};
