"""Adds the pages to the cloud's application: routes, files, safe headers, and errors as pages."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.exc import DataError
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloud.api.errors import note_unfit
from cloud.api.services import Services, services_of
from cloud.config import MapConfig
from cloud.database import DatabaseError
from cloud.series import SeriesError
from cloud.web import (
    banner,
    board,
    case,
    devices,
    gateways,
    installer,
    letters,
    live,
    maps,
    offline,
    orders,
    overview,
    points,
    sensors,
    sign_in,
    statements,
)
from cloud.web.assets import assets, serve_asset
from cloud.web.navigation import home_of
from cloud.web.page import AnyPage, Page, SignInFirstError, sign_in_path
from cloud.workorders.orders import OrderNotFoundError
from cloud.workorders.states import TransitionError

_log = structlog.get_logger()

ROUTERS = (
    sign_in.router,
    live.router,
    board.router,
    overview.router,
    banner.router,
    letters.router,
    maps.router,
    sensors.router,
    devices.router,
    points.router,
    installer.router,
    orders.router,
    offline.router,
    case.router,
    gateways.router,
    statements.router,
)
MACHINES = ("/api/", "/healthz", "/metrics")
"""Paths that answer programs: their errors are not pages."""
COMPRESSED_FROM = 800  # bytes
ENCRYPTED_FROM_NOW_ON = "max-age=31536000"
"""Of an answer that went by https: the browser comes back by https alone, whatever is typed or linked."""


def add_pages(app: FastAPI) -> None:
    """Add every page. Raises MissingAssetError when what they load is not installed."""
    assets()
    services: Services = app.state.services
    for router in ROUTERS:
        app.include_router(router, include_in_schema=False)
    app.add_api_route("/", _home, include_in_schema=False)
    app.add_route("/assets/{hash}/{name:path}", serve_asset, include_in_schema=False)
    app.add_middleware(GZipMiddleware, minimum_size=COMPRESSED_FROM)
    app.add_middleware(SafeHeaders, headers=safe_headers(services.map))
    _show_errors_as_pages(app)


async def _home(page: AnyPage) -> Response:
    """Send everybody to the page they begin with."""
    return RedirectResponse(home_of(page.session.person.roles) if page.session else "/sign-in", 303)


def content_policy(map_config: MapConfig) -> str:
    """Return what a page may load: our own files, and map tiles where a server of them is configured."""
    tiles = f" {'/'.join(map_config.tiles.split('/')[:3])}" if map_config.tiles else ""
    allowed = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": f"'self' blob: data:{tiles}",
        "connect-src": "'self'",
        "manifest-src": "'self'",
        "worker-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in allowed.items())


def safe_headers(map_config: MapConfig) -> dict[str, str]:
    """Return what keeps a browser from doing more with an answer than is meant."""
    return {
        "Content-Security-Policy": content_policy(map_config),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",  # "no-referrer" would also hide from us that a form came from our own page
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(self), geolocation=(self), microphone=()",
        "Cache-Control": "private, no-cache",
    }


class SafeHeaders:
    """Adds to every answer those headers that it does not have itself."""

    def __init__(self, app: ASGIApp, headers: Mapping[str, str]) -> None:
        self._app, self._headers = app, headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on; the answer begins with the headers that it does not have itself."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                if scope["scheme"] == "https":
                    headers.setdefault("Strict-Transport-Security", ENCRYPTED_FROM_NOW_ON)
            await send(message)

        await self._app(scope, receive, send_safely)


Handler = Callable[[Request, Any], Awaitable[Response]]


def _show_errors_as_pages(app: FastAPI) -> None:
    """Let what a person asked for fail with a page that says what to do; programs get what they got before."""
    for kind, handler in _PAGES_OF_ERRORS.items():
        app.add_exception_handler(kind, _for_people(handler, app.exception_handlers.get(kind)))
    app.add_exception_handler(SignInFirstError, _sign_in_first)


def _for_people(handler: Handler, for_programs: Any) -> Handler:
    async def answer(request: Request, error: Any) -> Response:
        if for_programs is not None and request.url.path.startswith(MACHINES):
            response: Response = await for_programs(request, error)
            return response
        return await handler(request, error)

    return answer


async def _sign_in_first(request: Request, error: Any) -> Response:
    path = sign_in_path(error.path if request.method == "GET" else "/")
    if "HX-Request" in request.headers:
        return Response(status_code=401, headers={"HX-Redirect": path})
    return RedirectResponse(path, 303)


async def _http_error(request: Request, error: HTTPException) -> Response:
    return _error_page(request, error.status_code, headers=error.headers)


async def _invalid(request: Request, _error: RequestValidationError) -> Response:
    return _error_page(request, 404 if request.method == "GET" else 422)


async def _not_found(request: Request, _error: OrderNotFoundError) -> Response:
    return _error_page(request, 404)


async def _conflict(request: Request, _error: TransitionError) -> Response:
    return _error_page(request, 409)


async def _unavailable(request: Request, error: DatabaseError | SeriesError) -> Response:
    _log.warning("page not shown", path=request.url.path, reason=str(error))
    return _error_page(request, 503)


async def _unfit(request: Request, error: DataError) -> Response:
    note_unfit(request, error)
    return _error_page(request, 404 if request.method == "GET" else 422)


async def _our_fault(request: Request, _error: Exception) -> Response:
    # It is answered outside of every middleware.
    return _error_page(request, 500, headers=safe_headers(services_of(request).map))


_PAGES_OF_ERRORS: Mapping[Any, Handler] = {
    HTTPException: _http_error,
    RequestValidationError: _invalid,
    OrderNotFoundError: _not_found,
    TransitionError: _conflict,
    DatabaseError: _unavailable,
    SeriesError: _unavailable,
    DataError: _unfit,
    500: _our_fault,
}


def _error_page(request: Request, status: int, *, headers: Mapping[str, str] | None = None) -> Response:
    page = Page(request, services_of(request), None)
    response = page.render("error.html", status=status, code=status)
    response.headers.update(headers or {})
    return response
