"""What a scan heard. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from edge.contract.buses import Line
from edge.scan.fit import Fit

Kind = Literal["answer", "silent", "damaged", "foreign", "echo", "no unit", "closed"]
"""What came back.

answer   the unit is there: it gave a value, or refused with an exception
silent   nothing within the time
damaged  bytes that make no frame: other settings, a bad cable, or two that talk at once
foreign  a whole frame of another unit
echo     the request itself
no unit  a converter says that the unit does not answer
closed   the line cannot be opened, or was closed: nothing can be asked
"""


class Reply(NamedTuple):
    """What one question brought; ``from_unit`` is who answered, where anybody did."""

    line: Line
    unit: int
    kind: Kind
    took_s: float = 0.0
    from_unit: int | None = None
    text: str = ""


class Found(NamedTuple):
    """A device that answers; ``fits`` are the profiles it may be, the best first."""

    line: Line
    unit: int
    took_s: float
    fits: tuple[Fit, ...]


class Step(NamedTuple):
    """Where a scan is."""

    line: Line
    unit: int
    done: int
    total: int
    left_s: float
    found: int


@dataclass
class Report:
    """All that a scan heard; ``ignores_unit``: where one device answers to every unit number."""

    found: list[Found] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    asked: dict[Line, set[int]] = field(default_factory=dict)
    ignores_unit: set[Line] = field(default_factory=set)
    is_whole: bool = False

    def note(self, reply: Reply) -> None:
        """Keep what tells something; that nothing came is seen from what was asked."""
        self.asked.setdefault(reply.line, set()).add(reply.unit)
        if reply.kind != "silent":
            self.replies.append(reply)

    def is_found(self, line: Line, unit: int) -> bool:
        """Whether this unit has answered with these settings."""
        return any((each.line, each.unit) == (line, unit) for each in self.found)

    def at(self, line: Line) -> list[Found]:
        """The devices that answer there."""
        return [each for each in self.found if each.line == line]

    def keep_first(self, line: Line) -> None:
        """Note that what answers there to every number is one device."""
        first = self.at(line)[0]
        self.found = [each for each in self.found if each.line != line or each is first]
        self.ignores_unit.add(line)

    def has_heard(self, line: Line) -> bool:
        """Whether anything at all came with these settings."""
        return any(reply.line == line and reply.kind != "closed" for reply in self.replies)
