"""``python -m bench.guard``: has the pipeline become slower? A ratio within one run, so a slow machine is no matter.

The same closed-loop load (``wrk``, from the system's packages) goes in turns to a handler that only parses and to the
whole pipeline; what is compared with the recorded ratio is the median of the rounds. ``--record`` records it.
"""

from __future__ import annotations

import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import requests

from bench.load import write_bodies
from bench.pipeline import ROOT, running
from bench.scenarios import Scenario
from cloudscale.local.plan import LOOPBACK
from cloudscale.local.ports import find_free_ports

BASELINE = Path(__file__).resolve().parent / "results" / "guard.json"
SCENARIO = Scenario(name="guard", title="ratio to a handler that only parses", rate=None, seconds=4)
ROUNDS = 3
CONNECTIONS = 64
TOLERATED_LOSS = 0.25
START_SECONDS = 20

_SCRIPT = """
local bodies, place = {}, 0
for line in io.lines("%s") do bodies[#bodies + 1] = line end
request = function()
  place = place %% #bodies + 1
  return wrk.format("POST", nil, {["Content-Type"] = "application/json"}, bodies[place])
end
"""


def main() -> int:
    """Measure the ratio; 1 if it is a quarter below the recorded one."""
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not on the PATH: `apt-get install wrk`, or your system's package")
    with tempfile.TemporaryDirectory(prefix="cloudscale-guard-", ignore_cleanup_errors=True) as folder:
        script = Path(folder) / "load.lua"
        write_bodies(Path(folder) / "bodies", events_per_request=1)
        script.write_text(_SCRIPT % (Path(folder) / "bodies"))
        (port,) = find_free_ports(LOOPBACK, 1)
        with running(SCENARIO, Path(folder)) as pipeline:
            bare = subprocess.Popen([sys.executable, "-m", "bench.bare", str(port)], cwd=ROOT)
            try:
                ratios = [_ratio(pipeline.url, f"http://127.0.0.1:{port}", script) for _ in range(ROUNDS)]
            finally:
                bare.terminate()
                bare.wait()
    ratio = statistics.median(ratios)
    if "--record" in sys.argv:
        BASELINE.write_text(json.dumps({"ratio": round(ratio, 4)}) + "\n")
    recorded = json.loads(BASELINE.read_text())["ratio"]
    verdict = ratio >= recorded * (1 - TOLERATED_LOSS)
    rounds = ", ".join(f"{each:.3f}" for each in ratios)
    print(f"the pipeline does {ratio:.3f} of a handler that only parses (rounds {rounds}; recorded {recorded:.3f})")
    if not verdict:
        print(f"that is more than {TOLERATED_LOSS:.0%} slower than recorded: profile before this lands")
    return 0 if verdict else 1


def _ratio(pipeline: str, bare: str, script: Path) -> float:
    ceiling = _requests_per_second(bare, script)
    return _requests_per_second(pipeline, script) / ceiling


def _requests_per_second(url: str, script: Path) -> float:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            requests.post(url + "/api/v1/events", json={}, timeout=5)
            break
        except requests.ConnectionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SCENARIO.seconds}s", "-s", str(script), url + "/api/v1/events"]
    finished = subprocess.run(command, capture_output=True, text=True, check=True, timeout=SCENARIO.seconds + 60)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", finished.stdout)
    if refused is not None:
        raise RuntimeError(f"{refused[1]} requests were refused, so the figure says nothing: {finished.stdout}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", finished.stdout)
    if rate is None:
        raise RuntimeError(f"wrk said nothing of a rate: {finished.stdout}")
    return float(rate[1])


if __name__ == "__main__":
    sys.exit(main())
