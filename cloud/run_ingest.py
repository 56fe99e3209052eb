"""`cloud ingest`: a batch worker alone, without pages and API. Several may run beside one cloud that shares."""

import asyncio
from contextlib import AsyncExitStack

import structlog

from cloud.config import CloudConfig
from cloud.ingest import Counters, run_batch_worker
from cloud.registry.registry import Registry
from cloud.series.config import open_series
from cloud.start import keep_out_of_collections, lock_folder, open_database, stopped_by_signal
from edge.contract.clock import Clock

_log = structlog.get_logger()


async def run_ingest(config: CloudConfig, clock: Clock) -> None:
    """Take batches, and nothing else, until SIGTERM or Ctrl-C.

    Days are closed, and gateways told of their heads, by the cloud that it runs beside. Raises StartError, and what
    opening the databases raises.
    """
    stop = stopped_by_signal()
    async with AsyncExitStack() as stack:
        database = stack.enter_context(open_database(config))
        stack.enter_context(lock_folder(config.data_dir, shared=config.shared))
        series = open_series(config.series, config.data_dir, clock)
        stack.push_async_callback(series.close)
        counters = Counters()
        keep_out_of_collections()
        async with asyncio.TaskGroup() as tasks:
            batches = run_batch_worker(
                config.broker,
                series=series,
                database=database,
                is_registered=Registry(database).is_known,
                clock=clock,
                counters=counters,
                shared=config.shared,
            )
            worker = tasks.create_task(batches, name="batch worker")
            _log.info("ingest runs", broker=config.broker.address, shared=config.shared)
            await stop.wait()
            worker.cancel()
    _log.info("ingest stopped", messages=counters.messages, readings=counters.readings)
