// The live overview: service levels, figures of this second, and the last hour as plots.

import { get } from "../api.js";
import { Chart } from "../charts.js";
import { fill, h } from "../dom.js";
import { count, measured, milliseconds, percent, rate, words } from "../format.js";

const SPANS = [
  { name: "5 min", seconds: 300 },
  { name: "15 min", seconds: 900 },
  { name: "1 hour", seconds: 3600 },
  { name: "24 hours", seconds: 86_400, series: "day" },
  { name: "7 days", seconds: 604_800, series: "week" },
];

const AGAIN_MILLISECONDS = 60_000;
const EMPTY = { at: [], byType: {}, byTenant: {} };

const CHARTS = [
  {
    title: "Throughput",
    hint: "events/s",
    format: rate,
    series: [
      { name: "Accepted", of: (series) => series.accepted },
      { name: "Persisted", of: (series) => series.persisted },
    ],
  },
  {
    title: "Ingestion time",
    hint: "the dashed line is the target",
    format: milliseconds,
    level: "ingestion_speed",
    measure: "ingestion",
    series: [
      { name: "p50", of: (series) => series.p50 },
      { name: "p95", of: (series) => series.p95 },
      { name: "p99", of: (series) => series.p99 },
    ],
  },
  {
    title: "Processing lag",
    hint: "the dashed line is the target",
    format: milliseconds,
    level: "processing_speed",
    measure: "lag",
    series: [
      { name: "p50", of: (series) => series.lagP50 },
      { name: "p99", of: (series) => series.lagP99 },
    ],
  },
  {
    title: "Queue",
    hint: "what waits",
    format: count,
    whole: true,
    series: [
      { name: "Events in flight", of: (series) => series.inFlight },
      { name: "Events queued", of: (series) => series.queueDepth },
    ],
  },
  {
    title: "Dead letters",
    hint: "messages",
    format: count,
    whole: true,
    stepped: true,
    series: [{ name: "Dead letters", of: (series) => series.deadLetterDepth }],
  },
  {
    title: "Workers",
    hint: "replicas and backpressure",
    format: count,
    whole: true,
    stepped: true,
    series: [
      { name: "Concurrency step", of: (series) => series.concurrency },
      { name: "Workers", of: (series) => series.workers },
    ],
  },
  {
    title: "Refused and repeated",
    hint: "a second",
    format: rate,
    series: [
      { name: "Duplicates", of: (series) => series.duplicates },
      { name: "Rejected", of: (series) => series.rejections },
      { name: "Rate limited", of: (series) => series.rateLimited },
    ],
  },
  {
    title: "Errors",
    hint: "share of requests answered 5xx",
    format: (value) => percent(value),
    least: 0.01,
    series: [{ name: "Errors", of: (series) => series.errorShare }],
  },
  {
    title: "Store",
    hint: "time of a batch",
    format: milliseconds,
    measure: "store",
    series: [{ name: "p99", of: (series) => series.storeP99 }],
  },
  { title: "By event type", hint: "accepted events/s", format: rate, label: words, breakdown: (series) => series.byType },
  { title: "By tenant", hint: "accepted events/s", format: rate, breakdown: (series) => series.byTenant },
];

const FOR_ONE_TENANT = new Set(["Throughput", "Ingestion time", "Processing lag", "By tenant"]);

function queueNote(point) {
  return point.oldestSeconds ? `events, the oldest ${milliseconds(point.oldestSeconds * 1000)} old` : "events";
}

function tiles(now, scoped) {
  const { point, serviceLevels, longest } = now;
  const all = [
    ["Accepted", `${rate(point.accepted ?? 0)}`, "events/s"],
    ["Persisted", `${rate(point.persisted ?? 0)}`, "events/s", true],
    ["Ingestion p99", measured(point.p99, longest.ingestion), target(serviceLevels, "ingestion_speed")],
    ["Lag p99", measured(point.lagP99, longest.lag), target(serviceLevels, "processing_speed")],
    ["In flight", count(point.inFlight), "events", true],
    ["Queue", count(point.queueDepth), queueNote(point), true],
    ["Dead letters", count(point.deadLetterDepth), "messages", true],
    ["Workers", count(point.workers ?? 0), point.concurrency ? `concurrency ${point.concurrency}` : "none running", true],
  ];
  return all
    .filter(([, , , pipelineOnly]) => !scoped || !pipelineOnly)
    .map(([name, value, unit]) => {
      const bad = name === "Dead letters" && point.deadLetterDepth > 0;
      return h("div", { class: `tile ${bad ? "warn" : ""}` }, h("dt", {}, name), h("dd", {}, value, " ", h("small", {}, unit)));
    });
}

// What the server says of the pipeline, unless the server itself cannot be reached.
function health({ now, state }) {
  if (state !== "reconnecting") return now.health;
  const seen = new Date(now.point.at * 1000).toLocaleTimeString();
  return { state: "bad", message: `The dashboard cannot be reached. What is shown is from ${seen}.`, link: "" };
}

// The longest time that a service level allows, in milliseconds.
function limitOf(levels, name) {
  const seconds = levels.find((item) => item.name === name)?.limitSeconds;
  return seconds == null ? null : seconds * 1000;
}

function target(levels, name) {
  return `target ${milliseconds(limitOf(levels, name))}`;
}

function level(item) {
  const left = Math.max(0, Math.min(1, item.budgetLeft));
  const state = item.budgetLeft <= 0 ? "bad" : item.budgetLeft < 0.25 ? "warn" : "good";
  const bar = h("i", {});
  bar.style.width = `${left * 100}%`;
  return h(
    "section",
    { class: `card level ${state}`, "aria-label": item.title },
    h("h2", {}, item.title),
    h("p", { class: "attained" }, item.attained == null ? "No traffic yet" : percent(item.attained, 3)),
    h("p", { class: "muted" }, item.objective),
    h("div", { class: "budget", "aria-hidden": "true" }, bar),
    h("p", { class: "small" }, budget(item)),
  );
}

function budget(item) {
  if (item.budgetLeft < 0) return `Error budget overspent: ${count(item.bad)} of ${count(item.total)} failed`;
  return `${percent(item.budgetLeft, 0)} of the hour’s error budget left`;
}

export default {
  title: "Overview",

  show(root, { stream, viewer, head }) {
    const scoped = viewer.tenants != null;
    const charts = CHARTS.filter((options) => !scoped || FOR_ONE_TENANT.has(options.title)).map((options) => new Chart(options));
    const banner = h("p", { class: "health", role: "status" });
    const levels = h("div", { class: "levels" });
    const figures = h("dl", { class: "tiles" });
    let chosen = null;
    let spoken = "";

    let long = {};
    let loading;

    // A day or a week is asked for again once a minute, while it is looked at.
    async function choose(span) {
      chosen = span;
      clearTimeout(loading);
      plot();
      if (!span.series) return;
      const series = await get("/api/history", { span: span.series }).then((answer) => answer.series, () => null);
      if (chosen !== span) return;
      if (series) long = { ...long, [span.series]: series };
      plot();
      loading = setTimeout(() => choose(span), AGAIN_MILLISECONDS);
    }

    const buttons = SPANS.map((span) =>
      h("button", { type: "button", "aria-pressed": "false", onclick: () => choose(span) }, span.name),
    );
    head.append(h("div", { class: "segments", role: "group", "aria-label": "Time shown" }, buttons));
    const marks = h("p", { class: "muted small" }, "A dotted vertical line: processes started.");
    fill(root, banner, levels, figures, h("div", { class: "charts" }, charts.map((chart) => chart.element)), scoped ? null : marks);

    function spanOf(series) {
      if (chosen) return chosen;
      const length = (series.at.at(-1) ?? 0) - (series.at[0] ?? 0);
      return SPANS.filter((span) => !span.series).find((span) => span.seconds >= length) ?? SPANS[2];
    }

    function plot() {
      if (!stream.now) return;
      const span = spanOf(stream.series);
      const series = span.series ? (long[span.series] ?? EMPTY) : stream.series;
      buttons.forEach((button, index) => button.setAttribute("aria-pressed", String(SPANS[index] === span)));
      const to = span.series ? stream.now.point.at : (series.at.at(-1) ?? stream.now.point.at);
      const { serviceLevels, longest } = stream.now;
      for (const chart of charts) {
        const { level: name, measure } = chart.options;
        const show = measure ? (value) => measured(value, longest[measure]) : null;
        chart.options = { ...chart.options, limit: limitOf(serviceLevels, name), show };
      }
      for (const chart of charts) chart.update(series, { from: to - span.seconds, to });
    }

    function tell() {
      if (!stream.now) return;
      const { serviceLevels } = stream.now;
      const said = health(stream);
      const key = JSON.stringify(said);
      if (said && key !== spoken) {
        spoken = key;
        banner.className = `health ${said.state}`;
        fill(banner, `${said.message} `, said.link ? h("a", { href: said.link }, "Show them") : null);
      }
      banner.hidden = !said;
      if (!scoped) fill(levels, serviceLevels.map(level));
      fill(figures, tiles(stream.now, scoped));
    }

    function restyle() {
      for (const chart of charts) chart.restyle();
      plot();
    }

    const listeners = { history: () => { tell(); plot(); }, point: plot, now: tell, state: tell, theme: restyle };
    for (const [name, listener] of Object.entries(listeners)) stream.addEventListener(name, listener);
    tell();
    plot();
    return () => {
      chosen = null;
      clearTimeout(loading);
      for (const [name, listener] of Object.entries(listeners)) stream.removeEventListener(name, listener);
      for (const chart of charts) chart.destroy();
    };
  },
};
