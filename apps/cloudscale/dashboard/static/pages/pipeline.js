// The pipeline itself: its processes, its resource, what Kubernetes says, and who acted.

import { get } from "../api.js";
import { block, card, fill, given, h, notice, table } from "../dom.js";
import { bytes, count, span, time } from "../format.js";
import { refreshing } from "./refreshing.js";

const BREAKERS = ["closed", "half-open", "open"];

const PROCESSES = [
  { title: "Process", value: (row) => given(row.process, "code") },
  { title: "Role", value: (row) => row.role },
  { title: "Running for", value: (row) => span(Date.now() / 1000 - row.startedAt), class: "number" },
  { title: "CPU", value: (row) => `${((100 * row.cpuSeconds) / Math.max(1, Date.now() / 1000 - row.startedAt)).toFixed(1)} %`, class: "number" },
  { title: "Memory", value: (row) => bytes(row.memoryBytes), class: "number" },
  { title: "Events", value: (row) => count(row.role === "worker" ? row.persisted : row.accepted), class: "number" },
  { title: "Concurrency", value: (row) => row.concurrency, class: "number" },
  { title: "Breakers", value: (row) => Object.entries(row.breakers).map(([name, state]) => `${name} ${BREAKERS[state]}`).join(", "), class: "wide" },
];

const CONDITIONS = [
  { title: "Condition", value: (row) => given(row.type) },
  { title: "Status", value: (row) => row.status },
  { title: "Reason", value: (row) => given(row.reason) },
  { title: "Message", value: (row) => given(row.message), class: "wide" },
  { title: "Since", value: (row) => time(row.lastTransitionTime) },
];

const CHILDREN = [
  { title: "Object", value: (row) => given(row.name, "code") },
  { title: "Kind", value: (row) => row.kind },
  { title: "State", value: (row) => h("span", { class: row.good ? "" : "bad" }, given(row.state)) },
];

const EVENTS = [
  { title: "Reason", value: (row) => given(row.reason) },
  { title: "Message", value: (row) => given(row.message), class: "wide" },
  { title: "At", value: (row) => time(row.at) },
  { title: "Times", value: (row) => count(row.count), class: "number" },
];

const AUDIT = [
  { title: "At", value: (row) => time(row.at) },
  { title: "Who", value: (row) => given(row.who) },
  { title: "Did", value: (row) => row.act },
  { title: "What", value: (row) => given(row.what), class: "wide" },
  { title: "Outcome", value: (row) => given(row.outcome) },
];

function cluster(kubernetes) {
  if (!kubernetes) return [];
  const { status, children, events, problems } = kubernetes;
  return [
    ...problems.map((problem) => notice(problem, "warn")),
    card(`Conditions${status.phase ? `: ${status.phase}` : ""}`, table("Conditions", CONDITIONS, status.conditions ?? [], { empty: "The operator has not reported yet." })),
    h(
      "div",
      { class: "columns" },
      card("Objects", table("Objects", CHILDREN, children, { empty: "No objects." })),
      card("Events of the resource", table("Events of the resource", EVENTS, events, { empty: "No events." })),
    ),
  ];
}

export default {
  title: "Pipeline",
  forEverybodyOnly: true,

  show(root) {
    let open = false;
    const page = refreshing(
      root,
      5,
      () => get("/api/pipeline"),
      ({ resource, processes, kubernetes, audit }) => {
        const details = h("details", { open }, h("summary", {}, "As it is in force, with every default"), block(resource));
        details.addEventListener("toggle", () => {
          open = details.open;
        });
        fill(
          root,
          ...cluster(kubernetes),
          card("Processes", table("Processes", PROCESSES, processes, { empty: "No process reports figures." })),
          card("Audit record", table("Audit record", AUDIT, audit, { empty: "Nobody has changed anything." })),
          card("Resource", details),
        );
      },
    );
    return page.stop;
  },
};
