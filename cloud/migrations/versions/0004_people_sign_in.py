"""People sign in with passwords and one-time links; the registry says who named what; cases have public codes.

Steps of orders tell when a button was pressed, and the same button is not carried out twice.

Revision 0004, after 0003.
"""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

NAMED_BY_SOMEBODY = ("sites", "gateways", "devices", "people", "people_grids")
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # as cloud.workorders.case_codes had it when this was written


def upgrade() -> None:
    """Make the change."""
    for table in NAMED_BY_SOMEBODY:
        op.add_column(table, sa.Column("origin", sa.String(length=8), nullable=False, server_default="file"))
    op.add_column("grids", sa.Column("area", sa.JSON(), nullable=True))
    _make_sign_in()
    _make_case_codes()
    op.create_index("ix_events_device", "events", ["gateway", "device", "updated_at"])
    op.create_index("ix_order_transitions_at", "order_transitions", ["at"])
    op.add_column("order_transitions", sa.Column("pressed_at", sa.BigInteger(), nullable=True))
    op.create_table(
        "order_actions",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("login", sa.String(length=64), nullable=False),
        sa.Column("order", _row_id(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["order"], ["orders.id"], name=op.f("fk_order_actions_order_orders")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_order_actions")),
    )


def _row_id() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _make_sign_in() -> None:
    op.create_table(
        "credentials",
        sa.Column("login", sa.String(length=64), nullable=False),
        sa.Column("password", sa.String(length=200), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("locked_until", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["login"], ["people.login"], name=op.f("fk_credentials_login_people")),
        sa.PrimaryKeyConstraint("login", name=op.f("pk_credentials")),
    )
    op.create_table(
        "sign_in_links",
        sa.Column("id", _row_id(), nullable=False),
        sa.Column("login", sa.String(length=64), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["login"], ["people.login"], name=op.f("fk_sign_in_links_login_people")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sign_in_links")),
        sa.UniqueConstraint("sha256", name=op.f("uq_sign_in_links_sha256")),
    )
    op.create_index("ix_sign_in_links_login", "sign_in_links", ["login"])
    op.create_table(
        "sessions",
        sa.Column("id", _row_id(), nullable=False),
        sa.Column("login", sa.String(length=64), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("agent", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("last_seen", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["login"], ["people.login"], name=op.f("fk_sessions_login_people")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
        sa.UniqueConstraint("sha256", name=op.f("uq_sessions_sha256")),
    )
    op.create_index("ix_sessions_login", "sessions", ["login"])


def _make_case_codes() -> None:
    """Give every order that there is a code of its own before the column must have one."""
    # Not by copying the table, as a batch would on SQLite: steps and evidence refer to its rows.
    op.add_column("orders", sa.Column("case_code", sa.String(length=16), nullable=False, server_default=""))
    orders = sa.table("orders", sa.column("id", sa.BigInteger), sa.column("case_code", sa.String))
    connection = op.get_bind()
    give = sa.update(orders).where(orders.c.id == sa.bindparam("number")).values(case_code=sa.bindparam("code"))
    numbers = connection.scalars(sa.select(orders.c.id)).all()
    if numbers:  # all in one call: one by one, 100,000 orders took most of a minute
        connection.execute(give, [{"number": number, "code": _new_code()} for number in numbers])
    op.create_index("ix_orders_case_code", "orders", ["case_code"], unique=True)


def _new_code() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(12))


def downgrade() -> None:
    """Take it back."""
    op.drop_table("order_actions")
    op.drop_column("order_transitions", "pressed_at")
    op.drop_index("ix_events_device", "events")
    op.drop_index("ix_order_transitions_at", "order_transitions")
    op.drop_index("ix_orders_case_code", "orders")
    op.drop_column("orders", "case_code")
    for table in ("sessions", "sign_in_links", "credentials"):
        op.drop_table(table)
    op.drop_column("grids", "area")
    for table in NAMED_BY_SOMEBODY:
        op.drop_column(table, "origin")
