"""Cameras are not read, they report: an HTTP listener on the gateway takes their posts.

``async with CameraListener(...)`` listens; :mod:`edge.drivers.cameras.app` says what cameras send and are answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, Self

import structlog
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from edge.contract.camera_config import CameraConfig, CameraListenerConfig
from edge.contract.clock import Clock
from edge.contract.config_file import read_secret
from edge.contract.listening import ListenError, listen
from edge.drivers import ConfigurationError
from edge.drivers.cameras import Intake
from edge.drivers.cameras.access import Door
from edge.drivers.cameras.app import PATIENCE, CameraApp, Patience, Poster
from edge.drivers.cameras.witness import NO_ANSWER, UNWATCHED, Away, Witness

MOST_CONNECTIONS: Final = 64
STOP_WITHIN_S: Final = 5
TLS_HELLO: Final = b"\x16\x03"
TLS: Final = "speaks TLS; this listener is plain HTTP: set http, not https, in the camera"
NO_HTTP: Final = "what it sends is no HTTP"
NO_DOORS: Final[Mapping[str, Door]] = MappingProxyType({})

log = structlog.get_logger()


class CameraListener:
    """Listens within ``async with``; posts under way when it ends are finished, for at most 5 s.

    Entering raises ConfigurationError when the address cannot be listened on or a password cannot be read.
    """

    def __init__(
        self,
        config: CameraListenerConfig,
        intakes: Iterable[tuple[CameraConfig, Intake]],
        *,
        clock: Clock,
        doors: Mapping[str, Door] = NO_DOORS,
        patience: Patience = PATIENCE,
        witness: Witness = UNWATCHED,
    ) -> None:
        """``doors``: of cameras, by id, that are asked to post."""
        self._config, self._intakes, self._patience, self._clock = config, tuple(intakes), patience, clock
        self._doors, self._witness = doors, witness

    async def __aenter__(self) -> Self:
        self._app = CameraApp(
            {
                camera.id: Poster(camera, intake, _secret_of(camera), self._doors.get(camera.id))
                for camera, intake in self._intakes
                if camera.password_file is not None or camera.id in self._doors
            },
            max_picture=int(self._config.max_mb * 1024 * 1024),
            clock=self._clock,
            patience=self._patience,
            witness=self._witness,
        )
        self._server = _Server(_settings(self._app, self._patience, self._tell_noise))
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._bind()]), name="camera listener")
        return self

    def _bind(self) -> socket.socket:
        try:
            return listen(self._config.host, self._config.port, backlog=MOST_CONNECTIONS)
        except ListenError as error:
            raise ConfigurationError(f"camera_listener: {error}") from error

    def _tell_noise(self, address: str, text: str) -> None:
        log.warning("no post of a camera", address=address, error=text)
        self._witness.turned_away(Away(NO_ANSWER, text, address, "", ""))

    async def __aexit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._app.stop()
        await self._serving


def _secret_of(camera: CameraConfig) -> bytes | None:
    path = camera.password_file
    if path is None:
        return None
    try:
        secret = read_secret(path)
    except OSError as error:
        raise ConfigurationError(f"camera {camera.id}: password_file {path}: {error.strerror}") from error
    if not secret.strip():
        raise ConfigurationError(f"camera {camera.id}: password_file {path}: its first line is empty")
    return secret.encode()


def _settings(app: CameraApp, patience: Patience, noise: Callable[[str, str], None]) -> uvicorn.Config:
    class Protocol(_ImpatientProtocol):
        within_s = patience.headers_s
        tell_noise = staticmethod(noise)

    return uvicorn.Config(
        app, http=Protocol, ws="none", lifespan="off", log_config=None, log_level="error", access_log=False,
        proxy_headers=False, server_header=False, limit_concurrency=MOST_CONNECTIONS, backlog=MOST_CONNECTIONS,
        timeout_graceful_shutdown=STOP_WITHIN_S,
    )  # fmt: skip


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave SIGTERM to the agent, of which the listener is a part."""
        yield


class _ImpatientProtocol(H11Protocol):
    """uvicorn itself waits for ever for the headers of a request, and tells nobody who speaks something else."""

    within_s: float
    tell_noise: Callable[[str, str], None]
    _first = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._headers_due = self.loop.call_later(self.within_s, self._hang_up)

    def data_received(self, data: bytes) -> None:
        self._first = self._first or data[:2]
        super().data_received(data)

    def send_400_response(self, msg: str) -> None:
        address = self.client[0] if self.client else "unknown"
        self.tell_noise(address, TLS if self._first == TLS_HELLO else NO_HTTP)
        super().send_400_response(msg)

    def connection_lost(self, exc: Exception | None) -> None:
        self._headers_due.cancel()
        super().connection_lost(exc)

    def _hang_up(self) -> None:
        if self.cycle is None:
            self.transport.abort()
