"""Every error is {"error": sentence}, with the status that says what the caller must do."""

from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.exc import DataError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from cloud.blobs import PictureError
from cloud.database import DatabaseError
from cloud.replay import LetterNotFoundError, ReplayError
from cloud.series import SeriesError
from cloud.workorders.orders import OrderNotFoundError
from cloud.workorders.states import ForbiddenError, ImpossibleError, IncompleteError, TransitionError

_log = structlog.get_logger()

STATUS_OF: dict[type[Exception], int] = {
    OrderNotFoundError: 404,
    ForbiddenError: 403,
    ImpossibleError: 409,
    IncompleteError: 422,
    TransitionError: 409,  # StaleError: look again
    PictureError: 415,
    LetterNotFoundError: 404,
    ReplayError: 409,
}
WAITING = {
    DatabaseError: "the database does not answer: try again",
    SeriesError: "the series store does not answer: try again",
}
"""503, whose reason names our machines: that is for the log."""


class ErrorAnswer(BaseModel):
    """What went wrong, in one sentence."""

    error: str


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return `responses=` of a route or router, so that the OpenAPI document shows the errors' real shape."""
    return {status: {"model": ErrorAnswer} for status in statuses}


ERRORS = errors(401, 422, 503)
"""What any route may answer."""


def add_error_answers(app: FastAPI) -> None:
    """Let every error leave the app in the one shape."""
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(DataError, _unfit)
    app.add_exception_handler(500, _our_fault)
    app.add_exception_handler(ClientDisconnect, _gone)
    for kind in STATUS_OF:
        app.add_exception_handler(kind, _known_error)
    for kind in WAITING:
        app.add_exception_handler(kind, _unavailable)


def _answer(status: int, sentence: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": sentence}, status, headers)


async def _http_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 -- starlette's signature is wider than what it calls with
    return _answer(error.status_code, str(error.detail), dict(error.headers) if error.headers else None)


async def _invalid_request(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 -- as above
    return _answer(422, "; ".join(map(_sentence, error.errors()))[:1000])


def _sentence(fault: dict[str, Any]) -> str:
    if fault["type"] == "json_invalid":
        return f"body is not JSON: {fault['ctx']['error']} at character {fault['loc'][-1]}"
    reason = fault["msg"].removeprefix("Value error, ")
    return f"{'.'.join(map(str, fault['loc'][1:])) or 'body'}: {reason}"


async def _unfit(request: Request, error: Exception) -> JSONResponse:
    note_unfit(request, error)
    return _answer(422, "a value is none that the database can keep, such as a text with a NUL in it")


def note_unfit(request: Request, error: Exception) -> None:
    """Write down what a database refused to take; without the values, which may be secret."""
    _log.warning("value refused by the database", path=request.url.path, reason=str(getattr(error, "orig", error)))


async def _known_error(_request: Request, error: Exception) -> JSONResponse:
    status = next(STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF)
    return _answer(status, str(error))


async def _unavailable(request: Request, error: Exception) -> JSONResponse:
    _log.warning("request not answered", path=request.url.path, reason=str(error))
    return _answer(503, next(WAITING[kind] for kind in type(error).__mro__ if kind in WAITING))


async def _gone(_request: Request, _error: Exception) -> JSONResponse:
    """Answer nobody: half of a body arrived, as from a phone that lost its network. It is no fault of ours to log."""
    return _answer(400, "the body broke off")


async def _our_fault(_request: Request, _error: Exception) -> JSONResponse:
    return _answer(500, "something went wrong here; it is in the log")
