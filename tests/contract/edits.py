"""Faults in configuration files: a good file, one passage of it replaced, and the line of the error that follows.

    - the passage to replace
    + what stands there instead (may be absent: the passage is taken out)
    > 9: the.key: the reason

Cases are parted by empty lines; `|` in a passage stands for a line's end.
"""

from pathlib import Path
from typing import NamedTuple


class Edit(NamedTuple):
    """One case."""

    old: str
    new: str
    answer: str

    def apply(self, text: str) -> str:
        """The text with the fault in it."""
        assert self.old in text, self.old
        return text.replace(self.old, self.new, 1)


def load_edits(path: Path) -> list[Edit]:
    """The cases of a file, in its order."""
    cases = [case for case in path.read_text(encoding="utf-8").split("\n\n") if not case.startswith("#")]
    return [_edit(case) for case in cases]


def _edit(case: str) -> Edit:
    parts = {line[0]: line[2:] for line in case.strip("\n").splitlines()}
    assert set(parts) <= set("-+>"), case
    return Edit(parts["-"].replace("|", "\n"), parts.get("+", "").replace("|", "\n"), parts[">"])
