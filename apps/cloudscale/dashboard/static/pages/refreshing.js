// A page that asks the server for its content now and every few seconds while it is looked at.

import { fill, notice } from "../dom.js";

const SECONDS_AFTER_AN_ERROR = 2;

// `load` returns the content, `render` shows it. Returns { refresh, stop }.
export function refreshing(root, seconds, load, render) {
  let over = false;
  let turn = 0;
  let shown = "";
  let timer;

  async function refresh() {
    const mine = ++turn;
    let pause = seconds;
    clearTimeout(timer);
    try {
      const content = await load();
      if (over || mine !== turn) return;
      const text = JSON.stringify(content);
      // Rebuilding what has not changed would take the keyboard's focus away.
      if (text !== shown) {
        shown = text;
        render(content);
      }
    } catch (problem) {
      if (over || mine !== turn) return;
      shown = "";
      fill(root, notice(problem.message, "bad"));
      // What was away is mostly back soon.
      pause = Math.min(seconds, SECONDS_AFTER_AN_ERROR);
    }
    wait(pause);
  }

  // Counted from the answer: asked again before it, a slow server would be asked for ever and never be shown.
  function wait(pause) {
    timer = setTimeout(() => {
      if (document.hidden || document.querySelector("dialog[open]")) wait(pause);
      else refresh();
    }, pause * 1000);
  }

  fill(root, notice("Loading…"));
  refresh();
  return {
    refresh,
    stop: () => {
      over = true;
      clearTimeout(timer);
    },
  };
}
