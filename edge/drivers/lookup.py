"""Where a host is. Asking may take minutes when no name server answers, and nothing can end it.

So it is asked in a thread of its own, for which nobody waits longer than they want: not in asyncio's few threads, which
write the outbox, and not at the end of the program.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress

Found = Sequence[str] | OSError | ValueError


class Lookup:
    """The addresses of one host, asked anew whenever somebody wants them, one question at a time."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._asking: asyncio.Future[Found] | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether a question is not answered yet."""
        return self._asking is not None

    async def addresses(self) -> Sequence[str]:
        """Return at least one; raises OSError or ValueError as `socket.getaddrinfo` does."""
        with suppress(ValueError):
            return [str(ipaddress.ip_address(self._host))]
        if self._asking is None:
            self._asking = asyncio.get_running_loop().create_future()
            threading.Thread(target=self._ask, args=(self._asking,), name=f"lookup {self._host}", daemon=True).start()
        found = await asyncio.shield(self._asking)
        if isinstance(found, Exception):
            raise found
        return found

    def _ask(self, asking: asyncio.Future[Found]) -> None:
        found: Found
        try:
            # By address, without those that are told once for each kind of socket.
            kinds = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
            found = list(dict.fromkeys(str(address[0]) for *_, address in kinds))
        except (OSError, ValueError) as error:
            found = error
        with suppress(RuntimeError):  # the loop has been closed: nobody wants to know any more
            asking.get_loop().call_soon_threadsafe(self._tell, asking, found)

    def _tell(self, asking: asyncio.Future[Found], found: Found) -> None:
        self._asking = None
        asking.set_result(found)
