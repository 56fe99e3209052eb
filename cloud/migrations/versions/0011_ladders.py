"""Alerts that fire are found by the ladder of their class, so that what climbs meanwhile opens no second order."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

WATERLOG = ("WATERLOG.ROAD.1", "WATERLOG.ROAD.2", "WATERLOG.UNDER.CLOSE")
LADDERS = {
    **dict.fromkeys(WATERLOG, "WATERLOG"),
    **dict.fromkeys(("RIVER.WARN", "RIVER.GUAR"), "RIVER"),
    **dict.fromkeys(("RAIN.B", "RAIN.Y", "RAIN.O", "RAIN.R"), "RAIN"),
}
URGENCY = {"blue": 0, "yellow": 1, "orange": 2, "red": 3}


def upgrade() -> None:
    """Let of several alerts of one ladder the one go on that has an order, or the most urgent one."""
    alerts = sa.table("alerts", *map(sa.column, ("id", "firing", "severity")))
    orders = sa.table("orders", sa.column("alert"))
    connection = op.get_bind()
    with_order = set(connection.scalars(sa.select(orders.c.alert)))
    fire = connection.execute(sa.select(alerts).where(alerts.c.firing.is_not(None))).all()
    taken = {one.firing for one in fire}
    for one in sorted(fire, key=lambda one: (one.id not in with_order, -URGENCY.get(one.severity, 0), one.id)):
        name = "/".join(LADDERS.get(part, part) for part in one.firing.split("/"))
        if name not in taken:
            taken.add(name)
            connection.execute(sa.update(alerts).where(alerts.c.id == one.id).values(firing=name))


def downgrade() -> None:
    """Leave them: an event that is under way knows its alert by number."""
