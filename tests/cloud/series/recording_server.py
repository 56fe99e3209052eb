"""A small HTTP server that answers as it is told and remembers what it was asked."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from msgspec import Struct


class Request(Struct, frozen=True):
    """What came: `path` includes the query."""

    path: str
    headers: dict[str, str]
    body: bytes
    method: str = "POST"


class Answer(Struct, frozen=True):
    """What to say to one request; `cut` closes the connection instead, in the middle of saying it."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}
    cut: bool = False


class RecordingServer(ThreadingHTTPServer):
    """Gives `answers` one after the other, then what `respond` says; a body over `max_body` bytes is always 413."""

    def __init__(self, respond: Callable[[Request], Answer] | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[Request] = []
        self.answers: list[Answer] = []
        self.max_body = 1 << 30
        self.respond = respond or (lambda _: Answer(204))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: RecordingServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        request = Request(self.path, dict(self.headers), body, self.command)
        self.server.requests.append(request)
        if len(body) > self.server.max_body:
            answer = Answer(413, b'{"error":"Request Entity Too Large"}')
        elif self.server.answers:
            answer = self.server.answers.pop(0)
        else:
            answer = self.server.respond(request)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status != 204:
            self.send_header("Content-Length", str(len(answer.body) + answer.cut))
        self.end_headers()
        self.wfile.write(answer.body)
        self.close_connection = answer.cut

    do_GET = do_POST  # noqa: N815 -- the standard library's name
    do_PATCH = do_POST  # noqa: N815 -- the standard library's name

    def log_message(self, *args: object) -> None:  # the default writes to stderr
        return


@contextmanager
def recording_server(respond: Callable[[Request], Answer] | None = None) -> Iterator[RecordingServer]:
    """Run a server for the time of the block."""
    with RecordingServer(respond) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()
