"""How often one address may try something, such as to sign in: some at once, then one now and then."""

import time
from collections import OrderedDict
from collections.abc import Callable

AT_ONCE = 20  # a whole office comes from one address
EVERY_S = 6.0
MOST_ADDRESSES = 10_000  # remembered; the one that tried longest ago makes room


class Attempts:
    """A bucket of attempts for each address, refilled with time."""

    def __init__(
        self, now: Callable[[], float] = time.monotonic, *, at_once: int = AT_ONCE, every_s: float = EVERY_S
    ) -> None:
        self._now, self._at_once, self._every_s = now, at_once, every_s
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # address: attempts left, at what time

    def wait_s(self, address: str) -> float:
        """Take an attempt and return 0, or return how many seconds there is none."""
        now = self._now()
        left, at = self._buckets.pop(address, (float(self._at_once), now))
        left = min(self._at_once, left + (now - at) / self._every_s)
        wait_s = 0.0 if left >= 1 else (1 - left) * self._every_s
        self._buckets[address] = (left - 1 if left >= 1 else left, now)
        while len(self._buckets) > MOST_ADDRESSES:
            self._buckets.popitem(last=False)
        return wait_s
