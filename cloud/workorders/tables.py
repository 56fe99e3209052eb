"""The tables of events, alerts and work orders. Revisions, transitions and evidence are only ever added to.

Times are milliseconds UTC, as everywhere.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from cloud.database import RowId, metadata

ID, NAME = String(64), String(200)

alerts = Table(
    "alerts",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("firing", String(255), unique=True),  # the fingerprint while it fires, then null: one alert a cause
    Column("gateway", ID, nullable=False),
    Column("device", ID, nullable=False),
    Column("class_code", ID, nullable=False),
    Column("severity", String(8), nullable=False),  # the highest so far
    Column("exercise", Boolean, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("resolved_at", BigInteger),
)
events = Table(
    "events",
    metadata,
    Column("gateway", ID, primary_key=True),
    Column("id", String(32), primary_key=True),
    Column("revision", Integer, nullable=False),  # the highest that came; the columns below are its
    Column("state", String(16), nullable=False),
    Column("class_code", ID, nullable=False),
    Column("device", ID, nullable=False),
    Column("point", ID, nullable=False),
    Column("severity", String(8), nullable=False),
    Column("exercise", Boolean, nullable=False),
    Column("began_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("received_at", BigInteger, nullable=False),  # when its first revision came
    Column("waits_until", BigInteger, index=True),  # heard late, it may be over: until then its end is waited for
    Column("alert", ForeignKey(alerts.c.id), index=True),
    Index("ix_events_began_at", "began_at"),
    Index("ix_events_device", "gateway", "device", "updated_at"),  # when a device last said anything
)
event_revisions = Table(
    "event_revisions",
    metadata,
    Column("gateway", ID, primary_key=True),
    Column("event", String(32), primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("state", String(16), nullable=False),
    Column("severity", String(8), nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("body", Text, nullable=False),  # the Event as JSON
    ForeignKeyConstraint(["gateway", "event"], ["events.gateway", "events.id"]),
)
event_blobs = Table(
    "event_blobs",  # the pictures that an event names; the event goes first, so they may still be on their way
    metadata,
    Column("gateway", ID, primary_key=True),
    Column("event", String(32), primary_key=True),
    Column("sha256", String(64), primary_key=True, index=True),
    ForeignKeyConstraint(["gateway", "event"], ["events.gateway", "events.id"]),
)
orders = Table(
    "orders",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("version", Integer, nullable=False),  # one more with each transition
    Column("state", String(16), nullable=False, index=True),
    Column("alert", ForeignKey(alerts.c.id), unique=True),
    Column("case_code", String(16), nullable=False, index=True, unique=True),  # for the public page
    Column("class_code", ID, nullable=False),
    Column("severity", String(8), nullable=False),
    Column("highest_severity", String(8), nullable=False),
    Column("exercise", Boolean, nullable=False),
    # what raised it; value, threshold and readings stand in the event's revisions
    Column("gateway", ID, nullable=False),
    Column("device", ID, nullable=False),
    Column("point", ID, nullable=False),
    Column("event", String(32), nullable=False),
    Column("observed_at", BigInteger, nullable=False),
    Column("heard_at", BigInteger),  # when the cloud heard of it, where that was late
    # where it is, as registered when it was raised
    Column("site", ID, nullable=False),
    Column("site_name", NAME, nullable=False),
    Column("device_name", NAME, nullable=False),
    Column("grid", ID, nullable=False, index=True),
    Column("address", NAME, nullable=False),
    Column("latitude", Float),
    Column("longitude", Float),
    # who
    Column("handler", ID),
    Column("accepted_by", ID),
    Column("verified_by", ID),
    Column("closed_by", ID),
    # how far
    Column("opened_at", BigInteger, nullable=False),
    Column("acknowledged_at", BigInteger),  # the first time
    Column("finished_at", BigInteger),
    Column("sensor_cleared_at", BigInteger),
    Column("times_returned", Integer, nullable=False),
    Column("closing_standard", NAME),
    Column("recovered", Boolean, nullable=False),  # 自动恢复: closed by the rules, counted apart
    Column("waits_for", NAME),  # why no rule moves it on: for the dispatcher
)
transitions = Table(
    "order_transitions",
    metadata,
    Column("order", ForeignKey(orders.c.id), primary_key=True),
    Column("version", Integer, primary_key=True),  # of the order, after it
    Column("at", BigInteger, nullable=False),
    Column("who", ID, nullable=False),
    Column("source", String(16)),  # null: the order was raised
    Column("target", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("closing_standard", NAME),
    Column("assignee", ID),
    Column("latitude", Float),
    Column("longitude", Float),
    Column("evidence", JSON, nullable=False),  # list of evidence ids
    Column("note", Text, nullable=False),
    Column("pressed_at", BigInteger),  # by the phone's clock, when the step waited there for a network
    Index("ix_order_transitions_at", "at"),
)
order_actions = Table(
    "order_actions",  # what a phone sent under a name of its own: sent again, it is not done again
    metadata,
    Column("id", String(36), primary_key=True),  # a UUID made where the button was pressed
    Column("login", ID, nullable=False),
    Column("order", ForeignKey(orders.c.id), nullable=False),
    Column("at", BigInteger, nullable=False),
)
evidence = Table(
    "order_evidence",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("order", ForeignKey(orders.c.id), nullable=False, index=True),
    Column("kind", String(16), nullable=False),
    Column("sha256", String(64), index=True),  # of a picture
    Column("added_at", BigInteger, nullable=False),
    Column("who", ID, nullable=False),
    Column("note", Text, nullable=False),
    UniqueConstraint("order", "sha256"),
)
