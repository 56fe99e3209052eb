"""Opening a port that others connect to, with an error that says what to change.

OSError
└── ListenError
"""

from __future__ import annotations

import errno
import os
import socket

_WHAT_TO_DO = {
    errno.EADDRINUSE: "another program listens there: stop it, or choose another port",
    errno.EADDRNOTAVAIL: "that is no address of this machine: correct host",
    errno.EACCES: "ports below 1024 are for root: choose a higher one",
}


class ListenError(OSError):
    """Nothing can listen there as things are."""


def listen(host: str, port: int, *, backlog: int) -> socket.socket:
    """Return a listening TCP socket; port 0 takes a free one. Raises ListenError."""
    try:
        listening = socket.create_server((host, port), backlog=backlog)
    except OSError as error:
        raise ListenError(f"cannot listen on {host}:{port}: {_reason(error)}") from error
    # What it accepts inherits this. asyncio sets it only for sockets that say they are TCP, which this one does not:
    # each answer of more than one piece would wait 40 ms for an acknowledgement.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _reason(error: OSError) -> str:
    number = error.errno or 0
    if number <= 0:  # of getaddrinfo, not of the operating system
        return "no such host: correct host"
    return _WHAT_TO_DO.get(number, os.strerror(number))
