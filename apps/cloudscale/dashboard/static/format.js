// How numbers and times are written.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const precise = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

export function count(value) {
  return value == null ? "–" : whole.format(value);
}

export function rate(value) {
  if (value == null) return "–";
  return value >= 100 || value === 0 ? whole.format(value) : precise.format(value);
}

export function milliseconds(value) {
  if (value == null) return "–";
  if (value >= 600_000) return span(value / 1000);
  if (value >= 10_000) return `${precise.format(value / 1000)} s`;
  if (value >= 1000) return `${(value / 1000).toFixed(2)} s`;
  return value >= 10 ? `${whole.format(value)} ms` : `${precise.format(value)} ms`;
}

// A time that was measured up to `longest` only; beyond it nobody knows how long it was.
export function measured(value, longest) {
  return value != null && longest != null && value >= longest ? `> ${milliseconds(longest)}` : milliseconds(value);
}

// Rounded towards failure: 99.95 % is never shown as 100 %.
export function percent(share, digits = 2) {
  if (share == null) return "–";
  if (share === 1) return "100 %";
  const factor = 10 ** digits;
  return `${(Math.floor(share * 100 * factor) / factor).toFixed(digits)} %`;
}

export function bytes(value) {
  return value == null ? "–" : `${precise.format(value / 2 ** 20)} MiB`;
}

export function time(text) {
  if (!text) return "–";
  const moment = new Date(typeof text === "number" ? text * 1000 : text);
  if (Number.isNaN(moment.getTime())) return String(text);
  const day = moment.toLocaleDateString("en-CA");
  const today = new Date().toLocaleDateString("en-CA");
  const clock = moment.toLocaleTimeString("en-GB");
  return day === today ? clock : `${day} ${clock}`;
}

export function span(seconds) {
  if (seconds == null) return "–";
  if (seconds < 60) return `${precise.format(Math.max(0, seconds))} s`;
  if (seconds < 3600) return `${whole.format(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${precise.format(seconds / 3600)} h`;
  return `${whole.format(seconds / 86400)} d`;
}

const INVISIBLE = /(?! )[\p{C}\p{Z}\p{Default_Ignorable_Code_Point}\u2800]/gu;
const SPACES = /^ +| +$|(?<= ) +/g;

const escape = (text) => text.split("").map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`).join("");

// A text of one line in which every character can be seen: invisible ones, and spaces that a page would swallow, are
// escaped as JSON escapes them.
export function visible(text) {
  return text.replace(/\\(?=u[0-9a-f]{4})/g, "\\\\").replace(INVISIBLE, escape).replace(SPACES, escape);
}

// The same of a text of many lines.
export function visibleLines(text) {
  return text.replace(INVISIBLE, (character) => ("\n\t".includes(character) ? character : escape(character)));
}

export function words(name) {
  return name.replaceAll("_", " ").replace(/^./, (first) => first.toUpperCase());
}
