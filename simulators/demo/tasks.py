"""Running things beside each other, so that the first failure ends all of them and comes out as itself."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from simulators.demo.processes import DemoError
from simulators.web import WebError

T = TypeVar("T")


async def all_of(*works: Coroutine[Any, Any, None]) -> None:
    """Run all to their end; the first DemoError or WebError cancels the others."""
    try:
        async with asyncio.TaskGroup() as tasks:
            for work in works:
                tasks.create_task(work)
    except ExceptionGroup as group:
        expected, others = group.split((DemoError, WebError))
        if expected is None or others is not None:
            raise
        raise expected.exceptions[0] from None


async def beside(work: Coroutine[Any, Any, T], *others: Coroutine[Any, Any, None]) -> T:
    """Run ``work`` with others beside it, which end with it; what one of them raises ends everything."""
    main = asyncio.create_task(work)
    pending: set[asyncio.Task[Any]] = {main, *map(asyncio.create_task, others)}
    try:
        while not main.done():
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        return main.result()
    finally:
        for task in (main, *pending):
            task.cancel()
        await asyncio.gather(main, *pending, return_exceptions=True)
