"""What tests of the cloud share: an empty database of their own, and a small neighbourhood to fill it with."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import cloud.migrations  # noqa: F401 -- with it every table is on the metadata
from cloud.database import Database, metadata
from cloud.registry.load import load_registry
from cloud.registry.registry_file import RegistryFile
from edge.contract.config_file import load_yaml

NEIGHBOURHOOD = Path(__file__).parent / "registry" / "neighbourhood.yaml"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """An empty database with all tables."""
    with Database.at(tmp_path / "cloud.db") as database:
        database.write_now(metadata.create_all)
        yield database


@pytest.fixture
def neighbourhood(database: Database) -> Database:
    """The database, with the neighbourhood of neighbourhood.yaml in it."""
    registry = load_yaml(NEIGHBOURHOOD, RegistryFile)
    database.write_now(lambda connection: load_registry(connection, registry))
    return database
