// The frame around the pages: navigation, theme, account, and the state of the live stream.

import { get, send } from "./api.js";
import { fill, h, notice } from "./dom.js";
import deadLetters from "./pages/dead-letters.js";
import events from "./pages/events.js";
import overview from "./pages/overview.js";
import pipeline from "./pages/pipeline.js";
import refused from "./pages/refused.js";
import security from "./pages/security.js";
import users from "./pages/users.js";
import verification from "./pages/verification.js";
import { Stream } from "./stream.js";

const PAGES = { overview, verification, security, users, events, refused, "dead-letters": deadLetters, pipeline };
const LIVE = { connecting: "Connecting", live: "Live", reconnecting: "Reconnecting…" };

const main = document.getElementById("main");
const live = document.getElementById("live");
const stream = new Stream();
// The tabs of one browser share the session, so they end together.
const session = new BroadcastChannel("cloudscale-session");
session.onmessage = () => location.assign("/sign-in");
let context;
let leave = () => {};

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function showTheme() {
  document.getElementById("theme").textContent = isDark() ? "☀" : "☾";
  stream.dispatchEvent(new Event("theme"));
}

function route() {
  const [path, parameters] = location.hash.replace(/^#\//, "").split("?");
  const [name, ...rest] = path.split("/");
  const page = Object.hasOwn(PAGES, name) && !hidden(PAGES[name]) ? name : "overview";
  leave();
  // A link in a dialog leads away from it.
  for (const open of document.querySelectorAll("dialog[open]")) open.close();
  for (const link of document.querySelectorAll("#pages a")) {
    if (link.dataset.page === page) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${PAGES[page].title} · ${context.pipeline.name} · CloudScale`;
  const heading = h("h1", {}, PAGES[page].title);
  const body = h("div", { class: "page" });
  fill(main, h("div", { class: "page-head" }, heading), body);
  const query = new URLSearchParams(parameters);
  const stop = PAGES[page].show(body, { ...context, stream, head: main.firstChild, rest: rest.map(decodeURIComponent), query });
  leave = stop ?? (() => {});
  window.scrollTo(0, 0);
}

const hidden = (page) => page.forEverybodyOnly && context.viewer.tenants != null;

function showAccount() {
  const account = document.getElementById("account");
  if (context.signedIn) {
    const out = async () => {
      await send("DELETE", "/api/session");
      session.postMessage("ended");
      location.assign("/sign-in");
    };
    fill(account, h("button", { class: "quiet", type: "button", onclick: out, title: `Signed in as ${context.viewer.name}` }, "Sign out"));
  }
}

async function start() {
  try {
    context = await get("/api/session");
  } catch (problem) {
    fill(main, notice(problem.message, "bad"));
    return;
  }
  const { name, namespace } = context.pipeline;
  fill(document.getElementById("pipeline"), h("span", { class: "muted" }, `${namespace} / `), name);
  const links = Object.entries(PAGES).filter(([, page]) => !hidden(page));
  fill(
    document.getElementById("pages"),
    links.map(([key, page]) => h("a", { href: `#/${key}`, "data-page": key }, page.title)),
  );
  showAccount();
  document.getElementById("theme").addEventListener("click", () => {
    const theme = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    localStorage.setItem("theme", theme);
    showTheme();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showTheme);
  stream.addEventListener("state", () => {
    live.dataset.state = stream.state;
    live.textContent = LIVE[stream.state];
  });
  window.addEventListener("hashchange", () => {
    route();
    main.focus({ preventScroll: true });
  });
  showTheme();
  route();
  stream.start();
}

start();
