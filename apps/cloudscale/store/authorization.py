"""The ``authorization`` header of a request to Cosmos DB: signed with the account's key, or with a token of Entra ID.

Both forms are Microsoft's (https://learn.microsoft.com/rest/api/cosmos-db/access-control-on-cosmosdb-resources).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

from cloudscale.errors import ConfigurationError

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken
    from azure.core.credentials_async import AsyncTokenCredential

TOKEN_RESERVE_SECONDS = 300
"""A token that ends sooner than this is replaced by a new one."""


class Authorization(Protocol):
    """Makes the header for one kind of request."""

    async def header(self, date: str) -> str:
        """The header's value for a request that says ``date`` in ``x-ms-date``.

        Raises:
            AzureError: there is no token.
        """
        ...


class KeySignature:
    """Signs requests of one verb to one resource with the account's key.

    Args:
        key: the account's key, in Base64.
        verb: the request's method.
        resource_type: such as ``docs``.
        link: of the resource that is asked for, such as ``dbs/shop/colls/events``.

    Raises:
        ConfigurationError: the key is no Base64.
    """

    def __init__(self, key: str, *, verb: str, resource_type: str, link: str) -> None:
        try:
            self._key = base64.b64decode(key, validate=True)
        except binascii.Error as error:
            raise ConfigurationError(
                f"the account key of the Cosmos DB connection string is no Base64: {error}"
            ) from None
        self._begin = f"{verb.lower()}\n{resource_type.lower()}\n{link}\n"
        self._last = ("", "")

    async def header(self, date: str) -> str:
        """As :meth:`Authorization.header`. Requests of the same second have the same signature."""
        if self._last[0] != date:
            text = f"{self._begin}{date.lower()}\n\n"
            digest = hmac.new(self._key, text.encode(), hashlib.sha256).digest()
            signature = base64.b64encode(digest).decode()
            self._last = date, quote(f"type=master&ver=1.0&sig={signature}", safe="-_.!~*'()")
        return self._last[1]


class EntraToken:
    """Sends a token of a workload identity, for as long as it lasts.

    Args:
        credential: gives the tokens.
        scope: what the token is for, such as ``https://shop.documents.azure.com/.default``.
    """

    def __init__(self, credential: AsyncTokenCredential, *, scope: str) -> None:
        self._credential = credential
        self._scope = scope
        self._token: AccessToken | None = None

    async def header(self, date: str) -> str:
        """As :meth:`Authorization.header`."""
        del date
        if self._token is None or self._token.expires_on - time.time() < TOKEN_RESERVE_SECONDS:
            self._token = await self._credential.get_token(self._scope)
        return quote(f"type=aad&ver=1.0&sig={self._token.token}", safe="-_.!~*'()")
