// Tenants with what they send and may send, and the keys of one of them: made, replaced and ended.

import { addressOf } from "../address.js";
import { get, send } from "../api.js";
import { card, confirm, definitions, dialog, fill, given, h, notice, table } from "../dom.js";
import { rate, span, time } from "../format.js";
import { askForKey, askForKeyChange, askForOverlap, askForQuota, askForTenant, showNewKey } from "./access-forms.js";
import { turns } from "./finding.js";
import { refreshing } from "./refreshing.js";

const NARROW = matchMedia("(max-width: 600px)");
const FEW = 10;

const STATES = { active: "Active", ending: "Ending", revoked: "Revoked", expired: "Expired" };

const state = (key) => h("span", { class: key.state === "active" ? "tag" : "tag warn" }, key.state === "ending" ? `Ends ${time(key.revokedAt)}` : STATES[key.state]);

// A button that keeps the keyboard's focus while the page around it is built anew.
const steady = (kept, text, onclick, kind = "link") => h("button", { class: kind, type: "button", "data-kept": kept, onclick }, text);

function refill(root, ...children) {
  const kept = root.contains(document.activeElement) ? document.activeElement.dataset.kept : null;
  fill(root, ...children);
  if (kept) root.querySelector(`[data-kept="${CSS.escape(kept)}"]`)?.focus({ preventScroll: true });
}

function sent(tenant, rates) {
  const now = rates.eventsPerSecond[tenant.id] ?? 0;
  const most = tenant.quota.eventsPerSecond ?? rates.usualEventsPerSecond;
  return most == null ? rate(now) : `${rate(now)} of ${rate(most)}`;
}

function asked(tenant, rates) {
  const most = tenant.quota.requestsPerSecond ?? rates.usualRequestsPerSecond;
  return most == null ? "Not limited" : rate(most);
}

export default {
  title: "Access",
  forAdministratorsOnly: true,

  show(root, { viewer, head, query }) {
    const isForAll = viewer.tenants == null;
    const only = viewer.tenants?.length === 1 ? viewer.tenants[0] : "";
    const chosen = { tenant: query.get("tenant") || only, after: query.get("after") ?? "" };
    const said = h("div", { "aria-live": "polite" });
    const list = h("div", { class: "page" });
    fill(root, said, list);
    if (isForAll) head.append(h("div", { class: "actions" }, h("button", { class: "primary", type: "button", onclick: createTenant }, "Create tenant")));

    async function load() {
      const [tenants, rates, keys] = await Promise.all([
        get("/api/access/tenants", { limit: 100, cursor: chosen.tenant ? "" : chosen.after }),
        get("/api/access/rates"),
        chosen.tenant ? get("/api/access/keys", { tenant: chosen.tenant, limit: 100, cursor: chosen.after }) : null,
      ]);
      // Among many it may stand on a later page.
      if (chosen.tenant && !tenants.tenants.some(({ id }) => id === chosen.tenant)) tenants.tenants.unshift(await get(`/api/access/tenants/${encodeURIComponent(chosen.tenant)}`));
      return { tenants, rates, keys };
    }

    // What did not go with a change, such as that it is noticed late, stands beside what was done.
    function tell(text, { warnings = [] } = {}) {
      fill(said, notice(text, "good"), warnings.map((warning) => notice(`${warning}.`, "warn")));
      page.refresh();
    }

    async function createTenant() {
      const tenant = await askForTenant();
      if (tenant) tell(`The tenant ${tenant.id} is there. Give it a key.`, tenant);
    }

    async function changeTenant(tenant) {
      const changed = await askForQuota(tenant);
      if (changed) tell(`The tenant ${tenant.id} is changed.`, changed);
    }

    async function createKey() {
      const made = await askForKey(chosen.tenant, isForAll);
      if (made) present(made, `The key ${made.name} is made.`);
    }

    async function change(key) {
      const changed = await askForKeyChange(key);
      if (changed) tell(`The key ${changed.name} is changed.`, changed);
    }

    async function rotate(key) {
      const made = await askForOverlap(key);
      if (made) present(made, `The key ${key.name} is replaced.`);
    }

    // The page behind the dialog never has the key, so nothing of it is left when the dialog closes.
    function present(made, text) {
      showNewKey(made);
      tell(text, made);
    }

    async function revoke(key) {
      const agreed = await confirm(`Revoke the key ${key.id}?`, "Whoever uses it is refused within seconds. There is no way back. This is recorded with your name.", "Revoke", { kind: "danger" });
      if (!agreed) return;
      try {
        const revoked = await send("POST", `/api/access/keys/${key.id}/revoke`);
        tell(`The key ${key.name} is revoked.`, revoked);
      } catch (problem) {
        fill(said, notice(problem.message, "bad"));
      }
    }

    const used = (key, isKnown, never) => (key.lastUsedAt ? time(key.lastUsedAt) : isKnown ? never : "Not known now");

    function look(key, isUseKnown) {
      const holds = key.state === "active" || key.state === "ending";
      const lead = (act) => () => {
        element.close();
        act(key);
      };
      const element = dialog(
        "Key",
        definitions([
          ["Name", given(key.name)],
          ["Id", h("code", {}, key.id)],
          ["Tenant", given(key.tenantId)],
          ["State", state(key)],
          ["Scopes", key.scopes.join(", ")],
          ["Created", time(key.createdAt)],
          ["Expires", key.expiresAt ? time(key.expiresAt) : "Never"],
          ["Last used", used(key, isUseKnown, "Not seen in use")],
          ["Replaced by", key.replacedBy && h("code", {}, key.replacedBy)],
          ["Types of event", key.eventTypes && given(key.eventTypes.join(", "))],
          ["Web origins", key.origins && given(key.origins.join(", "))],
          ["Device", given(key.deviceId)],
          ["Requests/s at the most", key.requestsPerSecond == null ? "As every key" : rate(key.requestsPerSecond)],
          ["Server", key.isServer ? "Sends for many users" : null],
        ]),
        h(
          "div",
          { class: "actions" },
          holds ? h("button", { class: "danger", type: "button", onclick: lead(revoke) }, "Revoke") : null,
          key.revokedAt ? null : h("button", { type: "button", onclick: lead(change) }, "Change"),
          holds && !key.revokedAt ? h("button", { type: "button", onclick: lead(rotate) }, "Rotate") : null,
        ),
      );
    }

    function tenantsCard({ tenants, next }, rates) {
      const columns = [
        { title: "Tenant", value: (row) => h("a", { href: addressOf("access", { tenant: row.id }), "data-kept": `keys of ${row.id}`, "aria-current": row.id === chosen.tenant ? "true" : null }, given(row.id)) },
        { title: "State", value: (row) => h("span", { class: row.disabled ? "tag warn" : "tag" }, row.disabled ? "Disabled" : "Active") },
        { title: "Events/s", value: (row) => sent(row, rates), class: "number" },
        { title: "Requests/s at the most", value: (row) => asked(row, rates), class: "number" },
        { title: "Created", value: (row) => time(row.createdAt) },
      ];
      if (isForAll) columns.push({ title: "Quota", value: (row) => steady(`change ${row.id}`, `Change ${row.id}`, () => changeTenant(row)) });
      return card(
        "Tenants",
        h("p", { class: "muted" }, `Events that are accepted a second, of those that are allowed. Measured ${span(rates.ageSeconds)} ago.`),
        table("Tenants", columns, tenants, { empty: "No tenant yet. Whoever sends with a key needs one." }),
        chosen.tenant ? null : turns("access", chosen, next, { first: "First tenants", following: "More tenants" }),
      );
    }

    function keysCard({ keys, next, lastUseKnown }) {
      const columns = [
        { title: "Name", value: (row) => steady(row.id, given(row.name), () => look(row, lastUseKnown)) },
        { title: "Id", value: (row) => h("code", {}, row.id) },
        { title: "Scopes", value: (row) => row.scopes.join(", "), class: "wide" },
        { title: "State", value: state },
        { title: "Created", value: (row) => time(row.createdAt) },
        { title: "Expires", value: (row) => (row.expiresAt ? time(row.expiresAt) : "Never") },
        { title: "Last used", value: (row) => used(row, lastUseKnown, "Not seen") },
      ];
      return card(
        `Keys of ${chosen.tenant}`,
        h("div", { class: "actions" }, steady("create key", "Create key", createKey, "")),
        h("p", { class: "muted" }, lastUseKnown ? "A use is shown up to a minute late." : "When keys were last used is not known now, since Redis does not answer."),
        table("Keys", columns, keys, { empty: "No key here." }),
        turns("access", chosen, next, { first: "First keys", following: "More keys" }),
      );
    }

    const page = refreshing(list, 5, load, ({ tenants, rates, keys }) => {
      const cards = [tenantsCard(tenants, rates), keys ? keysCard(keys) : h("p", { class: "muted" }, "Choose a tenant to see its keys.")];
      // The keys would stand far below many tenants.
      if (keys && (NARROW.matches || tenants.tenants.length > FEW)) cards.reverse();
      refill(list, ...cards);
    });
    return page.stop;
  },
};
