"""What must be there before a cloud, or a command beside it, can do anything; without what pages and API need.

Exception
└── StartError        cannot run as configured: the text says what to do
"""

import asyncio
import fcntl
import gc
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cloud.config import ApiConfig, CloudConfig
from cloud.database import Database
from cloud.migrations import head, revision_of
from edge.contract import listening
from edge.contract.program import command

MOST_CONNECTIONS = 1000  # each open page holds one for its live updates


class StartError(Exception):
    """The cloud cannot run as configured."""


@contextmanager
def lock_folder(folder: Path, *, shared: bool) -> Iterator[None]:
    """Keep other clouds off data_dir, but those that share as this one does; raises StartError when it is taken."""
    with (folder / "cloud.lock").open("w") as file:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            reason = "another cloud runs on this folder: stop it, or give both shared: true and a port of their own"
            raise StartError(f"data_dir {folder}: {reason}") from None
        yield


def open_database(config: CloudConfig) -> Database:
    """Return the database; raises StartError when it has not the tables that this program needs."""
    database = Database(config.database)
    found = None if is_absent(config) else database.read_now(revision_of)
    if found != head():
        database.close()
        state = "has no tables yet" if found is None else f"has the tables of another version ({found})"
        raise StartError(f"database {database}: {state}: run {command('cloud', 'init')}")
    return database


def is_absent(config: CloudConfig) -> bool:
    """Whether the embedded database's file is not there; opening it would create it."""
    return config.database_url is None and not config.database_file.exists()


def listen(config: ApiConfig) -> socket.socket:
    """Return the socket that the API listens on; raises StartError when it cannot."""
    try:
        return listening.listen(config.host, config.port, backlog=MOST_CONNECTIONS)
    except listening.ListenError as error:
        raise StartError(f"api: {error}") from error


def stopped_by_signal() -> asyncio.Event:
    """Return an event that SIGTERM and Ctrl-C set."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def keep_out_of_collections() -> None:
    """Let the garbage collector no longer look through what was loaded at the start and stays to the end.

    There are some 140,000 objects of it: each full collection, in the middle of an answer, took up to 80 ms. And look
    less often: a group of messages makes ten thousand objects, all of which go with it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)
