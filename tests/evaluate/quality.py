"""How well readings are judged: ``./anlan evaluate quality [--data DIR] [--seed N]...``.

Faults are injected into clean recorded series (tests/evaluate/faults.py), and three methods judge exactly the same
series: Anlan without any configuration; and, well tuned, a QARTOD implementation and a Hampel filter (peers.py there).
What a fault that is found is, and what a false flag: episodes.py. All learn on the first 20 % of each series, where
nothing is injected and nothing scored. The last line is JSON. docs/quality.md explains the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, cast

from edge.contract.quality_config import JudgeKind
from tests import layout
from tests.evaluate import real, report, series
from tests.evaluate.dry import Dry, Harsh, look_at_dry_weeks, look_at_harsh_weeks
from tests.evaluate.episodes import Faulty, Flags, Score, count_false, score
from tests.evaluate.faults import PLANS, inject
from tests.evaluate.flags_only import FileError, judge_kind, write_flags
from tests.evaluate.harder import Harder, look_at_harder_floods
from tests.evaluate.hidden import Hidden, look_for_hidden
from tests.evaluate.ours import judge_rows
from tests.evaluate.report import OURS, Figures, Key
from tests.evaluate.series import Series, Street

BEST = "qartod-best"  # knows which fault to look for
METHODS = (OURS, "qartod", BEST, "hampel")
KINDS = tuple(PLANS)
FAULTS = tuple(dict.fromkeys(fault for plans in PLANS.values() for fault in plans))

Flagger = Callable[[Series, str | None], Flags]
"""Takes a series and, for those who may know it, the fault that was injected."""


class Wanted(NamedTuple):
    """What is to be evaluated."""

    folder: Path
    seeds: tuple[int, ...]
    kinds: tuple[str, ...]
    faults: tuple[str, ...]
    methods: tuple[str, ...]
    show_missed: bool


def flag_ours(one: Series, _: str | None = None) -> Flags:
    """Flag a series as a gateway does."""
    judged = judge_rows(one.times, one.values, cast(JudgeKind, "meter" if one.kind == "water" else one.kind))
    return Flags([verdict.flag for verdict in judged.verdicts], judged.missing)


def flaggers(clean: Series, methods: Sequence[str]) -> dict[str, Flagger]:
    """Each method, ready for one series."""
    found: dict[str, Flagger] = {OURS: flag_ours} if OURS in methods else {}
    if set(methods) - {OURS}:
        from tests.evaluate import peers  # noqa: PLC0415 -- brings numpy and pandas, which Anlan alone does not need

        if {"qartod", BEST} & set(methods):
            qartod = peers.tune_qartod(clean)
            found |= {"qartod": lambda one, _: qartod.flag(one), BEST: qartod.flag}
        if "hampel" in methods:
            hampel = peers.tune_hampel(clean)
            found["hampel"] = lambda one, _: hampel.flag(one)
    return {method: found[method] for method in methods}


def streets_of(folder: Path, kind: str, seed: int) -> list[Street]:
    """The clean series of one kind, with the places of floods where there are some."""
    if kind == "street":
        return series.street_series(series.read_floods(folder), seed)
    read = {"level": series.level_series, "meter": series.meter_series, "water": series.water_series}[kind]
    return [Street(one, []) for one in read(folder)]


class Evaluation:
    """Counts as it goes, and says how far it is."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.scores: dict[Key, dict[int, Score]] = {}
        self.false: dict[tuple[str, str, str], tuple[int, int]] = {}
        self._started = time.monotonic()
        self._tuned: dict[str, dict[str, tuple[Flagger, Flags]]] = {}

    def run(self) -> Figures:
        """Evaluate all that is wanted."""
        for seed in self.wanted.seeds:
            for kind in self.wanted.kinds:
                for street in streets_of(self.wanted.folder, kind, seed):
                    self._look_at(street, seed)
        return Figures(self._ordered(), dict(sorted(self.false.items())), *self._streets(), self._real())

    def _look_at(self, street: Street, seed: int) -> None:
        clean = street.series
        self._say(f"seed {seed}, {clean.kind} {clean.name}: {len(clean.times)} samples")
        name = f"{clean.name} {seed if clean.kind == 'street' else ''}"
        if name not in self._tuned:
            tuned = flaggers(clean, self.wanted.methods)
            self._tuned[name] = {method: (flag, flag(clean, None)) for method, flag in tuned.items()}
            for method, (_, said) in self._tuned[name].items():
                if method != BEST:  # there is no fault to look for
                    self._count_false(clean, method, said)
        for fault in PLANS[clean.kind]:
            if fault in self.wanted.faults:
                faulty = inject(clean, fault, seed, floods=street.floods)
                for method, (flag, said_of_clean) in self._tuned[name].items():
                    said = flag(faulty.series, fault)
                    usual = flag(clean, fault) if method == BEST else said_of_clean
                    self._note(faulty, method, seed, score(faulty, said, clean, usual))
                    if self.wanted.show_missed and method == OURS:
                        print_missed(faulty, said, clean)

    def _count_false(self, clean: Series, method: str, said: Flags) -> None:
        key = (clean.kind, clean.name, method)
        wrong, points = count_false(clean, said)
        before = self.false.get(key, (0, 0))
        self.false[key] = (before[0] + wrong, before[1] + points)

    def _note(self, faulty: Faulty, method: str, seed: int, one: Score) -> None:
        if faulty.episodes:
            by_seed = self.scores.setdefault(Key(faulty.series.kind, faulty.episodes[0].fault, method), {})
            by_seed[seed] = by_seed.get(seed, Score()) + one

    def _ordered(self) -> Mapping[Key, Mapping[int, Score]]:
        keys = [Key(kind, fault, method) for kind in KINDS for fault in PLANS[kind] for method in METHODS]
        return {key: self.scores[key] for key in keys if key in self.scores}

    def _streets(self) -> tuple[Hidden | None, Sequence[Harder], Dry | None, Sequence[Harsh]]:
        if "street" not in self.wanted.kinds or OURS not in self.wanted.methods:
            return None, (), None, ()
        self._say("every recorded flood, and dry weeks")
        seed = self.wanted.seeds[0]
        floods = series.read_floods(self.wanted.folder)
        hidden, harder = look_for_hidden(floods, seed), look_at_harder_floods(floods, seed)
        return hidden, harder, look_at_dry_weeks(seed), look_at_harsh_weeks(seed)

    def _real(self) -> dict[str, tuple[int, int, int, int]]:
        found: dict[str, tuple[int, int, int, int]] = {}
        if "level" not in self.wanted.kinds:
            return found
        self._say("faults that technicians corrected")
        for name in series.LOGAN:
            raw, wrong = series.logan_raw(self.wanted.folder, name)
            for method, flag in flaggers(raw, [each for each in self.wanted.methods if each != BEST]).items():
                counts = real.count_real(raw, wrong, flag(raw, None))
                before = found.get(method, (0, 0, 0, 0))
                found[method] = cast(
                    tuple[int, int, int, int], tuple(one + more for one, more in zip(before, counts, strict=True))
                )
        return found

    def _say(self, text: str) -> None:
        print(f"{time.monotonic() - self._started:5.0f} s  {text}", file=sys.stderr, flush=True)


def print_missed(faulty: Faulty, said: Flags, clean: Series) -> None:
    """Name the episodes that were not found, and count what was flagged elsewhere."""
    for each in faulty.episodes:
        if not score(Faulty(faulty.series, [each]), said, clean).found:
            print(
                f"missed: {clean.name} {_utc(each.begin_ms)} to {_utc(each.end_ms)} "
                f"{each.fault}, {each.shape}, {each.size:.4g}"
            )
    one = score(faulty, said, clean)
    if one.outside:
        print(f"{clean.name} {faulty.episodes[0].fault}: {one.outside} false points in {one.wrong_runs} runs")


def print_all(figures: Figures) -> None:
    """Print the tables, and one line of JSON."""
    print(report.faults_table(figures))
    print(f"\n{report.false_table(figures)}")
    if figures.hidden is not None:
        print(f"\n{report.hidden_text(figures.hidden)}")
    if figures.dry is not None:
        print(report.dry_text(figures.dry))
        print(f"\nmade of recorded floods:\n{report.harder_table(figures.harder)}")
        print(f"\nharsher than usual, two weeks each:\n{report.harsh_table(figures.harsh)}")
    if figures.real:
        print(f"\nreal faults of the Logan River, as technicians removed or moved them:\n{report.real_table(figures)}")
    print(f"\n{report.targets_table(report.verdicts(figures))}")
    print(json.dumps(report.as_json(figures)))


def find_data(given: Path | None) -> Path | None:
    """The folder of recordings: what was given, ANLAN_DATA, or shared/data beside the checkout."""
    if given is not None:
        return given
    named = os.environ.get("ANLAN_DATA")
    folder = Path(named) if named else layout.ROOT.parent / "shared" / "data"
    return folder if folder.is_dir() else None


def parser() -> argparse.ArgumentParser:
    """What can be typed."""
    made = argparse.ArgumentParser(prog="anlan evaluate quality", description=__doc__.split("\n\n")[0])
    made.add_argument(
        "--data", type=Path, help="folder of the recordings; ANLAN_DATA, or shared/data beside the checkout"
    )
    made.add_argument("--seed", type=int, action="append", help="of the faults, 1 by default; several give the spread")
    made.add_argument("--kind", action="append", help=f"one of {', '.join(KINDS)}; or what IN.csv is of")
    made.add_argument("--only", action="append", choices=FAULTS, metavar="FAULT", help=f"one of {', '.join(FAULTS)}")
    made.add_argument(
        "--method", action="append", choices=METHODS, metavar="METHOD", help=f"one of {', '.join(METHODS)}"
    )
    made.add_argument("--missed", action="store_true", help="name each fault that Anlan missed")
    made.add_argument("--flags-only", type=Path, nargs=2, metavar=("IN.csv", "OUT.csv"), help="flag one file")
    made.add_argument(
        "--span", type=float, nargs=2, metavar=("LOW", "HIGH"), help="what the sensor of IN.csv can measure"
    )
    made.add_argument("--resolution", type=float, metavar="D", help="the smallest step that it can show")
    made.add_argument("--unit", default="", help="the unit of its values")
    made.add_argument("--missing-rows", action="store_true", help="write a row with flag 9 where one is missing")
    return made


def flag_file(arguments: argparse.Namespace) -> int:
    """Write the flags of one file; return the exit code."""
    source, target = arguments.flags_only
    try:
        counts = write_flags(
            source,
            target,
            judge_kind((arguments.kind or [""])[0]),
            unit=arguments.unit,
            resolution=arguments.resolution,
            span=None if arguments.span is None else tuple(arguments.span),
            missing_rows=arguments.missing_rows,
        )
    except FileError as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 2
    print(json.dumps({"rows": sum(counts.values()), "flags": counts}))
    return 0


def main(words: Sequence[str] | None = None) -> int:
    """Run what was asked for."""
    arguments = parser().parse_args(words)
    if arguments.flags_only:
        return flag_file(arguments)
    kinds = tuple(arguments.kind or KINDS)
    folder = find_data(arguments.data)
    absent = [name for name in series.FILES if folder is None or not (folder / name).is_file()]
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        print(f"evaluate: --kind {unknown[0]}: there are {', '.join(KINDS)}", file=sys.stderr)
        return 2
    if folder is None or absent:
        where = (
            "ANLAN_DATA names no folder, and there is no shared/data beside the checkout"
            if folder is None
            else f"{folder} has no {absent[0]}"
        )
        print(f"evaluate: needs the recordings: {where}; say --data DIR", file=sys.stderr)
        return 2
    wanted = Wanted(
        folder,
        tuple(arguments.seed or (1,)),
        kinds,
        tuple(arguments.only or FAULTS),
        tuple(arguments.method or METHODS),
        show_missed=arguments.missed,
    )
    print_all(Evaluation(wanted).run())
    return 0


def _utc(at_ms: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M", time.gmtime(at_ms / 1000))


if __name__ == "__main__":
    sys.exit(main())
