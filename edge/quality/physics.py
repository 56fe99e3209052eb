"""Pure: judge one decoded value. Only physics fails a reading; a value that fails is kept and flagged, never changed.

===========================================  ====  ===============
what was read                                flag  test
===========================================  ====  ===============
a number within the profile's span           1     none
a number outside it                          4     ``SPAN``
the profile's sentinel, NaN or an infinity   9     ``SENTINEL``
no answer in time                            9     ``NO_ANSWER``
the device answered with an exception        9     ``REFUSED``
===========================================  ====  ===============
"""

from __future__ import annotations

import math

from edge.contract.readings import Flag, Reading, Test, Value


def flag(device: str, point: str, taken_at: int, value: Value, *, span: tuple[float, float] | None = None) -> Reading:
    """Return the judged reading of one decoded value.

    Args:
        device: id of the device.
        point: name of the point.
        taken_at: when the value was read, milliseconds UTC.
        value: in the point's unit; None where the register held the profile's "no value".
        span: lowest and highest value the sensor can physically measure, both included, in the point's unit.

    """
    if value is None or not math.isfinite(value):
        return Reading(device, point, taken_at, None, Flag.MISSING, Test.SENTINEL)
    if span is not None and not span[0] <= value <= span[1]:
        return Reading(device, point, taken_at, value, Flag.FAIL, Test.SPAN)
    return Reading(device, point, taken_at, value)


def flag_unread(device: str, point: str, taken_at: int, reason: Test) -> Reading:
    """Return the reading of a point that gave no value; ``reason`` is ``NO_ANSWER`` or ``REFUSED``."""
    return Reading(device, point, taken_at, None, Flag.MISSING, reason)
