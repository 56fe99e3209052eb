"""A pair of RS-485 wires with devices on it, in true time; what carries the bytes to it and from it is elsewhere.

Bytes come as fast as a program writes them and are here on the wire as long as their bits take. A frame ends when
nothing follows it for 3.5 characters (Modbus over Serial Line V1.02, section 2.5.1.1); the device that it is for begins
its answer when its turnaround has passed since the frame's last character, though not before it has seen the end, and
the master gets each part of the answer when its last character has passed. All times follow from absolute deadlines, so
nothing drifts.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from edge.contract.buses import Parity
from edge.contract.profile import Reads
from simulators.answers import reply
from simulators.deadlines import Deadlines
from simulators.device import SimulatedDevice
from simulators.faults import FaultPlan, Framing, Sending
from simulators.rtu_frames import rtu_frame, unframe

TURNAROUND_S: Final = Reads().turnaround_ms / 1000  # of a device whose profile does not say
FIFO_CHARS: Final = 16  # a serial port tells its program of so many characters at a time, or of the last ones
GAP_CHARS: Final = 3.5
FAST_BAUD: Final = 19_200  # above it the gap is fixed
FAST_GAP_S: Final = 0.00175
NOISE_CHARS: Final = 6
RTU: Final = Framing(rtu_frame, checked=-3)  # a bit of the last value


class SerialSettings(NamedTuple):
    """How a serial port is set."""

    baud: int = 9600
    parity: Parity = "none"
    stop_bits: int = 1

    @property
    def char_s(self) -> float:
        """The time of one character: start bit, eight of data, parity, stop."""
        return (9 + (self.parity != "none") + self.stop_bits) / self.baud

    @property
    def gap_s(self) -> float:
        """The quiet that ends a frame."""
        return GAP_CHARS * self.char_s if self.baud <= FAST_BAUD else FAST_GAP_S

    def is_heard_at(self, other: SerialSettings) -> bool:
        """Whether a port set so understands one set otherwise; a second stop bit disturbs nobody."""
        return self[:2] == other[:2]


def turnaround_of(device: SimulatedDevice | None) -> float:
    """How long a device usually takes before it answers, as its profile says."""
    return device.profile.reads.turnaround_ms / 1000 if device else 0.0


class Collision(NamedTuple):
    """The master talked when it should not: within the quiet between frames, or over an answer."""

    at_s: float
    over: Literal["quiet", "answer", "late answer"]


@dataclass
class _Answer:
    """What a device says: its first character begins at ``due_s``; ``sent`` characters have been passed on."""

    sending: Sending
    data: bytes
    asked_s: float
    due_s: float
    char_s: float
    sent: int = 0

    def passed_s(self, chars: int) -> float:
        """When so many characters have passed."""
        return self.due_s + chars * self.char_s

    def spoil(self) -> None:
        """Let what is not sent yet be noise: somebody talks over it."""
        self.data = self.data[: self.sent] + bytes(byte ^ 0x55 for byte in self.data[self.sent :])


class SerialWire:
    """The wires. :meth:`hear` takes what the master says; what the devices say goes to ``say``.

    ``units``: devices by unit number, all set as ``settings`` says but those in ``others``, and as fast as their
    profiles say unless ``turnaround_s`` does. ``garbage``: what no device understands, because the port is set
    otherwise, is answered with noise instead of silence. ``hang_up`` is called where a fault ends the connection.

    ``requests`` counts the right frames that were for a device here, ``unheard`` the others. ``busy_s`` sums up the
    time from the first character of each request to the last of its answer (of one that a fault keeps back, only that
    of the characters); ``collisions`` are the master's faults.
    """

    def __init__(
        self,
        units: Mapping[int, SimulatedDevice],
        settings: SerialSettings,
        *,
        deadlines: Deadlines,
        say: Callable[[bytes], None],
        hang_up: Callable[[], None],
        turnaround_s: float | None = None,
        others: Mapping[int, SerialSettings] | None = None,
        faults: FaultPlan | None = None,
        garbage: bool = False,
    ) -> None:
        self.units, self.settings, self._turnaround_s = units, settings, turnaround_s
        self.others, self.garbage = dict(others or {}), garbage
        self.faults = faults or FaultPlan()
        self.requests = self.unheard = 0
        self.busy_s = 0.0
        self.collisions: list[Collision] = []
        self._deadlines, self._say, self._hang_up = deadlines, say, hang_up
        self._now = asyncio.get_running_loop().time
        self._noise = random.Random(0)
        self._frame, self._port, self._is_spoiled = b"", settings, False
        self._frame_end_s = self._free_s = 0.0
        self._awaited: _Answer | None = None  # so soon to come that nobody may talk
        self._answer: _Answer | None = None  # on the wire

    def turnaround_s(self, unit: int) -> float:
        """How long this unit takes before it answers."""
        return turnaround_of(self.units.get(unit)) if self._turnaround_s is None else self._turnaround_s

    def hear(self, data: bytes, port: SerialSettings) -> None:
        """Take bytes that the master, whose port is set so, begins to send now."""
        now_s = self._now()
        if self._frame and now_s > self._frame_end_s + self._port.gap_s:
            self._end_frame(self._frame_end_s)  # the timer that should have is as late as we are
        if not self._frame:
            self._frame_end_s, self._is_spoiled = now_s, False
        self._note_collision(now_s)
        self._frame, self._port = self._frame + data, port
        self._frame_end_s = end_s = max(now_s, self._frame_end_s) + len(data) * port.char_s
        self._deadlines.at(end_s + port.gap_s, lambda: self._end_frame(end_s))

    def _note_collision(self, now_s: float) -> None:
        over = self._answer or self._awaited
        if over is not None:
            self.collisions.append(Collision(now_s, "late answer" if over.sending.delay_s else "answer"))
            over.spoil()
            self._is_spoiled = True
        elif not self._frame and now_s < self._free_s + self.settings.gap_s:
            self.collisions.append(Collision(now_s, "quiet"))

    def _end_frame(self, end_s: float) -> None:
        if not self._frame or end_s != self._frame_end_s:
            return  # more has come
        frame, self._frame, port = self._frame, b"", self._port
        self._free_s = max(self._free_s, end_s)
        self.busy_s += len(frame) * port.char_s
        sending = None if self._is_spoiled else self._reply(frame, port)
        if sending is None or not sending.data:
            return
        due_s = end_s + max(self.turnaround_s(frame[0]), port.gap_s) + sending.delay_s
        answer = _Answer(sending, sending.data, end_s, due_s, port.char_s)
        if not sending.delay_s:
            self._awaited = answer
        self._deadlines.at(due_s, lambda: self._begin(answer))

    def _reply(self, frame: bytes, port: SerialSettings) -> Sending | None:
        unit, request = unframe(frame) or (0, b"")
        device = self.units.get(unit)
        understands = self.others.get(unit, self.settings).is_heard_at(port)
        if device is None or not understands:
            self.unheard += 1
            is_noisy = self.garbage and not understands
            return Sending(self._noise.randbytes(self._noise.randint(1, NOISE_CHARS))) if is_noisy else None
        self.requests += 1
        return reply(device, unit, request, framing=RTU, faults=self.faults)

    def _begin(self, answer: _Answer) -> None:
        """Let a device talk, or wait for who is talking: the answer of one that was late is never lost by itself."""
        if self._answer is not None:
            answer.due_s = self._answer.passed_s(len(self._answer.data)) + self.settings.gap_s
        elif self._frame and self._frame_end_s > answer.due_s:
            answer.due_s = self._frame_end_s
        else:
            self._answer, self._awaited = answer, None if self._awaited is answer else self._awaited
            self._pass_on(answer)
            return
        self._deadlines.at(answer.due_s, lambda: self._begin(answer))

    def _pass_on(self, answer: _Answer) -> None:
        """Give the master the characters that have passed, a few at a time."""
        chars = min(answer.sent + FIFO_CHARS, len(answer.data))
        self._deadlines.at(answer.passed_s(chars), lambda: self._pass_on_to(answer, chars))

    def _pass_on_to(self, answer: _Answer, chars: int) -> None:
        part, answer.sent = answer.data[answer.sent : chars], chars
        said_s = self._now()
        self._say(part)
        if chars < len(answer.data):
            self._pass_on(answer)
            return
        self._answer, self._free_s = None, said_s  # the master cannot know it earlier
        waited_s = 0.0 if answer.sending.delay_s else answer.due_s - answer.asked_s
        self.busy_s += waited_s + chars * answer.char_s
        if answer.sending.hangs_up:
            self._hang_up()
