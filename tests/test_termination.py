"""Every entry point can be told to stop from its first moment on, also as the first process of a container."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.processes import handles_sigterm
from tests.waiting import wait_until_sync

from cloudscale.local.ports import find_free_ports
from cloudscale.settings import Settings, as_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

MOMENTS_SECONDS = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
BOUND = timedelta(seconds=15)
SERVICES = ("cloudscale.ingestion", "cloudscale.worker", "cloudscale.dashboard")
ENTRY_POINTS = (
    *SERVICES,
    "cloudscale.emulators.servicebus",
    "cloudscale.emulators.cosmos",
    "cloudscale_operator",
)


def command(entry_point: str, directory: Path) -> list[str]:
    options = {
        "cloudscale.emulators.servicebus": ["--port", "0", "--management-port", "0", "--data-dir", str(directory)],
        "cloudscale.emulators.cosmos": ["--port", "0", "--data-dir", str(directory)],
        # Nobody answers there: the operator goes on asking.
        "cloudscale_operator": ["--image", "none", "--metrics-port", "0", "--health-port", "0"],
    }
    return [sys.executable, "-m", entry_point, *options.get(entry_point, [])]


def environment(directory: Path) -> dict[str, str]:
    """Settings with backends that are not there, for which every service waits."""
    pipeline = {
        "apiVersion": "cloudscale.io/v1alpha1",
        "kind": "EventPipeline",
        "metadata": {"name": "told"},
        "spec": {},
    }
    (directory / "pipeline.json").write_bytes(msgspec.json.encode(pipeline))
    port, nobody = find_free_ports("127.0.0.1", 2)
    settings = Settings(
        pipeline_file=str(directory / "pipeline.json"),
        redis_url=f"redis://127.0.0.1:{nobody}/0",
        servicebus_connection_string=(
            f"Endpoint=sb://127.0.0.1:{nobody};SharedAccessKeyName=n;SharedAccessKey=a2V5;UseDevelopmentEmulator=true"
        ),
        servicebus_management_url=f"https://127.0.0.1:{nobody}",
        cosmos_connection_string=f"AccountEndpoint=http://127.0.0.1:{nobody}/;AccountKey=a2V5;",
        port=port,
        metrics_port=0,
        log_format="console",
    )
    kubeconfig = directory / "kubeconfig"
    kubeconfig.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
        f"clusters: [{{name: c, cluster: {{server: 'http://127.0.0.1:{nobody}'}}}}]\n"
        "users: [{name: u, user: {}}]\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n"
    )
    return {**os.environ, **as_environment(settings), "KUBECONFIG": str(kubeconfig)}


@contextlib.contextmanager
def started(words: list[str], variables: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(words, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("entry_point", ENTRY_POINTS)
def test_it_ends_whenever_it_is_told_to_in_its_first_second(entry_point: str, tmp_path: Path) -> None:
    variables = environment(tmp_path)
    for moment in MOMENTS_SECONDS:
        with started(command(entry_point, tmp_path / "data"), variables) as process:
            time.sleep(moment)  # the moment is what is tested
            process.terminate()
            # Told before Python runs, a process is ended by the kernel.
            assert process.wait(BOUND.total_seconds()) in (0, -signal.SIGTERM), f"told after {moment} s"


@pytest.mark.parametrize("entry_point", ENTRY_POINTS)
def test_it_listens_to_sigterm_before_its_imports(entry_point: str, tmp_path: Path) -> None:
    """What it imports until then is next to nothing, so that the moment is as early as a program can make it."""
    source = (
        "import runpy, signal, sys\n"
        "class Watch:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL: print(name)\n"
        "sys.meta_path.insert(0, Watch())\n"
        f"sys.argv = ['', '--help']\nrunpy.run_module({entry_point!r}, run_name='__main__')\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, timeout=60, check=False, env={}
    )
    ours_or_large = ("cloudscale", "granian", "azure", "kopf", "asyncio", "structlog")
    before = {line for line in result.stdout.splitlines() if line.startswith(ours_or_large)}
    packages = {entry_point.rsplit(".", depth)[0] for depth in range(entry_point.count(".") + 1)}
    assert before == packages | {"cloudscale", "cloudscale.termination", f"{entry_point}.__main__"}


@pytest.mark.skipif(os.geteuid() != 0, reason="making a process the first of its kind takes root")
@pytest.mark.parametrize("entry_point", ENTRY_POINTS)
def test_it_ends_as_the_first_process_of_a_container(entry_point: str, tmp_path: Path) -> None:
    variables = environment(tmp_path)
    words = ["unshare", "--pid", "--fork", "--kill-child", *command(entry_point, tmp_path / "data")]
    with started(words, variables) as parent:
        child = _only_child(parent.pid)
        wait_until_sync(lambda: handles_sigterm(child), within=BOUND)
        os.kill(child, signal.SIGTERM)
        assert parent.wait(BOUND.total_seconds()) == 0


def _only_child(pid: int) -> int:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    wait_until_sync(lambda: children.read_text().strip() != "", within=BOUND)
    return int(children.read_text())


def test_the_images_first_process_hands_signals_on_from_its_start() -> None:
    """Python cannot: until it runs, the kernel drops what is sent to a container's first process."""
    stages = (Path(__file__).parents[1] / "Dockerfile").read_text().split("\nFROM ")
    entry_points = [line for stage in stages for line in stage.splitlines() if line.startswith("ENTRYPOINT ")]
    assert entry_points == ['ENTRYPOINT ["tini", "--"]', 'ENTRYPOINT ["tini", "--", "reload"]']
