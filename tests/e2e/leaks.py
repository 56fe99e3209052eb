"""Looks for secrets in everything that a program shows: what it prints and logs, how it was started, what it answers.

watch = Watch()
password = watch.hide("password of the broker", "s3cret/+&=x")
watch.note("log of the cloud", log.read_bytes())
assert watch.leaks() == []

A secret is found as it is, and as it is written in URLs, JSON and base64 (so in an `Authorization: Basic`).
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import quote, quote_plus

import httpx

LIMIT_S = 60.0


class Watch:
    """Secrets by name, and by place all that somebody could see."""

    def __init__(self) -> None:
        self._secrets: dict[str, str] = {}
        self._seen: dict[str, list[bytes]] = {}

    def hide(self, name: str, secret: str) -> str:
        """Look for this secret from now on; returns it."""
        assert len(secret) >= 10, f"{name}: too short to be told from other text"
        self._secrets[name] = secret
        return secret

    def note(self, place: str, content: bytes | str) -> None:
        """Take down what was seen somewhere."""
        self._seen.setdefault(place, []).append(content if isinstance(content, bytes) else content.encode())

    def note_answer(self, answer: httpx.Response) -> httpx.Response:
        """Take down an answer without the cookies that it sets; returns it."""
        headers = [f"{name}: {value}" for name, value in answer.headers.items() if name != "set-cookie"]
        request = answer.request
        self.note(f"answer to {request.method} {request.url.path}", "\n".join([*headers, answer.text]))
        return answer

    def leaks(self) -> list[str]:
        """Return every place where a secret was seen, as lines for a person."""
        return [
            f"{name}: seen in {place}: …{_around(content, form)}…"
            for name, secret in self._secrets.items()
            for place, contents in self._seen.items()
            for content in contents
            for form in sorted(forms(secret))
            if form in content
        ]

    def places(self) -> list[str]:
        """Return where something was seen."""
        return [place for place, contents in self._seen.items() if any(contents)]


def forms(secret: str) -> set[bytes]:
    """Return how a secret may be written."""
    texts = {secret, quote(secret, safe=""), quote(secret), quote_plus(secret), json.dumps(secret)[1:-1]}
    return {text.encode() for text in texts} | set(_in_base64(secret.encode()))


def _in_base64(secret: bytes) -> Iterator[bytes]:
    """Yield what a secret makes of base64, after 0, 1 or 2 other bytes, without the letters that others share."""
    for before in range(3):
        whole = b64encode(bytes(before) + secret).rstrip(b"=")
        shared = (before + len(secret)) % 3 != 0
        inner = whole[-(-before * 8 // 6) : len(whole) - shared]
        yield inner
        yield inner.translate(bytes.maketrans(b"+/", b"-_"))


def _around(content: bytes, form: bytes) -> str:
    place = content.index(form)
    return content[max(0, place - 60) : place + len(form) + 20].decode(errors="replace")


class Runner:
    """Starts programs of ours in a folder, and takes down how they look from outside."""

    def __init__(self, folder: Path, watch: Watch) -> None:
        self.folder, self.watch = folder, watch

    async def do(self, *words: str) -> tuple[int, str]:
        """Run a command to its end; return its code and what it printed."""
        program = (sys.executable, "-m", *words)
        process = await asyncio.create_subprocess_exec(*program, cwd=self.folder, stdout=PIPE, stderr=PIPE)
        self._look_at(process, " ".join(words[:3]))
        async with asyncio.timeout(LIMIT_S):
            out, err = await process.communicate()
        self.watch.note(f"output of {' '.join(words)}", out + err)
        return process.returncode or 0, (out + err).decode()

    @asynccontextmanager
    async def running(self, name: str, *words: str) -> AsyncIterator[Path]:
        """Run a service for the time of the block; gives its log. It must end with 0 when it is told to."""
        log = self.folder / f"{name}.log"
        with log.open("wb") as file:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", *words, cwd=self.folder, stdout=file, stderr=file
            )
        try:
            yield log
            self._look_at(process, name)
            process.terminate()
            async with asyncio.timeout(LIMIT_S):
                assert await process.wait() == 0, log.read_text()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            self.watch.note(f"log of {name}", log.read_bytes())

    def _look_at(self, process: Process, name: str) -> None:
        proc = Path(f"/proc/{process.pid}")
        self.watch.note(f"command line of {name}", (proc / "cmdline").read_bytes())
        self.watch.note(f"environment of {name}", (proc / "environ").read_bytes())


class Passing(ThreadingHTTPServer):
    """An HTTP server between a program and a real one, which takes down the addresses that are asked for."""

    def __init__(self, port: int, watch: Watch) -> None:
        super().__init__(("127.0.0.1", 0), _PassingHandler)
        self.behind, self.watch = port, watch
        self._thread = Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def stop(self) -> None:
        """Answer no more; again is harmless."""
        if self._thread.is_alive():
            self.shutdown()
            self._thread.join()
            self.server_close()

    def __exit__(self, *_: object) -> None:
        """Stop at the end of the block."""
        self.stop()


class _PassingHandler(BaseHTTPRequestHandler):
    server: Passing

    def do_POST(self) -> None:
        """Hand one request on."""
        self.server.watch.note("addresses asked for at InfluxDB", self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        connection = HTTPConnection("127.0.0.1", self.server.behind, timeout=10)
        kept = ("Authorization", "Content-Type")
        headers = {name: self.headers[name] for name in kept if name in self.headers}
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        self.send_response(answer.status)
        self.send_header("X-Influxdb-Version", answer.headers.get("X-Influxdb-Version", ""))
        if content:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST  # noqa: N815 -- the standard library's name

    def log_message(self, *_: object) -> None:
        """Stay silent."""
