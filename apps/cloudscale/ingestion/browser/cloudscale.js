// Sends the events of a web page to the pipeline that serves this script:
//
//   <script src="https://events.example/cloudscale.js" data-key="cs_..." defer></script>
//   cloudscale.track("user_action", { actionName: "add_to_cart" });
//
// Each event has its id from the beginning, stands in localStorage until the pipeline has answered for it, and may be
// sent more than once: the pipeline takes it once.
//
// It is served in 2,048 bytes at the most: page_script.py leaves out comments and white space, and gives each name that
// begins with $ a letter. So comments have lines of their own, statements end in semicolons, and texts in quotes have
// no escapes.
(() => {
  const $tag = document.currentScript;
  const $key = $tag && $tag.dataset.key;
  if (!$key || window.cloudscale) return;
  const $address = new URL("api/v1/events/batch", $tag.src).href;
  const $prefix = "cloudscale.";
  const $owner = $key.split("_")[1];
  // What is sent at once, in characters of at most three bytes: a request and a beacon together stay below the 64 KiB
  // that browsers let out of a page that is left.
  const $most = 1e4;
  const $push = history.pushState;
  let $box = {}, $busy = [], $sent = [], $tries = 0, $timer, $stopped, $seen;
  // Where localStorage is forbidden, events live as long as the page.
  try { $box = localStorage; } catch {}

  // Each event has an entry of its own, so that pages side by side do not overwrite each other's. Names sort by time.
  const $names = ($part) =>
    Object.keys($box).filter(($name) => $name.startsWith($prefix) && $name.includes($part)).sort();

  const $pick = ($others) => {
    let $size = 0;
    return $names($owner).filter(($name) => !$others.includes($name) && ($size += $box[$name].length + 1) < $most);
  };

  const $body = ($part) => "[" + $part.map(($name) => $box[$name]) + "]";

  const $plan = ($milliseconds) => {
    clearTimeout($timer);
    $timer = setTimeout($send, $milliseconds);
  };

  const $send = async () => {
    $timer = 0;
    if ($busy[0] || $stopped || !($sent = $busy = $pick([]))[0]) return;
    let $wait = 0, $left = $busy.length;
    try {
      const $answer = await fetch($address, {
        method: "POST",
        keepalive: true,
        credentials: "omit",
        headers: { Authorization: "Bearer " + $key, "Content-Type": "application/json" },
        body: $body($busy),
        signal: AbortSignal.timeout(3e4)
      });
      const $status = $answer.status;
      $wait = $answer.headers.get("Retry-After") * 1e3;
      // A key that does not hold here will not before the page is loaded anew.
      $stopped = $status == 401 || $status == 403;
      // A request that cannot be understood never will be. In others each event has an answer of its own.
      const { results: $results } = await $answer.json();
      $busy.map(($name, $index) => {
        if ($results ? $results[$index].status < 500 : [400, 413, 415, 422].includes($status)) {
          delete $box[$name];
          $left--;
        }
      });
    } catch {}
    $sent = $busy = [];
    $tries = $left && $tries + 1;
    $plan($left && Math.max($wait, Math.min(2 ** $tries, 300) * (500 + 500 * Math.random())));
  };

  const $track = ($type, $fields) => {
    const $id = crypto.getRandomValues(new Uint32Array(4)).join("-");
    const $text = JSON.stringify({ eventId: $id, createdAt: new Date(), ...$fields, eventType: $type });
    try {
      const $all = $names("");
      // The oldest give way.
      while ($all[499] || $body($all).length > 25e4) delete $box[$all.shift()];
      if ($text.length < $most) $box[$prefix + Date.now() + $owner + $id] = $text;
    } catch {}
    if (!$timer) $plan(500);
  };

  // Its answer cannot be read, so the events stay, and are sent again by the next page.
  const $leave = () => {
    const $part = $stopped ? [] : $pick($sent);
    if ($part[0] && navigator.sendBeacon($address + "?key=" + $key, $body($part))) $sent = $sent.concat($part);
  };

  const $view = () => {
    const $url = location.href.split("#")[0];
    if ($url != $seen) $track("page_view", { url: $url, referrer: $seen || document.referrer });
    $seen = $url;
  };

  window.cloudscale = { track: $track };
  addEventListener("pagehide", $leave);
  addEventListener("online", () => $plan(0));
  document.addEventListener("visibilitychange", () => document.hidden && $leave());
  if ($tag.dataset.views != "off") {
    history.pushState = (...$values) => {
      $push.apply(history, $values);
      $view();
    };
    addEventListener("popstate", $view);
    $view();
  }
  $plan(0);
})();
