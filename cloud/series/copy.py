"""Copies all readings of one series store into another, day by day, and proves that they are there.

The source is only read. A day is done when all of it is written, and then noted in the journal, so that a copy may end
at any moment: writing again what was written changes nothing. What proves the copy is read back from the target and
compared reading by reading with what is read from the source once more (see `tally`). Days are those of UTC.

Every series is written under the kind that its device has now, as a store that keeps one kind a series says it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import ParamSpec, TypeVar

from msgspec import Struct
from msgspec.structs import replace
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_delay, wait_exponential

from cloud.series import LastHeard, RefusedError, SeriesError, SeriesStore, UnavailableError
from cloud.series.copy_journal import Copied, Differs, Journal, Verified
from cloud.series.copy_progress import Progress, duration
from cloud.series.retention import DAY_MS
from cloud.series.tally import Difference, Sums, compare
from edge.contract.messages import Batch, Block

PIECE = 100_000  # readings of a day that are held at once: some 100 MB with all that is made of them
DAYS_AT_ONCE = 3  # while a store works on one, the next is made ready
MOST_SHOWN = 50  # differences, and refusals
PAUSE_S = wait_exponential(multiplier=0.5, max=10)

P = ParamSpec("P")
T = TypeVar("T")


class Day(Struct, frozen=True):
    """A day that the source has readings of: how many, by its own estimate."""

    start_ms: int
    estimate: int

    @property
    def name(self) -> str:
        """The date."""
        return _date(self.start_ms)


class Proof(Struct):
    """What comparing the two stores has found so far."""

    days: dict[str, Sums] = {}  # what was read back from the target of each day that holds all
    more: int = 0  # readings that only the target has, in these days
    expired: int = 0  # readings that are older than the target keeps them
    different_days: list[str] = []
    shown: list[Difference] = []  # the first of them
    changed_days: list[str] = []  # the source has had readings since they were copied

    @property
    def holds(self) -> bool:
        """Whether the target has all that the source has."""
        return not self.different_days and not self.changed_days


class Copy:
    """A copy from one store into another; a store that does not answer is asked again for `patience_s`.

    `kept_since` says of a device since when the target keeps its readings. `written` is how many readings it was given,
    `expired` how many of them it let go.
    """

    def __init__(
        self,
        source: SeriesStore,
        target: SeriesStore,
        journal: Journal,
        progress: Progress,
        *,
        kept_since: Callable[[str], int],
        patience_s: float,
    ) -> None:
        self._source = source
        self._target = target
        self._journal = journal
        self._progress = progress
        self._kept_since = kept_since
        self._patience_s = patience_s
        self.written = self.expired = 0
        self._trouble = ""
        self._kinds: dict[tuple[str, str], str] = {}  # of gateway and device
        self._refusals = 0

    async def days(self) -> list[Day]:
        """Return the days that the source has readings of. Raises SeriesError, as all of this does."""
        extent = await self._patiently(self._source.extent)
        if extent is None:
            return []
        oldest, newest = extent
        starts = range(oldest // DAY_MS * DAY_MS, newest + 1, DAY_MS)
        self._progress.begin("counting", len(starts))
        days = []
        for start_ms in starts:
            estimate = await self._estimate(start_ms, start_ms + DAY_MS)
            self._progress.add(days=1, readings=estimate)
            if estimate:
                days.append(Day(start_ms, estimate))
        self._progress.end()
        return days

    def uncopied(self, days: Iterable[Day]) -> list[Day]:
        """Return the days that are to be copied yet."""
        return [day for day in days if not self._journal.is_copied(day.name, day.estimate)]

    def unverified(self, days: Iterable[Day]) -> list[Day]:
        """Return the days that are to be verified yet."""
        return [day for day in days if not self._journal.is_verified(day.name, day.estimate)]

    async def copy(self, days: Sequence[Day]) -> None:
        """Write all readings of these days into the target."""
        newest: dict[tuple[str, str], LastHeard] = {}
        for store in (self._source, self._target):
            for one in await self._patiently(store.last_heard):
                key = (one.gateway, one.device)
                if key not in newest or newest[key].taken_at < one.taken_at:
                    newest[key] = one
        self._kinds = {key: one.kind for key, one in newest.items()}
        self._progress.begin("copying", len(days))
        await _for_each(days, self._copy_day)
        self._progress.end()

    async def verify(self, days: Sequence[Day]) -> Proof:
        """Compare both stores over these days."""
        proof = Proof()

        async def verify(day: Day) -> None:
            await self._verify_day(day, proof)

        self._progress.begin("verifying", len(days))
        await _for_each(days, verify)
        self._progress.end()
        for found in (proof.different_days, proof.changed_days):
            found.sort()
        proof.shown.sort(key=lambda one: (one.day, one.series))
        return proof

    async def _copy_day(self, day: Day) -> None:
        async for start_ms, end_ms in self._pieces(day.start_ms, day.start_ms + DAY_MS, day.estimate):
            batches = await self._patiently(self._source.read_span, start_ms=start_ms, end_ms=end_ms)
            await self._write([self._of_present_kind(batch) for batch in batches])
            written = _count(batches)
            self.written += written
            self._progress.add(readings=written)
        self._journal.note(Copied(day.name, day.estimate))
        self._progress.add(days=1)

    async def _verify_day(self, day: Day, proof: Proof) -> None:
        held, more, expired = Sums(), 0, 0
        differences: list[Difference] = []
        async for start_ms, end_ms in self._pieces(day.start_ms, day.start_ms + DAY_MS, day.estimate):
            ours = await self._patiently(self._source.read_span, start_ms=start_ms, end_ms=end_ms)
            theirs = await self._patiently(self._target.read_span, start_ms=start_ms, end_ms=end_ms)
            # Only now: what the target let go while it was read has expired.
            found = await asyncio.to_thread(compare, day.name, ours, theirs, self._kept_since)
            held += found.target
            more += found.more
            expired += found.expired
            differences += found.differences[: MOST_SHOWN + 1]
            self._progress.add(readings=found.source.readings)
        if not differences:
            proof.days[day.name] = held
            proof.more += more
            proof.expired += expired
            if not self._journal.is_copied(day.name, day.estimate):
                self._journal.note(Copied(day.name, day.estimate))
            self._journal.note(Verified.of(day.name, held, more))
        elif await self._estimate(day.start_ms, day.start_ms + DAY_MS) != day.estimate:
            proof.changed_days.append(day.name)
        else:
            proof.different_days.append(day.name)
            proof.shown += differences[: MOST_SHOWN - len(proof.shown)]
            self._journal.note(Differs(day.name))
        self._progress.add(days=1)

    async def _pieces(self, start_ms: int, end_ms: int, estimate: int) -> AsyncIterator[tuple[int, int]]:
        """Cut a span so that no piece holds too many readings."""
        if estimate <= PIECE or end_ms - start_ms == 1:
            if estimate:
                yield start_ms, end_ms
            return
        middle_ms = (start_ms + end_ms) // 2
        for half in ((start_ms, middle_ms), (middle_ms, end_ms)):
            async for piece in self._pieces(*half, await self._estimate(*half)):
                yield piece

    async def _estimate(self, start_ms: int, end_ms: int) -> int:
        return await self._patiently(self._source.estimate, start_ms=start_ms, end_ms=end_ms)

    async def _write(self, batches: Sequence[Batch]) -> None:
        """Write all that the target takes: what it refuses is tried in smaller parts, down to a series of a span."""
        try:
            expired = await self._patiently(self._target.write, batches)
            self.expired += sum(expired.values())
        except RefusedError as error:
            parts = list(_parts_of(batches))
            if not parts:
                self._say_refused(batches[0], error)
            for part in parts:
                await self._write([part])

    def _say_refused(self, batch: Batch, error: RefusedError) -> None:
        self._refusals += 1
        (table,) = batch.tables
        series = f"{batch.gateway}/{table.device}/{table.columns[0].point}"
        if self._refusals <= MOST_SHOWN:
            self._progress.say(f"{_date(table.times[0])} {series}: refused: {error}")
        if self._refusals == MOST_SHOWN:
            self._progress.say("what else is refused is not shown")

    def _of_present_kind(self, batch: Batch) -> Batch:
        tables = (
            replace(table, kind=self._kinds.get((batch.gateway, table.device), table.kind)) for table in batch.tables
        )
        return replace(batch, blocks=list(map(Block.of, tables)))

    async def _patiently(self, work: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Try for some time while a store does not answer."""
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(UnavailableError),
            wait=_pause_s,
            stop=stop_after_delay(self._patience_s),
            before_sleep=self._report,
            reraise=True,
        )
        result: T = await retrying(work, *args, **kwargs)
        self._trouble = ""
        return result

    def _report(self, state: RetryCallState) -> None:
        trouble = str(_error_of(state))
        if trouble != self._trouble:
            self._trouble = trouble
            self._progress.say(f"{trouble}; trying again for {duration(self._patience_s)}")


async def _for_each(days: Iterable[Day], work: Callable[[Day], Awaitable[None]]) -> None:
    """Do something with every day in order, with a few at once; raises the first error."""
    waiting = iter(days)

    async def work_on() -> None:
        for day in waiting:
            await work(day)

    failed: Exception | None = None
    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(DAYS_AT_ONCE):
                tasks.create_task(work_on())
    except* (SeriesError, OSError) as errors:
        failed = errors.exceptions[0]
    if failed is not None:
        raise failed


def _parts_of(batches: Sequence[Batch]) -> Iterator[Batch]:
    """Cut batches into gateways, a gateway into tables, a table into columns; nothing where it is one column."""
    first = batches[0]
    if len(batches) > 1:
        yield from batches
    elif len(first.tables) > 1:
        yield from (replace(first, blocks=[Block.of(table)]) for table in first.tables)
    elif len(first.tables[0].columns) > 1:
        table = first.tables[0]
        yield from (replace(first, blocks=[Block.of(replace(table, columns=[one]))]) for one in table.columns)


def _pause_s(state: RetryCallState) -> float:
    asked = getattr(_error_of(state), "retry_after_s", None)
    return max(PAUSE_S(state), asked or 0.0)


def _error_of(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _count(batches: Sequence[Batch]) -> int:
    return sum(
        len(table.times) - column.flags.count(0)
        for batch in batches
        for table in batch.tables
        for column in table.columns
    )


def _date(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d")
