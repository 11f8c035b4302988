// The pipeline itself: its processes, its resource, what Kubernetes says, and who acted.

import { get } from "../api.js";
import { card, fill, h, notice, table } from "../dom.js";
import { bytes, count, span, time } from "../format.js";
import { refreshing } from "./refreshing.js";

const BREAKERS = ["closed", "half-open", "open"];

const PROCESSES = [
  { title: "Process", value: (row) => h("code", {}, row.process) },
  { title: "Role", value: (row) => row.role },
  { title: "Running for", value: (row) => span(Date.now() / 1000 - row.startedAt), class: "number" },
  { title: "CPU", value: (row) => `${((100 * row.cpuSeconds) / Math.max(1, Date.now() / 1000 - row.startedAt)).toFixed(1)} %`, class: "number" },
  { title: "Memory", value: (row) => bytes(row.memoryBytes), class: "number" },
  { title: "Events", value: (row) => count(row.role === "worker" ? row.persisted : row.accepted), class: "number" },
  { title: "Concurrency", value: (row) => row.concurrency, class: "number" },
  { title: "Breakers", value: (row) => Object.entries(row.breakers).map(([name, state]) => `${name} ${BREAKERS[state]}`).join(", ") },
];

const CONDITIONS = [
  { title: "Condition", value: (row) => row.type },
  { title: "Status", value: (row) => row.status },
  { title: "Reason", value: (row) => row.reason },
  { title: "Message", value: (row) => row.message, class: "wide" },
  { title: "Since", value: (row) => time(row.lastTransitionTime) },
];

const CHILDREN = [
  { title: "Object", value: (row) => h("code", {}, row.name) },
  { title: "Kind", value: (row) => row.kind },
  { title: "State", value: (row) => h("span", { class: row.good ? "" : "bad" }, row.state) },
];

const EVENTS = [
  { title: "Reason", value: (row) => row.reason },
  { title: "Message", value: (row) => row.message, class: "wide" },
  { title: "At", value: (row) => time(row.at) },
  { title: "Times", value: (row) => count(row.count), class: "number" },
];

const AUDIT = [
  { title: "At", value: (row) => time(row.at) },
  { title: "Who", value: (row) => row.who },
  { title: "Did", value: (row) => row.act },
  { title: "What", value: (row) => row.what, class: "wide" },
  { title: "Outcome", value: (row) => row.outcome },
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
        const details = h("details", { open }, h("summary", {}, "As it is in force, with every default"), h("pre", { tabindex: "0" }, JSON.stringify(resource, null, 2)));
        details.addEventListener("toggle", () => {
          open = details.open;
        });
        fill(
          root,
          ...cluster(kubernetes),
          card("Processes", table("Processes", PROCESSES, processes, { empty: "No process reports figures." })),
          card("Audit record", table("Audit record", AUDIT, audit, { empty: "Nobody replayed or discarded anything." })),
          card("Resource", details),
        );
      },
    );
    return page.stop;
  },
};
