// Sends one event until it is taken: node send.mjs URL. Node 18 or later, no packages.
// CLOUDSCALE_KEY is the API key, where one is needed.
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

const ATTEMPTS = 8;
const KEY = process.env.CLOUDSCALE_KEY;
const COME_BACK = new Set([408, 429, 500, 502, 503, 504]);

/** Sends an event that names itself by eventId, again where that may help; gives the status of the last answer. */
export async function send(url, event) {
  for (let attempt = 1; ; attempt++) {
    let waitSeconds = Math.min(30, 0.25 * 2 ** attempt);
    try {
      const answer = await fetch(`${url}/api/v1/events`, {
        method: "POST",
        headers: { "Content-Type": "application/json", ...(KEY && { Authorization: `Bearer ${KEY}` }) },
        body: JSON.stringify(event),
        signal: AbortSignal.timeout(10_000),
      });
      await answer.arrayBuffer();
      // 409: an earlier attempt was taken, and only its answer was lost.
      if (!COME_BACK.has(answer.status) || attempt === ATTEMPTS) return answer.status;
      waitSeconds = Number(answer.headers.get("Retry-After") ?? waitSeconds);
    } catch (error) {
      if (attempt === ATTEMPTS) throw error;
    }
    await sleep(waitSeconds * 1000);
  }
}

const status = await send(process.argv[2], {
  eventType: "user_action",
  eventId: randomUUID(),
  tenantId: "shop",
  userId: "ada",
  actionName: "add_to_cart",
});
console.log(`javascript: ${status}`);
process.exitCode = [200, 202, 409].includes(status) ? 0 : 1;
