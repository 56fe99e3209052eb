"""What `edge watch` shows: a table that fits a terminal, or a line for each change, and the summary."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from edge.bus_load import seconds
from edge.cli.point_text import as_plain, number
from edge.contract.messages import Flag, Value
from edge.contract.points import Point
from edge.readout import DeviceReader, PointReadout
from edge.watch import Look, Tally

NO_VALUE: Final = "-"
BOLD, RED, PLAIN = "\x1b[1m", "\x1b[31m", "\x1b[0m"


class Screen:
    """The latest of every device, as lines for a terminal of any size."""

    def __init__(self, readers: Sequence[DeviceReader], tallies: Mapping[str, Tally]) -> None:
        self._readers, self._tallies = readers, tallies
        self._points: dict[str, dict[str, tuple[PointReadout, str]]] = {reader.device.id: {} for reader in readers}
        self._heads: dict[str, str] = {}

    def note(self, look: Look) -> None:
        """Take a poll."""
        device = look.readout.device.id
        for each in look.readout.points:
            self._points[device][each.point.name] = each, _change(each, look.before)
        took = f"read {_clock(look)} in {seconds(look.readout.took_s)}"
        self._heads[device] = took if look.readout.is_answered else f"asked {_clock(look)}"

    def lines(self, *, width: int, height: int) -> list[str]:
        """What fits; a terminal that is too small says so in its last line."""
        lines = [line for reader in self._readers for line in self._device(reader, width)]
        if len(lines) > height:
            hidden = len(lines) - height + 1
            lines = [*lines[: height - 1], f"... {hidden} more lines: make the window higher, or name fewer devices"]
        return lines

    def _device(self, reader: DeviceReader, width: int) -> Iterator[str]:
        device, tally = reader.device, self._tallies[reader.device.id]
        points = self._points[device.id]
        head = f"{device.id}: {device.device_profile.profile} at {reader.place}, "
        head += self._heads.get(device.id, "not read yet")
        yield f"{BOLD}{_cut(head, width)}{PLAIN}"
        reasons = {each.reason for each, _ in points.values()}
        if points and all(each.reading.flag == Flag.MISSING for each, _ in points.values()) and len(reasons) == 1:
            said = textwrap.wrap(reasons.pop().removeprefix(f"{device.id}: "), width - 2)
            yield from (f"  {RED}{line}{PLAIN}" for line in said)
        else:
            values = {name: _short(each.point, each.reading.value) or NO_VALUE for name, (each, _) in points.items()}
            wide = max(map(len, values), default=0), max(map(len, values.values()), default=0)
            for name, (each, change) in points.items():
                row = f"  {name:{wide[0]}}  {values[name]:>{wide[1]}} {_unit(each.point):5}"
                yield (
                    f"{RED}{_cut(f'{row}  {each.reason}', width)}{PLAIN}"
                    if each.reason
                    else (f"{_cut(f'{row}  {change}', width)}")
                )
        yield _cut(f"  {_counted(tally)}", width)
        yield ""


def appended(look: Look) -> Iterator[str]:
    """A poll as lines of a log: what changed, at first everything, and what is missing with the reason."""
    device = look.readout.device.id
    stamp = f"{_clock(look)} {device}"
    if not look.readout.is_answered:
        yield from (f"{stamp}: {fault.removeprefix(f'{device}: ')}" for fault in look.readout.faults)
        return
    shown = [each for each in look.readout.points if each.reason or each.point.name in look.first.union(look.before)]
    for each in shown:
        point, value = each.point, each.reading.value
        text = NO_VALUE if value is None else f"{_short(point, value)} {_unit(point)}".rstrip()
        remark = each.reason or _change(each, look.before)
        yield f"{stamp} {point.name}: {text}{f'  {remark}' if remark else ''}"
    if not shown:
        yield f"{stamp}: nothing has changed"


def plain_look(look: Look) -> dict[str, Any]:
    """A poll for programs, with the names of what changed."""
    return {**as_plain(look.readout), "changed": list(look.before)}


def summary(tallies: Mapping[str, Tally]) -> Iterator[str]:
    """What became of it all, for each device, with each reason once."""
    width = max(map(len, tallies), default=0)
    for device, tally in tallies.items():
        yield f"{device:{width}}  {_counted(tally)}"
        for reason, times in sorted(tally.reasons.items(), key=lambda each: -each[1]):
            yield f"{'':{width}}  {_times(times)}: {reason.removeprefix(f'{device}: ')}"


def plain_summary(tallies: Mapping[str, Tally]) -> dict[str, Any]:
    """The same for programs."""
    return {
        "summary": [
            {
                "device": device,
                "polls": tally.polls,
                "answers": tally.answers,
                "misses": tally.misses,
                "slowest_s": round(tally.slowest_s, 4) if tally.answers else None,
                "reasons": tally.reasons,
            }
            for device, tally in tallies.items()
        ]
    }


def _counted(tally: Tally) -> str:
    answers = "1 answer" if tally.answers == 1 else f"{tally.answers} answers"
    misses = "none missed" if not tally.misses else f"{tally.misses} missed"
    return f"{answers}, {misses}" + (f", slowest {seconds(tally.slowest_s)}" if tally.answers else "")


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _change(each: PointReadout, before: Mapping[str, Value]) -> str:
    """How a value differs from the one before: ``+0.3``; empty where it does not."""
    if each.point.name not in before:
        return ""
    old, new = before[each.point.name], each.reading.value
    if old is None or new is None:
        return "is there again" if old is None else f"was {_short(each.point, old)}"
    return _difference(each.point, new - old)


def _short(point: Point, value: Value) -> str:
    """A value with no more digits than can be read while it changes."""
    return number(point, value) if value is None or point.counter else f"{value:.5g}"


def _unit(point: Point) -> str:
    return "" if point.quantity.unit == "1" else point.quantity.unit


def _difference(point: Point, change: float) -> str:
    return f"{change:+,}" if point.counter else f"{change:+.3g}"


def _clock(look: Look) -> str:
    at_ms = max(each.reading.taken_at for each in look.readout.points)
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC).astimezone():%H:%M:%S}"


def _cut(line: str, width: int) -> str:
    line = line.rstrip()
    return line if len(line) <= width else f"{line[: width - 1]}…"


def joined(lines: Iterable[str]) -> str:
    """A screen: each line ends with what clears the rest of it, the last with what clears the rest of the screen."""
    return "\x1b[H" + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J"
