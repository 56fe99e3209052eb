"""What every command of the cloud shares: where the configuration is, and how a fault is said."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from cloud.backup import BackupError
from cloud.database import DatabaseError
from cloud.registry.people import PersonError
from cloud.registry.tokens import UnknownPersonError
from cloud.series import SeriesError
from cloud.start import StartError
from edge.contract.clock import ClockError
from edge.contract.config_file import ConfigError

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The cloud's configuration.")]
CLOUD_YAML = Path("cloud.yaml")


@contextmanager
def errors_said() -> Iterator[None]:
    """End the program with one clear message for what a person can mend."""
    try:
        yield
    except (ConfigError, ClockError) as error:
        fail(str(error), code=2)
    except (StartError, DatabaseError, SeriesError, BackupError, UnknownPersonError, PersonError) as error:
        fail(str(error), code=1)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}", code=1)


def count(number: int, thing: str) -> str:
    """Return "1 token" or "2 tokens"."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def fail(message: str, *, code: int) -> NoReturn:
    """Say what is wrong on standard error and end the program."""
    sys.stderr.write(f"{message}\n")
    raise typer.Exit(code)
