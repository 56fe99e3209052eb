"""Files that other programs read while we write them: each is the old one or the new one, never half of it."""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PRIVATE, FOR_GROUP, PUBLIC = 0o600, 0o640, 0o644
"""For its owner alone; for a service in the group too; for everyone."""


def secret_mode(folder: Path) -> int:
    """Return who may read a secret in this folder: its owner; where that is root, the group that root gave it to."""
    status = folder.stat()
    return FOR_GROUP if status.st_uid == 0 and status.st_gid != 0 else PRIVATE


def make_folder(folder: Path, mode: int) -> None:
    """Make a folder that is missing; it belongs to whom the folder around it belongs to."""
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=mode)
        folder.chmod(mode)  # whatever the umask took away
        _give(folder, folder.parent)


def write_file(path: Path, content: bytes, *, mode: int) -> None:
    """Put a file in place of what is there, at once; it belongs to whom its folder belongs to."""
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            _give(unfinished, path.parent)
            os.fchmod(file.fileno(), mode)  # after the owner: chown may take bits away
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    _sync(path.parent)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep out, for the time of the block, other commands that change this folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def in_pairs(digest: str) -> str:
    """Return a digest in hex as people compare it, in pairs."""
    return ":".join(digest[place : place + 2] for place in range(0, len(digest), 2)).upper()


def _give(path: Path, around: Path) -> None:
    """Let root's files belong to the folder's owner, and anybody's to its group as far as that may be."""
    status = around.stat()
    with suppress(PermissionError):
        os.chown(path, status.st_uid if os.geteuid() == 0 else -1, status.st_gid)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
