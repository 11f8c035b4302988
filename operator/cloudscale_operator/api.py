"""The few calls of the Kubernetes API that the operator makes, none of them on the event loop.

The client is synchronous, so its calls run in a pool of threads of their own; the pool's size also bounds how many
requests the API server gets from here at once.
"""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import urllib3
from kubernetes.client import ApiClient, ApiException

from cloudscale.errors import BackendUnavailableError, CloudScaleError
from cloudscale_operator import metrics
from cloudscale_operator.kinds import EVENT_PIPELINE, Kind, Manifest, kind_of, without_managed_fields
from cloudscale_operator.names import OPERATOR

if TYPE_CHECKING:
    from collections.abc import Iterable

CALL_SECONDS = 15.0
THREADS = 8

PAGE = 500
"""Objects in one answer to a list."""
NO_OBJECTS_VERSION = "1"
"""The store's own version before anything was written to it."""

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"

FORBIDDEN, NOT_FOUND, CONFLICT, TOO_MANY_REQUESTS, SERVER_ERROR = 403, 404, 409, 429, 500


class ApiRefusalError(CloudScaleError):
    """The API server understood a request and refused it: the same request is refused again."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


class KubernetesApi:
    """A connection to the API server, as an async context manager."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="kubernetes")

    async def __aenter__(self) -> KubernetesApi:
        return self

    async def __aexit__(self, *_: object) -> None:
        # Calls that are still under way end by their own time-out; nobody waits for their answers.
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def apply(
        self, manifest: Manifest, *, subresource: str = "", only_new: bool = False, manager: str = OPERATOR
    ) -> Manifest:
        """Server-side apply under a field manager, the operator's own one, taking over fields that others have set.

        With ``only_new`` an object that exists already is a conflict, by way of a version that no object can have.

        Raises:
            ApiRefusalError, BackendUnavailableError: it was refused, or the API server did not answer.
        """
        metadata = manifest["metadata"]
        path = kind_of(manifest).path(metadata["namespace"], metadata["name"])
        if only_new:
            manifest = {**manifest, "metadata": {**metadata, "resourceVersion": NO_OBJECTS_VERSION}}
        query = [("fieldManager", manager), ("force", "true")]
        return await self._call("PATCH", path + subresource, body=json.dumps(manifest), kind=APPLY, query=query)

    async def merge(self, path: str, change: dict[str, Any]) -> Manifest:
        """Change a few fields; ``metadata.resourceVersion`` in the change makes it conditional."""
        return await self._call("PATCH", path, body=change, kind=MERGE, query=[("fieldManager", OPERATOR)])

    async def create(self, path: str, manifest: Manifest) -> Manifest:
        """Create an object in the collection at ``path``."""
        return await self._call("POST", path, body=manifest, kind="application/json", query=[])

    async def read(self, path: str) -> Manifest | None:
        """What is at ``path``, None if nothing is."""
        try:
            return await self._call("GET", path, query=[])
        except ApiRefusalError as error:
            if error.status == NOT_FOUND:
                return None
            raise

    async def read_all(
        self, kind: Kind, *, namespace: str | None, selector: str = "", fields: str = ""
    ) -> list[Manifest]:
        """The objects of a kind in a namespace or in all, none where the cluster lacks the kind."""
        found: list[Manifest] = []
        page: list[tuple[str, str]] = []
        while True:
            query = [("labelSelector", selector), ("limit", str(PAGE)), *page]
            if fields:
                query.append(("fieldSelector", fields))
            try:
                answer = await self._call("GET", kind.collection(namespace), query=query)
            except ApiRefusalError as error:
                if error.status == NOT_FOUND:
                    return []
                raise
            # Items of a list do not say what they are.
            found += [
                {"apiVersion": kind.api_version, "kind": kind.kind, **without_managed_fields(item)}
                for item in answer["items"]
            ]
            token = answer["metadata"].get("continue")
            if not token:
                return found
            page = [("continue", token)]

    async def delete(self, manifest: Manifest) -> None:
        """Delete an object if it is still the one that was seen; it is fine if it is gone."""
        metadata = manifest["metadata"]
        path = kind_of(manifest).path(metadata["namespace"], metadata["name"])
        options = {"propagationPolicy": "Background", "preconditions": {"uid": metadata["uid"]}}
        try:
            await self._call("DELETE", path, body=options, kind="application/json", query=[])
        except ApiRefusalError as error:
            if error.status not in (NOT_FOUND, CONFLICT):
                raise

    async def existing_kinds(self, kinds: Iterable[Kind]) -> frozenset[Kind]:
        """Those of the kinds that the API server knows."""
        wanted = list(kinds)
        paths = {kind.group_path for kind in wanted}
        lists = dict(zip(paths, await asyncio.gather(*(self.read(path) for path in paths)), strict=True))
        known = {path: {item["kind"] for item in (found or {}).get("resources", ())} for path, found in lists.items()}
        return frozenset(kind for kind in wanted if kind.kind in known[kind.group_path])

    async def _call(
        self, method: str, path: str, *, query: list[tuple[str, str]], body: object = None, kind: str = ""
    ) -> Manifest:
        metrics.API_REQUESTS.labels(method).inc()
        call = asyncio.get_running_loop().run_in_executor(self._threads, self._request, method, path, query, body, kind)
        return await call

    def _request(self, method: str, path: str, query: list[tuple[str, str]], body: object, kind: str) -> Manifest:
        headers = {"Accept": "application/json"} | ({"Content-Type": kind} if kind else {})
        try:
            request = self._client.param_serialize(
                method, path, query_params=query, header_params=headers, body=body, auth_settings=["BearerToken"]
            )
            response = self._client.call_api(*request, _request_timeout=CALL_SECONDS)
            content: bytes = response.read()  # type: ignore[no-untyped-call]
        except (ApiException, urllib3.exceptions.HTTPError) as error:
            raise BackendUnavailableError(f"the API server does not answer {method} {path}: {error}") from error
        if 200 <= response.status < 300:
            answer: Manifest = json.loads(content)
            return answer
        raise _refusal(method, path, response.status, content)


def pipeline_path(namespace: str, name: str) -> str:
    """Where the API server keeps one EventPipeline."""
    return EVENT_PIPELINE.path(namespace, name)


def _refusal(method: str, path: str, status: int, content: bytes) -> CloudScaleError:
    try:
        message = json.loads(content)["message"]
    except (ValueError, KeyError, TypeError):
        message = content[:200].decode(errors="replace")
    text = f"{method} {path} was answered with {status}: {message}"
    if status >= SERVER_ERROR or status == TOO_MANY_REQUESTS:
        return BackendUnavailableError(text)
    return ApiRefusalError(status, text)
