// The dialogs of the page Access. Each resolves to what the server answered, or to null when it was closed.

import { send } from "../api.js";
import { dialog, fill, h, notice } from "../dom.js";
import { visible } from "../format.js";
import { field } from "./finding.js";

const SCOPES = {
  "events:write": "Send events",
  "events:read": "Read events and users",
  "tenant:admin": "Administer this tenant's keys",
  admin: "Administer all tenants",
};
const DAY_SECONDS = 86_400;
const HOUR_SECONDS = 3600;
const KEY_REQUESTS = "Requests a second at the most; empty for what the pipeline says for every key";
const MOST_DAYS = 3650;
const MOST_HOURS = 90 * 24;

const text = (name, attributes = {}) => h("input", { id: `form-${name}`, name, autocomplete: "off", spellcheck: "false", ...attributes });
const number = (name, attributes = {}) => text(name, { type: "number", step: "any", ...attributes });
const numberOf = (input) => (input.value.trim() === "" ? null : Number(input.value));
const secondsOf = (days) => (days.value.trim() === "" ? null : Math.round(Number(days.value) * DAY_SECONDS));
const listOf = (input) => {
  const all = input.value.split(/[\s,]+/).filter(Boolean);
  return all.length ? all : null;
};

function check(name, label, checked = false) {
  const box = h("input", { id: `form-${name}`, type: "checkbox", checked });
  return { box, label: h("label", { class: "check" }, box, label) };
}

// A dialog with a form. `read` says what to send: [method, path, content].
function ask(title, action, fields, read) {
  return new Promise((resolve) => {
    let answer = null;
    const said = h("div", {});
    const submit = h("button", { class: "primary", type: "submit" }, action);
    const cancel = h("button", { type: "button" }, "Cancel");
    const form = h("form", { class: "form" }, fields, said, h("div", { class: "actions" }, cancel, submit));
    const element = dialog(title, form);
    cancel.addEventListener("click", () => element.close());
    element.addEventListener("close", () => resolve(answer));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      submit.disabled = true;
      try {
        answer = await send(...read());
        element.close();
      } catch (problem) {
        fill(said, notice(problem.message, "bad"));
        submit.disabled = false;
      }
    });
    form.querySelector("input")?.focus();
  });
}

function quotaInputs({ eventsPerSecond = null, requestsPerSecond = null } = {}) {
  const events = number("events", { min: "0", value: eventsPerSecond == null ? "" : String(eventsPerSecond) });
  const requests = number("requests", { min: "0", value: requestsPerSecond == null ? "" : String(requestsPerSecond) });
  return {
    fields: [
      field("Events a second at the most", events),
      field("Requests a second at the most", requests),
      h("p", { class: "muted" }, "What is left empty is as the pipeline says for every tenant."),
    ],
    read: () => ({ eventsPerSecond: numberOf(events), requestsPerSecond: numberOf(requests) }),
  };
}

export function askForTenant() {
  const id = text("id", { required: true, maxlength: "64" });
  const quota = quotaInputs();
  return ask("Create a tenant", "Create", [field("Id, as events name it", id), ...quota.fields], () => ["POST", "/api/access/tenants", { id: id.value.trim(), quota: quota.read() }]);
}

export function askForQuota(tenant) {
  const quota = quotaInputs(tenant.quota);
  const disabled = check("disabled", "Disabled: none of its keys and tokens holds", tenant.disabled);
  const path = `/api/access/tenants/${encodeURIComponent(tenant.id)}`;
  return ask(`Change the tenant ${visible(tenant.id)}`, "Change", [...quota.fields, disabled.label], () => ["PATCH", path, { quota: quota.read(), disabled: disabled.box.checked }]);
}

export function askForKey(tenantId, isForAll) {
  const name = text("name", { required: true, maxlength: "128" });
  const days = number("days", { min: "1", max: String(MOST_DAYS), step: "1", value: "90" });
  const types = text("types");
  const origins = text("origins");
  const device = text("device", { maxlength: "255" });
  const requests = number("requests", { min: "0" });
  const server = check("server", "Belongs to a server that sends for many users");
  const offered = Object.entries(SCOPES).filter(([scope]) => isForAll || scope !== "admin");
  const scopes = offered.map(([scope, label]) => [scope, check(scope.replace(":", "-"), `${label} (${scope})`, scope === "events:write")]);
  const fields = [
    field("Name: what it is for", name),
    h("fieldset", {}, h("legend", {}, "What it may do"), scopes.map(([, each]) => each.label)),
    field("Days until it expires; empty for a key without an end", days),
    field("Types of event that it may send; empty for all", types),
    field("Web origins that it works from; empty for any place", origins),
    field("Device that it belongs to; empty for none", device),
    field(KEY_REQUESTS, requests),
    server.label,
  ];
  return ask(`Create a key of ${visible(tenantId)}`, "Create", fields, () => [
    "POST",
    "/api/access/keys",
    {
      tenantId,
      name: name.value.trim(),
      scopes: scopes.filter(([, each]) => each.box.checked).map(([scope]) => scope),
      expiresInSeconds: secondsOf(days),
      eventTypes: listOf(types),
      origins: listOf(origins),
      deviceId: device.value.trim() || null,
      isServer: server.box.checked,
      requestsPerSecond: numberOf(requests),
    },
  ]);
}

// Only what somebody changes is sent: the days that are left move on while the form is open.
export function askForKeyChange(key) {
  const name = text("name", { required: true, maxlength: "128", value: key.name });
  const daysLeft = key.expiresAt == null ? "" : (Math.max(0, Date.parse(key.expiresAt) - Date.now()) / 1000 / DAY_SECONDS).toFixed(1);
  const days = number("days", { min: "0", max: String(MOST_DAYS), value: daysLeft });
  const limit = key.requestsPerSecond == null ? "" : String(key.requestsPerSecond);
  const requests = number("requests", { min: "0", value: limit });
  const path = `/api/access/keys/${key.id}`;
  const fields = [field("Name: what it is for", name), field("Days until it expires; empty for a key without an end", days), field(KEY_REQUESTS, requests)];
  return ask(`Change the key ${key.id}`, "Change", fields, () => {
    const change = {};
    if (name.value.trim() !== key.name) change.name = name.value.trim();
    if (days.value !== daysLeft) change.expiresInSeconds = secondsOf(days);
    if (requests.value !== limit) change.requestsPerSecond = numberOf(requests);
    return ["PATCH", path, change];
  });
}

export function askForOverlap(key) {
  const hours = number("hours", { min: "0", max: String(MOST_HOURS), required: true, value: "24" });
  const about = h("p", {}, "A new key with the same rights is made. The old one still holds for the overlap, so that its users can change.");
  const path = `/api/access/keys/${key.id}/rotate`;
  return ask(`Rotate the key ${key.id}`, "Rotate", [about, field("Overlap in hours", hours)], () => ["POST", path, { overlapSeconds: Math.round(Number(hours.value) * HOUR_SECONDS) }]);
}

// The one time that a key is shown: it stands in this dialog alone, which takes it along when it closes.
export function showNewKey(made) {
  const shown = h("input", { id: "new-key", readonly: true, value: made.key, spellcheck: "false", class: "new-key" });
  const said = h("p", { class: "muted", role: "status" }, "It is not shown again.");
  const copy = h("button", { class: "primary", type: "button" }, "Copy");
  copy.addEventListener("click", async () => {
    shown.select();
    try {
      await navigator.clipboard.writeText(made.key);
      fill(said, "Copied. It is not shown again.");
    } catch {
      // Without HTTPS a page may not write the clipboard.
      fill(said, "It is selected: copy it with the keyboard. It is not shown again.");
    }
  });
  const element = dialog("New key", field(`The key ${visible(made.name)} of ${visible(made.tenantId)}: keep it now`, shown), said, h("div", { class: "actions" }, copy));
  element.addEventListener("close", () => {
    shown.value = "";
  });
  copy.focus();
}
