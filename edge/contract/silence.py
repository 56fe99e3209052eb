"""Whether the other side of a connection has been silent for so long that it must be gone. Pure; time is passed in.

A cable that is pulled, a router that forgets, a process that hangs: none of them closes a connection. What is sent goes
into buffers, and nothing ever comes back. Two things tell: nothing at all is heard, though whoever is there answers
pings; or pings are answered, but what was asked is not.
"""

from __future__ import annotations


class Silence:
    """Watches one connection. All times are seconds of one clock."""

    def __init__(self, patience_s: float, *, now: float) -> None:
        """Give the other side ``patience_s`` for a sign of life, from now on."""
        self._patience_s = patience_s
        self._heard_at = self._answered_at = now
        self._owed = 0

    def hear(self, *, now: float) -> None:
        """Note that something came, whatever it was."""
        self._heard_at = now

    def ask(self, *, now: float) -> None:
        """Note that an answer is owed to us from now on."""
        if not self._owed:
            self._answered_at = now
        self._owed += 1

    def settle(self, *, now: float) -> None:
        """Note that an answer came, or is no longer waited for. One at a time is enough on a slow link."""
        self._owed -= 1
        self._answered_at = now

    def reason(self, *, now: float) -> str | None:
        """Say why the connection must be given up; None while it need not."""
        if now - self._heard_at > self._patience_s:
            return f"nothing heard for {self._patience_s:g} s"
        if self._owed and now - self._answered_at > self._patience_s:
            return f"nothing that was sent is acknowledged for {self._patience_s:g} s"
        return None
