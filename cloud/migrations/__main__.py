"""Write a new migration from what the declared tables and an empty, migrated database differ in; for developers."""

import sys
import tempfile
from pathlib import Path

from alembic import command

from cloud.database import Database
from cloud.migrations import configuration, migrate

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, Database.at(Path(folder) / "empty.db") as database:
        database.write_now(migrate)
        database.write_now(lambda c: command.revision(configuration(c), sys.argv[1], autogenerate=True))
