"""The program of :mod:`tests.servers.openid_provider`: a provider of OpenID Connect that insists on PKCE.

oidc-provider-mock leaves ``code_challenge`` aside (RFC 7636). Here a sign-in must have one, and its code is worth
nothing without the verifier of it, so that a client which forgets one of them does not pass.
"""

from __future__ import annotations

import base64
import hashlib
import sys
from urllib.parse import parse_qs, urlsplit

import flask
from oidc_provider_mock import app as provider
from werkzeug.serving import make_server

AUTHORIZE = "/oauth2/authorize"
TOKEN = "/oauth2/token"


def with_pkce(app: flask.Flask) -> flask.Flask:
    """Let the provider refuse sign-ins without a challenge, and codes without its verifier."""
    challenges: dict[str, str] = {}

    @app.before_request
    def refuse() -> flask.typing.ResponseReturnValue | None:
        request = flask.request
        if request.path == AUTHORIZE and (
            request.args.get("code_challenge_method") != "S256" or len(request.args.get("code_challenge", "")) != 43
        ):
            return {"error": "invalid_request", "error_description": "code_challenge is missing"}, 400
        if request.path == TOKEN and request.form.get("grant_type") == "authorization_code":
            verifier = request.form.get("code_verifier", "")
            digest = hashlib.sha256(verifier.encode()).digest()
            challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            if challenges.pop(request.form.get("code", ""), None) != challenge:
                return {"error": "invalid_grant", "error_description": "code_verifier is another one"}, 400
        return None

    @app.after_request
    def remember(response: flask.Response) -> flask.Response:
        code = parse_qs(urlsplit(response.headers.get("Location", "")).query).get("code")
        if flask.request.path == AUTHORIZE and code:
            challenges[code[0]] = flask.request.args["code_challenge"]
        return response

    return app


if __name__ == "__main__":
    server = make_server("localhost", int(sys.argv[1]), with_pkce(provider()), threaded=True)
    print("listening", f"http://localhost:{server.port}", flush=True)  # noqa: T201 - its parent reads it
    server.serve_forever()
