"""The gateway.yaml files that installers made on the page, to be fetched again: the file, and the form it came from."""

from collections.abc import Mapping

from msgspec import Struct
from sqlalchemy import JSON, BigInteger, Column, Connection, ForeignKey, String, Table, Text, select, update

from cloud.database import insert_new, metadata
from cloud.registry.tables import gateways

gateway_files = Table(
    "gateway_files",
    metadata,
    Column("gateway", ForeignKey(gateways.c.id), primary_key=True),
    Column("form", JSON, nullable=False),  # field names to what was typed
    Column("text", Text, nullable=False),  # gateway.yaml; secrets are in files of their own
    Column("made_at", BigInteger, nullable=False),
    Column("made_by", String(64), nullable=False),
)


class GatewayFile(Struct, frozen=True, kw_only=True):
    """A gateway.yaml as it was made last."""

    gateway: str
    form: Mapping[str, str]
    text: str
    made_at: int
    made_by: str


def keep_file(connection: Connection, file: GatewayFile) -> None:
    """Keep a file in place of the one that was made before."""
    row = {field: getattr(file, field) for field in GatewayFile.__struct_fields__}
    if insert_new(connection, gateway_files, [row]) == 0:
        connection.execute(update(gateway_files).where(gateway_files.c.gateway == file.gateway).values(row))


def find_file(connection: Connection, gateway: str) -> GatewayFile | None:
    """Return the file that was made for a gateway, or None."""
    row = connection.execute(select(gateway_files).where(gateway_files.c.gateway == gateway)).mappings().one_or_none()
    return GatewayFile(**row) if row else None
