"""Whether what a device holds is what a profile says, and how sure that is. Pure.

Only a register that names the model proves it. Everything else is plausibility: that all points can be read and are
within their spans excludes much, a mains frequency and voltages where the profile has them make it likely. Zeros, as
registers that mean nothing often are, speak for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple

from edge.contract.profile import ModbusProfile, RegisterPoint, Signature
from edge.contract.readings import Value

Confidence = Literal["sure", "likely", "possible"]
RANKS: Final[tuple[Confidence, ...]] = ("sure", "likely", "possible")
MAINS_HZ: Final = (45.0, 65.0)
MAINS_V: Final = ((85.0, 145.0), (180.0, 280.0), (340.0, 480.0))
LEAST: Final = 1e-6
"""What measures less, and is not 0, are bits of something else that were taken for a float."""

Words = tuple[int, ...]


class Fit(NamedTuple):
    """A profile that a device may be; ``score`` orders those of equal confidence."""

    profile: str
    confidence: Confidence
    score: float
    rests_on: tuple[str, ...]


class Evidence(NamedTuple):
    """What the points of a profile say: how much speaks for it, in words, and what speaks against it, if anything."""

    score: float
    words: tuple[str, ...]
    against: str = ""


def fit(profile: ModbusProfile, marks: Mapping[Signature, bool], evidence: Evidence) -> Fit | None:
    """Put together what the signature and the points say; None when it is not this profile."""
    if not all(marks.values()):
        return None
    measured = {(point.table, address) for point in profile.points for address in point.registers}
    proofs = [mark.text for mark in marks if mark.is_proof]
    hints = [mark.text for mark in marks if not mark.is_proof and (mark.table, mark.address) not in measured]
    told = [f"{text} is right" for text in (*proofs, *hints)]
    if proofs:
        said = evidence.against or evidence.words
        return Fit(profile.profile, "likely" if evidence.against else "sure", 100 + evidence.score, _flat(told, said))
    if evidence.against:
        return None
    is_likely = evidence.score >= 3 or hints
    score = evidence.score + len(hints)
    return Fit(profile.profile, "likely" if is_likely else "possible", score, _flat(told, evidence.words))


def evidence_of(points: Sequence[RegisterPoint], held: Mapping[str, Words | None]) -> Evidence:
    """Judge what the registers of these points hold; None stands for registers that could not be read."""
    refused = [point.name for point in points if held.get(point.name) is None]
    if refused:
        return Evidence(0.0, (), f"{len(refused)} of {len(points)} points cannot be read, such as {refused[0]}")
    values = {point.name: point.decode(held[point.name] or ()) for point in points}
    for point in points:
        if (value := values[point.name]) is not None and (fault := _fault(point, value)):
            return Evidence(0.0, (), fault)
    score = sum(_weight(point, values[point.name]) for point in points)
    seen = [
        f"{point.name} {values[point.name]:.4g} {point.quantity.unit}"
        for point in points
        if _tells(point, values[point.name])
    ]
    words = [f"all {len(points)} points can be read"] if len(points) > 1 else ["its point can be read"]
    words += [f"{' and '.join(seen[:2])} {'is' if len(seen) == 1 else 'are'} plausible"] if seen else []
    if not any(values.values()):
        words.append("but everything is 0")
    return Evidence(score, tuple(words))


def best(fits: Sequence[Fit]) -> list[Fit]:
    """The fits of the highest confidence, the best first; only what is as good as the first, where that is sure."""
    ordered = sorted(fits, key=lambda each: (RANKS.index(each.confidence), -each.score, each.profile))
    same = [each for each in ordered if each.confidence == ordered[0].confidence]
    return [each for each in same if each.score >= same[0].score - 0.5 or each.confidence == "possible"]


def _fault(point: RegisterPoint, value: float | int) -> str:
    """Why this cannot be what the point measures."""
    unit = point.quantity.unit
    if point.span and not point.span[0] <= value <= point.span[1]:
        return f"{point.name} would be {value:.4g} {unit}"
    if 0 < abs(value) < LEAST or (point.counter and value < 0):
        return f"{point.name} would be {value:.4g} {unit}"
    if _is_mains_frequency(point) and value and not MAINS_HZ[0] <= value <= MAINS_HZ[1]:
        return f"{point.name} would be {value:.4g} {unit}"
    return ""


def _weight(point: RegisterPoint, value: Value) -> float:
    """How much a value speaks for the profile."""
    if _tells(point, value):
        return 2.0 if _is_mains_frequency(point) else 1.0
    if point.quantity_name == "voltage":
        return -0.5  # a phase that is not there
    return 0.1 if value else 0.0


def _tells(point: RegisterPoint, value: Value) -> bool:
    """Whether a value is what hardly anything else would be by chance."""
    if not value:
        return False
    if _is_mains_frequency(point):
        return True
    return point.quantity_name == "voltage" and any(low <= value <= high for low, high in MAINS_V)


def _is_mains_frequency(point: RegisterPoint) -> bool:
    return point.quantity_name == "frequency"


def _flat(told: Sequence[str], said: str | Sequence[str]) -> tuple[str, ...]:
    return (*told, f"but {said}") if isinstance(said, str) else (*told, *said)
