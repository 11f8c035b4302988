// Dead letters by reason: look into one, replay or discard some or all, and see how far that is.

import { addressOf } from "../address.js";
import { get, send } from "../api.js";
import { block, card, confirm, definitions, dialog, fill, given, h, notice, table } from "../dom.js";
import { count, time, visible, words } from "../format.js";
import { refreshing } from "./refreshing.js";

const DONE = { replay: "sent to the queue again", discard: "discarded" };
const DOING = { replay: "Replaying", discard: "Discarding" };
const TITLES = { replay: "Replay", discard: "Discard" };
const KINDS = { replay: "primary", discard: "danger" };
const CONSEQUENCES = { replay: "They go through the pipeline again from the queue.", discard: "They are deleted for good." };

const COLUMNS = [
  { title: "Number", value: (row) => h("code", {}, row.number) },
  { title: "Explanation", value: (row) => given(row.description), class: "wide" },
  { title: "Event", value: (row) => given(row.eventId, "code") },
  { title: "Type", value: (row) => (row.eventType ? given(words(row.eventType)) : null) },
  { title: "Tenant", value: (row) => given(row.tenantId) },
  { title: "Enqueued", value: (row) => time(row.enqueuedAt) },
  { title: "Attempts", value: (row) => count(row.attempts), class: "number" },
];

// Written out, because a number of a partitioned queue is larger than a script's numbers are exact.
const numbered = (numbers) => `{"sequenceNumbers":[${numbers.join(",")}]}`;

const OTHER_REASONS = "(other reasons)";

// Every reason with how many dead letters it has, as far as they are counted, and those of them that are shown.
function groupsOf(letters, reasons) {
  const groups = new Map(reasons.map(({ reason, count: all }) => [reason, { reason, all, rows: [] }]));
  for (const letter of letters) {
    if (!groups.has(letter.reason)) groups.set(letter.reason, { reason: letter.reason, all: 0, rows: [] });
    groups.get(letter.reason).rows.push(letter);
  }
  for (const group of groups.values()) group.all = Math.max(group.all, group.rows.length);
  return [...groups.values()].sort((one, other) => other.all - one.all);
}

function progress({ who, act, chosen, done }) {
  const text = `${DOING[act]}: ${count(done)}${chosen == null ? "" : ` of ${count(chosen)}`} done, asked for by ${who}.`;
  return h("p", { class: "notice", role: "status" }, text, chosen ? h("progress", { max: chosen, value: Math.min(done, chosen), "aria-label": text }) : null);
}

export default {
  title: "Dead letters",

  show(root, { viewer, head, pipeline, query }) {
    const asked = { reason: query.get("reason") ?? "" };
    const said = h("div", { "aria-live": "polite" });
    const doing = h("div", {});
    const list = h("div", { class: "page" });
    const buttons = h("div", { class: "actions" });
    const chosen = new Set();
    let letters = [];
    let reasons = [];
    let shown = "";
    head.append(buttons);
    fill(root, said, doing, list);

    async function act(name, choice, text, { typed = "" } = {}) {
      const agreed = await confirm(`${TITLES[name]} ${text}?`, `${CONSEQUENCES[name]} This is recorded with your name.`, TITLES[name], { kind: KINDS[name], typed });
      if (!agreed) return;
      fill(said, notice(`${DOING[name]}…`));
      const answer = send("POST", `/api/dead-letters/${name}`, choice);
      page.refresh();
      try {
        const { done } = await answer;
        chosen.clear();
        fill(said, notice(`${count(done)} ${DONE[name]}.`, "good"));
      } catch (problem) {
        fill(said, notice(problem.message, "bad"));
      }
      page.refresh();
    }

    const actOnChosen = (name) => () => act(name, numbered([...chosen]), `${count(chosen.size)} dead ${chosen.size === 1 ? "letter" : "letters"}`);
    const actOnReason = (name) => () => act(name, asked, `all dead letters with the reason ${visible(asked.reason)}`, { typed: name === "discard" ? pipeline.name : "" });
    const actOnAll = (name) => () => act(name, { all: true }, "all dead letters", { typed: name === "discard" ? pipeline.name : "" });

    function button(name, text, onclick) {
      return h("button", { class: KINDS[name], type: "button", onclick }, text);
    }

    function offer() {
      if (!viewer.mayAct || !letters.length) return fill(buttons);
      const some = chosen.size > 0;
      const which = some ? `${count(chosen.size)} chosen` : asked.reason ? "all with this reason" : "all";
      const onclick = some ? actOnChosen : asked.reason ? actOnReason : actOnAll;
      return fill(buttons, ["discard", "replay"].map((name) => button(name, `${TITLES[name]} ${which}`, onclick(name))));
    }

    function choose(rows, is) {
      for (const row of rows) {
        if (is) chosen.add(row.number);
        else chosen.delete(row.number);
      }
      offer();
    }

    async function look(row) {
      const body = h("div", {}, notice("Loading…"));
      const element = dialog("Dead letter", body);
      try {
        const { deadLetter } = await get(`/api/dead-letters/${row.number}`);
        const one = (name) => () => {
          element.close();
          act(name, numbered([row.number]), "this dead letter");
        };
        fill(
          body,
          definitions([
            ["Reason", given(deadLetter.reason)],
            ["Explanation", given(deadLetter.description)],
            ["Attempts", count(deadLetter.attempts)],
            ["Tenant", given(deadLetter.tenantId)],
            ["Event id", given(deadLetter.eventId, "code")],
            ["Enqueued", time(deadLetter.enqueuedAt)],
            ["Number", h("code", {}, deadLetter.number)],
            ["On the command line", h("code", {}, `cloudscale dlq show ${deadLetter.number}`)],
          ]),
          h("h3", {}, "Message"),
          block(deadLetter.body),
          viewer.mayAct ? h("div", { class: "actions" }, ["discard", "replay"].map((name) => button(name, TITLES[name], one(name)))) : null,
        );
      } catch (problem) {
        fill(body, notice(problem.message, "bad"));
      }
    }

    function group({ reason, all, rows }) {
      const boxes = () => [...section.querySelectorAll("td input")];
      const every = h("input", { type: "checkbox", checked: rows.length > 0 && rows.every((row) => chosen.has(row.number)) });
      const setEvery = () => {
        every.checked = rows.every((row) => chosen.has(row.number));
      };
      every.addEventListener("change", () => {
        choose(rows, every.checked);
        for (const box of boxes()) box.checked = every.checked;
      });
      const choice = {
        has: (row) => chosen.has(row.number),
        set: (row, is) => {
          choose([row], is);
          setEvery();
        },
        name: (row) => `dead letter ${row.number}`,
      };
      const section = card(
        `${reason ? visible(reason) : "Without a reason"}: ${count(all)}`,
        rows.length < all ? h("p", { class: "muted" }, partly(reason, rows.length)) : null,
        viewer.mayAct && rows.length ? h("label", { class: "check" }, every, rows.length < all ? `Choose the ${count(rows.length)} shown` : "Choose all with this reason") : null,
        rows.length ? table(`Dead letters: ${reason}`, COLUMNS, rows, { onrow: look, choice: viewer.mayAct ? choice : null }) : null,
      );
      return section;
    }

    function partly(reason, number) {
      const some = number ? `The first ${count(number)} of them are shown. ` : "None of them is among the first, which are shown. ";
      if (asked.reason || !reason || reason === OTHER_REASONS) return some;
      return [some, h("a", { href: addressOf("dead-letters", { reason }) }, "Show this reason only")];
    }

    function remarks(content) {
      const lines = [];
      if (asked.reason) {
        lines.push(h("p", {}, "Only dead letters with one reason are shown. ", h("a", { href: addressOf("dead-letters") }, "Show all")));
      } else if (content.more) {
        const all = content.depth == null ? "" : ` of ${count(content.depth)}`;
        lines.push(notice(`The first ${count(letters.length)}${all} dead letters are shown. What is done with all is done with the others too.`));
      }
      if (content.isAll === false) lines.push(notice(`Reasons are counted among the first ${count(content.lookedAt)} dead letters only.`));
      return lines;
    }

    function render(content) {
      if (content.pending) {
        if (!list.querySelector(".card")) fill(list, notice("Looking through the dead letters…"));
        return;
      }
      fill(doing, content.running.map(progress));
      // While they are counted anew, the last count holds.
      reasons = content.reasons ?? reasons;
      const text = JSON.stringify([content.deadLetters, content.more, reasons]);
      // The list stays as it is while only the progress changes.
      if (text === shown && list.querySelector(".card")) return;
      shown = text;
      letters = content.deadLetters;
      const there = new Set(letters.map((row) => row.number));
      for (const number of chosen) if (!there.has(number)) chosen.delete(number);
      const groups = groupsOf(letters, reasons).filter(({ reason }) => !asked.reason || reason === asked.reason);
      const none = asked.reason ? "No dead letter has this reason any more." : "No dead letters. Every event could be processed.";
      fill(
        list,
        viewer.mayAct ? null : h("p", { class: "muted" }, "Replaying and discarding needs an access token that allows it."),
        remarks(content),
        groups.length ? groups.map(group) : card("Dead letters", h("p", { class: "empty" }, none)),
      );
      offer();
    }

    const page = refreshing(list, viewer.tenants ? 5 : 2, () => get("/api/dead-letters", asked), render);
    return page.stop;
  },
};
