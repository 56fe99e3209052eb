"""What a gateway has learned of a sensor, so that people can see why a reading was flagged."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from edge.contract.readings import TimeMs


class LearnedLimit(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One limit of one point, in the unit of its quantity.

    ``low`` and ``high``: between them nothing is flagged by this test; None where there is none on that side.
    """

    test: Annotated[int, Meta(ge=1, lt=2**31)]  # the one test that it belongs to
    low: float | None = None
    high: float | None = None
    unit: Annotated[str, Meta(max_length=32)] = ""  # of low and high where it is not the quantity's: mm/min, s
    source: Literal["learned", "profile", "site", "default"] = "learned"
    since: TimeMs | None = None  # learned from readings of this time on
    until: TimeMs | None = None
    samples: Annotated[int, Meta(ge=0)] = 0
    note: Annotated[str, Meta(max_length=200)] = ""  # one sentence: how it was found
