"""What a judge of a level has learned, said for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

from edge.contract.limits import LearnedLimit
from edge.contract.quality_config import QualityChoice, Source, TestChoice
from edge.contract.readings import LATEST, Test
from edge.quality.level_drift import FACTOR, LAGS, Drift
from edge.quality.level_pace import Pace
from edge.quality.level_still import Attenuation, Still
from edge.quality.level_surprise import Surprises


class Known(NamedTuple):
    """The parts of a judge that know limits."""

    digit: float
    pace: Pace
    surprises: Surprises
    still: Still
    dither: Still
    attenuation: Attenuation
    drift: Drift
    time: tuple[int, int]
    is_young: bool


def limits_of(known: Known, choice: QualityChoice, *, has_span: bool, creep_floor: float) -> Sequence[LearnedLimit]:
    """One limit for each test that is on."""
    found = [*_jumps(known, choice), *_stillness(known, choice), *_creep(known, choice, creep_floor)]
    if not has_span and known.drift.is_learned(known.time[1]):
        note = "Levels without their season; only a jump far beyond is flagged."
        found.append(_limit(known, Test.SPAN, None, low=known.drift.low, high=known.drift.high, note=note))
    if not choice.is_off("gap"):
        pace = known.pace
        late_ms = pace.late_after_ms or 1.5 * max(pace.wide_ms, pace.interval_ms)
        found.append(_limit(known, Test.GAP, choice.gap, high=late_ms / 1000, unit="s"))
    return found


def _limit(known: Known, test: Test, said: TestChoice | None, **what: Any) -> LearnedLimit:
    source: Source | Literal["learned"] = ("default" if known.is_young else "learned") if said is None else said.source
    since, until = (min(max(at, 946_684_800_000), LATEST) for at in known.time)
    return LearnedLimit(test=test, source=source, since=since, until=until, samples=known.surprises.count, **what)


def _jumps(known: Known, choice: QualityChoice) -> Iterator[LearnedLimit]:
    surprise = known.surprises.limit(known.time[1], known.digit, 1.0)
    widest = None if surprise == float("inf") else surprise
    note = f"From the forecast of the sensor's own past and season; digit {known.digit:.4g}."
    if not choice.is_off("spike"):
        height = getattr(choice.spike, "least", None)
        yield _limit(known, Test.SPIKE, choice.spike if height else None, high=height or widest, note=note)
    if not choice.is_off("step"):
        height = getattr(choice.step, "least", None)
        bound = f"{note[:-1]}; the new level is normal after 2 to 6 samples."
        yield _limit(known, Test.STEP, choice.step if height else None, high=height or widest, note=bound)
    per_min = getattr(choice.rate, "per_min", None)
    if per_min and not choice.is_off("rate"):
        yield _limit(known, Test.RATE, choice.rate, high=per_min, unit="per min")


def _stillness(known: Known, choice: QualityChoice) -> Iterator[LearnedLimit]:
    if not choice.is_off("flat"):
        after_s = getattr(choice.flat, "after_s", None)
        for still, what in ((known.still, "on one value"), (known.dither, f"within {known.digit:.4g} or so")):
            limit_ms = still.limit_ms(known.pace.interval_ms, is_young=known.is_young)
            note = f"Longest {what}: {still.longest_ms / 3_600_000:.1f} h."
            said = choice.flat if after_s else None
            yield _limit(known, Test.FLAT, said, high=after_s or limit_ms / 1000, unit="s", note=note)
    if not choice.is_off("attenuated") and known.attenuation.windows > 0:
        hours = 8 * known.attenuation.block_ms / 3_600_000
        note = f"A tenth of the least that it moved in {hours:g} h."
        yield _limit(known, Test.ATTENUATED, None, low=known.attenuation.least / 10, note=note)


def _creep(known: Known, choice: QualityChoice, floor: float) -> Iterator[LearnedLimit]:
    if choice.is_off("drift"):
        return
    least = getattr(choice.drift, "least", None)
    furthest = known.drift.most[1]
    note = f"Even creep over {LAGS[1] // 8} days; it was {furthest:.4g} at most."
    said = choice.drift if least else None
    yield _limit(known, Test.DRIFT, said, high=least or FACTOR * max(furthest, floor) or None, note=note)
