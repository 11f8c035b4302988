"""Why pods do not run, as their own status says: a Deployment's status does not.

Pods are not watched: they are listed while a role has none that is available or a rollout is under way, and not in the
first seconds, in which every pod is still starting.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cloudscale_operator.kinds import EVENT, POD
from cloudscale_operator.names import COMPONENT_LABEL, selector_labels
from cloudscale_operator.timing import DEFAULT_TIMING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from cloudscale_operator.api import KubernetesApi
    from cloudscale_operator.children import PipelineKey
    from cloudscale_operator.kinds import Manifest
    from cloudscale_operator.timing import Timing

MESSAGE_LENGTH = 500
"""In characters; a scheduler names every node that it has tried."""

STARTING = ("ContainerCreating", "PodInitializing")
"""What a container waits for at its start: Events of the pod tell whether anything is wrong with that."""
START_FAILURES = ("FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox")


@dataclass(frozen=True)
class Problem:
    """What keeps a pod from running; ``reason`` is Kubernetes' own word for it."""

    reason: str
    message: str

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


class PodProblems:
    """The problems of one pipeline's pods, by role, read again by age."""

    def __init__(self, *, timing: Timing = DEFAULT_TIMING) -> None:
        self._timing = timing
        self._problems: dict[str, Problem] = {}
        self._due: float | None = None

    async def read(self, api: KubernetesApi, key: PipelineKey, roles: Collection[str]) -> Mapping[str, Problem]:
        """The problems of those roles that have pods which do not run.

        Raises:
            ApiRefusalError, BackendUnavailableError: the API server refuses or does not answer.
        """
        now = self._timing.monotonic()
        if not roles:
            self._problems, self._due = {}, None
        elif self._due is None:
            self._due = now + self._timing.first_pod_check_seconds
        elif now >= self._due:
            self._due = now + self._timing.pod_check_seconds
            self._problems = await read_problems(api, key)
        return {role: problem for role, problem in self._problems.items() if role in roles}


async def read_problems(api: KubernetesApi, key: PipelineKey) -> dict[str, Problem]:
    """What keeps the pods of a pipeline from running, one problem for each role that has one."""
    labels = ",".join(f"{label}={value}" for label, value in selector_labels(key.name).items())
    pods = await api.read_all(POD, namespace=key.namespace, selector=labels)
    found: dict[str, Problem] = {}
    for pod in sorted(pods, key=lambda item: str(item["metadata"]["name"])):
        role = pod["metadata"].get("labels", {}).get(COMPONENT_LABEL, "")
        if role in found or "deletionTimestamp" in pod["metadata"]:
            continue
        if problem := problem_of(pod):
            found[role] = problem
        elif is_starting(pod):
            selector = f"involvedObject.uid={pod['metadata']['uid']}"
            events = await api.read_all(EVENT, namespace=key.namespace, fields=selector)
            if problem := start_failure(pod, events):
                found[role] = problem
    return found


def problem_of(pod: Manifest) -> Problem | None:
    """What a pod's own status says, None if nothing is wrong with it, or not yet."""
    status = pod.get("status", {})
    for condition in status.get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return _problem(pod, condition.get("reason") or "Unschedulable", condition.get("message", ""))
    if status.get("phase") == "Failed":
        return _problem(pod, status.get("reason") or "Failed", status.get("message", ""))
    for container in _containers(pod):
        if not container.get("ready") and (found := _stopped(container)):
            return _problem(pod, *found)
    return None


def is_starting(pod: Manifest) -> bool:
    """Whether a container waits for volumes, network or image, with nothing said against it."""
    waiting = [container.get("state", {}).get("waiting", {}).get("reason") for container in _containers(pod)]
    return any(reason in STARTING for reason in waiting)


def start_failure(pod: Manifest, events: Collection[Manifest]) -> Problem | None:
    """The last of the Events that say why a pod does not start."""
    failures = [event for event in events if event.get("reason") in START_FAILURES]
    if not failures:
        return None
    last = max(failures, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))
    return _problem(pod, last["reason"], last.get("message", ""))


def _containers(pod: Manifest) -> list[dict[str, Any]]:
    status = pod.get("status", {})
    return [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]


def _stopped(container: dict[str, Any]) -> tuple[str, str] | None:
    """Reason and message of a container that has ended, or that waits for more than its start."""
    state = container.get("state", {})
    waiting = state.get("waiting", {})
    ended = state.get("terminated") or container.get("lastState", {}).get("terminated") or {}
    restarts = f"container {container['name']}, restarted {container.get('restartCount', 0)} times"
    if ended.get("reason") == "OOMKilled":
        return "OOMKilled", f"{restarts}: it needs more memory than its limit"
    if waiting and waiting.get("reason") not in (None, *STARTING):
        exit_code = f", exit code {ended['exitCode']}" if "exitCode" in ended else ""
        return waiting["reason"], f"{restarts}{exit_code}: {waiting.get('message', '')}"
    if state.get("terminated", {}).get("exitCode"):
        return ended.get("reason") or "Error", f"{restarts}, exit code {ended['exitCode']}: {ended.get('message', '')}"
    return None


def _problem(pod: Manifest, reason: str, message: str) -> Problem:
    # A condition takes letters and digits only.
    word = re.sub("[^A-Za-z0-9]", "", reason) or "PodFailed"
    return Problem(word, f"pod {pod['metadata']['name']}: {message}".rstrip(": ")[:MESSAGE_LENGTH])
