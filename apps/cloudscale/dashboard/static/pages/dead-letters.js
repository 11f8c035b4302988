// Dead letters: look into one, replay or discard one or all.

import { get, send } from "../api.js";
import { card, confirm, definitions, dialog, fill, h, notice, table } from "../dom.js";
import { count, time, words } from "../format.js";
import { refreshing } from "./refreshing.js";

const DONE = { replay: "sent to the queue again", discard: "discarded" };

export default {
  title: "Dead letters",

  show(root, { viewer, head }) {
    const said = h("div", { "aria-live": "polite" });
    const list = h("div", {});
    const buttons = h("div", { class: "actions" });
    head.append(buttons);
    fill(root, said, list);

    async function act(name, chosen, text) {
      const title = name === "replay" ? "Replay" : "Discard";
      const consequence = name === "replay" ? "They go through the pipeline again from the queue." : "They are deleted for good.";
      const agreed = await confirm(`${title} ${text}?`, `${consequence} This is recorded with your name.`, title, name === "replay" ? "primary" : "danger");
      if (!agreed) return;
      try {
        const { done } = await send("POST", `/api/dead-letters/${name}`, chosen);
        fill(said, notice(`${count(done)} ${DONE[name]}.`, "good"));
      } catch (problem) {
        fill(said, notice(problem.message, "bad"));
      }
      page.refresh();
    }

    async function look(row) {
      const body = h("div", {}, notice("Loading…"));
      const element = dialog("Dead letter", body);
      try {
        const { deadLetter } = await get(`/api/dead-letters/${row.sequenceNumber}`);
        const one = (name) => () => {
          element.close();
          act(name, { sequenceNumbers: [row.sequenceNumber] }, "this dead letter");
        };
        fill(
          body,
          definitions([
            ["Reason", deadLetter.reason],
            ["Explanation", deadLetter.description],
            ["Attempts", count(deadLetter.attempts)],
            ["Tenant", deadLetter.tenantId],
            ["Event id", deadLetter.eventId ? h("code", {}, deadLetter.eventId) : null],
            ["Enqueued", time(deadLetter.enqueuedAt)],
            ["Sequence number", h("code", {}, String(deadLetter.sequenceNumber))],
          ]),
          h("h3", {}, "Message"),
          h("pre", { tabindex: "0" }, typeof deadLetter.body === "string" ? deadLetter.body : JSON.stringify(deadLetter.body, null, 2)),
          viewer.mayAct
            ? h("div", { class: "actions" }, h("button", { class: "danger", type: "button", onclick: one("discard") }, "Discard"), h("button", { class: "primary", type: "button", onclick: one("replay") }, "Replay"))
            : null,
        );
      } catch (problem) {
        fill(body, notice(problem.message, "bad"));
      }
    }

    const columns = [
      { title: "Reason", value: (row) => row.reason },
      { title: "Explanation", value: (row) => row.description, class: "wide" },
      { title: "Event", value: (row) => (row.eventId ? h("code", {}, row.eventId) : null) },
      { title: "Type", value: (row) => (row.eventType ? words(row.eventType) : null) },
      { title: "Tenant", value: (row) => row.tenantId },
      { title: "Enqueued", value: (row) => time(row.enqueuedAt) },
      { title: "Attempts", value: (row) => count(row.attempts), class: "number" },
    ];

    const page = refreshing(
      list,
      5,
      () => get("/api/dead-letters"),
      ({ deadLetters, more }) => {
        const hint = viewer.mayAct ? null : h("p", { class: "muted" }, "Replaying and discarding needs an access token that allows it.");
        const all = (name) => () => act(name, { all: true }, "all dead letters");
        fill(
          buttons,
          viewer.mayAct && deadLetters.length
            ? [h("button", { class: "danger", type: "button", onclick: all("discard") }, "Discard all"), h("button", { class: "primary", type: "button", onclick: all("replay") }, "Replay all")]
            : null,
        );
        fill(
          list,
          card(
            more ? `The first ${count(deadLetters.length)} dead letters` : `${count(deadLetters.length)} dead letters`,
            hint,
            table("Dead letters", columns, deadLetters, { empty: "No dead letters. Every event could be processed.", onrow: look }),
          ),
        );
      },
    );
    return page.stop;
  },
};
