"""``python -m cloudscale_operator``: run the operator until SIGTERM or SIGINT."""

from __future__ import annotations

import gc

from cloudscale.termination import exit_on_signal

if __name__ == "__main__":
    exit_on_signal()
    # What is imported stays: looking for garbage among it would take a sixth of the start.
    gc.disable()

import os
import signal
import sys

import kopf
from prometheus_client import start_http_server

from cloudscale.errors import ConfigurationError
from cloudscale.telemetry import logs
from cloudscale_operator import metrics
from cloudscale_operator.handlers import build_registry
from cloudscale_operator.options import read_options

WORK_ENDED = 1
CONFIGURATION_ERROR = 2


def main() -> int:
    """Run the operator; the exit code."""
    try:
        options = read_options(sys.argv[1:], os.environ)
    except ConfigurationError as error:
        print(f"the operator cannot start: {error}", file=sys.stderr)  # noqa: T201 - a message for a person, not a log
        return CONFIGURATION_ERROR
    logs.configure(format=options.log_format, level=options.log_level)
    start_http_server(options.metrics_port, registry=metrics.REGISTRY)
    endings: list[int] = []

    def end() -> None:
        endings.append(WORK_ENDED)
        # As if the kubelet had asked for it: the watches end in order, and the next process starts anew.
        signal.raise_signal(signal.SIGTERM)

    kopf.run(
        registry=build_registry(options, ended=end),
        clusterwide=not options.namespaces,
        namespaces=options.namespaces,
        standalone=True,
        liveness_endpoint=f"http://0.0.0.0:{options.health_port}/healthz",
    )
    return endings[0] if endings else 0


if __name__ == "__main__":
    gc.freeze()
    gc.enable()
    sys.exit(main())
