// Sends events to the page's own origin, where a proxy hands /api on to ingestion.
const COME_BACK = new Set([408, 429, 500, 502, 503, 504]);

async function send(event, attempts = 5) {
  const body = JSON.stringify({ eventId: crypto.randomUUID(), tenantId: "shop", userId: "ada", ...event });
  for (let attempt = 1; ; attempt++) {
    // keepalive: the request outlives a page that is left, as long as all such bodies have 64 KiB together.
    const answer = await fetch("/api/v1/events", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body,
      keepalive: true,
    }).catch(() => null);
    if (answer && !COME_BACK.has(answer.status)) return answer.status;
    if (attempt === attempts) return answer?.status ?? 0;
    const seconds = Number(answer?.headers.get("Retry-After") ?? 2 ** attempt);
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  }
}

async function show(event) {
  document.getElementById("answer").value = `browser: ${await send(event)}`;
}

document.getElementById("add").addEventListener("click", () => show({ eventType: "user_action", actionName: "add_to_cart" }));
await show({ eventType: "page_view", url: location.href });
