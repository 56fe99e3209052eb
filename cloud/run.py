"""`cloud run`: batch worker, event worker and API in one process, in one TaskGroup."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from zoneinfo import ZoneInfo

import structlog
import uvicorn

from cloud.api.app import create_app
from cloud.api.patience import ImpatientProtocol
from cloud.api.services import Services
from cloud.config import CloudConfig
from cloud.events import EventTaker, open_late_often, run_event_worker
from cloud.ingest import Counters, run_batch_worker
from cloud.picture_upkeep import forget_pictures_hourly
from cloud.registry.registry import Registry
from cloud.series.config import open_series
from cloud.series.upkeep import forget_daily, sum_up_often
from cloud.start import (
    MOST_CONNECTIONS,
    keep_out_of_collections,
    listen,
    lock_folder,
    open_database,
    stopped_by_signal,
)
from cloud.statements.closing import NewestHead, keep_closing
from cloud.web.live import changes_of
from cloud.web.site import add_pages
from edge.contract.clock import Clock

FINISH_REQUESTS_S = 1
PROXIES = ["127.0.0.1", "::1", "::ffff:127.0.0.1"]
"""Whose X-Forwarded-Proto and -For are believed: this machine's, whatever the environment says to other programs."""

_log = structlog.get_logger()


async def run(config: CloudConfig, clock: Clock) -> None:
    """Run until SIGTERM or Ctrl-C; broker and series store may come and go meanwhile.

    Raises StartError, and what opening the databases raises.
    """
    stop = stopped_by_signal()
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
            newest = NewestHead()
            events = run_event_worker(config.broker, taker, shared=config.shared, newest_head=newest)
            batches = run_batch_worker(
                config.broker,
                series=series,
                database=database,
                is_registered=registry.is_known,
                clock=clock,
                counters=counters,
                shared=config.shared,
                newest_head=newest,
            )
            closing = keep_closing(database, clock, newest, ledger_days=config.ledger_days)
            workers = [
                tasks.create_task(batches, name="batch worker"),
                tasks.create_task(events, name="event worker"),
                tasks.create_task(closing, name="closing days"),
                tasks.create_task(forget_daily(series, clock), name="retention"),
                tasks.create_task(forget_pictures_hourly(database, config.blobs_folder, clock), name="pictures"),
                tasks.create_task(open_late_often(taker, clock), name="late events"),
                tasks.create_task(sum_up_often(series, clock), name="summing up"),
            ]
            tasks.create_task(server.serve(sockets=[api_socket]), name="api")
            _log.info("cloud runs", api=f"http://{config.api.host}:{config.api.port}", broker=config.broker.address)
            await stop.wait()
            server.should_exit = True
            for worker in workers:
                worker.cancel()
    _log.info("cloud stopped")


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
