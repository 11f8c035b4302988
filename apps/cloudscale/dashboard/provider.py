"""Asks the sign-in provider's endpoints: answers of bounded size and time, no redirects, and errors in plain words."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote_plus, urlsplit

import aiohttp
import msgspec

from cloudscale import untrusted_json
from cloudscale.errors import BackendError, BackendUnavailableError, CloudScaleError
from cloudscale.trust import client_context
from cloudscale.untrusted_json import UnreadableJsonError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ANSWER_SECONDS: Final = 10.0
LARGEST_ANSWER_BYTES: Final = 256 * 1024
LONGEST_TOKEN: Final = 64 * 1024
CLIENT_ERRORS: Final = frozenset({"invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope"})
"""What the provider says when the pipeline's resource is wrong, rather than the person."""
LONGEST_ERROR: Final = 200


_NOT_COMPRESSED: Final = {"accept": "application/json", "accept-encoding": "identity"}


class ProviderRefusedError(CloudScaleError):
    """The provider does not give what was asked for: the code or the refresh token does not hold (any more)."""


class TokenAnswer(msgspec.Struct, frozen=True):
    """What a token endpoint answers (RFC 6749, section 5.1); other members are left out."""

    access_token: str = ""
    id_token: str = ""
    refresh_token: str = ""
    expires_in: float | None = None


class _ErrorAnswer(msgspec.Struct, frozen=True):
    error: str = ""
    error_description: str = ""


_answer = msgspec.json.Decoder(TokenAnswer, strict=False)
_error = msgspec.json.Decoder(_ErrorAnswer)
_claims = msgspec.json.Decoder(dict[str, Any])


def plain(text: str, *, longest: int = LONGEST_ERROR) -> str:
    """Another's text, bounded and without what moves a terminal or a line of a log."""
    return "".join(filter(str.isprintable, text[:longest]))


class ProviderClient:
    """HTTP to one provider, as an async context manager.

    Args:
        client_id: the dashboard's name at the provider.
        authority_file: PEM file of an authority that counts for hosts of this cluster and this machine.
        answer_seconds: how long an answer may take in all.
    """

    def __init__(self, client_id: str, *, authority_file: str, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._client_id = client_id
        self._authority_file = authority_file
        self._timeout = aiohttp.ClientTimeout(total=answer_seconds)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """End its connections."""
        if self._session is not None:
            await self._session.close()

    async def ask_for_tokens(
        self, endpoint: str, form: Mapping[str, str], *, secret: str, methods: Sequence[str]
    ) -> TokenAnswer:
        """Exchange a code or a refresh token.

        Args:
            endpoint: the token endpoint.
            form: the grant.
            secret: the client's secret, empty for a public client.
            methods: how the provider lets clients authenticate.

        Raises:
            ProviderRefusedError: the code or the refresh token does not hold.
            BackendUnavailableError: the provider does not answer in time, or has a fault.
            BackendError: it does not accept the dashboard as its client, or answers something else.
        """
        headers = dict(_NOT_COMPRESSED)
        data = dict(form)
        if not secret:
            data["client_id"] = self._client_id
        elif "client_secret_basic" not in methods:
            data |= {"client_id": self._client_id, "client_secret": secret}
        else:
            # Each is encoded before they are joined (RFC 6749, section 2.3.1).
            pair = f"{quote_plus(self._client_id)}:{quote_plus(secret)}"
            headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        status, body = await self._ask("POST", endpoint, headers=headers, data=data)
        if 400 <= status < 500 and status != 429:
            raise _refusal(status, body)
        if status != 200:
            raise BackendUnavailableError(f"the sign-in provider answered {status} when asked for tokens: try again")
        try:
            answer = untrusted_json.decode(body, _answer)
        except UnreadableJsonError as error:
            raise BackendError(f"the sign-in provider's answer with tokens cannot be read: {error}") from None
        if max(map(len, (answer.access_token, answer.id_token, answer.refresh_token))) > LONGEST_TOKEN:
            raise BackendError(f"the sign-in provider gave a token of more than {LONGEST_TOKEN} characters")
        return answer

    async def ask_for_claims(self, endpoint: str, access_token: str) -> dict[str, Any]:
        """What the UserInfo endpoint says of the person who has the access token.

        Raises:
            ProviderRefusedError: the access token does not hold.
            BackendUnavailableError: the provider does not answer in time, or has a fault.
            BackendError: it answers something else.
        """
        headers = _NOT_COMPRESSED | {"authorization": f"Bearer {access_token}"}
        status, body = await self._ask("GET", endpoint, headers=headers)
        if status in (401, 403):
            raise ProviderRefusedError("the sign-in provider does not say who this is")
        if status != 200:
            raise BackendUnavailableError(f"the sign-in provider answered {status} when asked about a person")
        try:
            return untrusted_json.decode(body, _claims)
        except UnreadableJsonError as error:
            raise BackendError(f"the sign-in provider's answer about a person cannot be read: {error}") from None

    async def _ask(
        self, method: str, url: str, *, headers: Mapping[str, str], data: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """The status and the body."""
        parts = urlsplit(url)
        context = client_context(parts.hostname or "", authority_file=self._authority_file)
        if self._session is None:
            # No cookies: nothing that one person's exchange sets may reach another's. What is sent compressed in spite
            # of the header stays so, and cannot be read: nothing unfolds in memory.
            self._session = aiohttp.ClientSession(
                timeout=self._timeout, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
            )
        try:
            async with self._session.request(
                method, url, headers=headers, data=data, allow_redirects=False, ssl=context
            ) as response:
                body = await response.content.read(LARGEST_ANSWER_BYTES + 1)
                while len(body) <= LARGEST_ANSWER_BYTES and (more := await response.content.read(LARGEST_ANSWER_BYTES)):
                    body += more
                if len(body) > LARGEST_ANSWER_BYTES:
                    raise BackendError(f"the sign-in provider answered more than {LARGEST_ANSWER_BYTES} bytes")
                return response.status, body
        except TimeoutError:
            raise BackendUnavailableError(f"the sign-in provider at {parts.netloc} does not answer in time") from None
        except (aiohttp.ClientError, OSError) as error:
            raise BackendUnavailableError(
                f"the sign-in provider at {parts.netloc} cannot be reached: {plain(str(error))}"
            ) from None


def _refusal(status: int, body: bytes) -> CloudScaleError:
    """Whose fault a refusal is: the person's, whose code or refresh token is over, or the configuration's."""
    try:
        error = untrusted_json.decode(body, _error)
    except UnreadableJsonError:
        return BackendError(f"the sign-in provider answered {status} when asked for tokens, and does not say why")
    said = f"{plain(error.error)} {plain(error.error_description)}".strip()
    if status == 401 or error.error in CLIENT_ERRORS:
        return BackendError(
            "the sign-in provider does not accept this dashboard: check clientId, clientSecretRef and scopes of "
            f"spec.dashboard.signIn (it says: {said})"
        )
    return ProviderRefusedError(f"the sign-in provider refused: {said}")
