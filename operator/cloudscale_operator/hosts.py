"""Which hosts a pipeline may name for the operator, KEDA and its pods to show a token to.

A token is good for whoever is shown it, and the author of a pipeline need not be trusted with one of the operator's or
of another pipeline. So ``queue.namespace`` and ``store.endpoint`` are held to what the operator's configuration allows,
before anything is contacted or made, and so is the host of an outlet that may be at a private address: from a pod it
would reach what its author cannot. A connection string brings its own key and no token, so it may name any host.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloudscale.pipeline import EventPipeline

AZURE_HOSTS = (
    ".servicebus.windows.net",
    ".documents.azure.com",
    # Azure in China
    ".servicebus.chinacloudapi.cn",
    ".documents.azure.cn",
    # Azure for the government of the USA
    ".servicebus.usgovcloudapi.net",
    ".documents.azure.us",
)

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_PATTERN = re.compile(rf"\.?{_LABEL}(\.{_LABEL})*\Z")
# Nothing that two parsers might read differently: no user, no path, no query.
_ENDPOINT = re.compile(rf"https://(?P<host>{_LABEL}(\.{_LABEL})*)(:[0-9]{{1,5}})?/?\Z")


def is_pattern(text: str) -> bool:
    """Whether it is a host (``broker.example.org``) or a suffix of hosts (``.example.org``), in lower case."""
    return bool(_PATTERN.match(text))


def is_allowed(host: str, allowed: Sequence[str]) -> bool:
    """Whether a host is one of ``allowed``, or ends in one of them that begins with a dot."""
    host = host.lower()
    return any(host.endswith(each) if each.startswith(".") else host == each for each in allowed)


def refusal(pipeline: EventPipeline, allowed: Sequence[str]) -> str:
    """Why a pipeline may not reach what it names, empty if it may."""
    for outlet in pipeline.spec.outlets:
        host = urlsplit(outlet.webhook.url).hostname or ""
        if outlet.webhook.allow_private and not is_allowed(host, allowed):
            return (
                f"spec.outlets.{outlet.name} asks for a private address with allowPrivate, and its host {host} is not "
                f"one that the operator allows: it allows {', '.join(allowed) or 'none'} (its chart's value "
                "allowedHosts)"
            )
    namespace, endpoint = pipeline.spec.queue.namespace, pipeline.spec.store.endpoint
    ends = f"the operator allows {', '.join(allowed) or 'none'} (its chart's value allowedHosts)"
    if namespace and not is_allowed(namespace, allowed):
        return f"spec.queue.namespace names {namespace}, to which no token may go: {ends}"
    if not endpoint:
        return ""
    parts = _ENDPOINT.match(endpoint.lower())
    if parts is None:
        return f"spec.store.endpoint is {endpoint}, to which no token may go: it must be https://HOST:PORT/"
    if not is_allowed(parts["host"], allowed):
        return f"spec.store.endpoint names {parts['host']}, to which no token may go: {ends}"
    return ""
