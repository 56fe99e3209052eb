"""The tasks that keep a series store in order while it is written to."""

from typing import NoReturn

import structlog

from cloud.series import SeriesError, SeriesStore
from edge.contract.clock import Clock

DAY_S = 86_400
SUM_UP_EVERY_S = 600
LATENESS_MS = 300_000  # an hour that has ended is summed up once its last readings have had time to come

_log = structlog.get_logger()


async def forget_daily(store: SeriesStore, clock: Clock) -> NoReturn:
    """Delete what is past its time, now and each day from now; what cannot be deleted is tried again the next day."""
    while True:
        try:
            readings = await store.forget_expired()
        except SeriesError as error:
            _log.warning("readings past their time are not deleted yet", reason=str(error))
        else:
            if readings:
                _log.info("readings past their time deleted", readings=readings)
        await clock.sleep(DAY_S)


async def sum_up_often(store: SeriesStore, clock: Clock) -> NoReturn:
    """Sum up what has come, now and every few minutes; what cannot be is tried again, and asked the slow way until."""
    while True:
        try:
            await store.sum_up(until_ms=clock.now_ms() - LATENESS_MS)
        except SeriesError as error:
            _log.warning("hours are not summed up yet", reason=str(error))
        await clock.sleep(SUM_UP_EVERY_S)
