// Requests to the dashboard's own JSON API.

export class Problem extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function answerOf(response) {
  if (response.status === 204) return null;
  const content = await response.json().catch(() => ({}));
  if (response.ok) return content;
  if (response.status === 401 && location.pathname === "/") location.assign(`/sign-in${location.hash}`);
  throw new Problem(response.status, content.detail || `The dashboard answered ${response.status}.`);
}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...options });
  } catch {
    throw new Problem(0, "The dashboard cannot be reached.");
  }
  return answerOf(response);
}

export function get(path, parameters = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value !== "" && value != null);
  const query = new URLSearchParams(given).toString();
  return ask(query ? `${path}?${query}` : path);
}

// `content` is sent as JSON, or as it is when it is text that is JSON already.
export function send(method, path, content = {}) {
  return ask(path, {
    method,
    headers: { "Content-Type": "application/json", "X-Requested-With": "cloudscale" },
    body: typeof content === "string" ? content : JSON.stringify(content),
  });
}
