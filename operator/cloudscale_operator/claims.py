"""Which pipeline a queue belongs to: the oldest of those that name it.

Two pipelines on one queue would take each other's events, so the later one is refused. Queues are the same when the
broker's host and the queue's name are, however the host is reached, or when both come from the same Secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cloudscale.errors import CloudScaleError
from cloudscale.pipeline import Queue

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cloudscale.pipeline import EventPipeline
    from cloudscale_operator.children import PipelineKey
    from cloudscale_operator.kinds import Manifest

Age = tuple[str, str, str]
"""Time of creation, namespace and name: the API server's times have seconds, in which two pipelines may be created."""

CLUSTER_DOMAIN = ".cluster.local"
USUAL_PORTS = (None, 443, 5671, 5672)
"""Of AMQP and of the management API, which lead to the same queues."""


class NotAdmittedError(CloudScaleError):
    """A pipeline may not have what it names; ``reason`` is that of its condition."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


@dataclass(frozen=True)
class Claim:
    """The places at which a pipeline's queue is known to be."""

    age: Age
    places: frozenset[str] = frozenset()
    """None for a pipeline that cannot have a queue as it is."""


class QueueClaims:
    """The claims of all pipelines."""

    def __init__(self) -> None:
        self._claims: dict[PipelineKey, Claim] = {}

    def state(self, key: PipelineKey, claim: Claim) -> None:
        """A pipeline uses this queue from now on."""
        self._claims[key] = claim

    def forget(self, key: PipelineKey) -> None:
        """The pipeline is gone, and its queue free."""
        self._claims.pop(key, None)

    def owner(self, key: PipelineKey) -> PipelineKey | None:
        """The pipeline that the queue of ``key`` belongs to if that is another one, None otherwise."""
        own = self._claims[key]
        others = [
            (claim.age, other)
            for other, claim in self._claims.items()
            if claim.age < own.age and not claim.places.isdisjoint(own.places)
        ]
        return min(others)[1] if others else None

    def require(self, key: PipelineKey, *, queue: str) -> None:
        """Make sure that the queue, which is called so, is the pipeline's own.

        Raises:
            NotAdmittedError: it is another one's.
        """
        if owner := self.owner(key):
            text = f"the queue {queue} belongs to {owner.namespace}/{owner.name}, which is older; "
            text += "two would take each other's events: name another queue, or delete one of the two"
            raise NotAdmittedError("QueueShared", text)

    def is_waited_for(self, key: PipelineKey, known: Iterable[tuple[PipelineKey, Manifest]]) -> bool:
        """Whether an older pipeline has not said yet where its queue of that name is, as after the operator's start."""
        bodies = dict(known)
        age, name = self._claims[key].age, _queue_name(bodies[key]) if key in bodies else ""
        return any(
            other not in self._claims and _queue_name(body) == name and age_of(body) < age
            for other, body in bodies.items()
        )


def _queue_name(body: Manifest) -> str:
    """As the API server has it, which fills in defaults; Service Bus does not tell names apart by their case."""
    queue = body.get("spec", {}).get("queue", {})
    return str(queue.get("name", Queue().name)).casefold()


def age_of(body: Manifest) -> Age:
    """Orders pipelines, the oldest first."""
    metadata = body["metadata"]
    return metadata.get("creationTimestamp", ""), metadata["namespace"], metadata["name"]


def claim_of(body: Manifest, pipeline: EventPipeline, *, connection_string: str) -> Claim:
    """The claim of a pipeline; an empty connection string stands for one that is not known."""
    spec, namespace = pipeline.spec.queue, pipeline.metadata.namespace
    name = spec.name.casefold()
    places = set()
    if spec.connection:
        places.add(f"secret {namespace}/{spec.connection.name}/{spec.connection.key} {name}")
    if host := broker_host(spec.namespace if spec.connection is None else connection_string, namespace=namespace):
        places.add(f"broker {host} {name}")
    return Claim(age_of(body), frozenset(places))


def broker_host(address: str | None, *, namespace: str) -> str:
    """Host and port, if one is given, of a connection string or of a host's name; empty if there is none.

    The names that a Service has within the cluster are made one: ``broker``, ``broker.shop``, ``broker.shop.svc`` and
    ``broker.shop.svc.cluster.local`` in the namespace ``shop``.
    """
    parts = dict(part.split("=", 1) for part in (address or "").split(";") if "=" in part)
    endpoint = next((value for name, value in parts.items() if name.strip().lower() == "endpoint"), "")
    try:
        url = urlsplit(endpoint.strip() if endpoint else f"sb://{address or ''}")
        host, port = (url.hostname or "").rstrip("."), url.port
    except ValueError:
        # The SDK says what is wrong with it.
        return ""
    host = host.removesuffix(CLUSTER_DOMAIN)
    if host and "." not in host:
        host = f"{host}.{namespace}.svc"
    elif host.count(".") == 1:
        host = f"{host}.svc"
    return host if port in USUAL_PORTS else f"{host}:{port}"
