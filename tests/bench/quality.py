"""What judging costs a gateway: ``./anlan bench quality [--points N] [--data DIR]``.

Each kind of judge is fed, as the agent does it, one sample after the other, with made-up series of its kind: a quiet
one, and one in which every thousandth sample is a fault, so that the rare paths are walked too. With ``--data`` the
recorded river, floods and homes are fed as well.

*us* is processor time of one core for one sample, in the judge alone; *bytes* is what one judge holds, by tracemalloc,
after the whole series; *state* is what is kept of it on disk. *share* compares with what a reading costs in the
pipeline without judges (decode, flag, report), measured in the same run: 1.0 means that judging costs as much again.
The bounds are 20 us a sample and 50 kB a sensor.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import itertools
import json
import math
import random
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from edge.contract.gateway_config import Reporting
from edge.contract.profile import load_profile
from edge.drivers import Part, Snapshot
from edge.pipeline import Pipeline
from edge.quality.judge import Judge
from edge.quality.kinds import JUDGES, Setting, judge_for
from edge.report import Reporter, ReportRule

START_MS: Final = 1_790_000_000_000
MOST_US: Final = 20.0
MOST_BYTES: Final = 50_000
FAULT_EVERY: Final = 1000

Sample = tuple[int, float]


class Series(NamedTuple):
    """One series and who judges it."""

    name: str
    setting: Setting
    samples: Sequence[Sample]


def river(rnd: random.Random, points: int) -> Iterator[Sample]:
    """Every 15 min, in mm: a slow walk with a daily swing and floods that rise and fall."""
    base, flood = 400.0, 0.0
    for index in range(points):
        base += rnd.gauss(0, 0.5) + (400 - base) * 0.0005
        flood = flood * 0.99 + (rnd.uniform(50, 300) if rnd.random() < 0.0005 else 0.0)
        yield START_MS + 900_000 * index, float(round(base + flood + 5 * math.sin(index / 96 * math.tau)))


def road(rnd: random.Random, points: int) -> Iterator[Sample]:
    """Every minute, in mm: dry with the noise of an ultrasonic sensor, and a flood now and then."""
    depth, rising = 0.0, 0
    for index in range(points):
        rising = 30 if rnd.random() < 0.0003 else max(rising - 1, 0)
        depth = depth + rnd.uniform(0, 20) if rising else depth * 0.97
        yield START_MS + 60_000 * index, round(depth + rnd.gauss(0, 2), 1)


def home(rnd: random.Random, points: int) -> Iterator[Sample]:
    """Every half hour, in kWh: low by night, high in the evening."""
    for index in range(points):
        habit = 0.15 + 0.3 * max(0.0, math.sin((index % 48 - 14) / 48 * math.tau))
        yield START_MS + 1_800_000 * index, round(habit * rnd.lognormvariate(0, 0.5), 3)


def voltage(rnd: random.Random, points: int) -> Iterator[Sample]:
    """Every 10 s, in V."""
    for index in range(points):
        yield START_MS + 10_000 * index, round(230 + 3 * math.sin(index / 8640 * math.tau) + rnd.gauss(0, 0.4), 1)


def contact(rnd: random.Random, points: int) -> Iterator[Sample]:
    """Every minute: mostly dry."""
    wet = 0.0
    for index in range(points):
        wet = 1.0 - wet if rnd.random() < 0.001 else wet
        yield START_MS + 60_000 * index, wet


def rain(rnd: random.Random, points: int) -> Iterator[Sample]:
    """Every minute, in mm: a total that grows by tips of 0.2 mm."""
    total, falling = 0.0, 0
    for index in range(points):
        falling = 60 if rnd.random() < 0.0005 else max(falling - 1, 0)
        total += 0.2 * (falling > 0 and rnd.random() < 0.5)
        yield START_MS + 60_000 * index, round(total, 1)


def heat(rnd: random.Random, points: int) -> Iterator[Sample]:
    """Every minute, in °C: how warm the processor of a gateway is."""
    for index in range(points):
        yield START_MS + 60_000 * index, round(45 + 8 * math.sin(index / 1440 * math.tau) + rnd.gauss(0, 1), 1)


MADE: Final[dict[str, tuple[Callable[[random.Random, int], Iterator[Sample]], Setting]]] = {
    "level": (river, Setting("level", "mm", 900_000, 1.0)),
    "street": (road, Setting("street", "mm", 60_000, 0.1, (-20, 2000))),
    "meter": (home, Setting("meter", "kWh", 1_800_000, 0.001)),
    "power": (voltage, Setting("power", "V", 10_000, 0.1, (0, 400))),
    "contact": (contact, Setting("contact", "1", 60_000)),
    "rain": (rain, Setting("rain", "mm", 60_000, 0.2)),
    "health": (heat, Setting("health", "°C", 60_000)),
}


def with_faults(rnd: random.Random, samples: Sequence[Sample]) -> list[Sample]:
    """The series with every thousandth sample far off."""
    values = [value for _, value in samples]
    far = max(values) - min(values) or 1.0
    return [
        (at_ms, value + (far * rnd.choice((-1, 1)) if index % FAULT_EVERY == FAULT_EVERY // 2 else 0.0))
        for index, (at_ms, value) in enumerate(samples)
    ]


def made_up(points: int) -> Iterator[Series]:
    """Every kind for which there is a judge, quiet and with faults."""
    for kind, (make, setting) in MADE.items():
        if kind in JUDGES:
            samples = list(make(random.Random(1), points))
            yield Series(f"{kind} quiet", setting, samples)
            yield Series(f"{kind} faults", setting, with_faults(random.Random(2), samples))


def recorded(folder: Path) -> Iterator[Series]:
    """Of the recorded series one river, all floods in a row, and five homes in a row."""
    setting = Setting("level")
    with gzip.open(folder / "lro_stage_MainStreet2019.csv.gz", "rt", encoding="utf-8") as file:
        values = [float(row["stage_raw_cm"]) for row in csv.DictReader(file) if row["stage_raw_cm"]]
    yield Series("level recorded", setting, [(START_MS + 900_000 * index, each) for index, each in enumerate(values)])
    with gzip.open(folder / "floodnet_events_half.csv.gz", "rt", encoding="utf-8") as file:
        profiles = [json.loads(row["flood_profile_depth_inches"]) for row in csv.DictReader(file)]
    depths = list(itertools.chain.from_iterable(profiles))
    floods = [(START_MS + 60_000 * index, each * 25.4) for index, each in enumerate(depths)]
    yield Series("street recorded", MADE["street"][1], floods)
    with gzip.open(folder / "sgsc_5_households_halfhourly.csv.gz", "rt", encoding="utf-8") as file:
        used = [float(row["kwh"]) for row in csv.DictReader(file) if row["kwh"]]
    homes = [(START_MS + 1_800_000 * index, each) for index, each in enumerate(used)]
    yield Series("meter recorded", MADE["meter"][1], homes)


def fed(judge: Judge, samples: Sequence[Sample]) -> float:
    """Feed a judge; return the microseconds a sample."""
    feed = judge.feed
    started = time.process_time()
    for at_ms, value in samples:
        feed(at_ms, value)
    return (time.process_time() - started) / len(samples) * 1e6


def new_judge(setting: Setting) -> Judge:
    """A judge of a kind that there is."""
    judge = judge_for(setting)
    if judge is None:
        raise SystemExit(f"there is no judge {setting.judge!r}")
    return judge


def held_bytes(series: Series) -> tuple[int, int]:
    """Bytes of memory of one judge after the series, and of its state on disk."""
    tracemalloc.start()
    judge = new_judge(series.setting)
    fed(judge, series.samples[:20_000])
    memory, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return memory, len(judge.state())


def pipeline_us(polls: int) -> float:
    """Microseconds a reading in the pipeline without judges: ten points of a meter, all of them changing."""
    points = [point for point in load_profile("eastron_sdm630").points if point.quantity.type == "number"][:10]
    said = Reporting(10.0, 600.0, 0.0, 0.0)
    rules = {point.name: ReportRule(round(said.heartbeat_s * 1000), round(said.poll_s * 1000)) for point in points}
    line = Pipeline("meter", points=points, detectors=[], reporter=Reporter(rules))
    words = [{point.name: (0x4366, index % 65_536) for point in points} for index in range(polls)]
    started = time.process_time()
    for index, answers in enumerate(words):
        line.take(Snapshot((Part(START_MS + 10_000 * index, answers),)))
    return (time.process_time() - started) / polls / len(points) * 1e6


def main() -> None:
    """Measure, print a table and one JSON line."""
    arguments = argparse.ArgumentParser(
        prog="anlan bench quality", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--points", type=int, default=50_000, help="samples of each made-up series")
    arguments.add_argument("--data", type=Path, help="folder with recorded series")
    asked = arguments.parse_args()
    reading_us = pipeline_us(5_000)
    print(f"a reading without judges: {reading_us:.1f} us")
    figures: dict[str, dict[str, float]] = {}
    every = itertools.chain(made_up(asked.points), recorded(asked.data) if asked.data else ())
    for series in every:
        us = min(fed(new_judge(series.setting), series.samples) for _ in range(3))
        memory, state = held_bytes(series)
        figures[series.name] = {"us": round(us, 2), "bytes": memory, "state": state, "share": round(us / reading_us, 2)}
        bad = " over the bound" if us >= MOST_US or memory >= MOST_BYTES else ""
        print(f"{series.name:16} {us:6.2f} us  {memory:6} bytes  state {state:6}  {us / reading_us:5.2f} x{bad}")
    most = {name: max((each[name] for each in figures.values()), default=0) for name in ("us", "bytes", "state")}
    print(json.dumps({"reading_us": round(reading_us, 2), "most": most, "series": figures}))


if __name__ == "__main__":
    main()
