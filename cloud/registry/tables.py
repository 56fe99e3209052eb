"""The registry's tables.

Nothing is ever deleted: what is gone from the file becomes inactive, so that history keeps its names.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    String,
    Table,
)

from cloud.database import RowId, metadata

ID, NAME = String(64), String(200)


def _active() -> Column[bool]:
    return Column("active", Boolean, nullable=False)


def _origin() -> Column[str]:
    """Tell what the registry file names (`file`) from what was added here by a person (`person`).

    Loading a file leaves the latter alone, unless the file names it too: then it is the file's.
    """
    return Column("origin", String(8), nullable=False, server_default="file")


streets = Table(
    "streets", metadata, Column("code", ID, primary_key=True), Column("name", NAME, nullable=False), _active()
)
communities = Table(
    "communities",
    metadata,
    Column("code", ID, primary_key=True),
    Column("name", NAME, nullable=False),
    Column("street", ForeignKey(streets.c.code), nullable=False),
    _active(),
)
grids = Table(
    "grids",
    metadata,
    Column("code", ID, primary_key=True),
    Column("name", NAME, nullable=False),
    Column("community", ForeignKey(communities.c.code), nullable=False),
    Column("area", JSON),  # outline as a list of [longitude, latitude], WGS 84; null: nobody has drawn it
    _active(),
)
sites = Table(
    "sites",
    metadata,
    Column("code", ID, primary_key=True),
    Column("name", NAME, nullable=False),
    Column("grid", ForeignKey(grids.c.code), nullable=False),
    Column("address", NAME, nullable=False),
    Column("latitude", Float),  # degrees, WGS 84
    Column("longitude", Float),
    _active(),
    _origin(),
)
gateways = Table(
    "gateways",
    metadata,
    Column("id", ID, primary_key=True),
    Column("name", NAME, nullable=False),
    Column("site", ForeignKey(sites.c.code), nullable=False),
    _active(),
    _origin(),
)
devices = Table(
    "devices",
    metadata,
    Column("gateway", ForeignKey(gateways.c.id), primary_key=True),
    Column("id", ID, primary_key=True),
    Column("name", NAME, nullable=False),
    Column("site", ForeignKey(sites.c.code)),  # null: where its gateway is
    _active(),
    _origin(),
)
people = Table(
    "people",
    metadata,
    Column("login", ID, primary_key=True),
    Column("name", NAME, nullable=False),
    Column("roles", JSON, nullable=False),  # list of Role, sorted
    Column("phone", String(32)),
    _active(),
    _origin(),
)
people_grids = Table(
    "people_grids",
    metadata,
    Column("login", ID, primary_key=True),
    Column("grid", ForeignKey(grids.c.code), primary_key=True),
    _active(),
    _origin(),
    ForeignKeyConstraint(["login"], ["people.login"]),
)
tokens = Table(
    "tokens",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("login", ForeignKey(people.c.login), nullable=False, index=True),
    Column("sha256", String(64), nullable=False, unique=True),  # of the token; the token itself is nowhere
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
)
credentials = Table(
    "credentials",  # of people who chose a password; others sign in by a one-time link
    metadata,
    Column("login", ForeignKey(people.c.login), primary_key=True),
    Column("password", String(200), nullable=False),  # its argon2id hash
    Column("changed_at", BigInteger, nullable=False),
    Column("failures", Integer, nullable=False),  # wrong passwords since the last right one
    Column("locked_until", BigInteger),
)
sign_in_links = Table(
    "sign_in_links",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("login", ForeignKey(people.c.login), nullable=False, index=True),
    Column("sha256", String(64), nullable=False, unique=True),  # of its code; the code itself is nowhere
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("used_at", BigInteger),
)
sessions = Table(
    "sessions",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("login", ForeignKey(people.c.login), nullable=False, index=True),
    Column("sha256", String(64), nullable=False, unique=True),  # of the cookie's value
    Column("agent", String(200), nullable=False),  # which browser, for the person to know it again
    Column("created_at", BigInteger, nullable=False),
    Column("last_seen", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
)
