"""The registry's tables.

Nothing is ever deleted: what is gone from the file becomes inactive, so that history keeps its names.
"""

from sqlalchemy import JSON, BigInteger, Boolean, Column, Float, ForeignKey, ForeignKeyConstraint, String, Table

from cloud.database import RowId, metadata

ID, NAME = String(64), String(200)


def _active() -> Column[bool]:
    return Column("active", Boolean, nullable=False)


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
)
gateways = Table(
    "gateways",
    metadata,
    Column("id", ID, primary_key=True),
    Column("name", NAME, nullable=False),
    Column("site", ForeignKey(sites.c.code), nullable=False),
    _active(),
)
devices = Table(
    "devices",
    metadata,
    Column("gateway", ForeignKey(gateways.c.id), primary_key=True),
    Column("id", ID, primary_key=True),
    Column("name", NAME, nullable=False),
    Column("site", ForeignKey(sites.c.code)),  # null: where its gateway is
    _active(),
)
people = Table(
    "people",
    metadata,
    Column("login", ID, primary_key=True),
    Column("name", NAME, nullable=False),
    Column("roles", JSON, nullable=False),  # list of Role, sorted
    Column("phone", String(32)),
    _active(),
)
people_grids = Table(
    "people_grids",
    metadata,
    Column("login", ID, primary_key=True),
    Column("grid", ForeignKey(grids.c.code), primary_key=True),
    _active(),
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
