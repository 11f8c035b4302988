// Builds elements. Text is always set as text, so nothing that an event carries can become markup.

import { count, visible, visibleLines } from "./format.js";

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value == null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name in element && typeof value !== "string") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child != null && child !== false));
  return element;
}

export function fill(element, ...children) {
  element.replaceChildren(...children.flat().filter((child) => child != null && child !== false));
}

// What a client or a user has written, in one line: it wraps however long its words are, and all of it can be seen.
export function given(text, tag = "span") {
  if (text == null || text === "") return null;
  const shown = visible(String(text));
  return h(tag, { class: "given", title: shown }, shown);
}

// The same in many lines; anything but text as JSON.
export function block(content) {
  return h("pre", { tabindex: "0" }, visibleLines(typeof content === "string" ? content : JSON.stringify(content ?? null, null, 2)));
}

// Says how a table is scrolled, while it has more than is in sight.
function scrollHint(region, rows) {
  const hint = h("p", { class: "muted small scroll-hint", hidden: true });
  const tell = () => {
    const ways = [];
    if (region.scrollWidth > region.clientWidth + 1) ways.push("sideways for all columns");
    if (region.scrollHeight > region.clientHeight + 1) ways.push(`down for all ${count(rows)} rows`);
    hint.textContent = `Scroll the table ${ways.join(" and ")}.`;
    hint.hidden = !ways.length;
  };
  const observer = new ResizeObserver(tell);
  observer.observe(region);
  observer.observe(region.firstChild);
  return hint;
}

// `choice` makes rows choosable: { has: (row) => …, set: (row, chosen) => …, name: (row) => … }.
export function table(caption, columns, rows, { empty = "Nothing here.", onrow = null, tall = false, choice = null } = {}) {
  if (!rows.length) return h("p", { class: "empty" }, empty);
  const cell = (column, row) => {
    const value = column.value(row);
    // A small screen shows rows as cards, which have their columns' titles beside the values.
    return h("td", { class: column.class || "", role: "cell", "data-title": column.title }, value == null || value === "" ? "–" : value);
  };
  const body = rows.map((row) => {
    const cells = columns.map((column) => cell(column, row));
    if (onrow) {
      const button = h("button", { class: "link", type: "button", onclick: () => onrow(row) });
      button.append(...cells[0].childNodes);
      cells[0].replaceChildren(button);
    }
    if (choice) {
      const box = h("input", { type: "checkbox", checked: choice.has(row), "aria-label": `Choose ${choice.name(row)}` });
      box.addEventListener("change", () => choice.set(row, box.checked));
      cells.unshift(h("td", { class: "choice", role: "cell", "data-title": "Chosen" }, box));
    }
    return h("tr", { role: "row" }, cells);
  });
  const head = columns.map((column) => h("th", { scope: "col", role: "columnheader", class: column.class || "" }, column.title));
  if (choice) head.unshift(h("th", { scope: "col", role: "columnheader" }, h("span", { class: "hidden" }, "Chosen")));
  const region = h(
    "div",
    { class: tall ? "table tall" : "table", role: "region", "aria-label": caption, tabindex: "0" },
    // Said outright, because a table that is laid out as cards is none to every reader.
    h(
      "table",
      { role: "table" },
      h("caption", { class: "hidden" }, caption),
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, head)),
      h("tbody", { role: "rowgroup" }, body),
    ),
  );
  return h("div", { class: "listing" }, scrollHint(region, rows.length), region);
}

export function card(title, ...children) {
  return h("section", { class: "card" }, h("h2", {}, title), ...children);
}

export function notice(text, kind = "") {
  return h("p", { class: `notice ${kind}`, role: kind === "bad" ? "alert" : "status" }, visible(text));
}

export function definitions(pairs) {
  const items = pairs
    .filter(([, value]) => value != null && value !== "")
    .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)));
  return h("dl", { class: "facts" }, items);
}

// A modal dialog; the browser keeps the focus inside and gives it back.
export function dialog(title, ...children) {
  const close = h("button", { class: "quiet icon-button", type: "button", "aria-label": "Close" }, "✕");
  const element = h(
    "dialog",
    { "aria-label": title },
    h("header", {}, h("h2", {}, title), close),
    h("div", { class: "dialog-body" }, ...children.filter((child) => child != null)),
  );
  close.addEventListener("click", () => element.close());
  element.addEventListener("close", () => element.remove());
  element.addEventListener("click", (event) => {
    if (event.target === element) element.close();
  });
  document.body.append(element);
  element.showModal();
  return element;
}

// With `typed`, this text has to be typed before the action can be chosen.
export function confirm(title, text, action, { kind = "primary", typed = "" } = {}) {
  return new Promise((resolve) => {
    let agreed = false;
    const yes = h("button", { class: kind, type: "button", disabled: Boolean(typed) }, action);
    const no = h("button", { type: "button" }, "Cancel");
    const input = h("input", { id: "typed", autocomplete: "off", spellcheck: "false" });
    input.addEventListener("input", () => {
      yes.disabled = input.value.trim() !== typed;
    });
    const asked = h("div", { class: "field typed" }, h("label", { for: "typed" }, "Type ", h("b", {}, typed), " to go on"), input);
    const element = dialog(title, h("p", {}, text), typed ? asked : null, h("div", { class: "actions" }, no, yes));
    yes.addEventListener("click", () => {
      agreed = true;
      element.close();
    });
    no.addEventListener("click", () => element.close());
    element.addEventListener("close", () => resolve(agreed));
    (typed ? input : no).focus();
  });
}
