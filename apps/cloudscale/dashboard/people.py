"""People of one sign-in provider: sent there, taken back, renewed, and signed out (OpenID Connect Core 1.0)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode, urlsplit

from cloudscale.access.caller import AccessUnavailableError
from cloudscale.dashboard.id_tokens import InvalidTokenError, verified_claims
from cloudscale.dashboard.provider import ProviderRefusedError, TokenAnswer
from cloudscale.dashboard.roles import missing_claims, name_of, roles_of, tenants_of, viewer_of_person
from cloudscale.dashboard.session import (
    IDLE_SECONDS,
    PERSON_SESSION_SECONDS,
    PersonSession,
    ProviderTokens,
    seal_tokens,
    unseal_tokens,
)
from cloudscale.errors import BackendError, BackendUnavailableError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloudscale.access.issuer import Issuer
    from cloudscale.access.provider_documents import ProviderMetadata
    from cloudscale.dashboard.access import Viewer
    from cloudscale.dashboard.provider import ProviderClient
    from cloudscale.dashboard.sign_in_attempt import Attempt
    from cloudscale.pipeline import SignIn

CALLBACK: Final = "/sign-in/callback"
LARGEST_SECRET_BYTES: Final = 4096
SHORTEST_RENEWAL_SECONDS: Final = 1.0
LONGEST_HINT: Final = 4096
"""A longer ID token would not fit in an address everywhere; the provider then asks whom to sign out."""


class People:
    """What the dashboard asks one provider.

    Args:
        spec: the provider and the rules, as the resource has them.
        issuer: its metadata and keys.
        client: HTTP to its endpoints.
        secret_file: where the client's secret is; empty for a public client.
    """

    def __init__(self, spec: SignIn, *, issuer: Issuer, client: ProviderClient, secret_file: str) -> None:
        self._spec = spec
        self._issuer = issuer
        self._client = client
        self._secret_file = secret_file

    @property
    def name(self) -> str:
        """What the sign-in page calls the provider."""
        return self._spec.name or urlsplit(self._spec.issuer).hostname or self._spec.issuer

    @property
    def is_secure(self) -> bool:
        """Whether browsers reach the dashboard by HTTPS."""
        return self._spec.origin.startswith("https://")

    async def address_to_sign_in(self, attempt: Attempt) -> str:
        """Where to send the browser.

        Raises:
            BackendError: the provider's metadata cannot be read.
        """
        scopes = ["openid", *(scope for scope in self._spec.scopes if scope != "openid")]
        parameters = {
            "response_type": "code",
            "client_id": self._spec.client_id,
            "redirect_uri": self._spec.origin + CALLBACK,
            "scope": " ".join(scopes),
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": attempt.challenge,
            "code_challenge_method": "S256",
        }
        metadata = await self._metadata()
        return _with_parameters(_named(metadata.authorization_endpoint, "authorization_endpoint"), parameters)

    async def check_issuer(self, given: str | None) -> bool:
        """Whether an answer that names the issuer so may be this provider's (RFC 9207).

        Raises:
            BackendError: the provider's metadata cannot be read.
        """
        if given is not None:
            return given == self._spec.issuer
        return not (await self._metadata()).authorization_response_iss_parameter_supported

    async def sign_in(self, code: str, attempt: Attempt, *, name: str) -> PersonSession:
        """Exchange the code for a session, which will be called ``name``.

        Raises:
            ProviderRefusedError: the code does not hold.
            InvalidTokenError: the provider's ID token is not for this sign-in.
            BackendError: the provider does not answer, or does not accept the dashboard.
        """
        answer = await self._tokens(
            {
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": self._spec.origin + CALLBACK,
                "code_verifier": attempt.verifier,
            }
        )
        claims = await verified_claims(
            answer.id_token, issuer=self._issuer, client_id=self._spec.client_id, nonce=attempt.nonce
        )
        ends_at = time.time() + PERSON_SESSION_SECONDS
        return await self._session(answer, claims, name=name, nonce=attempt.nonce, ends_at=ends_at)

    async def renew(self, name: str, session: PersonSession) -> PersonSession | None:
        """The session with what the provider says now; None if it is over.

        Raises:
            BackendError: the provider does not answer, or does not accept the dashboard.
        """
        held = unseal_tokens(session, name=name)
        if not held.refresh_token:
            return None
        try:
            answer = await self._tokens({"grant_type": "refresh_token", "refresh_token": held.refresh_token})
            claims: dict[str, Any] = {"sub": session.subject}
            if answer.id_token:
                claims = await verified_claims(
                    answer.id_token,
                    issuer=self._issuer,
                    client_id=self._spec.client_id,
                    nonce=session.nonce,
                    is_renewal=True,
                )
            if claims["sub"] != session.subject:
                return None
            kept = TokenAnswer(
                access_token=answer.access_token,
                id_token=answer.id_token or held.id_token,
                refresh_token=answer.refresh_token or held.refresh_token,
                expires_in=answer.expires_in,
            )
            renewed = await self._session(
                kept, claims, name=name, nonce=session.nonce, ends_at=session.ends_at, called=session.name
            )
        except (ProviderRefusedError, InvalidTokenError):
            return None
        return renewed if self.viewer(renewed) is not None else None

    def viewer(self, session: PersonSession) -> Viewer | None:
        """What the person may see and do; None if no rule lets them in, or another provider did."""
        if (session.issuer, session.client_id) != (self._spec.issuer, self._spec.client_id):
            return None
        return viewer_of_person(session.name, roles=session.roles, tenants=session.tenants, rules=self._spec.roles)

    async def address_to_sign_out(self, name: str, session: PersonSession) -> str | None:
        """Where the provider ends its own session, if it offers that (RP-Initiated Logout 1.0).

        Raises:
            BackendError: the provider's metadata cannot be read.
        """
        endpoint = (await self._metadata()).end_session_endpoint
        if not endpoint:
            return None
        parameters = {"client_id": self._spec.client_id, "post_logout_redirect_uri": f"{self._spec.origin}/sign-in"}
        if hint := unseal_tokens(session, name=name).id_token:
            parameters["id_token_hint"] = hint
        return _with_parameters(endpoint, parameters)

    async def _tokens(self, form: Mapping[str, str]) -> TokenAnswer:
        metadata = await self._metadata()
        return await self._client.ask_for_tokens(
            _named(metadata.token_endpoint, "token_endpoint"),
            form,
            secret=self._secret(),
            methods=metadata.token_endpoint_auth_methods_supported,
        )

    async def _metadata(self) -> ProviderMetadata:
        try:
            return await self._issuer.metadata()
        except AccessUnavailableError as error:
            raise BackendUnavailableError(str(error)) from None

    async def _session(
        self,
        answer: TokenAnswer,
        claims: dict[str, Any],
        *,
        name: str,
        nonce: str,
        ends_at: float,
        called: str = "",
    ) -> PersonSession:
        claims = await self._completed(claims, answer.access_token)
        now = time.time()
        lasts = IDLE_SECONDS
        if answer.refresh_token and answer.expires_in is not None:
            lasts = int(min(IDLE_SECONDS, max(SHORTEST_RENEWAL_SECONDS, answer.expires_in)))
        id_token = answer.id_token if len(answer.id_token) <= LONGEST_HINT else ""
        tokens = ProviderTokens(refresh_token=answer.refresh_token, id_token=id_token)
        return PersonSession(
            issuer=self._spec.issuer,
            client_id=self._spec.client_id,
            subject=claims["sub"],
            nonce=nonce,
            name=called or name_of(claims),
            roles=roles_of(claims, self._spec),
            tenants=tenants_of(claims, self._spec),
            renew_at=min(now + lasts, ends_at),
            ends_at=ends_at if answer.refresh_token else now + IDLE_SECONDS,
            sealed_tokens=seal_tokens(tokens, name=name),
        )

    async def _completed(self, claims: dict[str, Any], access_token: str) -> dict[str, Any]:
        """The claims, with those of the UserInfo endpoint where the ID token lacks what the rules read.

        The endpoint's answer counts for nobody but the person of the ID token (OpenID Connect Core, section 5.3.2).
        """
        endpoint = (await self._metadata()).userinfo_endpoint
        if not missing_claims(claims, self._spec) or not endpoint or not access_token:
            return claims
        more = await self._client.ask_for_claims(endpoint, access_token)
        if more.get("sub") != claims["sub"]:
            raise InvalidTokenError("the sign-in provider's UserInfo is about another person")
        return more | claims

    def _secret(self) -> str:
        """The client's secret, as the file has it now.

        Raises:
            ConfigurationError: there is no such file.
        """
        if not self._secret_file:
            if self._spec.client_secret_ref is not None:
                raise ConfigurationError(
                    "the client secret of spec.dashboard.signIn is not here: "
                    "set CLOUDSCALE_DASHBOARD_CLIENT_SECRET_FILE"
                )
            return ""
        try:
            with Path(self._secret_file).open("rb") as file:
                return file.read(LARGEST_SECRET_BYTES).decode().strip()
        except (OSError, UnicodeDecodeError):
            raise ConfigurationError(f"the client secret {self._secret_file} cannot be read") from None


def _named(endpoint: str | None, name: str) -> str:
    if endpoint is None:
        raise BackendError(f"the sign-in provider's description has no {name}: is spec.dashboard.signIn.issuer right?")
    return endpoint


def _with_parameters(address: str, parameters: Mapping[str, str]) -> str:
    return f"{address}{'&' if urlsplit(address).query else '?'}{urlencode(parameters)}"
