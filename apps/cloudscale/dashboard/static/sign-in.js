import { get, send } from "./api.js";

const form = document.getElementById("form");
const provider = document.getElementById("provider");
const field = document.getElementById("token");
const error = document.getElementById("error");

// The page that was asked for stands behind the #, for browsers keep it when they are sent here.
const asked = () => (location.hash.startsWith("#/") ? `/${location.hash}` : "/");

async function offer() {
  const { provider: name, tokens } = await get("/api/sign-in").catch(() => ({ provider: null, tokens: true }));
  provider.hidden = !name;
  if (!name) return;
  provider.textContent = `Sign in with ${name}`;
  provider.href = `/sign-in/start?to=${encodeURIComponent(asked())}`;
  form.hidden = !tokens;
  form.querySelector("button").classList.remove("primary");
  document.getElementById("purpose").textContent = "Or use an access token of this pipeline’s dashboard.";
}

async function signIn(token) {
  error.textContent = "";
  try {
    await send("POST", "/api/session", { token });
    location.replace(asked());
  } catch (problem) {
    error.textContent = problem.message;
    field.select();
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  signIn(field.value);
});

// A link may carry the token behind the #, which browsers never send to a server.
function signInByLink() {
  const carried = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!carried) return;
  history.replaceState(null, "", location.pathname);
  signIn(carried);
}

// Opened in a tab that shows this page already, the link changes nothing but what is behind the #.
window.addEventListener("hashchange", signInByLink);
signInByLink();
offer();
