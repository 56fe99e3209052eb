"""Pictures, named by their SHA-256: pieces wait in a table, whole pictures are files in `folder`/ab/abcdef….

ValueError
└── PictureError        the bytes are not the picture they claim to be; never acceptable
"""

import os
import secrets
from hashlib import sha256
from pathlib import Path

from sqlalchemy import BigInteger, Column, Connection, Integer, LargeBinary, String, Table, delete, func, select

from cloud.database import insert_new, metadata
from edge.contract.messages import MAX_BLOB, BlobPiece

MAX_EVIDENCE = 12 * 1024 * 1024  # bytes of a picture that a person takes: phones make larger ones than cameras
MAX_INCOMPLETE = 16  # pictures of one gateway that wait for pieces; the oldest makes room

blob_pieces = Table(
    "blob_pieces",
    metadata,
    Column("gateway", String(64), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("index", Integer, primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
    Column("received_at", BigInteger, nullable=False),
)
blobs = Table(
    "blobs",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("media_type", String(32), nullable=False),
    Column("size", Integer, nullable=False),
    Column("received_at", BigInteger, nullable=False),
)

forgotten_pictures = Table(
    "forgotten_pictures",  # deleted because their time was over: what was there, and that it is not lost
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("class_code", String(64), nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("forgotten_at", BigInteger, nullable=False),
)

SIGNATURES = {"image/jpeg": b"\xff\xd8\xff", "image/png": b"\x89PNG\r\n\x1a\n"}


class PictureError(ValueError):
    """The bytes are not the picture they claim to be."""


def path_of(folder: Path, name: str) -> Path:
    """Return where the picture `name` (64 hex digits) lies in `folder`."""
    return folder / name[:2] / name


def take_piece(connection: Connection, piece: BlobPiece, folder: Path, *, now_ms: int) -> bool:
    """Keep one piece; with the last one keep the picture. Return whether the picture is whole.

    Raises PictureError when the pieces together are not what they are named, and forgets them.
    """
    if _is_known(connection, piece.name):
        return True
    row = {"gateway": piece.gateway, "name": piece.name, "index": piece.index}
    insert_new(connection, blob_pieces, [{**row, "data": piece.data, "received_at": now_ms}])
    mine = (blob_pieces.c.gateway == piece.gateway, blob_pieces.c.name == piece.name)
    if connection.scalar(select(func.count()).where(*mine)) != piece.count:
        _make_room(connection, piece.gateway)
        return False
    pieces = connection.scalars(select(blob_pieces.c.data).where(*mine).order_by(blob_pieces.c.index))
    data = b"".join(pieces)
    connection.execute(delete(blob_pieces).where(*mine))
    if sha256(data).hexdigest() != piece.name:
        raise PictureError(f"picture {piece.name}: its {piece.count} pieces together have another SHA-256")
    keep_picture(connection, data, piece.media_type, folder, now_ms=now_ms)
    return True


def keep_picture(
    connection: Connection, data: bytes, media_type: str, folder: Path, *, now_ms: int, max_bytes: int = MAX_BLOB
) -> str:
    """Keep a whole picture and return its name; raises PictureError for what is no JPEG or PNG, or over `max_bytes`."""
    signature = SIGNATURES.get(media_type)
    if signature is None:
        raise PictureError(f"picture: {media_type[:60]} is not one of {', '.join(SIGNATURES)}")
    if len(data) > max_bytes:
        raise PictureError(f"picture: {len(data)} bytes, at most {max_bytes} are allowed")
    if not data.startswith(signature):
        raise PictureError(f"picture: its content is not {media_type}")
    name = sha256(data).hexdigest()
    # The file goes first: a row promises its file, while a file without a row does no harm.
    _write_durably(path_of(folder, name), data)
    row = {"sha256": name, "media_type": media_type, "size": len(data), "received_at": now_ms}
    insert_new(connection, blobs, [row])
    return name


def _is_known(connection: Connection, name: str) -> bool:
    """Whether a picture is kept, or was until its time was over: then it is not taken again."""
    names = (select(each.c.sha256).where(each.c.sha256 == name) for each in (blobs, forgotten_pictures))
    return any(connection.scalar(name) is not None for name in names)


def _make_room(connection: Connection, gateway: str) -> None:
    names = connection.scalars(
        select(blob_pieces.c.name)
        .where(blob_pieces.c.gateway == gateway)
        .group_by(blob_pieces.c.name)
        .order_by(func.max(blob_pieces.c.received_at).desc())
        .offset(MAX_INCOMPLETE)
    ).all()
    if names:
        connection.execute(delete(blob_pieces).where(blob_pieces.c.gateway == gateway, blob_pieces.c.name.in_(names)))


def _write_durably(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")  # another may be writing the same picture
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    for folder in (path.parent, path.parent.parent):  # a name that is not on disk is no file after a power cut
        _sync(folder)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
