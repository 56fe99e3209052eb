"""No request, and no number in one, is larger than the API has use for, and none takes for ever to arrive."""

import asyncio
from typing import Annotated

from fastapi import HTTPException, Request
from fastapi.routing import APIRoute
from pydantic import AfterValidator
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloud.blobs import MAX_EVIDENCE
from edge.contract.config_file import nearest

MAX_BODY = 64 * 1024
MAX_PICTURE_BODY = MAX_EVIDENCE
MAX_FORM_BODY = MAX_EVIDENCE + MAX_BODY  # a form with a picture in it
BOUNDS = {"/evidence": MAX_PICTURE_BODY, "/move": MAX_FORM_BODY}
"""Bytes of a body by the end of the path, where it may be larger than MAX_BODY."""
LONGEST_BODY_S = 150  # a phone gives a picture two minutes
CLOSE = {"Connection": "close"}  # what is still on its way is not waited for
MAX_ID = 2**63 - 1  # what a database can compare a row number with
EARLIEST_MS, FAR_FUTURE_MS = 946_684_800_000, 4_102_444_800_000  # the years 2000 and 2100


def _in_ms(time: int) -> int:
    if EARLIEST_MS <= time <= FAR_FUTURE_MS:
        return time
    seconds = EARLIEST_MS <= time * 1000 <= FAR_FUTURE_MS
    hint = ": this looks like seconds, times are milliseconds UTC" if seconds else ""
    raise ValueError(f"must be from {EARLIEST_MS} to {FAR_FUTURE_MS}, the years 2000 to 2100{hint}")


InMs = Annotated[int, AfterValidator(_in_ms)]
"""A time of this century, in ms UTC."""


async def only_known_parameters(request: Request) -> None:
    """Answer 422 to a parameter that the route does not have: left out of account, it would answer another question."""
    route: APIRoute = request.scope["route"]
    known = [parameter.alias for parameter in route.dependant.query_params]
    for name in request.query_params:
        if name not in known:
            raise HTTPException(422, f"{name[:64]}: no such parameter{nearest(name[:64], known)}")


class BoundedBodies:
    """Answers 413 as soon as more of a body has come than its bound, and 408 when it is not there in time."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on, counting what is received of its body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        bound = next((bound for end, bound in BOUNDS.items() if scope["path"].endswith(end)), MAX_BODY)
        received, is_whole = 0, False
        late_at = asyncio.get_running_loop().time() + LONGEST_BODY_S

        async def receive_bounded() -> Message:
            nonlocal received, is_whole
            try:
                async with asyncio.timeout_at(None if is_whole else late_at):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, f"the body took over {LONGEST_BODY_S} seconds", CLOSE) from None
            is_whole = not message.get("more_body", False)
            received += len(message.get("body", b""))
            if received > bound:
                raise HTTPException(413, f"the body is over {bound} bytes", CLOSE)
            return message

        await self._app(scope, receive_bounded, send)
