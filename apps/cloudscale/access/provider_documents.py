"""The two documents of an issuer: its description (OpenID Connect Discovery 1.0) and its keys.

They are fetched from where the pipeline's resource says, and from where the description says, never from where a token
says. An answer is bounded in size and time, and a redirection is not followed.
"""

from __future__ import annotations

import ipaddress
from typing import Annotated, Final
from urllib.parse import urlsplit

import aiohttp
import msgspec
from msgspec import Meta

from cloudscale import trust, untrusted_json
from cloudscale.access.key_set import KeySet, UnusableKeySetError, read_key_set
from cloudscale.errors import CloudScaleError, ConfigurationError

REQUEST_SECONDS: Final = 5.0
LARGEST_BYTES: Final = 256 * 1024

_WELL_KNOWN: Final = "/.well-known/openid-configuration"
_NOT_COMPRESSED: Final = {"Accept": "application/json", "Accept-Encoding": "identity"}

Url = Annotated[str, Meta(min_length=1, max_length=2048)]


class IssuerError(CloudScaleError):
    """An issuer's document could not be had, or is not what it must be."""


class ProviderMetadata(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What an issuer says about itself."""

    issuer: Url
    jwks_uri: Url
    authorization_endpoint: Url | None = None
    token_endpoint: Url | None = None
    userinfo_endpoint: Url | None = None
    end_session_endpoint: Url | None = None
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


_METADATA: Final = msgspec.json.Decoder(ProviderMetadata)


def is_protected(url: str) -> bool:
    """Whether nobody between here and there can change the answer: HTTPS, or HTTP that stays on this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    if not host or parts.username is not None:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def fetch_documents(issuer: str, *, authority_file: str = "") -> tuple[ProviderMetadata, KeySet]:
    """Ask an issuer for its description and its keys.

    Args:
        issuer: its identifier, which the description must repeat to the letter.
        authority_file: of an authority that counts for issuers in the cluster; see :mod:`cloudscale.trust`.

    Raises:
        IssuerError: one of both cannot be had, or used.
    """
    timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
    # What is sent compressed in spite of the header stays so, and is no JSON: nothing unfolds in memory.
    async with aiohttp.ClientSession(
        timeout=timeout, headers=_NOT_COMPRESSED, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        metadata = _read_metadata(
            await _fetch(session, issuer.removesuffix("/") + _WELL_KNOWN, authority_file=authority_file), issuer
        )
        body = await _fetch(session, metadata.jwks_uri, authority_file=authority_file)
    try:
        return metadata, read_key_set(body)
    except UnusableKeySetError as error:
        raise IssuerError(f"{metadata.jwks_uri} cannot be used: {error}") from None


def _read_metadata(body: bytes, issuer: str) -> ProviderMetadata:
    try:
        metadata = untrusted_json.decode(body, _METADATA)
    except untrusted_json.UnreadableJsonError as error:
        raise IssuerError(f"the description of the issuer {issuer} cannot be used: {error}") from None
    if metadata.issuer != issuer:
        raise IssuerError(
            f"the issuer {issuer} calls itself {metadata.issuer[:200]}: write it so in the resource, with or "
            "without a slash at the end as it does"
        )
    endpoints = (
        metadata.jwks_uri,
        metadata.authorization_endpoint,
        metadata.token_endpoint,
        metadata.userinfo_endpoint,
        metadata.end_session_endpoint,
    )
    for url in endpoints:
        if url is not None and not is_protected(url):
            raise IssuerError(f"the issuer {issuer} names an address without HTTPS in its description: {url[:200]}")
    return metadata


async def _fetch(session: aiohttp.ClientSession, url: str, *, authority_file: str) -> bytes:
    try:
        context = trust.client_context(urlsplit(url).hostname or "", authority_file=authority_file)
        async with session.get(url, allow_redirects=False, ssl=context) as response:
            if response.status != 200:
                raise IssuerError(f"{url} answered {response.status}: it must answer 200 itself, without redirection")
            return await _bounded(response, url)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise IssuerError(f"{url} cannot be fetched: {str(error) or type(error).__name__}") from error
    except ConfigurationError as error:
        raise IssuerError(f"{url} cannot be fetched: {error}") from error


async def _bounded(response: aiohttp.ClientResponse, url: str) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > LARGEST_BYTES:
            raise IssuerError(f"{url} answers with more than {LARGEST_BYTES} bytes")
    return bytes(body)
