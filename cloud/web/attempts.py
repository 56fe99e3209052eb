"""How often one address may try to sign in: some at once, then one now and then."""

import time
from collections import OrderedDict
from collections.abc import Callable

AT_ONCE = 20  # a whole office comes from one address
EVERY_S = 6.0
MOST_ADDRESSES = 10_000  # remembered; the one that tried longest ago makes room


class Attempts:
    """A bucket of attempts for each address, refilled with time."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # address: attempts left, at what time

    def wait_s(self, address: str) -> float:
        """Take an attempt and return 0, or return how many seconds there is none."""
        now = self._now()
        left, at = self._buckets.pop(address, (float(AT_ONCE), now))
        left = min(AT_ONCE, left + (now - at) / EVERY_S)
        wait_s = 0.0 if left >= 1 else (1 - left) * EVERY_S
        self._buckets[address] = (left - 1 if left >= 1 else left, now)
        while len(self._buckets) > MOST_ADDRESSES:
            self._buckets.popitem(last=False)
        return wait_s
