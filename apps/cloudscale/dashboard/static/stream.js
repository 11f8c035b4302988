// The live stream: the newest point each second, and the last hour as columns. It reconnects by itself.

import { get } from "./api.js";

const SPAN_SECONDS = 3600;
const AGAIN_MILLISECONDS = 3000;
const SILENT_MILLISECONDS = 5000;

export class Stream extends EventTarget {
  series = { at: [], byType: {}, byTenant: {} };
  now = null;
  state = "connecting";
  #source = null;
  #heardAt = 0;

  start() {
    this.#connect();
    setInterval(() => this.#watch(), 1000);
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && this.state !== "live") this.#connect();
    });
  }

  async #connect() {
    this.#source?.close();
    const source = new EventSource("/api/stream");
    this.#source = source;
    source.onopen = () => this.#load();
    source.onmessage = (event) => this.#receive(JSON.parse(event.data));
    source.onerror = () => {
      this.#become("reconnecting");
      // After an HTTP error, such as that of an ended session, the browser does not try again.
      if (source.readyState === EventSource.CLOSED && source === this.#source) {
        setTimeout(() => {
          if (source !== this.#source) return;
          get("/api/session").catch(() => null);
          this.#connect();
        }, AGAIN_MILLISECONDS);
      }
    };
  }

  // What happened while the connection was away is in the history.
  async #load() {
    try {
      const { series, now } = await get("/api/history");
      this.series = series;
      this.now = now;
      this.dispatchEvent(new Event("history"));
    } catch {
      this.#become("reconnecting");
    }
  }

  #receive(message) {
    this.now = message;
    this.#heardAt = Date.now();
    this.#become("live");
    if (message.kept && message.point.at > (this.series.at.at(-1) ?? 0)) {
      this.#append(message.point);
      this.dispatchEvent(new Event("point"));
    }
    this.dispatchEvent(new Event("now"));
  }

  #append(point) {
    const length = this.series.at.length;
    for (const [name, column] of Object.entries(this.series)) {
      if (Array.isArray(column)) column.push(point[name] ?? (ABSENT_IS_ZERO.has(name) ? 0 : null));
    }
    for (const name of ["byType", "byTenant"]) {
      const columns = this.series[name];
      const rates = point[name] ?? {};
      for (const key of new Set([...Object.keys(columns), ...Object.keys(rates)])) {
        columns[key] ??= new Array(length).fill(0);
        columns[key].push(rates[key] ?? 0);
      }
    }
    const oldest = point.at - SPAN_SECONDS;
    const over = this.series.at.findIndex((at) => at >= oldest);
    if (over > 0) {
      for (const column of this.#columns()) column.splice(0, over);
    }
  }

  #columns() {
    const { byType, byTenant, ...plain } = this.series;
    return [...Object.values(plain), ...Object.values(byType), ...Object.values(byTenant)].filter(Array.isArray);
  }

  #watch() {
    if (this.state === "live" && Date.now() - this.#heardAt > SILENT_MILLISECONDS) {
      this.#become("reconnecting");
      this.#connect();
    }
  }

  #become(state) {
    if (state === this.state) return;
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }
}

// The server leaves out what has its default.
const ABSENT_IS_ZERO = new Set(
  "accepted persisted duplicates rejections rateLimited deadLettered suspicious retries requestUnits workers ingestion started".split(" "),
);
