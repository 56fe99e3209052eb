"""What a scan means, in the words of whoever stands at the terminals. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from edge.contract.buses import Line, Parity
from edge.scan.report import Found, Reply, Report
from edge.scan.targets import BAUDS, settings_in_words

SLOW_S = 0.3
MOST_SAID = 5
LIKELY: Final[tuple[Parity, ...]] = ("even", "odd", "none")
NOTHING_ON_A_LINE = (
    "nothing answered. Look at, in this order: do the devices have power; are the two wires A and B swapped (swapping "
    "them harms nothing); does each device have a unit number of its own, and does its menu show another baud rate or "
    "parity than those tried; are there terminators of 120 ohm at both ends and nowhere between; is the converter set "
    "to RS-485 (not RS-232 or RS-422), and is it this port"
)
NOTHING_ON_A_NETWORK = (
    "nothing answered. Look at: do the devices have power and a link light; are they in this network (address and mask "
    "as on their display); is Modbus TCP switched on in their menu, and on which port"
)


def findings_of(report: Report) -> list[str]:
    """Everything worth saying, the most important first; no two the same."""
    lines = list(report.asked)
    if not lines:
        return []
    said = [*_closed(report), *_echoes(report)]
    if lines[0].is_serial:
        said += [*_mixed_settings(report.found), *_damaged(report), *_foreign(report), *_slow(report.found)]
    else:
        said += [*_network(report), *_damaged(report)]
    said += _unknown(report.found)
    if not report.found and not any(
        reply.kind in ("damaged", "foreign", "echo", "no unit") for reply in report.replies
    ):
        is_shut = len(_closed_lines(report)) == len(lines)
        if not is_shut or (not lines[0].is_serial and len(lines) > 1):
            said.append(NOTHING_ON_A_LINE + _left_to_try(lines) if lines[0].is_serial else NOTHING_ON_A_NETWORK)
    return list(dict.fromkeys(said))


def _left_to_try(asked: Sequence[Line]) -> str:
    tried = {line.baud for line in asked}
    rest = [str(baud) for baud in BAUDS if baud not in tried]
    return f". Baud rates that were not tried: {', '.join(rest)}" if rest else ""


def main_line(found: Sequence[Found]) -> Line | None:
    """The settings that most devices have: the ones to keep."""
    counted = Counter(each.line for each in found)
    return max(counted, key=lambda line: counted[line]) if counted else None


def _closed_lines(report: Report) -> set[Line]:
    return {reply.line for reply in report.replies if reply.kind == "closed"}


def _closed(report: Report) -> Iterator[str]:
    """A port that cannot be opened; addresses of a network where nobody is are not worth a word each."""
    closed = [reply for reply in report.replies if reply.kind == "closed"]
    if not closed or (len(report.asked) > 1 and not closed[0].line.is_serial):
        return
    could_not = len(_closed_lines(report))
    if could_not == len(report.asked):
        yield f"{closed[0].line}: {closed[0].text}"
    else:
        yield f"{could_not} of {len(report.asked)} settings could not be tried: {closed[0].text}"


def _echoes(report: Report) -> Iterator[str]:
    if any(reply.kind == "echo" for reply in report.replies):
        yield (
            "every request comes back as its own answer: the converter echoes. Switch the echo off (a jumper or a "
            "setting), or it is a two-wire connection on a converter set to four wires"
        )


def _mixed_settings(found: Sequence[Found]) -> Iterator[str]:
    """Devices of one line that are set otherwise than the most: they can never be read together."""
    main = main_line(found)
    for each in found:
        if main is not None and each.line != main:
            differs = _difference(each.line, main)
            others = {other.line for other in found if other is not each}
            who = "the others" if others == {main} else "most others"
            yield (
                f"unit {each.unit} answers at {settings_in_words(each.line)}, {who} at "
                f"{settings_in_words(main)}: set {differs} at the device, all devices of one line must be set alike"
            )
    units = Counter(each.unit for each in found)
    for unit in (unit for unit, count in units.items() if count > 1):
        yield f"there are two devices of unit {unit}, with different settings: give one of them another unit number"


def _difference(line: Line, main: Line) -> str:
    """What to change at a device."""
    changes = [f"its baud rate to {main.baud}"] if line.baud != main.baud else []
    changes += [f"its parity to {main.parity}"] if line.parity != main.parity else []
    return " and ".join(changes)


def _damaged(report: Report) -> Iterator[str]:
    """Answers that came damaged: by units that answer with no other setting, and by those that share their number."""
    damaged: dict[int, list[Line]] = {}
    for reply in report.replies:
        if reply.kind == "damaged" and reply.line not in damaged.setdefault(reply.unit, []):
            damaged[reply.unit].append(reply.line)
    main = main_line(report.found)
    never: dict[int | None, list[int]] = {}
    for unit, lines in sorted(damaged.items()):
        right = [each.line for each in report.found if each.unit == unit]
        if right:
            yield from _half_right(unit, lines, right[0], main)
        elif shared := [line for line in lines if line in {each.line for each in report.found}]:
            yield _shared(unit, shared[0], list(report.asked))
        else:
            never.setdefault(lines[0].baud, []).append(unit)
    if lines := list(report.asked):
        yield from (_never_right(units, baud, lines) for baud, units in never.items())


def _half_right(unit: int, lines: Sequence[Line], right: Line, main: Line | None) -> Iterator[str]:
    """A unit that is found, and what it says with other settings, where it is not set as the others."""
    if right in lines:
        yield (
            f"unit {unit}: some of its answers at {settings_in_words(right)} come damaged: look at the shield, the "
            "terminators at both ends, and for loose terminals"
        )
    near = [line for line in lines if line.baud == right.baud and line != right]
    if near and right.is_serial and right != main:
        yield (
            f"unit {unit} answers at {right.baud} baud but with parity errors when the port has "
            f"{_or([_parity(line.parity) for line in near])}: it is set to {_parity(right.parity)}"
        )


def _never_right(units: Sequence[int], baud: int | None, asked: Sequence[Line]) -> str:
    """What units are that never gave a right answer; where settings are wrong, their numbers are not sure either."""
    who = f"unit {units[0]} answers" if len(units) == 1 else f"units {_and(units)} answer"
    if not asked[0].is_serial:
        return f"{who}, but not as Modbus should: is it this port, and is it Modbus at all?"
    if untried := _untried(baud, asked):
        return f"{who} at {baud} baud but with parity errors: try {untried}"
    return (
        f"{who} at {baud} baud, but damaged, whatever the parity: either two devices share a unit number, or the cable "
        "is bad: look at A and B, the shield, and terminators of 120 ohm at both ends"
    )


def _shared(unit: int, line: Line, asked: Sequence[Line]) -> str:
    untried = _untried(line.baud, asked) if line.is_serial else ""
    return (
        f"two devices seem to share unit {unit}: its answers at {settings_in_words(line)} are garbled, while those of "
        "others are not. Switch one of them off, scan again, and give it another unit number"
        + (f"; or it has another parity: try {untried}" if untried else "")
    )


def _untried(baud: int | None, asked: Sequence[Line]) -> str:
    """The parities that nobody asked for at a baud rate, in words."""
    tried = {line.parity for line in asked if line.baud == baud}
    return _or([_parity(parity) for parity in LIKELY if parity not in tried])


def _and(units: Sequence[int]) -> str:
    shown = list(map(str, units[:MOST_SAID]))
    if len(units) > MOST_SAID:
        return f"{', '.join(shown)} and {len(units) - MOST_SAID} more"
    return f"{', '.join(shown[:-1])} and {shown[-1]}"


def _parity(parity: Parity) -> str:
    return "no parity" if parity == "none" else f"{parity} parity"


def _or(words: Sequence[str]) -> str:
    return " or ".join(dict.fromkeys(words))


def _foreign(report: Report) -> Iterator[str]:
    """Answers of a unit that was not asked, nor so lately that it was only late."""
    for before, reply in pairwise([None, *report.replies]):
        if reply is None or reply.kind != "foreign" or reply.from_unit is None:
            continue
        if report.is_found(reply.line, reply.from_unit):
            continue
        again = isinstance(before, Reply) and before.kind == "foreign"
        if not again:
            yield (
                f"unit {reply.unit} was asked, but an answer came from unit {reply.from_unit}: somebody else asks on "
                "this line too (another gateway or a display: there may be one master only), or that device answers "
                "to numbers that are not its own"
            )


def _slow(found: Sequence[Found]) -> Iterator[str]:
    for each in found:
        if each.took_s >= SLOW_S:
            yield f"unit {each.unit} takes {each.took_s * 1000:.0f} ms before it answers: that is slow, but can be read"


def _network(report: Report) -> Iterator[str]:
    for line in report.asked:
        if line in report.ignores_unit:
            yield f"{line} answers to every unit number: it is one device, the first number does"
        no_unit = [reply.unit for reply in report.replies if reply.line == line and reply.kind == "no unit"]
        if no_unit and len(no_unit) == len(report.asked[line]):
            yield (
                f"{line} is a converter, but none of the units asked for answers behind it: look at the wires behind "
                "it, and whether its baud rate and parity are those of the devices"
            )
        if line.framing == "tcp_without_ids" and report.has_heard(line):
            yield f"{line} never gives transaction ids back: its bus needs framing: tcp_without_ids"


def _unknown(found: Sequence[Found]) -> Iterator[str]:
    for each in found:
        if not each.fits:
            place = f"unit {each.unit}" if each.line.is_serial else f"{each.line} unit {each.unit}"
            yield (
                f"{place} answers, but no profile fits: it may be another model, or set up otherwise than "
                "delivered. docs/writing-profiles.md tells how to write one for it"
            )
