"""The chain of daily heads: what a day's rows hashed to, gateway by gateway."""

from sqlalchemy import BigInteger, Column, LargeBinary, String, Table

from cloud.database import metadata

statement_gateways = Table(
    "statement_gateways",
    metadata,
    Column("day", String(10), primary_key=True),
    Column("gateway", String(64), primary_key=True),
    Column("digest", LargeBinary(32), nullable=False),
    Column("rows", BigInteger, nullable=False),
)
"""What the rows of one gateway that were received or settled on a closed day hash to."""
