"""Brings what the outbox holds to the cloud: connects for ever, sends in lane order, forgets at the cloud's receipt.

    uplink = Uplink(outbox, broker, inventory, clock=clock, clock_state=watch)
    tasks.create_task(uplink.run())        # until stop(); reconnects by itself
    uplink.notify()                        # after each append
    lane = Lane.LIVE if uplink.is_current else Lane.BACKLOG

Everything is sent again after a reconnect: no broker is trusted to remember. When a connection ends without our saying
so, the broker publishes the last will: the status as it was at connecting, with ``online`` false. Each connection has a
session id of its own, so that the will of an older one can be told apart.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from edge.contract.broker_config import BrokerConfig
from edge.contract.clock import Clock
from edge.contract.messages import ClockState, Inventory, Lane, Status, topic
from edge.contract.mqtt import Connection, MqttError, RefusedError, Will, connect
from edge.contract.readings import EARLIEST
from edge.drain import Drain
from edge.limits_told import Limits, LimitsTeller
from edge.outbox import Outbox

RECONNECT_MIN_S, RECONNECT_MAX_S = 1.0, 60.0
STABLE_S = 60.0  # a connection that held this long was a good one: the next attempt comes soon again
FLUSH_S = 3.0  # at a clean stop, for what still waits
STOP_S = 5.0  # and for all of the stop; then the connection is dropped
NEARLY_DRAINED = 8  # live messages
LOOK_S = 1.0  # at most so often it is looked whether the status has changed

_log = structlog.get_logger()

ClockReport = Callable[[], tuple[ClockState, int | None]]
"""How good the clock is now and, while free-running, since when (ms UTC)."""


class Uplink:
    """The gateway's one connection to its broker; belongs to one event loop."""

    def __init__(
        self,
        outbox: Outbox,
        broker: BrokerConfig,
        inventory: Inventory,
        *,
        clock: Clock,
        clock_state: ClockReport,
        status_s: float = 60.0,
        limits: Callable[[], Limits] = dict,
    ) -> None:
        """Take what a status says: gateway and config hash are those of the inventory.

        ``limits``: what was learned so far.
        """
        self._outbox = outbox
        self._broker = broker
        self._inventory = inventory
        self._gateway = inventory.gateway
        self._clock = clock
        self._clock_state = clock_state
        self._status_s = status_s
        self._limits = LimitsTeller(inventory.gateway, limits)
        self._wake = asyncio.Event()  # for sending
        self._is_appended = asyncio.Event()
        self._look = asyncio.Event()  # for the status
        self._stopping = asyncio.Event()
        self._flush_until = float("inf")
        self._deadline: asyncio.Timeout | None = None
        self._is_connected = False
        self._said = ""  # the last thing logged about the connection

    @property
    def is_current(self) -> bool:
        """Whether what is appended now can be in the cloud at once: connected, and hardly anything live waits."""
        return self._is_connected and self._outbox.waiting(Lane.LIVE) <= NEARLY_DRAINED

    def notify(self) -> None:
        """Look into the outbox, and whether the status has changed: call it after each append."""
        self._is_appended.set()
        self._note_change()

    def _note_change(self) -> None:
        self._wake.set()
        self._look.set()

    def stop(self) -> None:
        """End ``run`` within 5 s: send what waits, say goodbye."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._wake.set()
        self._flush_until = time.monotonic() + FLUSH_S
        if self._deadline is not None:
            self._deadline.reschedule(asyncio.get_running_loop().time() + STOP_S)

    async def run(self) -> None:
        """Keep the gateway connected until ``stop``. Raises what the outbox raises when its disk fails."""
        try:
            async with asyncio.timeout(None) as self._deadline:
                await self._stay_connected()
        except TimeoutError:
            if not self._stopping.is_set():
                raise
            _log.warning("uplink stopped without a goodbye")
        finally:
            self._deadline = None

    async def _stay_connected(self) -> None:
        attempts = AsyncRetrying(
            retry=retry_if_exception_type(MqttError), wait=_pause, sleep=self._sleep, before_sleep=self._say_why
        )
        async for attempt in attempts:
            began = time.monotonic()
            with attempt:
                await self._session()
            if time.monotonic() - began >= STABLE_S:
                attempt.retry_state.attempt_number = 1

    async def _sleep(self, seconds: float) -> None:
        await _wait(self._stopping, until=time.monotonic() + seconds)

    def _say_why(self, state: RetryCallState) -> None:
        reason = str(_failure(state))
        if isinstance(_failure(state), RefusedError):
            _log.error("the broker refuses us; trying again every minute", reason=reason)
        elif reason != self._said:
            _log.warning("no uplink: what is read waits in the outbox", reason=reason)
        self._said = reason

    async def _session(self) -> None:
        """Connect, drain until ``stop``, say goodbye. Raises MqttError."""
        if self._stopping.is_set():
            return
        session = secrets.token_hex(8)
        will = Will(topic(self._gateway, "status"), (await self._status(session, online=False)).to_bytes())
        async with connect(self._broker, client_id=f"anlan-edge-{self._gateway}", will=will) as connection:
            await connection.subscribe(topic(self._gateway, "receipt"))
            await connection.publish(topic(self._gateway, "inventory"), self._inventory.to_bytes(), retain=True)
            _log.info("uplink connected", broker=connection.address)
            self._said = ""
            self._is_connected = True
            try:
                with _first_mqtt_error():
                    await self._serve(connection, session)
            finally:
                self._is_connected = False
            await self._tell(connection, await self._status(session, online=False))

    async def _serve(self, connection: Connection, session: str) -> None:
        drain = Drain(
            self._outbox, connection, self._gateway, is_appended=self._is_appended, on_change=self._note_change
        )
        async with asyncio.TaskGroup() as tasks:
            others = [tasks.create_task(drain.receive()), tasks.create_task(self._keep_told(connection, session))]
            others.append(tasks.create_task(self._limits.keep_told(connection)))
            while not self._is_flushed():
                self._wake.clear()
                await drain.send_what_fits(tasks)
                await _wait(self._wake, until=min(self._flush_until, drain.next_due_at() or float("inf")))
            for other in others:
                other.cancel()

    async def _keep_told(self, connection: Connection, session: str) -> None:
        """Send the status when something in it is worth it, and when it is time; nothing else waits for it."""
        told: object = None
        tell_at = 0.0
        while True:
            self._look.clear()
            status = await self._status(session, online=True)
            if _gist(status) != told or time.monotonic() >= tell_at:
                told, tell_at = _gist(status), time.monotonic() + self._status_s
                await self._tell(connection, status)
            await _wait(self._look, until=tell_at)
            await asyncio.sleep(min(LOOK_S, max(tell_at - time.monotonic(), 0)))

    def _is_flushed(self) -> bool:
        """Whether it is time to go: asked to, and nothing waits or the time for that is over."""
        if not self._stopping.is_set():
            return False
        return time.monotonic() >= self._flush_until or not any(self._outbox.waiting(lane) for lane in Lane)

    async def _tell(self, connection: Connection, status: Status) -> None:
        await connection.publish(topic(self._gateway, "status"), status.to_bytes(), retain=True)

    async def _status(self, session: str, *, online: bool) -> Status:
        clock, clock_since = self._clock_state()
        return Status(
            gateway=self._gateway,
            session=session,
            online=online,
            sent_at=max(self._clock.now_ms(), EARLIEST),  # an unset clock is said by its state, not by silence
            interval_s=self._status_s,
            clock=clock,
            clock_since=clock_since,
            config_hash=self._inventory.config_hash,
            epochs=await asyncio.to_thread(self._outbox.states),
            heads=await asyncio.to_thread(self._outbox.heads),
        )


def _gist(status: Status) -> object:
    """What in a status is worth telling at once when it changes: also that a day is over, and its account is final."""
    epochs = [(epoch.epoch, epoch.counts.given_up, epoch.counts.refused) for epoch in status.epochs]
    day = max((day.day for epoch in status.epochs for day in epoch.days), default="")
    return status.clock, epochs, day, status.heads[:1]


def _pause(state: RetryCallState) -> float:
    """Seconds before the next attempt: random, so that a thousand gateways do not come back in one moment."""
    if isinstance(_failure(state), RefusedError):
        return RECONNECT_MAX_S
    return wait_random_exponential(multiplier=2, min=RECONNECT_MIN_S, max=RECONNECT_MAX_S)(state)


def _failure(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None


async def _wait(event: asyncio.Event, *, until: float) -> None:
    """Wait for an event, no longer than until that time of the monotonic clock."""
    with suppress(TimeoutError):
        async with asyncio.timeout(until - time.monotonic()):
            await event.wait()


@contextmanager
def _first_mqtt_error() -> Iterator[None]:
    """Raise the first of the MqttErrors with which the tasks of a group ended; others, being bugs, go first."""
    try:
        yield
    except ExceptionGroup as group:
        lost, others = group.split(MqttError)
        if others is not None or lost is None:
            raise
        task = asyncio.current_task()
        if task is not None and task.cancelling():  # a task group of Python 3.11 forgets that it was, over such errors
            raise asyncio.CancelledError from None
        raise lost.exceptions[0] from None
