"""The evaluation itself: who judges perfectly scores 1, who sees nothing 0, and the peers find what is plain."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from tests.evaluate import peers
from tests.evaluate.episodes import Episode, Faulty, Flags, count_false, score
from tests.evaluate.faults import PLANS, inject
from tests.evaluate.real import count_real
from tests.evaluate.series import REMOVED, Flood, Series, embed, running_median

MINUTE_MS = 60_000
QUARTER_MS = 15 * MINUTE_MS


def river(samples: int = 6000) -> Series:
    """A made-up gauge, cm, every quarter of an hour: two waves and a little noise."""
    rng = random.Random(5)
    return Series(
        "made-up",
        "level",
        [QUARTER_MS * at for at in range(samples)],
        [round(80 + 20 * math.sin(at / 300) + 5 * math.sin(at / 17) + rng.gauss(0, 0.2), 1) for at in range(samples)],
    )


def home(samples: int = 20_000) -> Series:
    """A made-up home, kWh each half hour."""
    rng = random.Random(6)
    times = [1_800_000 * at for at in range(samples)]
    return Series("made-up", "meter", times, [round(0.05 + rng.random() ** 4, 3) for _ in times])


def road() -> Series:
    """A made-up road with two floods."""
    floods = [Flood("made-up", [60 * at for at in range(40)], [200 * math.sin(at / 13) for at in range(40)])] * 12
    return embed("made-up", floods, random.Random(7), is_cut=False).series


SERIES = {"level": river(), "meter": home(), "street": road()}
EVERY = [(kind, fault) for kind in SERIES for fault in PLANS[kind]]


def perfect(faulty: Faulty) -> Flags:
    """Flag exactly what was injected."""
    flags = [
        3 if any(each.begin_ms <= at <= each.end_ms for each in faulty.episodes) else 1 for at in faulty.series.times
    ]
    came = set(faulty.series.times)
    return Flags(flags, [each.begin_ms for each in faulty.episodes if each.begin_ms not in came])


@pytest.mark.parametrize(("kind", "fault"), EVERY)
def test_a_perfect_judge_scores_one(kind: str, fault: str) -> None:
    """Who flags what was injected, and nothing else, has recall and precision 1 and no delay, of every fault."""
    faulty = inject(SERIES[kind], fault, 1)
    one = score(faulty, perfect(faulty), SERIES[kind])
    assert one.episodes > 1
    assert (one.recall, one.precision, one.by_runs, one.delay(0)) == (1, 1, 1, 0)


@pytest.mark.parametrize(("kind", "fault"), EVERY)
def test_a_blind_judge_scores_nothing(kind: str, fault: str) -> None:
    """Who flags nothing has recall and precision 0."""
    faulty = inject(SERIES[kind], fault, 1)
    one = score(faulty, Flags([1] * len(faulty.series.times)), SERIES[kind])
    assert (one.recall, one.precision, one.delay(0)) == (0, 0, None)


@pytest.mark.parametrize(("kind", "fault"), EVERY)
def test_nothing_is_injected_where_is_learned(kind: str, fault: str) -> None:
    """The first fifth of a series stays as it is, faults are apart, and the same seed gives the same faults."""
    clean = SERIES[kind]
    faulty = inject(clean, fault, 1)
    assert faulty.series.values[: clean.learn] == clean.values[: clean.learn]
    episodes = faulty.episodes
    assert all(one.end_ms + one.grace_ms < later.begin_ms for one, later in itertools.pairwise(episodes))
    assert inject(clean, fault, 1) == faulty
    assert inject(clean, fault, 2) != faulty


def test_who_flags_all_has_found_all_by_chance() -> None:
    """Flags that are there without any fault are told apart: recall by chance, false runs and points."""
    clean = river()
    faulty = inject(clean, "spike", 1)
    all_flagged = Flags([3] * len(clean.times))
    one = score(faulty, all_flagged, clean, all_flagged)
    assert (one.recall, one.by_chance) == (1, 1)
    assert one.precision < 0.05
    assert count_false(clean, all_flagged) == (4800, 4800)


def test_a_late_flag_is_within_the_grace_or_not_at_all() -> None:
    """Two samples after its end a fault can still be found; flags in that grace are neither right nor wrong."""
    clean = river(100)
    episode = Episode("spike", 50 * QUARTER_MS, 51 * QUARTER_MS, 2 * QUARTER_MS)
    for at, found, wrong in ((49, 0, 1), (50, 1, 0), (53, 1, 0), (54, 0, 1)):
        flags = [3 if number == at else 1 for number in range(100)]
        one = score(Faulty(clean, [episode]), Flags(flags), clean)
        assert (one.found, one.outside) == (found, wrong), at


def test_a_bypass_is_found_within_ten_days_or_not() -> None:
    """A flag on the eleventh day of a by-passed meter is right, and too late."""
    faulty = inject(home(), "bypass", 1)
    first = faulty.episodes[0]
    for days, found in ((9, 1), (11, 0)):
        flags = [3 if at - first.begin_ms == days * 86_400_000 else 1 for at in faulty.series.times]
        one = score(faulty, Flags(flags), home())
        assert (one.found, one.outside) == (found, 0)


def test_a_gap_of_the_recording_is_no_flag() -> None:
    """What had no value in the clean series already is scored nowhere."""
    clean = river(100)
    values: list[float | None] = [None if at == 60 else value for at, value in enumerate(clean.values)]
    clean = clean._replace(values=values)
    flags = Flags([9 if at == 60 else 1 for at in range(100)], [60 * QUARTER_MS + 1])
    one = score(Faulty(clean, []), flags, clean)
    assert (one.inside, one.outside) == (0, 0)
    assert count_false(clean, flags) == (0, 79)


def test_the_peers_find_what_is_plain() -> None:
    """Tuned on the first fifth, both find spikes with few false flags, and QARTOD what is beyond all range."""
    clean = river()
    for method, faults in ((peers.tune_qartod(clean), ("spike", "range")), (peers.tune_hampel(clean), ("spike",))):
        wrong, points = count_false(clean, method.flag(clean))
        assert wrong / points < 0.01
        for fault in faults:
            faulty = inject(clean, fault, 1)
            one = score(faulty, method.flag(faulty.series), clean)
            assert one.recall > 0.5
            assert one.precision > 0.5


def test_an_empty_value_is_missing_for_the_peers() -> None:
    """NaN and the sensor's word for "no value" are 9, whatever the tests say."""
    clean = river(300)
    values: list[float | None] = [*clean.values[:-2], None, REMOVED]
    assert peers.Method([]).flag(clean._replace(values=values)).flags[-3:] == [1, 9, 9]


def test_a_running_median_knows_only_its_window() -> None:
    """The median of the values around each; what is not there does not count."""
    assert running_median([1, 1, None, 9, 9, 9], 3) == [1, 1, 9, 9, 9, 9]


def test_real_faults_are_runs_that_are_found_or_not() -> None:
    """Of two runs of wrong points one is found, two samples late; of the flagged points none is a wrong one."""
    raw = river(20)
    wrong = [at in {3, 4, 10} for at in range(20)]
    assert count_real(raw, wrong, Flags([3 if at == 6 else 1 for at in range(20)])) == (2, 1, 1, 0)
