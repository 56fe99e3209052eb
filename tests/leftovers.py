"""A pytest plugin: a test fails when child processes or threads of it are still alive five seconds after its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

GRACE_S = 5.0


def child_processes() -> set[int]:
    """The direct children of this process that still run, by id; none where the kernel does not tell."""
    ids: set[int] = set()
    for listing in Path("/proc/self/task").glob("*/children"):
        try:
            ids.update(int(word) for word in listing.read_text().split())
        except OSError:  # that thread has ended meanwhile
            continue
    return {pid for pid in ids if _state(pid) not in {"Z", ""}}


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def _describe(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        words = []
    return f"process {pid} {' '.join(words).strip()}"


def left_behind(threads: set[threading.Thread], processes: set[int]) -> list[str]:
    """What is alive now and is not in these two sets, after a grace of five seconds; one line each."""
    deadline = time.monotonic() + GRACE_S
    while True:
        new_threads = set(threading.enumerate()) - threads
        new_processes = child_processes() - processes
        if not (new_threads or new_processes) or time.monotonic() > deadline:
            return [f"thread {each.name}" for each in new_threads] + [_describe(pid) for pid in new_processes]
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail the test that leaves something running."""
    threads, processes = set(threading.enumerate()), child_processes()
    yield
    left = left_behind(threads, processes)
    if left:
        pytest.fail("the test left behind: " + "; ".join(left))
