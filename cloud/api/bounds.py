"""No request, and no number in one, is larger than the API has use for."""

from fastapi import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY = 64 * 1024
MAX_PICTURE_BODY = 4 * 1024 * 1024
MAX_ID = 2**63 - 1  # what a database can compare a row number with
FAR_FUTURE_MS = 4_102_444_800_000  # the year 2100


class BoundedBodies:
    """Answers 413 as soon as a body is, or says it will be, over its bound; `/evidence` takes pictures."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on, counting what is received of its body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        bound = MAX_PICTURE_BODY if scope["path"].endswith("/evidence") else MAX_BODY
        received = 0

        async def receive_bounded() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > bound:
                raise HTTPException(413, f"the body is over {bound} bytes")
            return message

        await self._app(scope, receive_bounded, send)
