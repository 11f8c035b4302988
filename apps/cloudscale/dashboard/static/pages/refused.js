// What ingestion has refused: sums by reason, tenant, field and client that narrow the list down, and samples.

import { addressOf } from "../address.js";
import { get } from "../api.js";
import { block, card, definitions, dialog, fill, given, h, notice, table } from "../dom.js";
import { count, time, visible, words } from "../format.js";
import { refreshing } from "./refreshing.js";

const DIMENSIONS = { reason: "Reason", tenant: "Tenant", field: "Field", client: "Client", status: "Status" };
const SPANS = { 1: "This hour", 24: "24 hours" };
const UNKNOWN = { tenant: "not known", field: "none in particular", client: "not kept" };

const reasonOf = (name) => words(name.replaceAll("-", " "));
const textOf = (dimension, value) => (dimension === "reason" ? reasonOf(value) : visible(value));

const COLUMNS = [
  { title: "Reason", value: (row) => reasonOf(row.reason) },
  { title: "Status", value: (row) => String(row.status) },
  { title: "Field", value: (row) => given(row.field, "code") },
  { title: "Tenant", value: (row) => given(row.tenantId) },
  { title: "Client", value: (row) => given(row.client, "code") },
  { title: "Latest", value: (row) => time(row.latestAt) },
  { title: "Refused", value: (row) => count(row.count), class: "number" },
];

function showGroup(row) {
  const samples = row.samples.map((sample) => [
    h("h3", {}, `Sample of ${time(sample.at)}`),
    h("p", {}, given(sample.detail)),
    h("p", { class: "muted" }, "Correlation id ", given(sample.correlationId, "code")),
    sample.content ? block(sample.content) : h("p", { class: "muted" }, "Nothing of it was read."),
  ]);
  dialog(
    reasonOf(row.reason),
    definitions([
      ["Status", String(row.status)],
      ["Field", given(row.field, "code")],
      ["Tenant", given(row.tenantId)],
      ["Client", given(row.client)],
      ["Refused", count(row.count)],
    ]),
    ...(samples.length ? samples.flat() : [h("p", { class: "muted" }, "No sample was kept.")]),
  );
}

function sums(dimension, values, chosen) {
  const columns = [
    {
      title: DIMENSIONS[dimension],
      value: ({ value }) =>
        value ? h("a", { href: addressOf("refused", { ...chosen, [dimension]: value }) }, given(dimension === "reason" ? reasonOf(value) : value)) : UNKNOWN[dimension],
    },
    { title: "Refused", value: (row) => count(row.count), class: "number" },
  ];
  const title = `By ${DIMENSIONS[dimension].toLowerCase()}`;
  return card(title, table(title, columns, values, { empty: "Nothing." }));
}

export default {
  title: "Refused",

  show(root, { viewer, head, query }) {
    const names = [...Object.keys(DIMENSIONS), "hours"];
    const chosen = Object.fromEntries(names.map((name) => [name, query.get(name)]).filter(([, value]) => value));
    const hours = chosen.hours ?? "24";
    head.append(
      h(
        "nav",
        { class: "segments", "aria-label": "Time shown" },
        Object.entries(SPANS).map(([value, text]) => h("a", { href: addressOf("refused", { ...chosen, hours: value }), "aria-current": value === hours ? "true" : null }, text)),
      ),
    );
    const page = refreshing(
      root,
      5,
      () => get("/api/refused", { ...chosen, hours }),
      ({ refused, withoutPlace, by, groups, groupCount }) => {
        const filters = Object.keys(DIMENSIONS)
          .filter((name) => chosen[name])
          .map((name) => h("a", { class: "chip", href: addressOf("refused", { ...chosen, [name]: "" }) }, `${DIMENSIONS[name]}: ${textOf(name, chosen[name])} `, h("span", { "aria-hidden": "true" }, "✕"), h("span", { class: "hidden" }, "remove")));
        const shown = groups.length < groupCount ? `The ${count(groups.length)} largest of ${count(groupCount)} groups` : `${count(refused)} refused`;
        const dimensions = ["reason", "tenant", "field", "client"].filter((name) => !chosen[name]);
        fill(
          root,
          filters.length ? h("p", { class: "chips" }, filters) : null,
          withoutPlace ? notice(`${count(withoutPlace)} of them are known by status and reason alone: there were too many kinds.`, "warn") : null,
          h("div", { class: "sums" }, dimensions.map((name) => sums(name, by[name], chosen))),
          card(
            shown,
            h("p", { class: "muted" }, "Events, and requests that were refused before their events were read. The tenant is what an event says of itself. ", viewer.tenants ? "What was refused before it was read belongs to no tenant and is not shown." : ""),
            table("Refused", COLUMNS, groups, { empty: "Nothing was refused.", onrow: showGroup }),
          ),
        );
      },
    );
    return page.stop;
  },
};
