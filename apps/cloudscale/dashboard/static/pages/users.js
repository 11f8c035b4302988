// Profiles and scores of users.

import { addressOf } from "../address.js";
import { get } from "../api.js";
import { card, definitions, dialog, fill, given, h, table } from "../dom.js";
import { count, time, words } from "../format.js";
import { field, finder, textInputs, turns, typed } from "./finding.js";
import { refreshing } from "./refreshing.js";

const money = (amount, currency) => `${amount.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 })} ${currency}`;
const purchases = (row) => Object.entries(row.purchases ?? {}).map(([currency, sum]) => money(sum, currency)).join(", ");

const FIELDS = { tenant: "Tenant", user: "User" };
const ABOUT = "A profile sums up all stored events of its user. The engagement score says how much a user does, and nothing of fraud.";

const COLUMNS = [
  { title: "User", value: (row) => given(row.userId, "code") },
  { title: "Tenant", value: (row) => given(row.tenantId) },
  { title: "Engagement score", value: (row) => count(row.score), class: "number" },
  { title: "Events", value: (row) => count(row.events), class: "number" },
  { title: "Purchases", value: (row) => given(purchases(row)), class: "number" },
  { title: "Last seen", value: (row) => time(row.lastSeen) },
];

function showUser(row) {
  dialog(
    "User",
    definitions([
      ["User", given(row.userId, "code")],
      ["Tenant", given(row.tenantId)],
      ["Engagement score", count(row.score)],
      ["Purchases", purchases(row)],
      ["First seen", time(row.firstSeen)],
      ["Last seen", time(row.lastSeen)],
      ["Events", h("a", { href: addressOf("events", { user: row.userId, tenant: row.tenantId }) }, "Of this user")],
      ["Alerts", h("a", { href: addressOf("security", { user: row.userId, tenant: row.tenantId }) }, "Of this user")],
    ]),
    h("h3", {}, "Events by type"),
    definitions(Object.entries(row.counts ?? {}).map(([type, events]) => [given(words(type)), count(events)])),
  );
}

// How many profiles match, and which of them are shown.
function found(shown, total, { filtered, isFirst }) {
  const profiles = `${count(total)} ${filtered ? "matching " : ""}${total === 1 ? "user has" : "users have"} a profile.`;
  if (!isFirst) return `${profiles} ${count(shown)} of them with lower scores are shown.`;
  return shown < total ? `${profiles} The ${count(shown)} with the highest scores are shown.` : profiles;
}

export default {
  title: "Users",

  show(root, { query }) {
    const asked = { tenant: query.get("tenant") ?? "", user: query.get("user") ?? "", after: query.get("after") ?? "" };
    const filtered = Boolean(asked.tenant || asked.user);
    const inputs = textInputs(FIELDS, asked);
    const fields = Object.entries(FIELDS).map(([name, label]) => field(label, inputs[name]));
    const results = h("div", {});
    fill(root, finder("users", "Find users", fields, { read: () => typed(inputs, asked), again: () => page.refresh() }), results);
    const page = refreshing(
      results,
      5,
      () => get("/api/users", asked),
      ({ users, count: total, next }) => {
        const empty = asked.after ? "No user has a lower score." : filtered ? "No user matches." : "No profiles.";
        const said = users.length ? `${found(users.length, total, { filtered, isFirst: !asked.after })} ${ABOUT}` : ABOUT;
        const turning = turns("users", asked, next, { first: "Highest scores", following: "Lower scores" });
        fill(results, card(asked.after ? "Lower engagement scores" : "Highest engagement scores", h("p", { class: "muted" }, said), table("Users", COLUMNS, users, { empty, onrow: showUser }), turning));
      },
    );
    return page.stop;
  },
};
