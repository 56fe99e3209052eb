"""Days of account in the ledger, what gateways say of them, and the chain of closed days."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

SETTLED = sa.text("settled_at IS NOT NULL")
MS = "least(received_at, 253370764800000)"  # before the year 10000, where days have ten letters
DAYS = {
    "postgresql": f"to_char(to_timestamp({MS} / 1000 + 28800) AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
    "sqlite": f"strftime('%Y-%m-%d', {MS.replace('least', 'min')} / 1000 + 28800, 'unixepoch')",
}


def upgrade() -> None:
    """Add the columns, the day being that of receipt so far; create the tables."""
    day: sa.Column[str] = sa.Column("day", sa.String(length=10), nullable=False, server_default="")
    settled_at: sa.Column[int] = sa.Column("settled_at", sa.BigInteger(), nullable=True)
    op.add_column("ledger", day)
    op.add_column("ledger", settled_at)
    op.execute(f"UPDATE ledger SET day = {DAYS[op.get_bind().dialect.name]}")  # noqa: S608
    with op.batch_alter_table("ledger") as table:
        table.alter_column("day", server_default=None)
    op.create_index("ix_ledger_gateway_received_at", "ledger", ["gateway", "received_at"], unique=False)
    op.create_index(
        "ix_ledger_gateway_settled_at", "ledger", ["gateway", "settled_at"], unique=False,
        sqlite_where=SETTLED, postgresql_where=SETTLED,
    )  # fmt: skip
    _create_closed_days()
    op.create_table(
        "gateway_days",
        sa.Column("gateway", sa.String(length=64), nullable=False),
        sa.Column("epoch", sa.String(length=16), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("taken", sa.BigInteger(), nullable=False),
        sa.Column("unchanged", sa.BigInteger(), nullable=False),
        sa.Column("refused", sa.BigInteger(), nullable=False),
        sa.Column("waiting", sa.BigInteger(), nullable=False),
        sa.Column("given_up", sa.JSON(), nullable=False),
        sa.Column("said_at", sa.BigInteger(), nullable=False),
        sa.Column("moved", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("gateway", "epoch", "day", name=op.f("pk_gateway_days")),
    )
    op.create_table(
        "head_witnesses",
        sa.Column("gateway", sa.String(length=64), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("first_said_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("gateway", "day", name=op.f("pk_head_witnesses")),
    )


def _create_closed_days() -> None:
    op.create_table(
        "ledger_ranges",
        sa.Column("gateway", sa.String(length=64), nullable=False),
        sa.Column("epoch", sa.String(length=16), nullable=False),
        sa.Column("lane", sa.Integer(), nullable=False),
        sa.Column("first", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("received_on", sa.String(length=10), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("readings", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.String(length=8), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("compacted", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("gateway", "epoch", "lane", "first", name=op.f("pk_ledger_ranges")),
    )
    op.create_index("ix_ledger_ranges_gateway_day", "ledger_ranges", ["gateway", "day"], unique=False)
    op.create_index("ix_ledger_ranges_received_on", "ledger_ranges", ["received_on"], unique=False)
    op.create_table(
        "compacted_lanes",
        sa.Column("gateway", sa.String(length=64), nullable=False),
        sa.Column("epoch", sa.String(length=16), nullable=False),
        sa.Column("lane", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("gateway", "epoch", "lane", name=op.f("pk_compacted_lanes")),
    )
    op.create_table(
        "statement_days",
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("head", sa.String(length=64), nullable=True),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("closed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_statement_days")),
    )
    op.create_table(
        "statement_gateways",
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("gateway", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "gateway", name=op.f("pk_statement_gateways")),
    )


def downgrade() -> None:
    """Drop the tables and columns."""
    for name in ("head_witnesses", "gateway_days", "statement_gateways", "statement_days"):
        op.drop_table(name)
    for name in ("compacted_lanes", "ledger_ranges"):
        op.drop_table(name)
    op.drop_index("ix_ledger_gateway_settled_at", table_name="ledger")
    op.drop_index("ix_ledger_gateway_received_at", table_name="ledger")
    with op.batch_alter_table("ledger") as table:
        table.drop_column("settled_at")
        table.drop_column("day")
