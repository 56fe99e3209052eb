"""What the tests of copies share: stores of either engine, and one run of a copy."""

import io
import json
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

from cloud.series import SeriesStore
from cloud.series.config import HouseholdConfig, SeriesConfig, open_series
from cloud.series.copy import Copy, Proof
from cloud.series.copy_journal import open_journal
from cloud.series.copy_progress import Progress
from tests.servers import InfluxDB

FILES = SeriesConfig(household=HouseholdConfig(retention_days=36_500))


class Stores:
    """Where the test's stores are: in files of `folder`, and in databases of an InfluxDB."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self._folder = folder
        self._stack = stack

    def files(self, name: str) -> SeriesStore:
        """Return a store in files."""
        (self._folder / name).mkdir(exist_ok=True)
        return self._closed_later(open_series(FILES, self._folder / name))

    def influx(self, server: InfluxDB, database: str, *, url: str = "") -> SeriesStore:
        """Return a store on an InfluxDB, at another address than its own where one is given."""
        for name in (database, f"{database}_households"):
            server.query(f'CREATE DATABASE "{name}"')
        config = SeriesConfig(engine="influx", url=url or server.url, database=database)
        return self._closed_later(open_series(config, self._folder))

    def _closed_later(self, store: SeriesStore) -> SeriesStore:
        self._stack.push_async_callback(store.close)
        return store


class Run:
    """One run of a copy, as the command does it; what it said is in `said`."""

    def __init__(self, folder: Path, *, patience_s: float = 0.2) -> None:
        self._folder = folder
        self._patience_s = patience_s
        self._stream = io.StringIO()
        self.copied = 0
        self.kept_since: Callable[[str], int] = lambda _device: 0

    @property
    def said(self) -> str:
        """What it said of its progress."""
        return self._stream.getvalue()

    async def __call__(self, source: SeriesStore, target: SeriesStore) -> Proof:
        """Copy what is not copied yet, and verify all."""
        with self.opened(source, target) as copy:
            days = await copy.days()
            missing = copy.uncopied(days)
            self.copied = len(missing)
            await copy.copy(missing)
            return await copy.verify(days)

    async def verify(self, source: SeriesStore, target: SeriesStore) -> Proof:
        """Only verify."""
        with self.opened(source, target) as copy:
            return await copy.verify(await copy.days())

    @contextmanager
    def opened(self, source: SeriesStore, target: SeriesStore) -> Iterator[Copy]:
        """Open the journal, and give the copy that notes in it."""
        with open_journal(self._folder, "source", "target") as journal:
            progress = Progress(self._stream)
            yield Copy(source, target, journal, progress, kept_since=self.kept_since, patience_s=self._patience_s)


def days_in_journal(folder: Path) -> list[str]:
    """Return the days that were copied, as the journal says them."""
    (path,) = folder.glob("series-copy-*.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [line["day"] for line in lines if line["type"] == "copied"]
