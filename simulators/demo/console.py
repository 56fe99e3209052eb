"""What the demo shows: one line for each thing that happens and, on a terminal, a strip of counts below them."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import IO, NoReturn, Self

from rich.console import Console as Terminal
from rich.live import Live
from rich.text import Text

from simulators.demo.processes import DemoError

STYLES: Mapping[str, str] = {
    "weather": "blue",
    "trouble": "yellow",
    "alert": "bold red",
    "order": "bold magenta",
    "done": "bold green",
    "access": "bold",
    "step": "dim",
}


class OutputError(DemoError):
    """Nobody can read what the demo says any more: the pipe's reader has gone, the disk is full."""


class Console:
    """``with Console(sys.stdout) as console``: ``say`` prints a line, ``count`` renews the strip.

    Both raise OutputError.
    """

    def __init__(self, file: IO[str]) -> None:
        self._terminal = _Terminal(file=file, highlight=False, soft_wrap=True)
        self._live = Live(Text(), console=self._terminal, auto_refresh=False, transient=True)
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        if self._terminal.is_terminal:
            self._write(self._live.start)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._terminal.is_terminal:
            self._write(self._live.stop)

    def say(self, text: str, kind: str = "") -> None:
        """Print a line, or several as one, with the second since the beginning before it."""
        stamp = f"{time.monotonic() - self._began:6.1f} s  "
        body = text.replace("\n", "\n" + " " * len(stamp))
        self._write(lambda: self._terminal.print(Text(stamp, style="dim") + Text(body, style=STYLES.get(kind, ""))))

    def say_bare(self, text: str) -> None:
        """Print a line for programs: nothing before it."""
        self._write(lambda: self._terminal.print(Text(text)))

    def count(self, counts: Sequence[tuple[str, str]]) -> None:
        """Show these counts in the strip, the first ones first, as many as fit; without a terminal there is none."""
        if self._terminal.is_terminal:
            strip = strip_of(counts, self._terminal.width)
            self._write(lambda: self._live.update(strip, refresh=True))

    def _write(self, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            raise OutputError(f"the output cannot be written: {error.strerror}") from error


class _Terminal(Terminal):
    def on_broken_pipe(self) -> NoReturn:
        """Raise it as any other fault of the output; rich would end the program on the spot."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def strip_of(counts: Sequence[tuple[str, str]], width: int) -> Text:
    """The counts that fit in one line, from the first on; each is a name, which may be empty, and what it shows."""
    strip = Text(no_wrap=True)
    for name, value in counts:
        label = f" {name} " if name else ""
        part = Text.assemble(" " if strip else "", (label, "reverse"), " " if name else "", (value, "bold"))
        if strip.cell_len + part.cell_len > width:
            break
        strip += part
    return strip
