"""What nobody would send, to every parser of cameras: ``./anlan bench fuzz [--minutes 10] [--seed N]``.

Real messages are torn byte by byte and changed by structure (nested, repeated, spliced, recoded, entities, boundaries,
lengths, extreme numbers). A parser must give sightings or refuse with a reason, and hold little memory. Each input has
a name, parser/seed/number, that makes it again. Exit code 1 when anything else happened.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import logging
import resource
import sys
import time
from pathlib import Path

from tests.edge.drivers.cameras.fuzzing import PARSERS, Trial, tried

STATM = Path("/proc/self/statm")
ROUND_S = 10.0
GROWTH_MB = 64.0


def rss_mb() -> float:
    """The memory that this process holds now, without what waits to be collected or to be given back to the system."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # pieces that are free between others in use are no leak
    return int(STATM.read_text().split()[1]) * resource.getpagesize() / 1_048_576


def together(one: Trial, other: Trial) -> Trial:
    """What two trials of one parser found."""
    return Trial(
        one.inputs + other.inputs,
        one.refused + other.refused,
        one.sightings + other.sightings,
        max(one.peak_bytes, other.peak_bytes),
        max(one.slowest_ms, other.slowest_ms),
        one.findings + other.findings,
    )


def fuzz(*, minutes: float, seed: int) -> dict[str, Trial]:
    """Go round all parsers until the time is over, each round with a seed of its own."""
    until = time.monotonic() + minutes * 60
    trials: dict[str, Trial] = {}
    while (left := until - time.monotonic()) > 0:
        for name in PARSERS:
            trial = tried(name, seed=seed, seconds=min(ROUND_S, left / len(PARSERS)))
            trials[name] = together(trials[name], trial) if name in trials else trial
        print(f"seed {seed}: {sum(trial.inputs for trial in trials.values())} inputs, {rss_mb():.0f} MB", flush=True)
        seed += 1
    return trials


def main() -> int:
    """Fuzz, tell, print one JSON line."""
    arguments = argparse.ArgumentParser(prog="anlan bench fuzz", description=__doc__)
    arguments.add_argument("--minutes", type=float, default=10, help="of all parsers together (usual: 10)")
    arguments.add_argument("--seed", type=int, default=1, help="of the first round; each further one has the next")
    chosen = arguments.parse_args()
    logging.disable(logging.WARNING)  # python-multipart tells of each body that is none
    for name in PARSERS:  # what grows by being used the first time is no leak
        tried(name, seed=0, seconds=1)
    before_mb = rss_mb()
    trials = fuzz(minutes=chosen.minutes, seed=chosen.seed)
    grown_mb = rss_mb() - before_mb
    findings = [finding for trial in trials.values() for finding in trial.findings]
    for finding in findings:
        print(finding)
    figures = {
        "inputs": sum(trial.inputs for trial in trials.values()),
        "findings": len(findings),
        "peak_call_mb": round(max(trial.peak_bytes for trial in trials.values()) / 1_048_576, 1),
        "grown_mb": round(grown_mb, 1),
        "slowest_ms": round(max(trial.slowest_ms for trial in trials.values())),
        "parsers": {name: {**trial._asdict(), "findings": len(trial.findings)} for name, trial in trials.items()},
    }
    print(json.dumps(figures))
    return 1 if findings or grown_mb > GROWTH_MB else 0


if __name__ == "__main__":
    sys.exit(main())
