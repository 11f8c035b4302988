// The balance: what was accepted against what the store has.

import { get, send } from "../api.js";
import { card, fill, given, h, notice, table } from "../dom.js";
import { count, span, time } from "../format.js";
import { refreshing } from "./refreshing.js";

const number = (title, value) => ({ title, value, class: "number" });

function verdict(balance) {
  if (balance.lost) return ["bad", `${count(balance.lost)} accepted events are missing.`];
  if (balance.unsearched) return ["warn", `${count(balance.unsearched)} events are in a queue too deep to look through. Nothing is known to be missing.`];
  if (balance.unaccounted && !balance.moving) return ["warn", `${count(balance.unaccounted)} events that were accepted while Redis was away are not stored and cannot be named: they are being processed, or they are lost.`];
  if (balance.moving) return ["good", "Nothing is missing. Events are on their way, so the running hour is still moving."];
  if (balance.surplus) return ["warn", `Nothing is missing, but the store has ${count(balance.surplus)} events more than the ledger knows: an ingestion ended before it entered them, or the ledger was lost or is younger than the store.`];
  return ["good", "Nothing is missing: every accepted event is accounted for."];
}

function equation({ totals, moving }) {
  const terms = [
    ["Accepted", totals.accepted, ""],
    ["Persisted", totals.persisted, moving ? "≈" : "="],
    ["Duplicates", totals.duplicates, "+"],
    ["Dead letters", totals.deadLetters, "+"],
    ["In flight", totals.inFlight, "+"],
    ["Difference", totals.difference, ""],
  ];
  return h(
    "dl",
    { class: "equation" },
    terms.map(([name, value, sign]) =>
      h("div", { class: name === "Difference" && value > 0 ? "term warn" : "term" }, h("dt", {}, name), h("dd", {}, h("span", { class: "sign" }, sign), count(value))),
    ),
  );
}

function acceptances(title, rows, total, explanation) {
  if (!total) return null;
  const columns = [
    { title: "Event", value: (row) => given(row.eventId, "code") },
    { title: "Tenant", value: (row) => given(row.tenantId) },
    { title: "Received", value: (row) => time(row.receivedAt) },
  ];
  const more = total > rows.length ? h("p", { class: "muted" }, `The oldest ${count(rows.length)} of ${count(total)}.`) : null;
  return card(title, h("p", { class: "muted" }, explanation), table(title, columns, rows), more);
}

const PAUSE_MILLISECONDS = 500;

// Counting takes the store its time: the server says so, and is asked again.
async function settled(answer, path) {
  let content = await answer;
  while (content.pending) {
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MILLISECONDS));
    content = await get(path);
  }
  return content;
}

export default {
  title: "Verification",

  show(root, { head }) {
    let everything = false;
    const path = () => `/api/verification${everything ? "?span=all" : ""}`;
    const toggle = h("input", { type: "checkbox", id: "everything" });
    const button = h("button", { class: "primary", type: "button" }, "Verify now");
    head.append(h("div", { class: "actions" }, h("label", { class: "check" }, toggle, "All hours"), button));

    function render(balance) {
      const [kind, text] = verdict(balance);
      const oldest = balance.oldestUnpersisted;
      const age = oldest && Date.parse(balance.at) / 1000 - oldest.receivedAt;
      const columns = [
        { title: "Hour (UTC)", value: (row) => row.hour.replace("T", " ") + ":00" },
        { title: "Tenant", value: (row) => given(row.tenantId) ?? "(others)" },
        number("Accepted", (row) => count(row.accepted)),
        number("Persisted", (row) => count(row.persisted)),
        number("Duplicates", (row) => count(row.duplicates)),
        number("Dead letters", (row) => count(row.deadLetters)),
        number("In flight", (row) => count(row.inFlight)),
        number("Difference", (row) => h("b", { class: row.difference > 0 && !row.moving ? "bad" : "" }, `${count(row.difference)}${row.moving ? " (moving)" : ""}`)),
      ];
      fill(
        root,
        h("p", { class: `health ${kind}`, role: "status" }, text),
        card(
          everything ? "All hours" : "The last 24 hours",
          equation(balance),
          h("p", { class: "muted" }, `Persisted was counted by the store itself at ${time(balance.at)}. `, oldest ? ["The oldest event that is not stored yet has waited ", `${span(age)}: `, given(oldest.eventId), "."] : "No accepted event waits to be stored."),
        ),
        acceptances("Missing", balance.missing, balance.missingCount, "Acknowledged, and neither in the store nor in a queue."),
        acceptances("Reserved, never acknowledged", balance.reserved, balance.reservedCount, "Requests that broke off, whose clients got no 202; or an ingestion ended within a moment after its answer. They are neither stored nor queued; a retry is accepted as new."),
        card("By tenant and hour", table("Balance by tenant and hour", columns, [...balance.hours].reverse(), { empty: "No events were accepted yet." })),
      );
    }

    const page = refreshing(root, 15, () => settled(get(path()), path()), render);
    toggle.addEventListener("change", () => {
      everything = toggle.checked;
      page.refresh();
    });
    button.addEventListener("click", async () => {
      button.disabled = true;
      button.textContent = "Verifying…";
      try {
        render(await settled(send("POST", path()), path()));
      } catch (problem) {
        root.prepend(notice(problem.message, "bad"));
      }
      button.disabled = false;
      button.textContent = "Verify now";
    });
    return page.stop;
  },
};
