"""What `edge scan` shows: where it is, what it found, what is wrong, and a piece of gateway.yaml. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

from edge.bus_load import seconds
from edge.contract.buses import Line
from edge.contract.profile import load_profile
from edge.scan.findings import findings_of
from edge.scan.report import Found, Report, Step
from edge.scan.sketch import sketch
from edge.scan.targets import settings_in_words

WIDTH = 100


def progress(step: Step) -> str:
    """Where the scan is, on one line."""
    place = settings_in_words(step.line) if step.line.is_serial else str(step.line)
    share = 100 * step.done // max(step.total, 1)
    found = f"{step.found} found" if step.found else "none found yet"
    return f"{share:3} %  {place}, unit {step.unit}  |  {found}  |  {_left(step.left_s)}"


def found_lines(found: Found) -> Iterator[str]:
    """A device as soon as it is known: what it is, what that rests on, and what else it may be."""
    yield found_line(found)
    for fit in found.fits[:1]:
        yield from _wrapped(f"{fit.confidence}: {'; '.join(fit.rests_on)}", "       ")
    others = [fit.profile for fit in found.fits[1:4]]
    if others:
        yield from _wrapped(f"as well possible: {', '.join(others)}: compare with the label", "       ")


def found_line(found: Found) -> str:
    """The same in short."""
    place = (
        f"unit {found.unit} at {settings_in_words(found.line)}"
        if found.line.is_serial
        else (f"{found.line} unit {found.unit}")
    )
    return f"found: {place}, answers in {seconds(max(found.took_s, 0.001))}: {_what(found)}"


def result(report: Report) -> Iterator[str]:
    """What it means, when it is over."""
    said = findings_of(report)
    if said:
        yield from ("", "what is to be seen to:") if report.found else ()
        for finding in said:
            yield from _wrapped(finding, "  ", "- ")
    lines = sketch(report)
    if lines:
        yield ""
        yield "for gateway.yaml:"
        yield ""
        yield from lines


def as_plain(report: Report) -> dict[str, Any]:
    """All of it for programs."""
    return {
        "is_whole": report.is_whole,
        "found": [_plain_found(found) for found in report.found],
        "findings": findings_of(report),
        "gateway_yaml": "".join(f"{line}\n" for line in sketch(report)),
        "asked": [{**_plain_line(line), "units": sorted(units)} for line, units in report.asked.items()],
        "heard": [
            {
                **_plain_line(reply.line),
                "unit": reply.unit,
                "kind": reply.kind,
                "from_unit": reply.from_unit,
                "text": reply.text,
            }
            for reply in report.replies
        ],
    }


def _plain_line(line: Line) -> dict[str, Any]:
    return {
        "place": str(line),
        "framing": line.framing,
        "baud": line.baud,
        "parity": line.parity if line.is_serial else None,
    }


def _plain_found(found: Found) -> dict[str, Any]:
    return {
        **_plain_line(found.line),
        "unit": found.unit,
        "took_s": round(found.took_s, 4),
        "profiles": [
            {"profile": fit.profile, "confidence": fit.confidence, "rests_on": list(fit.rests_on)} for fit in found.fits
        ],
    }


def _what(found: Found) -> str:
    if not found.fits:
        return "no profile fits"
    first, *others = found.fits
    profile = load_profile(first.profile)
    more = f" or {len(others)} other{'s' if len(others) > 1 else ''}" if others else ""
    return f"{profile.maker} {profile.model}: profile {first.profile}{more}"


def _left(left_s: float) -> str:
    if left_s < 100:
        return f"{max(1, round(left_s))} s left"
    return f"about {round(left_s / 60)} min left"


def _wrapped(text: str, indent: str, mark: str = "") -> Iterator[str]:
    yield from textwrap.wrap(
        text, WIDTH, initial_indent=indent + mark, subsequent_indent=indent + " " * len(mark), break_on_hyphens=False
    )
