// The frame around the pages: navigation, theme, account, and the state of the live stream.

import { addressOf, readAddress } from "./address.js";
import { get, send } from "./api.js";
import { fill, h, notice } from "./dom.js";
import { visible } from "./format.js";
import access from "./pages/access.js";
import deadLetters from "./pages/dead-letters.js";
import devices from "./pages/devices.js";
import events from "./pages/events.js";
import overview from "./pages/overview.js";
import pipeline from "./pages/pipeline.js";
import refused from "./pages/refused.js";
import security from "./pages/security.js";
import users from "./pages/users.js";
import verification from "./pages/verification.js";
import { Stream } from "./stream.js";

const PAGES = {
  overview, verification, security, users, devices, events, refused, "dead-letters": deadLetters, access, pipeline,
};
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
  leave();
  leave = () => {};
  // A link in a dialog leads away from it.
  for (const open of document.querySelectorAll("dialog[open]")) open.close();
  const asked = readAddress(location.hash);
  if (asked && !asked.name) asked.name = "overview";
  if (asked && Object.hasOwn(PAGES, asked.name) && hidden(PAGES[asked.name])) {
    Object.assign(asked, { name: "overview", rest: [], query: new URLSearchParams() });
    history.replaceState(null, "", addressOf("overview"));
  }
  const page = asked && pageOf(asked);
  for (const link of document.querySelectorAll("#pages a")) {
    if (page && link.dataset.page === asked.name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const title = page?.title ?? (asked ? "No such page" : "Unreadable address");
  document.title = `${title} · ${context.pipeline.name} · CloudScale`;
  const body = h("div", { class: "page" });
  fill(main, h("div", { class: "page-head" }, h("h1", {}, title)), body);
  if (page) leave = page.show(body, { ...context, ...asked, stream, head: main.firstChild }) ?? leave;
  else fill(body, notice(wrong(asked), "bad"), h("p", {}, h("a", { href: addressOf("overview") }, "Go to the overview")));
  window.scrollTo(0, 0);
}

function pageOf({ name, rest }) {
  if (!Object.hasOwn(PAGES, name)) return null;
  return (PAGES[name].parts ?? [0]).includes(rest.length) ? PAGES[name] : null;
}

function wrong(asked) {
  if (!asked) return "This address cannot be read: a percent sign in it is not followed by the code of a character. Check the link.";
  return `There is no page ${visible([asked.name, ...asked.rest].join("/"))}. Check the link, or choose a page.`;
}

const hidden = (page) => (page.forEverybodyOnly && context.viewer.tenants != null) || (page.forAdministratorsOnly && !context.viewer.mayManage);

function showAccount() {
  const account = document.getElementById("account");
  if (context.signedIn) {
    const out = async () => {
      const answer = await send("DELETE", "/api/session");
      session.postMessage("ended");
      // The provider may have a session of its own to end.
      location.assign(answer?.continueAt ?? "/sign-in");
    };
    const { name } = context.viewer;
    fill(
      account,
      h("span", { class: "who", title: `Signed in as ${name}` }, visible(name)),
      h("button", { class: "quiet", type: "button", onclick: out, title: `Signed in as ${name}` }, "Sign out"),
    );
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
  const pipelineName = document.getElementById("pipeline");
  pipelineName.title = `${namespace} / ${name}`;
  fill(pipelineName, h("span", { class: "muted" }, `${namespace} / `), name);
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
  // Followed as a link, it would be taken for the address of a page.
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();
    main.focus();
  });
  showTheme();
  route();
  stream.start();
}

start();
