"""How long one request takes on a line. Pure.

On a serial line (baud known), in characters of ``bits_per_char`` bits, a request takes

    quiet before it + 8 characters + the device's turnaround + 5 characters + the values

A request has unit, function, address (2), count (2) and CRC (2); an answer unit, function, byte count, CRC (2), and two
characters for each register, or one for every eight bits begun. Quiet before it are 3.5 characters, above 19200 baud
1.75 ms (Modbus over Serial Line V1.02, section 2.5.1.1), or the pause that the device needs, where that is longer.

A device with a network of its own (no baud) takes one round trip, however much it is asked for.

Times are whole nanoseconds inside, so that plans of equal time are seen to be equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

from edge.contract.buses import Line
from edge.contract.profile import BIT_TABLES, Reads, Table

REQUEST_CHARS: Final = 8
ANSWER_CHARS: Final = 5  # without the values
TURNAROUND_S: Final = 0.005
GAP_CHARS: Final = 3.5
FAST_BAUD: Final = 19_200  # above it the gap is fixed
FAST_GAP_S: Final = 0.00175
CONVERTER_S: Final = 0.002  # what a serial converter on the network adds to a request, there and back


@dataclass(frozen=True)
class Wire:
    """A line as a device sees it.

    ``baud`` is None for a network of its own; ``bits_per_char`` counts start, eight data, parity and stop bits: 10 for
    8N1, 11 for 8E1 and 8N2. ``turnaround_s`` is the time from the end of a request to the beginning of its answer (on a
    network the whole round trip), ``pause_s`` the quiet that the device needs before a request, and ``network_s`` what
    a network between the gateway and the line adds to each request.
    """

    baud: int | None
    bits_per_char: int = 10
    turnaround_s: float = TURNAROUND_S
    pause_s: float = 0.0
    network_s: float = 0.0

    @property
    def char_s(self) -> float:
        """The time of one character; 0 on a network."""
        return self._char_ns / 1e9

    @property
    def quiet_s(self) -> float:
        """The least quiet before a request."""
        return self._quiet_ns / 1e9

    def request_s(self, table: Table, count: int) -> float:
        """The time that one request for ``count`` registers or bits takes, with the quiet before it."""
        return self.request_ns(table, count) / 1e9

    def request_ns(self, table: Table, count: int) -> int:
        """The same in whole nanoseconds; it never falls when ``count`` grows."""
        values = (count + 7) // 8 if table in BIT_TABLES else 2 * count
        return self._fixed_ns + values * self._char_ns

    @cached_property
    def _char_ns(self) -> int:
        return 0 if self.baud is None else round(1e9 * self.bits_per_char / self.baud)

    @cached_property
    def _quiet_ns(self) -> int:
        gap_ns = GAP_CHARS * self._char_ns if self.baud is None or self.baud <= FAST_BAUD else FAST_GAP_S * 1e9
        return max(round(gap_ns), round(self.pause_s * 1e9))

    @cached_property
    def _fixed_ns(self) -> int:
        waiting = round((self.turnaround_s + self.network_s) * 1e9)
        return self._quiet_ns + waiting + (REQUEST_CHARS + ANSWER_CHARS) * self._char_ns


NETWORK: Final = Wire(baud=None)
"""A device with a network of its own: the fewest requests take the least time."""


def wire_of(line: Line, reads: Reads) -> Wire:
    """Return a configured line as a device with these reads sees it.

    On a serial line no device answers before it has seen the gap after the request.
    """
    turnaround_s = max(reads.turnaround_ms / 1000, Wire(line.baud, line.bits_per_char).quiet_s)
    return Wire(
        line.baud,
        line.bits_per_char,
        turnaround_s=turnaround_s,
        pause_s=reads.pause_ms / 1000,
        network_s=0.0 if line.baud is None or line.is_serial else CONVERTER_S,
    )
