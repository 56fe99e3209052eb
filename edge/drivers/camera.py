"""Cameras are not read, they report: an HTTP listener on the gateway hands their posts to the agent.

``async with CameraListener(...)`` listens; :mod:`edge.drivers.camera_app` says what cameras send and are answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Final, Self

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from edge.contract.camera_config import CameraConfig, CameraListenerConfig
from edge.contract.clock import Clock
from edge.contract.listening import ListenError, listen
from edge.drivers import ConfigurationError
from edge.drivers.camera_access import Camera
from edge.drivers.camera_app import PATIENCE, CameraApp, CameraTrigger, OnTrigger, Patience

__all__ = ["CameraListener", "CameraTrigger", "OnTrigger", "Patience"]

MOST_CONNECTIONS: Final = 64
STOP_WITHIN_S: Final = 5


class CameraListener:
    """Listens within ``async with``; posts under way when it ends are finished, for at most 5 s.

    Entering raises ConfigurationError when the address cannot be listened on or a password cannot be read.
    """

    def __init__(
        self,
        config: CameraListenerConfig,
        cameras: Iterable[CameraConfig],
        *,
        clock: Clock,
        on_trigger: OnTrigger,
        patience: Patience = PATIENCE,
    ) -> None:
        self._config, self._cameras, self._patience = config, tuple(cameras), patience
        self._clock, self._on_trigger = clock, on_trigger

    async def __aenter__(self) -> Self:
        app = CameraApp(
            {camera.id: _camera(camera) for camera in self._cameras if camera.password_file},
            max_picture=int(self._config.max_mb * 1024 * 1024),
            clock=self._clock,
            on_trigger=self._on_trigger,
            patience=self._patience,
        )
        self._server = _Server(_settings(app, self._patience))
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._bind()]), name="camera listener")
        return self

    def _bind(self) -> socket.socket:
        try:
            return listen(self._config.host, self._config.port, backlog=MOST_CONNECTIONS)
        except ListenError as error:
            raise ConfigurationError(f"camera_listener: {error}") from error

    async def __aexit__(self, *_: object) -> None:
        self._server.should_exit = True
        await self._serving


def _camera(config: CameraConfig) -> Camera:
    if config.password_file is None:
        raise ConfigurationError(f"camera {config.id}: it has no password to post with")
    try:
        password = config.password_file.read_bytes().split(b"\n", 1)[0].strip()
    except OSError as error:
        raise ConfigurationError(
            f"camera {config.id}: password_file {config.password_file}: {error.strerror}"
        ) from error
    if not password:
        raise ConfigurationError(f"camera {config.id}: password_file {config.password_file}: its first line is empty")
    return Camera(config.id, sha256(password).digest(), config.classes)


def _settings(app: CameraApp, patience: Patience) -> uvicorn.Config:
    class Protocol(_ImpatientProtocol):
        within_s = patience.headers_s

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
    """uvicorn itself waits for ever for the headers of a request."""

    within_s: float

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._headers_due = self.loop.call_later(self.within_s, self._hang_up)

    def connection_lost(self, exc: Exception | None) -> None:
        self._headers_due.cancel()
        super().connection_lost(exc)

    def _hang_up(self) -> None:
        if self.cycle is None:
            self.transport.abort()
