"""What kopf calls: the watches, the probes, start and end.

Only low-level event handlers are registered, so kopf itself writes nothing to any object: no annotations that would
fight with server-side apply, no progress to lose. Being level-triggered needs neither.
"""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import kopf
from kubernetes import config
from kubernetes.client import ApiClient, Configuration

from cloudscale.pipeline import GROUP, PLURAL, VERSION
from cloudscale_operator.api import THREADS
from cloudscale_operator.kinds import KINDS, Kind
from cloudscale_operator.names import MANAGED_BY_LABEL, OPERATOR
from cloudscale_operator.runtime import Operator, running
from cloudscale_operator.timing import DEFAULT_TIMING

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudscale_operator.options import Options
    from cloudscale_operator.timing import Timing

WATCH_SECONDS = 300
"""A watch is renewed after this long, for one whose connection died silently shows nothing any more."""


def build_registry(
    options: Options,
    *,
    ended: Callable[[], None],
    client: Callable[[], ApiClient] | None = None,
    timing: Timing = DEFAULT_TIMING,
) -> kopf.OperatorRegistry:
    """All handlers of one operator; ``ended`` is called if its work ends by itself.

    ``client`` connects to the cluster, by default as :func:`connect` does.
    """
    registry = kopf.OperatorRegistry()
    resources = AsyncExitStack()
    # kopf gives a handler no state but a memo, and that is what this is.
    state: dict[str, Operator] = {}

    kopf.on.login(registry=registry)(kopf.login_via_client)

    @kopf.on.startup(registry=registry)
    async def start(settings: kopf.OperatorSettings, **_: Any) -> None:
        configure(settings)
        state["operator"] = await resources.enter_async_context(
            running((client or connect)(), options, ended=ended, timing=timing)
        )

    @kopf.on.cleanup(registry=registry)
    async def stop(**_: Any) -> None:
        await resources.aclose()

    @kopf.on.probe(id="pipelines", registry=registry)
    def probe(**_: Any) -> bool:
        if "operator" not in state:
            return False
        # What is raised here, and nothing else, makes the answer another one than 200.
        if not state["operator"].is_working:
            raise kopf.PermanentError("the operator's workers show no sign of life")
        return True

    @kopf.on.event(group=GROUP, version=VERSION, plural=PLURAL, registry=registry)
    async def pipeline_changed(body: kopf.Body, type: str | None, **_: Any) -> None:  # noqa: A002 - kopf's name
        state["operator"].pipeline_changed(body, deleted=type == "DELETED")

    async def child_changed(body: kopf.Body, type: str | None, **_: Any) -> None:  # noqa: A002 - kopf's name
        state["operator"].child_changed(body, deleted=type == "DELETED")

    for kind in KINDS:
        group, _, version = kind.api_version.rpartition("/")
        kopf.on.event(group=group, version=version, plural=kind.plural, registry=registry)(child_changed)
    return registry


def configure(settings: kopf.OperatorSettings) -> None:
    """Settings that do not come from the command line."""
    settings.peering.standalone = True
    settings.posting.enabled = False
    settings.watching.server_timeout = WATCH_SECONDS
    # One line for each event of each object would drown everything else.
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    settings.watching.label_selectors[_is_child] = f"{MANAGED_BY_LABEL}={OPERATOR}"


def connect() -> ApiClient:
    """A client of the cluster that this pod runs in, or else of the current kubectl context."""
    configuration = Configuration()
    configuration.connection_pool_maxsize = THREADS
    try:
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except config.ConfigException:
        config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    return ApiClient(configuration)


def _is_child(watched: kopf.Resource) -> bool:
    return any(_is_same(kind, watched) for kind in KINDS)


def _is_same(kind: Kind, watched: kopf.Resource) -> bool:
    return (kind.group, kind.plural) == (watched.group, watched.plural)
