"""No connection is kept on which no request comes: uvicorn itself waits for ever for the headers of one.

Otherwise a thousand connections that say nothing, which cost nothing to make, would keep everybody else out.
"""

import asyncio
from typing import ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

LOOK_EVERY_S = 15.0


class ImpatientProtocol(H11Protocol):
    """Hangs up when no headers became whole between two looks; a request that is being answered has its time."""

    look_every_s: ClassVar[float] = LOOK_EVERY_S

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to look."""
        super().connection_made(transport)
        self._was_waiting, self._last = True, self.cycle
        self._next_look = self.loop.call_later(self.look_every_s, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Look no more."""
        self._next_look.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request, whatever its type says
        is_waiting = cycle is None or cycle.response_complete
        if is_waiting and self._was_waiting and self.cycle is self._last:
            self.transport.abort()
            return
        self._was_waiting, self._last = is_waiting, self.cycle
        self._next_look = self.loop.call_later(self.look_every_s, self._look)
