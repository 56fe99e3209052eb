"""A door before a real InfluxDB: it counts writes, and can hold them, so that a test may do something just then."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread

import httpx

LIMIT_S = 60.0
PASSED_ON = ("Content-Type", "Authorization")


class Gate(ThreadingHTTPServer):
    """Passes on what comes to the server behind; after `hold_after` writes, further ones wait until it is opened.

    Where the server behind does not answer, neither does the gate.
    """

    def __init__(self, behind: str, *, hold_after: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind = httpx.Client(base_url=behind, timeout=LIMIT_S, trust_env=False)
        self.writes = 0
        self.held = Event()
        self._hold_after = hold_after
        self._opened = Event()
        self._lock = Lock()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"

    def open(self) -> None:
        """Let everything pass from now on."""
        self._opened.set()

    def pass_write(self) -> None:
        """Count a write, and return when it may pass."""
        with self._lock:
            self.writes += 1
            is_held = self.writes > self._hold_after and not self._opened.is_set()
        if is_held:
            self.held.set()
            self._opened.wait(LIMIT_S)

    def handle_error(self, request: object, client_address: object) -> None:
        """Keep quiet about clients that were killed."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    server: Gate

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.startswith("/write"):
            self.server.pass_write()
        headers = {name: self.headers[name] for name in PASSED_ON if name in self.headers}
        try:
            answer = self.server.behind.post(self.path, content=body, headers=headers)
        except httpx.TransportError:
            return
        self.send_response(answer.status_code)
        if answer.status_code != httpx.codes.NO_CONTENT:
            self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    def log_message(self, *args: object) -> None:  # the default writes to stderr
        return


@contextmanager
def gate_before(behind: str, *, hold_after: int) -> Iterator[Gate]:
    """Run a gate for the time of the block."""
    with Gate(behind, hold_after=hold_after) as gate:
        thread = Thread(target=gate.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield gate
        finally:
            gate.open()
            gate.shutdown()
            thread.join()
            gate.behind.close()
