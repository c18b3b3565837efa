"""A receiver of webhooks, as someone else would write one."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

from standardwebhooks import Webhook

from serving.outbound import Rules

OWN = Rules(networks=("127.0.0.0/8",), http=True)  # what a test may reach


class Receiver:
    """Keeps what it gets; answers with `answers` in turn, then with 200, once `gate` is open.

    `slow`: seconds between its bytes.
    """

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.slow = 0.0
        self.gate = Event()
        self.gate.set()
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.url = ""

    def verified(self, secret: str) -> list[dict]:
        """Every message, its signature checked."""
        return [Webhook(secret).verify(body, headers) for headers, body in self.got]

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.got]

    def data(self, name: str) -> list:
        return [json.loads(body)["data"].get(name) for _, body in self.got]


@contextmanager
def receiver() -> Iterator[Receiver]:
    """Runs until the block ends."""
    held = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            held.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
            held.gate.wait(60)
            status = held.answers.pop(0) if held.answers else 200
            if held.slow:
                for byte in b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 200:
                    try:
                        self.wfile.write(bytes([byte]))
                    except OSError:
                        return
                    time.sleep(held.slow)
            self.send_response(status)
            if status in (301, 302, 307):
                self.send_header("Location", f"{held.url}/elsewhere")
            self.end_headers()
            self.wfile.write(b"x" * 10_000)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    held.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = Thread(target=server.serve_forever, args=[0.05])
    thread.start()
    try:
        yield held
    finally:
        held.gate.set()
        server.shutdown()
        thread.join()
        server.server_close()
