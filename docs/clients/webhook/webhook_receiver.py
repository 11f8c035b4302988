"""A receiver of CloudScale's webhooks, in Python alone: checks the signature, drops copies, prints what it gets.

CLOUDSCALE_OUTLET_SECRET_CRM=whsec_… python3 webhook_receiver.py --port 9000
"""

import argparse
import base64
import hashlib
import hmac
import json
import os
import time
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = base64.b64decode(os.environ["CLOUDSCALE_OUTLET_SECRET_CRM"].removeprefix("whsec_"))
OLDEST_SECONDS = 300
LARGEST_BODY_BYTES = 2_000_000

# In memory for a demonstration: keep it where the events go, in the same transaction.
known: set[tuple[str, str]] = set()


def is_signed(headers: Message, body: bytes) -> bool:
    """Whether one of the signatures is right, and the request no older than some minutes."""
    identity, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not timestamp.isdigit() or abs(time.time() - int(timestamp)) > OLDEST_SECONDS:
        return False
    signed = f"{identity}.{timestamp}.".encode() + body
    expected = base64.b64encode(hmac.digest(KEY, signed, hashlib.sha256)).decode()
    given = headers.get("webhook-signature", "").split()
    return any(hmac.compare_digest(f"v1,{expected}".encode(), each.encode()) for each in given)


class Receiver(BaseHTTPRequestHandler):
    """Answers 204 for what it has taken."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Take one event, or an array of them."""
        length = int(self.headers.get("Content-Length", 0))
        if length > LARGEST_BODY_BYTES:
            self.close_connection = True
            self.answer(413)
            return
        body = self.rfile.read(length)
        if not is_signed(self.headers, body):
            self.answer(401)
            return
        content = json.loads(body)
        for event in content if isinstance(content, list) else [content]:
            name = (event["source"], event["id"])
            if name not in known:
                known.add(name)
                print(event["type"], event["id"], event["data"], flush=True)
        self.answer(204)

    def answer(self, status: int) -> None:
        """An answer without a body."""
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing beside the events."""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=9000)
    server = ThreadingHTTPServer(("127.0.0.1", parser.parse_args().port), Receiver)
    print(f"listening on http://127.0.0.1:{server.server_port}/hooks", flush=True)
    server.serve_forever()
