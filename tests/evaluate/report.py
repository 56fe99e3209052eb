"""The tables of an evaluation, and how far its figures are from the targets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from tests.evaluate.dry import Dry, Harsh
from tests.evaluate.episodes import Score
from tests.evaluate.harder import Harder
from tests.evaluate.hidden import Hidden

OURS = "anlan"


class Key(NamedTuple):
    """What was judged by whom."""

    kind: str
    fault: str
    method: str


class Target(NamedTuple):
    """Least recall and precision; None: not asked for."""

    recall: float
    precision: float | None = None


# DOMAIN section 6 of the project's facts.
TARGETS: Mapping[tuple[str, str], Target] = {
    ("level", "spike"): Target(0.97, 0.95),
    ("level", "flat"): Target(0.85, 0.90),
    ("level", "step"): Target(0.95, 0.90),
    ("level", "drift"): Target(0.80, 0.60),
    ("level", "range"): Target(1.00, 0.97),
    ("level", "dropout"): Target(1.00, 0.97),
    ("street", "spike"): Target(0.95, 0.90),
    ("street", "flat"): Target(0.95, 0.90),
    ("street", "step"): Target(0.95, 0.90),
    ("meter", "spike"): Target(1.00),
    ("meter", "flat"): Target(0.80),
    ("meter", "bypass"): Target(0.75),
}
MOST_FALSE = {"level": 1.0, "street": 0.5}  # per 1000 clean points, on every series


class Figures(NamedTuple):
    """All that one evaluation counted: scores by seed, false flags and clean points by kind, series and method."""

    scores: Mapping[Key, Mapping[int, Score]]
    false: Mapping[tuple[str, str, str], tuple[int, int]]
    hidden: Hidden | None
    harder: Sequence[Harder]
    dry: Dry | None
    harsh: Sequence[Harsh]
    real: Mapping[str, tuple[int, int, int, int]]  # method: runs, found, flagged points, real points among them


def total(by_seed: Mapping[int, Score]) -> Score:
    """The sum over seeds."""
    return sum(by_seed.values(), Score())


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in plain text, the first columns left, figures right."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if at < 3 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def spread(by_seed: Mapping[int, Score], what: str) -> str:
    """The lowest and highest figure of the seeds."""
    each = [getattr(one, what) for one in by_seed.values()]
    return f"{min(each):.2f}-{max(each):.2f}" if len(each) > 1 else ""


def faults_table(figures: Figures) -> str:
    """Recall, precision and delay by kind, fault and method."""
    rows = []
    for key, by_seed in figures.scores.items():
        one = total(by_seed)
        delays = [one.delay(0), one.delay(1)]
        rows.append(
            (
                *key,
                str(one.episodes),
                f"{one.recall:.3f}",
                f"{one.by_chance:.3f}",
                f"{one.precision:.3f}",
                f"{one.by_runs:.3f}",
                *("" if delay is None else f"{delay:.1f}" for delay in delays),
                spread(by_seed, "recall"),
                spread(by_seed, "precision"),
            )
        )
    head = (
        "kind",
        "fault",
        "method",
        "faults",
        "recall",
        "by chance",
        "precision",
        "by runs",
        "delay",
        "hours",
        "recall by seed",
    )
    return table((*head, "precision by seed"), rows)


def false_table(figures: Figures) -> str:
    """False flags per 1000 points of each clean series."""
    rows = [
        (kind, name, method, str(points), f"{per_1000((wrong, points)):.2f}")
        for (kind, name, method), (wrong, points) in figures.false.items()
    ]
    return table(("kind", "series", "method", "points", "false per 1000"), rows)


def per_1000(counts: tuple[int, int]) -> float:
    """A share of clean points."""
    return 1000 * counts[0] / counts[1] if counts[1] else 0.0


def hidden_text(hidden: Hidden) -> str:
    """What became of the recorded floods."""
    lines = [
        f"{hidden.floods} recorded street floods; of their {hidden.points} points",
        f"{hidden.failed} failed (4), {hidden.suspected} suspect (3)",
        f"{hidden.high} with two samples in a row of 15 cm or more: {hidden.not_raised} not raised at the second",
        f"{hidden.single} with single samples of it: {hidden.suspects_not_raised} not raised as suspect",
        *hidden.named,
    ]
    return "\n".join(lines)


def dry_text(dry: Dry) -> str:
    """What became of the dry weeks."""
    return (
        f"{dry.weeks} simulated dry weeks with vehicles, parked cars and snow: {dry.confirmed} events confirmed, "
        f"{dry.suspected} suspect, {dry.withdrawn} of them withdrawn\n"
        f"{dry.failed} points failed (4); flagged with nothing there: {per_1000((dry.false, dry.noise)):.2f} of 1000"
    )


def harder_table(harder: Sequence[Harder]) -> str:
    """How many floods that nobody has recorded are raised late."""
    rows = [(one.made, "", "", str(one.floods), str(one.late), str(one.never)) for one in harder]
    return table(("made", "", "", "floods", "late", "never"), rows)


def harsh_table(harsh: Sequence[Harsh]) -> str:
    """What became of the weeks that no target is set for."""
    rows = [(one.road, "", "", str(one.raised), str(one.confirmed)) for one in harsh]
    return table(("dry road with", "", "", "raised", "confirmed"), rows)


def real_table(figures: Figures) -> str:
    """How many of the faults that technicians corrected were found."""
    rows = [
        (method, "", "", str(runs), f"{found / runs:.3f}" if runs else "", str(flagged), str(right))
        for method, (runs, found, flagged, right) in figures.real.items()
    ]
    return table(("method", "", "", "faults", "recall", "flagged points", "of them real"), rows)


def verdicts(figures: Figures) -> list[dict[str, Any]]:
    """Each target that this evaluation can tell of, with what was reached."""
    found = []
    for (kind, fault), target in TARGETS.items():
        by_seed = figures.scores.get(Key(kind, fault, OURS))
        if by_seed is None:
            continue
        one = total(by_seed)
        found.append(_verdict(kind, f"{fault} recall", target.recall, one.recall))
        if target.precision is not None:
            found.append(_verdict(kind, f"{fault} precision", target.precision, one.precision))
    for (kind, name, method), counts in figures.false.items():
        if method == OURS and kind in MOST_FALSE:
            found.append(_verdict(kind, f"false per 1000, {name}", MOST_FALSE[kind], per_1000(counts), is_most=True))
    if figures.hidden is not None:
        hidden = figures.hidden
        for what, count in (
            ("hidden floods", hidden.hidden),
            ("single samples not raised as suspect", hidden.suspects_not_raised),
        ):
            found.append(_verdict("street", what, 0, count, is_most=True))
    if figures.dry is not None:
        found.append(_verdict("street", "events on dry roads", 0, figures.dry.confirmed, is_most=True))
        false = per_1000((figures.dry.false, figures.dry.noise))
        found.append(_verdict("street", "false per 1000, dry weeks", MOST_FALSE["street"], false, is_most=True))
    return found


def _verdict(kind: str, what: str, target: float, value: float, *, is_most: bool = False) -> dict[str, Any]:
    short = value - target if is_most else target - value
    return {
        "kind": kind,
        "what": what,
        "target": target,
        "value": round(value, 4),
        "missed_by": max(0.0, round(short, 4)),
    }


def targets_table(found: Sequence[Mapping[str, Any]]) -> str:
    """Reached or missed, and by how much."""
    rows = [
        (
            str(each["kind"]),
            str(each["what"]),
            f"missed by {each['missed_by']:.4f}" if each["missed_by"] else "reached",
            f"{each['target']:g}",
            f"{each['value']:.3f}",
        )
        for each in found
    ]
    return table(("kind", "figure", "", "target", "value"), rows)


def as_json(figures: Figures) -> dict[str, Any]:
    """Every figure by kind, fault and method."""
    scores: dict[str, dict[str, dict[str, Any]]] = {}
    for key, by_seed in figures.scores.items():
        one = total(by_seed)
        scores.setdefault(key.kind, {}).setdefault(key.fault, {})[key.method] = {
            "faults": one.episodes,
            "recall": round(one.recall, 4),
            "recall_by_chance": round(one.by_chance, 4),
            "precision": round(one.precision, 4),
            "precision_by_runs": round(one.by_runs, 4),
            "delay_samples": one.delay(0),
            "delay_hours": one.delay(1),
            "recall_by_seed": {str(seed): round(each.recall, 4) for seed, each in by_seed.items()},
            "precision_by_seed": {str(seed): round(each.precision, 4) for seed, each in by_seed.items()},
        }
    false: dict[str, dict[str, dict[str, float]]] = {}
    for (kind, name, method), counts in figures.false.items():
        false.setdefault(kind, {}).setdefault(name, {})[method] = round(per_1000(counts), 3)
    return {
        "faults": scores,
        "false_per_1000": false,
        "hidden": None if figures.hidden is None else {**figures.hidden._asdict(), "hidden": figures.hidden.hidden},
        "dry": None if figures.dry is None else figures.dry._asdict(),
        "harder": [one._asdict() for one in figures.harder],
        "harsh": [one._asdict() for one in figures.harsh],
        "real": {
            method: dict(zip(("faults", "found", "flagged", "right"), each, strict=True))
            for method, each in figures.real.items()
        },
        "targets": verdicts(figures),
    }
