"""What the demo shows: one line for each thing that happens and, on a terminal, a strip of counts below them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console as Terminal
from rich.live import Live
from rich.text import Text

STYLES: Mapping[str, str] = {
    "weather": "blue",
    "trouble": "yellow",
    "alert": "bold red",
    "order": "bold magenta",
    "done": "bold green",
    "step": "dim",
}


class Console:
    """``with Console() as console``: ``say`` prints a line, ``count`` renews the strip."""

    def __init__(self) -> None:
        self._terminal = Terminal(file=sys.stdout, highlight=False, soft_wrap=True)
        self._live = Live(Text(), console=self._terminal, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        if self._terminal.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._terminal.is_terminal:
            self._live.stop()

    def say(self, text: str, kind: str = "", *, second: float | None = None) -> None:
        """Print a line, with the second of the scenario before it where there is one."""
        stamp = "" if second is None else f"{second:6.1f} s  "
        self._terminal.print(Text(stamp, style="dim") + Text(text, style=STYLES.get(kind, "")))

    def count(self, counts: Mapping[str, object]) -> None:
        """Show these counts in the strip; without a terminal there is none."""
        if self._terminal.is_terminal:
            parts = [Text(f" {name} ", style="reverse") + Text(f" {value}  ") for name, value in counts.items()]
            self._live.update(Text.assemble(*parts), refresh=True)
