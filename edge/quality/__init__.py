"""Pure: whether a reading can be trusted, judged where it is taken. A value is flagged and kept, never changed.

:mod:`edge.quality.physics` judges one value by itself; a :class:`~edge.quality.judge.Judge` knows what came before it.
"""

from edge.quality.judge import PASS, Judge, Step, Verdict
from edge.quality.physics import flag, flag_unread

__all__ = ["PASS", "Judge", "Step", "Verdict", "flag", "flag_unread"]
