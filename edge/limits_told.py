"""Tells the cloud what this gateway has learned of its sensors: after connecting, and at most once an hour a device.

It is no reading: nothing waits for it, and what is lost on the way comes with the next one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import structlog

from edge.contract.envelope import MAX_PAYLOAD
from edge.contract.limits import LearnedLimit
from edge.contract.messages import MAX_LIMITS, ContractError, DeviceLimits, PointLimits, topic
from edge.contract.mqtt import Connection, RefusedError

LOOK_S: Final = 600.0
HOUR_S, DAY_S = 3600.0, 86_400.0

_log = structlog.get_logger()

Limits = Mapping[str, Mapping[str, Sequence[LearnedLimit]]]
"""By device and point."""


class _Told(NamedTuple):
    at_s: float  # of the monotonic clock
    gist: object
    points: frozenset[str]


class LimitsTeller:
    """What was told of which device, over all connections of one uplink."""

    def __init__(self, gateway: str, limits: Callable[[], Limits]) -> None:
        self._gateway = gateway
        self._limits = limits
        self._told: dict[str, _Told] = {}

    async def keep_told(self, connection: Connection) -> None:
        """Tell until cancelled. Raises MqttError when the connection is lost."""
        is_new = True
        while True:
            try:
                for device, points in self._limits().items():
                    await self._tell(connection, device, points, is_new=is_new)
            except RefusedError as error:  # a broker whose rights are older than this program: readings must not suffer
                _log.warning("what was learned of sensors is not told to the cloud", reason=str(error))
                return
            is_new = False
            await asyncio.sleep(LOOK_S)

    async def _tell(
        self, connection: Connection, device: str, points: Mapping[str, Sequence[LearnedLimit]], *, is_new: bool
    ) -> None:
        told, now_s = self._told.get(device), time.monotonic()
        gist = _gist(points)
        if told is not None and not _is_due(told, gist, age_s=now_s - told.at_s, is_new=is_new):
            return
        gone = sorted(told.points - set(points)) if told is not None else []
        known = [PointLimits(point, list(found)[:MAX_LIMITS]) for point, found in points.items()]
        for payload in self._payloads(device, known + [PointLimits(point, []) for point in gone]):
            await connection.publish(topic(self._gateway, "limits"), payload)
        self._told[device] = _Told(now_s, gist, frozenset(points))

    def _payloads(self, device: str, points: list[PointLimits]) -> Iterator[bytes]:
        """Give as few messages as hold them; what the cloud would refuse is said here, and not sent."""
        if not points:
            return
        payload = DeviceLimits(gateway=self._gateway, device=device, points=points).to_bytes()
        if len(payload) > MAX_PAYLOAD and len(points) > 1:
            half = len(points) // 2
            yield from self._payloads(device, points[:half])
            yield from self._payloads(device, points[half:])
            return
        try:
            DeviceLimits.from_bytes(payload, self._gateway)
        except ContractError as error:
            _log.error("what was learned does not fit the contract", device=device, reason=str(error))
            return
        yield payload


def _is_due(told: _Told, gist: object, *, age_s: float, is_new: bool) -> bool:
    """Whether to tell again: hardly ever, for a line that comes and goes every minute pays for each byte."""
    return age_s >= DAY_S or (age_s >= HOUR_S and (is_new or gist != told.gist))


def _gist(points: Mapping[str, Sequence[LearnedLimit]]) -> object:
    """What in limits is worth telling when it changes: not that there is one sample more."""
    return [
        (point, [(one.test, _rough(one.low), _rough(one.high), one.unit, one.source) for one in limits])
        for point, limits in points.items()
    ]


def _rough(value: float | None) -> str:
    return "" if value is None else f"{value:.2g}"
