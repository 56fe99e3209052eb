"""Series to judge: clean recordings, and recorded street floods between simulated dry hours.

Clean means what the README of the recordings says: NEON and Honolulu as they are; of the Logan River gauges the
corrected column where raw minus corrected follows its slowly varying offset. What is not clean there is a sample
without a value. Of street sensors nobody has recorded a dry road: it is made up, see :func:`street_series`.
"""

from __future__ import annotations

import csv
import gzip
import itertools
import json
import random
import statistics
from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

LEARN = 0.2  # of each series: nothing is injected there, and nothing scored
DAY_MS = 86_400_000
MM_PER_INCH = 25.4

LOGAN = ("MainStreet2019", "TonyGrove2014")
NEON = "neon_prin_level_5min_first_half.csv.gz"
HONOLULU = "hnl2010_tide_hourly.csv.gz"
FLOODS = "floodnet_events_half.csv.gz"
HOMES = "sgsc_5_households_halfhourly.csv.gz"
NAPLES = "weusedto_one_person_hourly_2019.csv.gz"
FILES = (*(f"lro_stage_{name}.csv.gz" for name in LOGAN), NEON, HONOLULU, FLOODS, HOMES, NAPLES)

OFFSET_WINDOW, OFFSET_CM = 193, 0.5  # two days; a point off by more was moved by hand
REMOVED = -9999.0
# Litres a second of taps and shower, litres a flush: usual figures, so that the flat in Naples has a water meter.
LITRES = {
    "washbasin_seconds": 0.1,
    "shower_seconds": 0.15,
    "kitchen_seconds": 0.1,
    "bidet_seconds": 0.1,
    "washing_machine_seconds": 0.1,
    "toilet_flushes": 8.0,
}

STREET_SERIES, FLOODS_IN_EACH = 8, 14
DRY_MINUTES = (120, 720)  # between two floods
NOISE_MM = 2.0  # standard deviation that makers state
START_MS = 1_767_225_600_000  # 2026-01-01


class Series(NamedTuple):
    """Values of one point in the order in which they were taken; None: due, and no value came."""

    name: str
    kind: str  # level, street, meter or water: water is judged as a meter and shown apart
    times: list[int]  # milliseconds UTC, rising
    values: list[float | None]

    @property
    def learn(self) -> int:
        """The index of the first sample that is scored."""
        return int(LEARN * len(self.times))

    @property
    def interval_ms(self) -> int:
        """The usual time between samples."""
        return int(statistics.median(later - one for one, later in itertools.pairwise(self.times)))


def rows_of(path: Path) -> Iterator[dict[str, str]]:
    """The rows of a gzip-compressed CSV with a header."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def to_ms(text: str) -> int:
    """Milliseconds of an ISO 8601 time, UTC where it names no zone."""
    at = datetime.fromisoformat(text)
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def level_series(folder: Path) -> list[Series]:
    """Five gauges: two of the Logan River (cm), two at Pringle Creek (m), one tide (mm)."""
    found = [logan(folder, name) for name in LOGAN]
    neon = list(rows_of(folder / NEON))
    times = [to_ms(row["timestamp"]) for row in neon]
    found += [
        Series(f"Pringle-{side}", "level", times, [_number(row[f"{side}_level_m"]) for row in neon])
        for side in ("downstream", "upstream")
    ]
    tide = list(rows_of(folder / HONOLULU))
    found.append(
        Series(
            "Honolulu",
            "level",
            [to_ms(row["timestamp"]) for row in tide],
            [_number(row["level_mm"]) for row in tide],
        )
    )
    return found


def logan(folder: Path, name: str) -> Series:
    """The clean points of one gauge of the Logan River."""
    rows = list(rows_of(folder / f"lro_stage_{name}.csv.gz"))
    wrong = real_faults(rows)
    values = [
        None if is_wrong else _number(row["stage_corrected_cm"]) for row, is_wrong in zip(rows, wrong, strict=True)
    ]
    return Series(name, "level", [to_ms(row["timestamp"]) for row in rows], values)


def logan_raw(folder: Path, name: str) -> tuple[Series, list[bool]]:
    """The same gauge as it was measured, and which of its points the technicians removed or moved."""
    rows = list(rows_of(folder / f"lro_stage_{name}.csv.gz"))
    raw = Series(
        name, "level", [to_ms(row["timestamp"]) for row in rows], [_number(row["stage_raw_cm"]) for row in rows]
    )
    return raw, real_faults(rows)


def real_faults(rows: Sequence[dict[str, str]]) -> list[bool]:
    """Which points of a Logan River file were removed, or moved against their neighbours."""
    offsets: list[float | None] = []
    for row in rows:
        raw, corrected = _number(row["stage_raw_cm"]), _number(row["stage_corrected_cm"])
        offsets.append(None if raw is None or corrected in {None, REMOVED} else raw - (corrected or 0.0))
    usual = running_median(offsets, OFFSET_WINDOW)
    return [offset is None or abs(offset - middle) > OFFSET_CM for offset, middle in zip(offsets, usual, strict=True)]


def running_median(values: Sequence[float | None], window: int) -> list[float]:
    """The median of the window around each value; of those that are there."""
    half, inside, found = window // 2, list[float](), list[float]()
    for at in range(-half, len(values)):
        if at + half < len(values) and (new := values[at + half]) is not None:
            insort(inside, new)
        if at - half - 1 >= 0 and (old := values[at - half - 1]) is not None:
            del inside[bisect_left(inside, old)]
        if at >= 0:
            found.append(inside[len(inside) // 2] if inside else 0.0)
    return found


def meter_series(folder: Path) -> list[Series]:
    """Five homes, kWh in each half hour."""
    found = []
    for home, rows in itertools.groupby(rows_of(folder / HOMES), key=lambda row: row["household"]):
        taken = [(to_ms(row["timestamp"]), _number(row["kwh"])) for row in rows]
        found.append(Series(home, "meter", [at for at, _ in taken], [kwh for _, kwh in taken]))
    return found


def water_series(folder: Path) -> list[Series]:
    """One flat, litres in each hour, as a meter of whole litres shows them."""
    times, values, shown, total = list[int](), list[float | None](), 0, 0.0
    for row in rows_of(folder / NAPLES):
        total += sum(float(row[name]) * litres for name, litres in LITRES.items())
        times.append(to_ms(row["hour_utc"]))
        values.append(float(int(total) - shown))
        shown = int(total)
    return [Series("Naples", "water", times, values)]


class Flood(NamedTuple):
    """One recorded street flood: seconds from its beginning, mm."""

    sensor: str
    seconds: list[int]
    depths_mm: list[float]


def read_floods(folder: Path) -> list[Flood]:
    """Every recorded flood, in the order of the file."""
    return [
        Flood(
            row["sensor_id"],
            json.loads(row["flood_profile_time_secs"]),
            [inches * MM_PER_INCH for inches in json.loads(row["flood_profile_depth_inches"])],
        )
        for row in rows_of(folder / FLOODS)
    ]


class Street(NamedTuple):
    """A series of a street sensor, and where in it the recorded floods are: first and last index of each."""

    series: Series
    floods: list[tuple[int, int]]


def street_series(floods: Sequence[Flood], seed: int) -> list[Street]:
    """Some recorded floods on each of eight roads, with dry hours between."""
    rng = random.Random(f"street {seed}")
    chosen = rng.sample(list(floods), min(len(floods), STREET_SERIES * FLOODS_IN_EACH))
    count = max(1, len(chosen) // FLOODS_IN_EACH)
    return [embed(f"road-{number + 1}", chosen[number::count], rng, is_cut=number % 2 == 1) for number in range(count)]


def embed(
    name: str,
    floods: Sequence[Flood],
    rng: random.Random,
    *,
    is_cut: bool,
    dry_minutes: tuple[int, int] = DRY_MINUTES,
) -> Street:
    """Put recorded floods between dry hours, a sample a minute, with the noise that makers state.

    Half of the sensors show the noise of a dry road in whole mm, half (``is_cut``) show 0 below 10 mm, as those of
    FloodNet do. What was recorded of a flood is left as it was.
    """
    times, values, places = list[int](), list[float | None](), list[tuple[int, int]]()
    at = START_MS
    for flood in [*floods, None]:
        for _ in range(rng.randint(*dry_minutes) * (4 if not times else 1)):
            noise = rng.gauss(0, NOISE_MM)
            times.append(at)
            values.append(0.0 if is_cut and noise < 10 else float(round(noise)))
            at += 60_000
        if flood is not None:
            places.append((len(times), len(times) + len(flood.seconds) - 1))
            times += [at + 1000 * (second - flood.seconds[0]) for second in flood.seconds]
            values += flood.depths_mm
            at = times[-1] + 60_000
    return Street(Series(name, "street", times, values), places)


def _number(text: str) -> float | None:
    return float(text) if text and text.lower() != "nan" else None
