"""Questions to the registry: is this gateway known, where is this device, who works there."""

import time
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, FromClause, and_, func, select

from cloud.database import Database
from cloud.registry.person import Person, Role
from cloud.registry.tables import devices, gateways, people, people_grids, sites

FRESH_FOR_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a device is; `device_name` is the gateway's name when the device is not registered."""

    site: str
    site_name: str
    grid: str
    address: str
    device_name: str
    latitude: float | None
    longitude: float | None


class Registry:
    """Answers from memory which gateways are registered; at most one second behind the database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: frozenset[str] = frozenset()
        self._read_at = -FRESH_FOR_S

    async def is_known(self, gateway: str) -> bool:
        """Whether `gateway` is registered and active. Raises DatabaseError."""
        if time.monotonic() - self._read_at >= FRESH_FOR_S:
            self._known = await self._database.read(known_gateways)
            self._read_at = time.monotonic()
        return gateway in self._known


def known_gateways(connection: Connection) -> frozenset[str]:
    """Return the ids of all active gateways."""
    return frozenset(connection.scalars(select(gateways.c.id).where(gateways.c.active)))


def join_place(source: FromClause, gateway: ColumnElement[str], device: ColumnElement[str]) -> FromClause:
    """Join to rows that name a gateway and a device the site where that device is or last was, and with it its grid."""
    own = and_(devices.c.gateway == gateway, devices.c.id == device)
    return (
        source.join(gateways, gateways.c.id == gateway)
        .outerjoin(devices, own)
        .join(sites, sites.c.code == func.coalesce(devices.c.site, gateways.c.site))
    )


def find_place(connection: Connection, gateway: str, device: str) -> Place | None:
    """Return where a device is or last was, so that its history stays with its grid; None for an unknown gateway.

    That is its own site, else its gateway's, as for a device that nobody registered.
    """
    own = and_(devices.c.gateway == gateways.c.id, devices.c.id == device)
    found = connection.execute(
        select(
            func.coalesce(devices.c.name, gateways.c.name).label("device_name"),
            sites.c.code.label("site"),
            sites.c.name.label("site_name"),
            sites.c.grid,
            sites.c.address,
            sites.c.latitude,
            sites.c.longitude,
        )
        .select_from(gateways)
        .outerjoin(devices, own)
        .join(sites, sites.c.code == func.coalesce(devices.c.site, gateways.c.site))
        .where(gateways.c.id == gateway)
    )
    row = found.mappings().one_or_none()
    return Place(**row) if row else None


def find_person(connection: Connection, login: str) -> Person | None:
    """Return an active person, or None."""
    row = connection.execute(select(people).where(people.c.login == login, people.c.active)).one_or_none()
    if row is None:
        return None
    own = select(people_grids.c.grid).where(people_grids.c.login == login, people_grids.c.active)
    roles = frozenset(Role(role) for role in row.roles)
    return Person(login=login, name=row.name, roles=roles, grids=frozenset(connection.scalars(own)))


def workers_of(connection: Connection, grid: str) -> list[Person]:
    """Return the active workers of a grid, by login."""
    logins = connection.scalars(
        select(people_grids.c.login)
        .where(people_grids.c.grid == grid, people_grids.c.active)
        .order_by(people_grids.c.login)
    ).all()
    found = (find_person(connection, login) for login in logins)
    return [person for person in found if person and person.is_worker_of(grid)]
