// The form of a page that finds something. What is asked for goes into the address, and the page shows what that asks for.

import { addressOf } from "../address.js";
import { h } from "../dom.js";

export function field(label, input) {
  return h("div", { class: "field" }, h("label", { for: input.id }, label), input);
}

// Inputs by their names, as `labels` are, with what the address asks for.
export function textInputs(labels, asked) {
  const input = (name, label) => h("input", { id: `find-${name}`, name, "aria-label": label, autocomplete: "off", value: asked[name] ?? "" });
  return Object.fromEntries(Object.entries(labels).map(([name, label]) => [name, input(name, label)]));
}

// What stands in the inputs. What came from the address stays as it is: an id may begin with a blank, or be one.
export function typed(inputs, asked) {
  const value = (name, input) => (input.value === asked[name] ? input.value : input.value.trim());
  return Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, value(name, input)]));
}

// `read` returns what is asked for, `again` asks for the same once more.
export function finder(page, label, fields, { read, again }) {
  const buttons = h("div", { class: "actions" }, h("a", { class: "button", href: addressOf(page) }, "Clear"), h("button", { class: "primary", type: "submit" }, "Find"));
  const form = h("form", { class: "card find", role: "search", "aria-label": label }, fields, buttons);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const address = addressOf(page, read());
    if (address === (location.hash || addressOf(page))) again();
    else location.hash = address;
  });
  return form;
}

// Links to the first page and to the one behind this; null where there is only one. `next` is where that one begins.
export function turns(page, asked, next, { first, following }) {
  const back = asked.after ? h("a", { class: "button", href: addressOf(page, { ...asked, after: "" }) }, first) : null;
  const on = next ? h("a", { class: "button", href: addressOf(page, { ...asked, after: next }) }, following) : null;
  return back || on ? h("nav", { class: "actions turning", "aria-label": `Pages of ${page}` }, [back, on]) : null;
}
