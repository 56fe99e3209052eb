"""People who are added on the command line, beside those that the registry file names.

Exception
└── PersonError      cannot be added so: the text says why
"""

import re
from collections.abc import Collection

from sqlalchemy import Connection, insert, select, update

from cloud.database import insert_new
from cloud.registry.load import PERSON
from cloud.registry.person import RULES, Role
from cloud.registry.registry import find_person
from cloud.registry.sign_in import forget_access
from cloud.registry.tables import grids, people, people_grids
from edge.contract.config_file import nearest
from edge.contract.messages import ID_PATTERN


class PersonError(ValueError):
    """The person cannot be added so."""


def add_person(
    connection: Connection, login: str, *, name: str, roles: Collection[Role], working_in: Collection[str]
) -> None:
    """Add a person, or change one who was added so before. Raises PersonError."""
    _check(connection, login, name=name, roles=roles, working_in=working_in)
    if find_person(connection, login) is None:
        forget_access(connection, login)
    row = {"login": login, "name": name, "roles": sorted(set(roles)), "phone": None, "active": True, "origin": PERSON}
    if insert_new(connection, people, [row]) == 0:
        connection.execute(update(people).where(people.c.login == login).values(row))
    connection.execute(update(people_grids).where(people_grids.c.login == login).values(active=False))
    for grid in sorted(set(working_in)):
        values = {"active": True, "origin": PERSON}
        of_grid = (people_grids.c.login == login) & (people_grids.c.grid == grid)
        if connection.execute(update(people_grids).where(of_grid).values(values)).rowcount == 0:
            connection.execute(insert(people_grids).values(login=login, grid=grid, **values))


def remove_person(connection: Connection, login: str) -> None:
    """Make a person inactive and end all ways in; what they did keeps their login. Raises PersonError."""
    origin = connection.scalar(select(people.c.origin).where(people.c.login == login, people.c.active))
    if origin is None:
        raise PersonError(f"person {login[:64]}: not in the registry")
    if origin != PERSON:
        raise PersonError(f"person {login}: named by the registry file: take them out there and load it")
    for table in (people, people_grids):
        connection.execute(update(table).where(table.c.login == login).values(active=False))
    forget_access(connection, login)


def _check(
    connection: Connection, login: str, *, name: str, roles: Collection[Role], working_in: Collection[str]
) -> None:
    if not re.match(ID_PATTERN, login) or login == RULES.login:
        raise PersonError(f"login {login[:64]}: small letters, digits, - and _, not {RULES.login}")
    if not name.strip() or len(name) > 200:
        raise PersonError("name: 1 to 200 characters")
    if not roles:
        raise PersonError(f"role: give at least one of {', '.join(Role)}")
    if Role.WORKER in roles and not working_in:
        raise PersonError("grid: a worker works in at least one grid: give --grid")
    there = connection.scalars(select(grids.c.code).where(grids.c.active)).all()
    for grid in working_in:
        if grid not in there:
            raise PersonError(f"grid {grid}: not in the registry{nearest(grid, there)}")
    origin = connection.scalar(select(people.c.origin).where(people.c.login == login, people.c.active))
    if origin not in (None, PERSON):
        raise PersonError(f"person {login}: named by the registry file: change them there and load it")
