"""The running operator: what the watches show goes into a queue, and workers reconcile what is in it."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from cloudscale.tasks import cancel_and_wait
from cloudscale_operator import metrics
from cloudscale_operator.api import KubernetesApi
from cloudscale_operator.context import Context
from cloudscale_operator.delays import RESYNC_SECONDS
from cloudscale_operator.depth import DepthReaders
from cloudscale_operator.entra import Entra, PipelineCredential
from cloudscale_operator.errors import ImpossibleError, PostponedError
from cloudscale_operator.kinds import EVENT_PIPELINE
from cloudscale_operator.reconcile import Reconciler
from cloudscale_operator.relist import relist_regularly
from cloudscale_operator.timing import DEFAULT_TIMING
from cloudscale_operator.work_queue import WorkQueue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from kubernetes.client import ApiClient

    from cloudscale_operator.children import PipelineKey
    from cloudscale_operator.kinds import Kind, Manifest
    from cloudscale_operator.options import Options
    from cloudscale_operator.timing import Timing

log = structlog.get_logger(__name__)

LONGEST_DELAY_SECONDS = 60.0


class Operator:
    """Takes in what the watches show, and reconciles."""

    def __init__(
        self,
        api: KubernetesApi,
        *,
        context: Context,
        options: Options,
        directory: Path,
        entra: Entra,
        timing: Timing,
    ) -> None:
        self._api = api
        self._namespaces = options.namespaces
        self._timing = timing
        self.queue: WorkQueue[PipelineKey] = WorkQueue(self._visit, timing=timing)
        self.readers = DepthReaders(
            self.queue.add,
            directory=directory,
            credential=lambda identity: PipelineCredential(api, entra, identity),
            timing=timing,
        )
        self._reconciler = Reconciler(
            api, self.readers, context=context, authority_secret=options.authority_secret, timing=timing
        )
        self._failures: dict[PipelineKey, int] = {}

    def pipeline_changed(self, body: Mapping[str, Any], *, deleted: bool) -> None:
        """A pipeline was created, changed or deleted, or was there when the operator came."""
        self.queue.add(self._reconciler.pipelines.observe(dict(body), deleted=deleted))
        metrics.PIPELINES.set(len(self._reconciler.pipelines))

    def child_changed(self, body: Mapping[str, Any], *, deleted: bool) -> None:
        """An object of a pipeline was created, changed or deleted."""
        key = self._reconciler.children.observe(dict(body), deleted=deleted)
        if key is not None and key in self._reconciler.pipelines:
            self.queue.add(key)

    def known(self, kind: Kind) -> Mapping[tuple[str, str], Manifest]:
        """The live objects of a kind, by namespace and name."""
        if kind is EVENT_PIPELINE:
            return self._reconciler.pipelines.all()
        return self._reconciler.children.of_kind(kind.kind)

    def changed(self, kind: Kind, body: Mapping[str, Any], *, deleted: bool) -> None:
        """Take in an object that no watch has reported."""
        if kind is EVENT_PIPELINE:
            self.pipeline_changed(body, deleted=deleted)
        else:
            self.child_changed(body, deleted=deleted)

    async def work(self) -> None:
        """Reconcile until cancelled."""
        await asyncio.sleep(self._timing.settle_seconds)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.queue.run(), name="reconcile")
            relisting = relist_regularly(
                self._api, self, namespaces=self._namespaces, every_seconds=self._timing.relist_seconds
            )
            tasks.create_task(relisting, name="relist")

    @property
    def is_working(self) -> bool:
        """Whether the workers have shown a sign of life lately."""
        return self.queue.silent_seconds < self._timing.silent_seconds

    async def _visit(self, key: PipelineKey) -> float | None:
        with metrics.RECONCILE_DURATION.time():
            try:
                async with asyncio.timeout(self._timing.visit_seconds):
                    delay = await self._reconciler.reconcile(key)
            except PostponedError as error:
                log.warning("the reconcile is postponed", namespace=key.namespace, pipeline=key.name, error=str(error))
                metrics.RECONCILE_ERRORS.labels("temporary").inc()
                return max(error.retry_after_seconds, self._backoff(key))
            except ImpossibleError as error:
                log.warning(
                    "the specification is invalid",
                    namespace=key.namespace,
                    pipeline=key.name,
                    error=str(error),
                )
                metrics.RECONCILE_ERRORS.labels("permanent").inc()
                return RESYNC_SECONDS
            except Exception:
                # Logged and counted; the other pipelines go on.
                log.exception("the reconcile failed", namespace=key.namespace, pipeline=key.name)
                metrics.RECONCILE_ERRORS.labels("unexpected").inc()
                return self._backoff(key)
        self._failures.pop(key, None)
        return delay

    def _backoff(self, key: PipelineKey) -> float:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        return float(min(2.0 ** (failures - 1), LONGEST_DELAY_SECONDS))


@asynccontextmanager
async def running(
    client: ApiClient, options: Options, *, ended: Callable[[], None], timing: Timing = DEFAULT_TIMING
) -> AsyncIterator[Operator]:
    """An operator at work, until the context is left. ``ended`` is called if its work ends before."""
    context = Context(
        image=options.image,
        image_pull_policy=options.image_pull_policy,
        image_pull_secrets=options.image_pull_secrets,
        allowed_hosts=options.allowed_hosts,
        runbooks=options.runbooks,
    )
    with tempfile.TemporaryDirectory(prefix="cloudscale-operator-") as directory:
        async with KubernetesApi(client) as api:
            operator = Operator(
                api,
                context=context,
                options=options,
                directory=Path(directory),
                entra=Entra(options.azure_tenant_id, options.azure_authority_host),
                timing=timing,
            )
            async with operator.readers, _at_work(operator, ended=ended):
                yield operator


@asynccontextmanager
async def _at_work(operator: Operator, *, ended: Callable[[], None]) -> AsyncIterator[None]:
    """Run the operator's work in a task, and end the process when it fails: the watches alone would change nothing."""
    stopping = False

    def note_end(task: asyncio.Task[None]) -> None:
        if stopping:
            return
        error = None if task.cancelled() else task.exception()
        log.critical("the operator's work has ended, and so does the process", exc_info=error)
        ended()

    work = asyncio.create_task(operator.work(), name="operator")
    work.add_done_callback(note_end)
    try:
        yield
    finally:
        stopping = True
        await cancel_and_wait(work)
