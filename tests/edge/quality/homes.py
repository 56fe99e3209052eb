"""Made-up homes: use per half hour, with a fridge, people who sleep, cook and go away, and other homes without them."""

from __future__ import annotations

import random
from collections.abc import Iterator

DAY_MS = 86_400_000
HALF_HOUR_MS = 30 * 60_000
MONDAY_MS = 1_767_571_200_000  # 2026-01-05T00:00:00Z


def use_of_home(
    seed: int, days: int, *, base: float = 0.05, digits: int = 3, away: tuple[int, int] = (0, 0)
) -> Iterator[tuple[int, float]]:
    """Half hours of a home: time and kWh, from a Monday on; nobody is there from one day to before another."""
    rng = random.Random(f"home {seed}")
    for number in range(days * 48):
        day, hour = number // 48, number % 48 / 2
        fridge = base * rng.uniform(0.7, 1.3)
        is_there = not away[0] <= day < away[1]
        busy = 0.8 if 18 <= hour < 22 else 0.5 if 6 <= hour < 9 else 0.15 if 9 <= hour < 18 else 0.02
        people = rng.lognormvariate(-1.6, 0.7) if is_there and rng.random() < busy else 0.0
        yield MONDAY_MS + number * HALF_HOUR_MS, round(fridge + people, digits)
