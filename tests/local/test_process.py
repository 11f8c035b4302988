from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from cloudscale.local.probes import TcpProbe
from cloudscale.local.process import ChildProcess, ProcessPlan

if TYPE_CHECKING:
    from pathlib import Path

NOWHERE = TcpProbe("127.0.0.1", ())
LEAST_PRIORITY = 19


async def test_a_process_gives_way_to_others_as_planned(tmp_path: Path) -> None:
    program = "import os; print(os.nice(0), flush=True)"
    plan = ProcessPlan(
        name="behind", command=(sys.executable, "-c", program), ready=NOWHERE, alive=NOWHERE, stage=0, niceness=3
    )
    child = await ChildProcess.start(plan, log_path=tmp_path / "behind.log")
    assert await child.wait() == 0
    assert child.last_line() == str(min(LEAST_PRIORITY, os.nice(0) + 3))
