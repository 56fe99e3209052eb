"""Run by Alembic: works on the connection it was given, within the caller's transaction."""

from alembic import context

from cloud.database import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
