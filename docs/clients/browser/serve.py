"""The page and, on the same origin, the API: ``python3 serve.py PORT URL``. A proxy of yours does the same."""

from __future__ import annotations

import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

LARGEST_BODY_BYTES = 65_536


class Handler(SimpleHTTPRequestHandler):
    """Files of this folder, and what is posted to ``/api`` handed on."""

    ingestion = ""

    def do_POST(self) -> None:
        """Hand an event on, and its answer back."""
        size = int(self.headers.get("Content-Length", 0))
        if not self.path.startswith("/api/v1/events") or size > LARGEST_BODY_BYTES:
            self.send_error(404)
            return
        kind = self.headers.get("Content-Type", "application/json")
        request = Request(self.ingestion + "/api/v1/events", self.rfile.read(size), {"Content-Type": kind})
        try:
            with urlopen(request, timeout=10) as answer:
                self._answer(answer.status, answer.read(), "")
        except HTTPError as refusal:
            self._answer(refusal.code, refusal.read(), refusal.headers.get("Retry-After", ""))

    def _answer(self, status: int, body: bytes, retry_after: str) -> None:
        self.send_response(status)
        if retry_after:
            self.send_header("Retry-After", retry_after)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    Handler.ingestion = sys.argv[2].rstrip("/")
    folder = str(Path(__file__).parent)
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), partial(Handler, directory=folder)).serve_forever()
