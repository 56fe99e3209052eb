"""The file of a backup: a tar whose members come in this order, each small enough to be held in memory.

    anlan-backup.json               Header: which tables and columns, of which revision, made when and by what
    tables/orders/000001.jsonl.gz   rows, one JSON array a line, in the order of the header's columns
    history/000001.jsonl.gz         readings of the embedded series store, one JSON array a line
    hours/000001.jsonl.gz           hours of which no readings are kept any more, one JSON array a line
    pictures/3fa9…                  one picture each, named by its SHA-256
    contents.json                   Contents: how much of each there is
    sha256                          over the names and contents of all before

The last member makes it whole: a file that was cut off has none, and one that was changed has another. A file is read
to its end before anything of it is restored.
"""

import gzip
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO, NamedTuple, TypeVar

import msgspec
from msgspec import Struct

from cloud.backup import ArchiveError

FORMAT = 1
HEADER, CONTENTS, DIGEST = "anlan-backup.json", "contents.json", "sha256"
TABLES, HISTORY, HOURS, PICTURES = "tables", "history", "hours", "pictures"
CHUNK = 1024 * 1024  # bytes of lines in one member, before they are compressed; the last line may stand over
MOST_BYTES = 64 * 1024 * 1024  # of one member, unpacked: none that we write comes near
LEVEL = 3  # of gzip: what is most of a backup, the hashes of messages, gets no smaller by more

END = bytes(2 * tarfile.BLOCKSIZE)

T = TypeVar("T")


class Header(Struct, frozen=True, kw_only=True):
    """What a backup is; `tables` gives the columns of each table, parents before those that refer to them."""

    format: int
    program: str
    revision: str
    engine: str
    made_at: int
    tables: dict[str, list[str]]


class Contents(Struct, frozen=True, kw_only=True):
    """How much a backup holds: rows by table, readings, pictures and their bytes; None for what was left out."""

    rows: dict[str, int]
    readings: int | None
    pictures: int | None
    picture_bytes: int
    absent_pictures: int
    hours: int = 0  # of which only extremes and counts are kept


class Part(NamedTuple):
    """A member of the file, unpacked; `name` is a table's, or a picture's."""

    kind: str
    name: str
    data: bytes


class ArchiveWriter:
    """Writes members into a file that is open for writing; `close` makes it whole."""

    def __init__(self, file: IO[bytes], header: Header) -> None:
        self._file = file
        self._made_at = header.made_at
        self._digest = sha256()
        self._numbers: Counter[str] = Counter()
        self._add(HEADER, msgspec.json.encode(header))

    def add_lines(self, folder: str, lines: Iterable[bytes]) -> Iterator[int]:
        """Add JSON lines to `folder`; give how many there are so far after each member."""
        total = 0
        for count, chunk in _chunks(lines):
            self._numbers[folder] += 1
            self._add(f"{folder}/{self._numbers[folder]:06}.jsonl.gz", gzip.compress(chunk, LEVEL, mtime=0))
            total += count
            yield total

    def add_picture(self, name: str, data: bytes) -> None:
        """Add a picture, named by its SHA-256."""
        self._add(f"{PICTURES}/{name}", data)

    def close(self, contents: Contents) -> None:
        """Make the file whole; without this call it is none."""
        self._add(CONTENTS, msgspec.json.encode(contents))
        self._add(DIGEST, self._digest.hexdigest().encode())
        self._file.write(END)

    def _add(self, name: str, data: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode, member.mtime = len(data), 0o600, self._made_at // 1000
        # Not by TarFile, which remembers every member: pictures may be millions.
        self._file.write(member.tobuf(tarfile.USTAR_FORMAT))
        self._file.write(data)
        self._file.write(bytes(-len(data) % tarfile.BLOCKSIZE))
        self._digest.update(_digested(name, data))


class Archive:
    """A backup that is open for reading; made by :func:`open_archive`."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path = path
        self._file = file
        self._digest = sha256()
        self._contents: Contents | None = None
        self.header = self._read_header()
        if self.header.format != FORMAT:
            raise ArchiveError(f"{path}: has format {self.header.format}, this program knows {FORMAT}: use a newer one")

    @property
    def contents(self) -> Contents:
        """How much the file holds; known after the last of `parts`."""
        if self._contents is None:
            raise AssertionError("what is in a backup is read after its parts")
        return self._contents

    def parts(self) -> Iterator[Part]:
        """Give every part, once; raises ArchiveError, at the latest after the last, when one is not as written."""
        members = self._members()
        for name, data in members:
            if name == CONTENTS:
                self._contents = self._decode(name, data, Contents)
                break
            yield self._part(name, data)
        expected = (DIGEST, self._digest.hexdigest().encode())
        last = next(members, None)
        if last is None:
            raise ArchiveError(f"{self.path}: is cut off: its end is missing")
        if last != expected or next(members, None) is not None:
            raise self._damaged("its SHA-256 is another one")

    def _read_header(self) -> Header:
        try:
            name, data = next(self._members(), ("", b""))
        except ArchiveError:
            name, data = "", b""
        if name != HEADER:
            raise ArchiveError(f"{self.path}: is not a backup of Anlan")
        return self._decode(name, data, Header)

    def _part(self, name: str, data: bytes) -> Part:
        kind, _, rest = name.partition("/")
        table = rest.partition("/")[0]
        if kind == PICTURES and rest == sha256(data).hexdigest():
            return Part(kind, rest, data)
        if kind in {HISTORY, HOURS}:
            return Part(kind, "", self._unpack(name, data))
        if kind == TABLES and table in self.header.tables:
            return Part(kind, table, self._unpack(name, data))
        raise self._damaged(f"{name[:100]} is no part of a backup, or not what it is named")

    def _members(self) -> Iterator[tuple[str, bytes]]:
        """Give name and content of what follows up to the end of the tar, or of the file."""
        while (member := self._next_member()) is not None:
            if not member.isreg() or member.size > MOST_BYTES:
                raise self._damaged(f"{member.name[:100]} is no file, or too large a one")
            data = self._file.read(member.size)
            if len(data) != member.size:
                raise ArchiveError(f"{self.path}: is cut off in {member.name[:100]}")
            self._file.read(-member.size % tarfile.BLOCKSIZE)
            if member.name != DIGEST:
                self._digest.update(_digested(member.name, data))
            yield member.name, data

    def _next_member(self) -> tarfile.TarInfo | None:
        block = self._file.read(tarfile.BLOCKSIZE)
        if len(block) < tarfile.BLOCKSIZE or not any(block):
            return None
        try:
            return tarfile.TarInfo.frombuf(block, tarfile.ENCODING, "surrogateescape")
        except tarfile.HeaderError as error:
            raise self._damaged(str(error)) from error

    def _unpack(self, name: str, data: bytes) -> bytes:
        unpacker = zlib.decompressobj(wbits=31)
        try:
            lines = unpacker.decompress(data, MOST_BYTES)
        except zlib.error as error:
            raise self._damaged(f"{name}: {error}") from error
        if not unpacker.eof or unpacker.unused_data:
            raise self._damaged(f"{name} is cut off, or too large")
        return lines

    def _decode(self, name: str, data: bytes, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(data, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise self._damaged(f"{name}: {error}") from error

    def _damaged(self, why: str) -> ArchiveError:
        return ArchiveError(f"{self.path}: is damaged: {why}")


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open a backup. Raises ArchiveError, and OSError for a file that cannot be read."""
    with path.open("rb") as file:
        yield Archive(path, file)


def verify(path: Path) -> tuple[Header, Contents]:
    """Read a backup to its end; raises ArchiveError when it is not as it was written."""
    with open_archive(path) as archive:
        for _ in archive.parts():
            pass
        return archive.header, archive.contents


def _digested(name: str, data: bytes) -> bytes:
    """Return what of one member goes into the digest: so that no bytes can move from one to the next."""
    return f"{name}\0{len(data)}\0".encode() + data


def _chunks(lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Gather lines to members of about CHUNK; give each with the number of its lines."""
    chunk: list[bytes] = []
    size = 0
    for line in lines:
        chunk.append(line)
        size += len(line) + 1
        if size >= CHUNK:
            yield len(chunk), b"\n".join(chunk) + b"\n"
            chunk, size = [], 0
    if chunk:
        yield len(chunk), b"\n".join(chunk) + b"\n"
