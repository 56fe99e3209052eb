"""`cloud run`: batch worker, event worker and API in one process, in one TaskGroup.

Exception
└── StartError        cannot run as configured: the text says what to do
"""

import asyncio
import fcntl
import gc
import signal
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from zoneinfo import ZoneInfo

import structlog
import uvicorn

from cloud.api.app import create_app
from cloud.api.patience import ImpatientProtocol
from cloud.api.services import Services
from cloud.config import ApiConfig, CloudConfig
from cloud.database import Database
from cloud.events import EventTaker, run_event_worker
from cloud.ingest import Counters, run_batch_worker
from cloud.migrations import head, revision_of
from cloud.registry.registry import Registry
from cloud.series.config import open_series
from cloud.series.upkeep import forget_daily, sum_up_often
from cloud.web.live import changes_of
from cloud.web.site import add_pages
from edge.contract import listening
from edge.contract.clock import Clock
from edge.contract.program import command

MOST_CONNECTIONS = 1000  # each open page holds one for its live updates
FINISH_REQUESTS_S = 1
PROXIES = ["127.0.0.1", "::1", "::ffff:127.0.0.1"]
"""Whose X-Forwarded-Proto and -For are believed: this machine's, whatever the environment says to other programs."""

_log = structlog.get_logger()


class StartError(Exception):
    """The cloud cannot run as configured."""


async def run(config: CloudConfig, clock: Clock) -> None:
    """Run until SIGTERM or Ctrl-C; broker and series store may come and go meanwhile.

    Raises StartError, and what opening the databases raises.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        database = stack.enter_context(open_database(config))
        stack.enter_context(lock_folder(config.data_dir, shared=config.shared))
        api_socket = stack.enter_context(listen(config.api))
        series = open_series(config.series, config.data_dir, clock)
        stack.push_async_callback(series.close)
        registry, counters = Registry(database), Counters()
        taker = EventTaker(database, registry, clock, blobs_folder=config.blobs_folder)
        services = Services(
            database=database,
            series=series,
            clock=clock,
            counters=counters,
            blobs_folder=config.blobs_folder,
            timezone=ZoneInfo(config.timezone),
            map=config.map,
            new_gateways=config.gateway_defaults,
            broker_ca=config.broker.tls.ca_file if config.broker.tls is not None else None,
        )
        server = Server(server_settings(services))
        keep_out_of_collections()
        async with asyncio.TaskGroup() as tasks:
            batches = run_batch_worker(
                config.broker,
                series=series,
                database=database,
                is_registered=registry.is_known,
                clock=clock,
                counters=counters,
                shared=config.shared,
            )
            workers = [
                tasks.create_task(batches, name="batch worker"),
                tasks.create_task(run_event_worker(config.broker, taker, shared=config.shared), name="event worker"),
                tasks.create_task(forget_daily(series, clock), name="retention"),
                tasks.create_task(sum_up_often(series, clock), name="summing up"),
            ]
            tasks.create_task(server.serve(sockets=[api_socket]), name="api")
            _log.info("cloud runs", api=f"http://{config.api.host}:{config.api.port}", broker=config.broker.address)
            await stop.wait()
            server.should_exit = True
            for worker in workers:
                worker.cancel()
    _log.info("cloud stopped")


def keep_out_of_collections() -> None:
    """Let the garbage collector no longer look through what was loaded at the start and stays to the end.

    There are some 140,000 objects of it: each full collection, in the middle of an answer, took up to 80 ms.
    """
    gc.collect()
    gc.freeze()


@contextmanager
def lock_folder(folder: Path, *, shared: bool) -> Iterator[None]:
    """Keep other clouds off data_dir, but those that share as this one does; raises StartError when it is taken."""
    with (folder / "cloud.lock").open("w") as file:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            reason = "another cloud runs on this folder: stop it, or give both shared: true and a port of their own"
            raise StartError(f"data_dir {folder}: {reason}") from None
        yield


def open_database(config: CloudConfig) -> Database:
    """Return the database; raises StartError when it has not the tables that this program needs."""
    database = Database(config.database)
    found = None if is_absent(config) else database.read_now(revision_of)
    if found != head():
        database.close()
        state = "has no tables yet" if found is None else f"has the tables of another version ({found})"
        raise StartError(f"database {database}: {state}: run {command('cloud', 'init')}")
    return database


def is_absent(config: CloudConfig) -> bool:
    """Whether the embedded database's file is not there; opening it would create it."""
    return config.database_url is None and not config.database_file.exists()


def listen(config: ApiConfig) -> socket.socket:
    """Return the socket that the API listens on; raises StartError when it cannot."""
    try:
        return listening.listen(config.host, config.port, backlog=MOST_CONNECTIONS)
    except listening.ListenError as error:
        raise StartError(f"api: {error}") from error


def server_settings(services: Services) -> uvicorn.Config:
    """Return how API and pages are served."""
    app = create_app(services)
    add_pages(app)
    return uvicorn.Config(
        app,
        http=ImpatientProtocol,
        lifespan="off",
        ws="none",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        forwarded_allow_ips=PROXIES,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=FINISH_REQUESTS_S,
    )


class Server(uvicorn.Server):
    """Serves until `should_exit` is set; then pages that listen are let go."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams of open pages, then what uvicorn ends."""
        changes_of(self.config.app).stop()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to `run`, of which the server is a part."""
        yield
