import { send } from "./api.js";

const form = document.getElementById("form");
const field = document.getElementById("token");
const error = document.getElementById("error");

async function signIn(token) {
  error.textContent = "";
  try {
    await send("POST", "/api/session", { token });
    location.replace("/");
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
