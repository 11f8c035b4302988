"""Tokens of a pipeline's own identity, with which the operator reads the depth of its queue.

The operator has no rights of its own to any queue, so that nobody can borrow them by naming somebody else's. It asks
the API server for a token of the pipeline's ServiceAccount, as the pods have one. Microsoft Entra exchanges that for a
token of the managed identity that the account is federated with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from azure.identity.aio import ClientAssertionCredential

from cloudscale.errors import ConfigurationError
from cloudscale_operator.manifests.identity import service_account
from cloudscale_operator.names import READER

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken, AccessTokenInfo, TokenRequestOptions

    from cloudscale.pipeline import EventPipeline
    from cloudscale_operator.api import KubernetesApi

AUDIENCE = "api://AzureADTokenExchange"
ASSERTION_SECONDS = 600
"""The shortest life of a token that the API server grants."""


@dataclass(frozen=True)
class Identity:
    """A managed identity, and the ServiceAccount that is federated with it."""

    namespace: str
    service_account: str
    client_id: str


@dataclass(frozen=True)
class Entra:
    """Where tokens are exchanged; ``options`` are those of the SDK's transport."""

    tenant_id: str
    authority_host: str
    options: tuple[tuple[str, Any], ...] = ()


def identity_of(pipeline: EventPipeline) -> Identity | None:
    """Who reads the depth of a pipeline's queue, None where its connection string has a key."""
    client_id = pipeline.spec.identity.client_id_of(READER)
    if pipeline.spec.queue.connection_of(READER) is not None or client_id is None:
        return None
    return Identity(pipeline.metadata.namespace, service_account(pipeline, READER), client_id)


class PipelineCredential:
    """An Azure SDK credential, as an async context manager.

    Raises:
        ConfigurationError: the operator does not know the tenant.
    """

    def __init__(self, api: KubernetesApi, entra: Entra, identity: Identity) -> None:
        if not entra.tenant_id:
            raise ConfigurationError(
                "the operator does not know the Microsoft Entra tenant of the pipeline's identity: "
                "set azure.tenantId of its chart"
            )
        self._api = api
        self._identity = identity
        self._assertion = ""
        self._exchange = ClientAssertionCredential(
            entra.tenant_id,
            identity.client_id,
            lambda: self._assertion,
            authority=entra.authority_host,
            **dict(entra.options),
        )

    async def __aenter__(self) -> Self:
        await self._exchange.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection to Entra."""
        await self._exchange.close()

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        """A token of the pipeline's identity.

        Raises:
            ApiRefusalError, BackendUnavailableError: the API server gives no token of the ServiceAccount.
            ClientAuthenticationError: Entra does not exchange it.
        """
        await self._assert()
        return await self._exchange.get_token(*scopes, **options)

    async def get_token_info(self, *scopes: str, options: TokenRequestOptions | None = None) -> AccessTokenInfo:
        """The same, in the SDK's newer form."""
        await self._assert()
        return await self._exchange.get_token_info(*scopes, options=options)

    async def _assert(self) -> None:
        path = f"/api/v1/namespaces/{self._identity.namespace}/serviceaccounts/{self._identity.service_account}/token"
        answer = await self._api.create(
            path,
            {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "spec": {"audiences": [AUDIENCE], "expirationSeconds": ASSERTION_SECONDS},
            },
        )
        self._assertion = answer["status"]["token"]
