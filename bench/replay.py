"""``python -m bench.replay FILE``: replay all purchases of a file, twice, and compare what is stored with the file.

Starts ``examples/clickstream.yaml``, with the resource's default limits, on an empty data directory.
"""

from __future__ import annotations

import argparse
import gzip
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.integration.facts import Facts, facts_of_lines, facts_of_store
from tests.servers.background import BackgroundRun

ROOT = Path(__file__).resolve().parent.parent
TENANT = "cdnow"
POINTS_OF_A_PURCHASE = 50
PROJECTION_SECONDS = 60.0


def main() -> int:
    """Replay and compare; 1 if a figure is not what the file says."""
    parser = argparse.ArgumentParser(prog="python -m bench.replay", description=__doc__)
    parser.add_argument("file", type=Path, help="JSONL file of purchases of the tenant cdnow, compressed with gzip")
    path: Path = parser.parse_args().file
    with gzip.open(path) as lines:
        expected = facts_of_lines(lines, points=POINTS_OF_A_PURCHASE)
    with (
        tempfile.TemporaryDirectory(prefix="cloudscale-replay-") as directory,
        BackgroundRun(
            pipeline_file=ROOT / "examples" / "clickstream.yaml", data_directory=Path(directory) / "data"
        ) as run,
    ):
        for attempt in ("first replay", "second replay"):
            began = time.monotonic()
            _command("events", "replay", str(path), run=run)
            _command("verify", "--wait", "60s", run=run)
            print(f"{attempt}: everything accepted is stored {time.monotonic() - began:.1f} s after its start")
            found = _settled_facts(run, expected)
            _compare(found, expected)
            if found != expected:
                return 1
    return 0


def _command(*arguments: str, run: BackgroundRun) -> None:
    """Run a command of ours with its output on this terminal, so that its progress bar is seen."""
    subprocess.run(
        (sys.executable, "-m", "cloudscale.commands.cli", *arguments, "--data-dir", str(run.data_directory)), check=True
    )


def _settled_facts(run: BackgroundRun, expected: Facts) -> Facts:
    """What is stored, once the profiles have followed the store's change feed, or after a minute at the latest."""
    deadline = time.monotonic() + PROJECTION_SECONDS
    while True:
        found = facts_of_store(run.instance, tenant_id=TENANT)
        if found == expected or time.monotonic() > deadline:
            return found
        time.sleep(1)


def _compare(found: Facts, expected: Facts) -> None:
    for name in Facts.__dataclass_fields__:
        stored, wanted = getattr(found, name), getattr(expected, name)
        print(f"{name:14} {stored:>14,} {'as in the file' if stored == wanted else f'but {wanted:,} in the file'}")


if __name__ == "__main__":
    sys.exit(main())
