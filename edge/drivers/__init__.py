"""The seam between a protocol and the agent: whoever can ``read()`` a snapshot of a device is a driver.

A device that does not answer is no error here: its points are :class:`Missing`, each with the reason, because "it did
not answer" is something the cloud must hear. Errors are sorted by what the caller must do::

    DriverError
    ├── NoAnswerError       nothing that can be trusted came back: try again
    ├── RefusedError        the device said no in its protocol's own words: trying again changes nothing
    ├── NotStoredError      what was received could not be committed: whoever sent it must send it again
    └── ConfigurationError  wrong port, unreadable password file ...: a person must change the configuration

The first two stay inside a driver, which turns them into :class:`Missing`.

A camera is not read, it reports: :mod:`edge.drivers.cameras` stands beside this seam.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from edge.contract.messages import Test


class DriverError(Exception):
    """Base of what goes wrong between the gateway and a device; the text says the thing, the place, what to do."""


class NoAnswerError(DriverError):
    """Nothing that can be trusted came back in time."""


class RefusedError(DriverError):
    """The device answered with an exception."""


class NotStoredError(DriverError):
    """What a device sent could not be committed."""


class ConfigurationError(DriverError):
    """Only a change of the configuration helps."""


@dataclass(frozen=True, slots=True)
class Missing:
    """Why a point has no value in this snapshot: the test that says so, and the reason in plain words."""

    test: Test
    reason: str


Words = tuple[int, ...]
"""Raw 16-bit registers in the order of their addresses, or one 0 or 1 of a coil or discrete input."""

Answer = Words | float | int | Missing
"""Raw words (for ``edge.contract.registers`` to decode), a value in the point's own unit, or why there is neither."""


class Part(NamedTuple):
    """What one request gave: the time at which it was answered, and an answer for each of its points.

    ``offset_ms`` is that of the clock then: between parts of two offsets somebody has set it.
    """

    taken_at: int
    answers: Mapping[str, Answer]
    offset_ms: int = 0


class Snapshot(NamedTuple):
    """One poll: its parts, no two of them with the same time; each point is in one of them."""

    parts: tuple[Part, ...]

    @property
    def answers(self) -> Mapping[str, Answer]:
        """The answers of all parts."""
        return {name: answer for part in self.parts for name, answer in part.answers.items()}


class Driver(Protocol):
    """Reads those points of one device that are read together."""

    async def read(self) -> Snapshot:
        """Poll once. Every one of the points is answered; raises nothing for a silent device."""
