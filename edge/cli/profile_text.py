"""What `edge profile` shows: what a profile comes to, and whether a live device is what it says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from edge.bus_load import seconds
from edge.bus_time import wire_of
from edge.cli.point_text import as_plain, number, table_of
from edge.contract.buses import Line
from edge.contract.messages import Flag, Test
from edge.contract.points import RegisterPoint
from edge.contract.profile import DeviceProfile, ModbusProfile, Signature
from edge.contract.registers import FLOATS
from edge.read_plan import plan_of
from edge.readout import PointReadout, Readout

USUAL_LINE: Final = Line("a line", 0, "rtu", 9600)
TINY: Final = 1e-6
NO_PROOF: Final = "no register tells this model from others: edge scan goes by what its values look like"


def summary(profile: DeviceProfile) -> Iterator[str]:
    """A profile in which nothing is wrong: what is read, how long it takes, and what is to be written yet."""
    yield f"{profile.profile}: {profile.maker} {profile.model}, {profile.kind}: nothing is wrong with it"
    if not isinstance(profile, ModbusProfile):
        yield f"  {len(profile.points)} points, read by {profile.protocol}"
        return
    yield from _requests(profile)
    yield from (f"  {line}" for line in _identity(profile))
    for name, setting in profile.settings.items():
        usual = "must be given" if setting.default is None else f"{setting.default} unless said"
        yield f"  setting {name}: {setting.en} ({setting.range[0]} to {setting.range[1]}, {usual})"
    yield f"  golden cases, worked out by hand, in tests/cases/profiles/{profile.profile}/:"
    yield from (f"    - {case}" for case in golden_cases(profile))


def plain_summary(profile: DeviceProfile) -> dict[str, Any]:
    """The same for programs."""
    plain: dict[str, Any] = {"profile": profile.profile, "kind": profile.kind, "points": len(profile.points)}
    if isinstance(profile, ModbusProfile):
        wire = wire_of(USUAL_LINE, profile.reads)
        blocks = plan_of(profile, wire)
        plain["requests"] = [
            {"table": each.table, "address": each.address, "count": each.count, "points": list(each.names)}
            for each in blocks
        ]
        plain["takes_s_at_9600"] = round(sum(wire.request_s(each.table, each.count) for each in blocks), 4)
        plain["golden_cases"] = golden_cases(profile)
    return plain


def golden_cases(profile: ModbusProfile) -> list[str]:
    """What cases prove a profile, by what its points have that can go wrong."""
    points = profile.points
    cases = ["a usual moment: every point with a value that can be checked"]
    signed = [each.name for each in points if _has_sign(each)]
    if signed:
        cases.append(f"negative numbers: {_some(signed)}")
    absent = [each.name for each in points if each.missing or each.scale_from]
    if absent:
        cases.append(f'"no value": {_some(absent)}')
    if profile.settings:
        cases.append(f"numbers of a site other than the usual: settings {', '.join(profile.settings)}")
    if scaled := [each.name for each in points if each.scale_from]:
        cases.append(f"another scale factor: {_some(scaled)}")
    if long := [each.name for each in points if each.counter and each.width == 64]:
        cases.append(f"counts above 2^53, to the last digit: {_some(long)}")
    return cases


def tried(readout: Readout, marks: Mapping[Signature, bool]) -> Iterator[str]:
    """A live device: the table, and what speaks for the profile and against it."""
    yield from table_of(readout.points)
    yield ""
    yield from remarks(readout, marks)


def remarks(readout: Readout, marks: Mapping[Signature, bool]) -> list[str]:
    """What a person should know of this reading."""
    if not readout.is_answered:
        return []
    said = [f"signature: {_mark(mark, is_right=is_right)}" for mark, is_right in marks.items()]
    profile = readout.device.device_profile
    if not marks and not (isinstance(profile, ModbusProfile) and profile.discovery):
        said.append(f"signature: none: {NO_PROOF}")
    good = [each for each in readout.points if each.reading.flag == Flag.PASS]
    said.append(f"{len(good)} of {len(readout.points)} points have a value within their span")
    for each in readout.points:
        if each.reading.tests & (Test.SPAN | Test.SENTINEL):
            said.append(f"{each.point.name}: {_value(each)}{each.reason}{_better_order(each)}")
        elif (hint := _better_order(each)) and not each.reason:
            said.append(f"{each.point.name}: {_value(each)}is hardly real{hint}")
    values = [each.reading.value for each in readout.points if each.reading.value is not None]
    if len(values) > 1 and not any(values):
        said.append("everything is 0: is anything connected to the device, and is it the right function (table)?")
    return said


def plain_try(readout: Readout, marks: Mapping[Signature, bool]) -> dict[str, Any]:
    """The same for programs."""
    return {
        **as_plain(readout),
        "signature": [
            {"text": mark.text, "is_proof": mark.is_proof, "is_right": is_right} for mark, is_right in marks.items()
        ],
        "remarks": remarks(readout, marks),
    }


def _requests(profile: ModbusProfile) -> Iterator[str]:
    wire = wire_of(USUAL_LINE, profile.reads)
    blocks = plan_of(profile, wire)
    needs_s = sum(wire.request_s(each.table, each.count) for each in blocks)
    requests = "1 request" if len(blocks) == 1 else f"{len(blocks)} requests"
    yield f"  {_points(len(profile.points))} in {requests}: {seconds(needs_s)} at 9600 baud"
    for each in blocks:
        yield f"    {each}: {', '.join(each.names)}"


def _identity(profile: ModbusProfile) -> Iterator[str]:
    if profile.discovery:
        yield f"found by its SunSpec model {' or '.join(map(str, profile.model_ids))}"
        return
    for mark in profile.signature:
        what = "tells this model from others" if mark.is_proof else "is a hint, not a proof"
        yield f"signature: {mark.text} ({mark.table} {mark.address:#06x}) {what}"
    if not any(mark.is_proof for mark in profile.signature):
        yield f"note: {NO_PROOF}"


def _mark(mark: Signature, *, is_right: bool) -> str:
    place = f"{mark.text} ({mark.table} {mark.address:#06x})"
    if is_right:
        return f"{place} is right"
    if mark.is_proof:
        return f"{place} is not that of this model, or cannot be read: it is another model"
    return f"{place} is not what this model usually has"


def _has_sign(point: RegisterPoint) -> bool:
    below = point.span is not None and point.span[0] < 0
    return below and (point.type.startswith(("int", "sign")) or point.type in FLOATS)


def _some(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _points(count: int) -> str:
    return "1 point" if count == 1 else f"{count} points"


def _value(each: PointReadout) -> str:
    text = number(each.point, each.reading.value)
    return f"{text} {each.point.quantity.unit} " if text else ""


def _better_order(each: PointReadout) -> str:
    """What the words would be in another order, where that is a value and this is none; a usual slip in profiles."""
    point, value = each.point, each.reading.value
    if not isinstance(point, RegisterPoint) or each.words is None or len(each.words) < 2 or point.scale_from:
        return ""
    is_odd = each.reading.flag != Flag.PASS or (value is not None and 0 < abs(value) < TINY)
    if not is_odd or point.span is None:
        return ""
    for word_order in ("high_first", "low_first"):
        for byte_order in ("high_first", "low_first"):
            turned = {**point.model_dump(), "word_order": word_order, "byte_order": byte_order}
            found = RegisterPoint.model_validate(turned).decode(each.words)
            if found is not None and abs(found) >= TINY and point.span[0] <= found <= point.span[1]:
                new = {"word_order": word_order, "byte_order": byte_order}
                orders = " and ".join(
                    f"{name}: {order}" for name, order in new.items() if getattr(point, name) != order
                )
                return f"; with {orders} it would be {found:.5g} {point.quantity.unit}"
    return ""
