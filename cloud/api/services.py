"""What the API's routes work with: the databases, the clock, and the person who asks."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar
from zoneinfo import ZoneInfo

from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from msgspec import Struct, field

from cloud.api.sessions import CSRF_HEADER, SAFE_METHODS, is_csrf_token, is_from_elsewhere, secret_of
from cloud.config import MapConfig, NewGatewaysConfig
from cloud.database import Database
from cloud.ingest import Counters
from cloud.registry.passwords import PasswordChecker
from cloud.registry.person import Person, Role
from cloud.registry.sign_in import find_session
from cloud.registry.tokens import find_bearer
from cloud.series import SeriesStore
from edge.contract.clock import Clock
from edge.contract.program import command

T = TypeVar("T")


class Services(Struct, frozen=True, kw_only=True):
    """Made once per process and kept in `app.state.services`."""

    database: Database
    series: SeriesStore
    clock: Clock
    counters: Counters
    blobs_folder: Path
    passwords: PasswordChecker = field(default_factory=PasswordChecker)
    timezone: ZoneInfo = ZoneInfo("Asia/Shanghai")
    map: MapConfig = MapConfig()
    new_gateways: NewGatewaysConfig = NewGatewaysConfig()
    broker_ca: Path | None = None  # the authority by which the cloud, and gateways, know the broker


def services_of(request: Request) -> Services:
    """Return the services of the app that serves this request."""
    services: Services = request.app.state.services
    return services


ServicesHere = Annotated[Services, Depends(services_of)]
_bearer = HTTPBearer(auto_error=False, description=f"A token from `{command('cloud', 'token LOGIN')}`.")


async def _person(
    request: Request, services: ServicesHere, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Person:
    """Return who asks, by token or by the session of a browser; answers 401 without either."""
    sign_in = {"WWW-Authenticate": "Bearer"}
    if given is None and "Authorization" in request.headers:
        raise HTTPException(401, "Authorization must be: Bearer, a blank, and the token", headers=sign_in)
    if given is None and (secret := secret_of(request)) is not None:
        return await _signed_in(request, services, secret)
    if given is None:
        raise HTTPException(401, "sign in: send Authorization: Bearer and a token", headers=sign_in)
    token, now_ms = given.credentials, services.clock.now_ms()
    person = await services.database.read(lambda connection: find_bearer(connection, token, now_ms=now_ms))
    if person is None:
        raise HTTPException(401, "this token is unknown, expired or revoked", headers=sign_in)
    return person


async def _signed_in(request: Request, services: Services, secret: str) -> Person:
    if request.method not in SAFE_METHODS:
        is_ours = is_csrf_token(secret, request.headers.get(CSRF_HEADER, ""))
        if is_from_elsewhere(request) or not is_ours:
            raise HTTPException(403, f"a request with a cookie needs the page's token in {CSRF_HEADER}")
    now_ms = services.clock.now_ms()
    session = await services.database.read(lambda connection: find_session(connection, secret, now_ms=now_ms))
    if session is None:
        raise HTTPException(401, "this session is over: sign in again")
    return session.person


Anyone = Annotated[Person, Depends(_person)]


def _one_of(*roles: Role) -> Callable[[Person], Person]:
    def check(person: Anyone) -> Person:
        if not person.roles & set(roles):
            raise HTTPException(403, f"this is for {', '.join(roles)}")
        return person

    return check


Working = Annotated[Person, Depends(_one_of(Role.WORKER, Role.OPERATOR, Role.ADMIN))]
"""Sees events, alerts and orders: a worker those of their grids."""
Equipping = Annotated[Person, Depends(_one_of(Role.INSTALLER, Role.OPERATOR, Role.ADMIN))]
"""Sees gateways and what arrived from them."""
Operating = Annotated[Person, Depends(_one_of(Role.OPERATOR, Role.ADMIN))]
"""Sees and steers everything."""
