"""What judges have learned of their sensors lives on disk too, beside the open events: a restart forgets nothing.

It is kept once an hour for each device, spread over the hour, and when the agent stops: learning is slow, and flash
wears out. After a kill it goes on from an hour ago at most.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec
import structlog

from edge.quality.device import DeviceJudges
from edge.quality.kept import Moment
from edge.timeline import Timeline

KEY: Final = "quality/"  # of a device's state, before its id
KEEP_S: Final = 3600

_log = structlog.get_logger()


class Learner(NamedTuple):
    """One device and what judges it."""

    device: str
    judges: DeviceJudges


class _Kept(msgspec.Struct, frozen=True):
    """A state, and by which clock its times are."""

    boot: str
    offset_ms: Moment
    at_ms: Moment
    state: str


class Learned:
    """Keeps what the judges of a gateway's devices have learned."""

    def __init__(
        self, learners: Sequence[Learner], clock: Timeline, *, keep: Callable[[str, str | None], None]
    ) -> None:
        """``keep`` lets the next commit keep a state under a key."""
        self._learners = [learner for learner in learners if learner.judges]
        self._clock = clock
        self._keep = keep

    def restore(self, states: dict[str, str]) -> None:
        """Let judges go on, and take their states out of ``states``; those of devices that are gone are removed."""
        judges = {KEY + one.device: one.judges for one in self._learners}
        for key in [key for key in states if key.startswith(KEY)]:
            text = states.pop(key)
            if key in judges:
                self._restore(key, judges[key], text)
            else:
                self._keep(key, None)

    def _restore(self, key: str, judges: DeviceJudges, text: str) -> None:
        try:
            kept = msgspec.json.decode(text, type=_Kept)
        except msgspec.DecodeError as error:
            _log.error("what was learned cannot be read: it is learned anew", key=key, reason=str(error))
            return
        if kept.boot == self._clock.boot:
            by_ms = self._clock.offset_ms() - kept.offset_ms
        else:  # a machine without a clock, before it knows the time, is behind
            by_ms = min(0, self._clock.now_ms() - kept.at_ms)
        for fault in judges.restore(kept.state, by_ms):
            _log.error("what was learned cannot be used: it is learned anew", key=key, reason=fault)

    def keep_due(self, second: int) -> None:
        """Keep the states of those devices whose turn it is in this second since the start."""
        for index, learner in enumerate(self._learners):
            if second > 0 and (second - index * KEEP_S // len(self._learners)) % KEEP_S == 0:
                self._keep_one(learner)

    def keep_all(self) -> None:
        """Keep the state of every device."""
        for learner in self._learners:
            self._keep_one(learner)

    def _keep_one(self, learner: Learner) -> None:
        clock = self._clock
        kept = _Kept(clock.boot, clock.offset_ms(), clock.now_ms(), learner.judges.state())
        self._keep(KEY + learner.device, msgspec.json.encode(kept).decode())
