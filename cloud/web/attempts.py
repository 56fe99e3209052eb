"""How often somebody may try something, such as to sign in: some times at once, then once now and then."""

import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, IPv6Network, ip_address

from cloud.registry.sign_in import FREE_FAILURES, Attempt, is_locked, lock_after

AT_ONCE = 20  # a whole office comes from one address
EVERY_S = 6.0
KNOWN_EVERY_S = 60.0
MOST = 10_000  # remembered; the one that tried longest ago makes room


class Attempts:
    """A bucket of attempts for each address, or whoever else tries, refilled with time."""

    def __init__(
        self, now: Callable[[], float] = time.monotonic, *, at_once: int = AT_ONCE, every_s: float = EVERY_S
    ) -> None:
        self._now, self._at_once, self._every_s = now, at_once, every_s
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # who: attempts left, at what time

    def wait_s(self, who: str) -> float:
        """Take an attempt and return 0, or return how many seconds there is none."""
        now, key = self._now(), network_of(who)
        left, at = self._buckets.pop(key, (float(self._at_once), now))
        left = min(self._at_once, left + (now - at) / self._every_s)
        wait_s = 0.0 if left >= 1 else (1 - left) * self._every_s
        self._buckets[key] = (left - 1 if left >= 1 else left, now)
        while len(self._buckets) > MOST:
            self._buckets.popitem(last=False)
        return wait_s


def network_of(address: str) -> str:
    """Return the network of an IPv6 address, all of which one machine may have; any other text is itself."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:64]
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    return str(parsed.ipv4_mapped or IPv6Network((int(parsed) >> 64 << 64, 64)))


class UnknownLogins:
    """Locks a login that there is not as one that there is, so that no lock tells who is here."""

    def __init__(self) -> None:
        self._tried: OrderedDict[str, tuple[int, int | None]] = OrderedDict()  # login: failures, locked until

    def begin_attempt(self, login: str, *, now_ms: int) -> Attempt:
        """Count an attempt, as is done with those that are kept in the database."""
        failures, locked_until = self._tried.pop(login, (0, None))
        is_refused = is_locked(locked_until, now_ms)
        if not is_refused:
            failures += 1
            locked_until = lock_after(failures, now_ms)
        self._tried[login] = (failures, locked_until)
        while len(self._tried) > MOST:
            self._tried.popitem(last=False)
        return Attempt(locked_until=locked_until, is_refused=is_refused)


class SignInLimits:
    """What slows down those who guess; one of each process."""

    def __init__(self) -> None:
        self.addresses = Attempts()
        self.known_browsers = Attempts(at_once=FREE_FAILURES, every_s=KNOWN_EVERY_S)
        """By login: from where somebody came in before, they may err beside what others guess."""
        self.unknown = UnknownLogins()
