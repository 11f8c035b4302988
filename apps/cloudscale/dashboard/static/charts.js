// Time series plots with uPlot. Colours come from the style sheet, so they follow the theme.

import { h } from "./dom.js";
import { withGaps } from "./gaps.js";

const HEIGHT = 190;
const MOST_SERIES = 8;
const DAYS_SECONDS = 36 * 3600;
const WHOLE_STEPS = [1, 2, 5].flatMap((digit) => [...Array(9).keys()].map((power) => digit * 10 ** power)).sort((a, b) => a - b);

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const colour = (index) => style(`--series-${(index % 8) + 1}`);

function withAlpha(hex, alpha) {
  return hex + Math.round(alpha * 255).toString(16).padStart(2, "0");
}

// A dashed line at a limit, drawn under the series.
function limitLine(limit) {
  return (plot) => {
    const [least, most] = [plot.scales.y.min, plot.scales.y.max];
    if (limit == null || limit < least || limit > most) return;
    const y = plot.valToPos(limit, "y", true);
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.strokeStyle = style("--limit");
    ctx.setLineDash([5 * devicePixelRatio, 4 * devicePixelRatio]);
    ctx.lineWidth = devicePixelRatio;
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
    ctx.restore();
  };
}

// Dotted vertical lines where processes started.
function startLines(times) {
  return (plot) => {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.strokeStyle = style("--muted");
    ctx.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio]);
    ctx.lineWidth = devicePixelRatio;
    ctx.beginPath();
    for (const at of times()) {
      if (at < plot.scales.x.min || at > plot.scales.x.max) continue;
      const x = plot.valToPos(at, "x", true);
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
    }
    ctx.stroke();
    ctx.restore();
  };
}

// Options: title, hint, format, show (a format for values where the axis has another), limit, stepped, series: [{name, of: (series) => column}] or
// breakdown: (series) => ({name: column}).
export class Chart {
  constructor(options) {
    this.options = options;
    this.names = null;
    this.place = h("div", { class: "plot" });
    this.legend = h("div", { class: "legend" });
    this.moment = h("span", { class: "moment" });
    this.element = h(
      "figure",
      { class: "card chart" },
      h("figcaption", {}, h("h2", {}, options.title), h("span", { class: "muted" }, options.hint || ""), this.moment),
      this.legend,
      this.place,
    );
    this.observer = new ResizeObserver(() => this.#resize());
    this.observer.observe(this.place);
  }

  update(series, window) {
    this.window = window;
    const lines = this.#lines(series);
    const names = lines.map((line) => line.name);
    const from = Math.max(0, series.at.findIndex((at) => at >= window.from));
    this.starts = series.at.filter((_, index) => series.started?.[index] > 0);
    this.place.dataset.starts = this.starts.length;
    const data = withGaps(series.at.slice(from), lines.map((line) => line.column.slice(from)));
    if (this.plot && names.join("\n") === this.names?.join("\n")) this.plot.setData(data);
    else this.#build(names, data);
    if (this.plot.cursor.idx == null) this.#showValues(null);
    const latest = lines.map((line) => `${line.name} ${this.#text(line.column.at(-1))}`).join(", ");
    this.place.setAttribute("aria-label", `${this.options.title}, now: ${latest || "no data"}`);
  }

  restyle() {
    this.names = null;
  }

  destroy() {
    this.observer.disconnect();
    this.plot?.destroy();
  }

  #lines(series) {
    if (this.options.series) {
      return this.options.series.map(({ name, of }) => ({ name, column: of(series) ?? [] }));
    }
    const columns = Object.entries(this.options.breakdown(series));
    const recent = (column) => column.slice(-300).reduce((sum, value) => sum + value, 0);
    columns.sort(([, one], [, other]) => recent(other) - recent(one));
    return columns
      .slice(0, MOST_SERIES)
      .sort(([one], [other]) => one.localeCompare(other))
      .map(([name, column]) => ({ name: this.options.label?.(name) ?? name, column }));
  }

  #build(names, data) {
    this.plot?.destroy();
    this.names = names;
    const axis = {
      stroke: style("--muted"),
      font: `11px ${style("--font")}`,
      grid: { stroke: style("--grid"), width: 1 },
      ticks: { show: false },
    };
    this.plot = new uPlot(
      {
        width: Math.max(200, this.place.clientWidth),
        height: HEIGHT,
        legend: { show: false },
        cursor: { sync: { key: "overview" }, y: false, points: { size: 7 }, drag: { x: false, y: false } },
        scales: {
          x: { time: true, range: () => [this.window.from, this.window.to] },
          y: { range: (_plot, _least, most) => [0, Math.max(this.options.least ?? 1, (most ?? 0) * 1.15)] },
        },
        axes: [
          { ...axis, size: 26, gap: 4, values: (plot, times) => times.map(plot.scales.x.max - plot.scales.x.min > DAYS_SECONDS ? day : clock) },
          {
            ...axis,
            size: 58,
            gap: 6,
            incrs: this.options.whole ? WHOLE_STEPS : undefined,
            values: (_plot, values) => values.map((value) => this.options.format(value)),
          },
        ],
        series: [
          {},
          ...names.map((name, index) => ({
            label: name,
            stroke: colour(index),
            width: 1.75,
            fill: names.length <= 2 && index === 0 ? withAlpha(colour(index), 0.1) : undefined,
            paths: this.options.stepped ? uPlot.paths.stepped({ align: 1 }) : undefined,
            points: { show: false },
            spanGaps: false,
          })),
        ],
        hooks: {
          drawAxes: [limitLine(this.options.limit), startLines(() => this.starts)],
          setCursor: [(plot) => this.#showValues(plot.cursor.idx)],
        },
      },
      data,
      this.place,
    );
    this.place.setAttribute("role", "img");
    this.values = names.map(() => h("b", {}));
    this.legend.replaceChildren(
      ...names.map((name, index) => {
        const key = h("i", {});
        key.style.background = colour(index);
        return h("span", { class: "key" }, key, `${name} `, this.values[index]);
      }),
    );
    if (!names.length) this.legend.replaceChildren(h("span", { class: "muted" }, "No events yet"));
  }

  #showValues(index) {
    if (!this.plot) return;
    const at = index == null ? null : this.plot.data[0][index];
    this.moment.textContent = at == null ? "" : new Date(at * 1000).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" });
    this.plot.data.slice(1).forEach((column, line) => {
      const value = index == null ? column.at(-1) : column[index];
      this.values[line].textContent = this.#text(value);
    });
  }

  #text(value) {
    return (this.options.show ?? this.options.format)(value);
  }

  #resize() {
    if (this.plot && this.place.clientWidth) this.plot.setSize({ width: this.place.clientWidth, height: HEIGHT });
  }
}

function day(seconds) {
  const moment = new Date(seconds * 1000);
  return moment.getHours() ? "" : moment.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
}

function clock(seconds) {
  const moment = new Date(seconds * 1000);
  const pad = (number) => String(number).padStart(2, "0");
  const text = `${pad(moment.getHours())}:${pad(moment.getMinutes())}`;
  return moment.getSeconds() ? `${text}:${pad(moment.getSeconds())}` : text;
}
