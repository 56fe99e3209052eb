"""Stopping cleanly: on SIGTERM, on Ctrl-C, and when the terminal is closed."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


async def run_until_stopped(work: Coroutine[Any, Any, None]) -> None:
    """Run ``work`` to its end, or until the program is asked to stop: then it is cancelled, once, and cleans up.

    A second signal changes nothing, so that an impatient Ctrl-C does not leave half of the cleaning undone.
    """
    task = asyncio.create_task(work)
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, _cancel_once, task)
    try:
        with suppress(asyncio.CancelledError):
            await task
    finally:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)


def _cancel_once(task: asyncio.Task[None]) -> None:
    if not task.cancelling():
        task.cancel()
