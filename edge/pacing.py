"""How much of what is not urgent may be on its way at one time, so that live readings never queue behind it. Pure.

What is in a queue before a live message, on a thin link or in a slow cloud, makes that message late. How long receipts
take tells how long the queue is: so the share grows step by step while they come quickly, and is halved when they come
late, as TCP does it with losses. Late is measured against what a message takes that has the way for itself: a far cloud
is no slow one. With an idle cloud the share becomes 1: all that the window allows.
"""

from __future__ import annotations

STEPS = 10
LEAST = 1 / STEPS
FAST_S, SLOW_S = 0.2, 0.4  # in the queue; live readings are to be stored within 2 s, of which a batch of 1 s takes half
RELEARN = 0.1  # how much of a longer way each message makes us believe that had it for itself


class Pace:
    """The share of the window that may be used now, from ``LEAST`` to 1. All times are seconds of one clock."""

    def __init__(self) -> None:
        self.share = LEAST
        self._alone_s: float | None = None  # what the way takes for a message that has it for itself
        self._slowed_at = float("-inf")

    def note(self, *, sent_at: float, now: float, is_paced: bool, was_alone: bool) -> None:
        """Learn from a receipt for a message that was sent once, at ``sent_at``.

        ``is_paced``: it was one of those that the share is for. ``was_alone``: none of these was before it.
        """
        took_s = max(now - sent_at, 0.0)
        alone_s = self._learn(took_s, was_alone=was_alone)
        queued_s = took_s - alone_s
        if queued_s > max(SLOW_S, alone_s):
            if sent_at >= self._slowed_at:  # else it was in the queue already that we have reacted to
                self._slow(self.share / 2, now)
        elif is_paced and queued_s < max(FAST_S, alone_s / 2):
            self.share = min(1.0, self.share + LEAST * LEAST / self.share)  # a step for each round of the window

    def stall(self, *, now: float) -> None:
        """Learn that no receipt came in time: begin again."""
        self._slow(LEAST, now)

    def _slow(self, share: float, now: float) -> None:
        self.share = max(LEAST, share)
        self._slowed_at = now

    def _learn(self, took_s: float, *, was_alone: bool) -> float:
        """Return what the way takes alone: a shorter time is believed at once, a longer one only bit by bit."""
        if self._alone_s is None or took_s < self._alone_s:
            self._alone_s = took_s
        elif was_alone:
            self._alone_s += RELEARN * (took_s - self._alone_s)
        return self._alone_s
