"""What arrived and could not be taken, kept for a person to look at: bounded, and the same content only once."""

from collections.abc import Iterable
from hashlib import sha256

from msgspec import Struct
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    and_,
    delete,
    func,
    or_,
    select,
    update,
)

from cloud.database import RowId, insert_new, metadata
from edge.contract.messages import MAX_PAYLOAD
from edge.contract.program import command

MAX_LETTERS = 10_000
MAX_BYTES = 64 * 1024 * 1024
SWEEP_EVERY = 100  # new letters: to rank them all takes 20 ms, which a flood must not cost the events each time
LARGE = 64 * 1024
SWEEP_EVERY_LARGE = 8  # letters that are large: there is room for few of them, and they are ranked the sooner
CLIP = MAX_PAYLOAD  # bytes kept of one payload: whatever fits the contract is whole, so that it can be taken after all

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("hash", LargeBinary(32), nullable=False),
    Column("topic", String(256), nullable=False),
    Column("gateway", String(64)),
    Column("reason", Text, nullable=False),
    Column("kept", Integer, nullable=False),
    Column("size", Integer, nullable=False),
    Column("count", Integer, nullable=False),
    Column("first_at", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    Column("waiting", Boolean, nullable=False),  # only until its gateway is registered: it comes again by itself
    Column("payload", LargeBinary, nullable=False),  # last, so that nothing before it is read through it
    UniqueConstraint("hash", "topic"),
)


class DeadLetter(Struct, frozen=True, kw_only=True):
    """A message that was not taken; `gateway` is None when the topic names none."""

    topic: str
    gateway: str | None
    reason: str
    payload: bytes


class KeptLetter(Struct, frozen=True, kw_only=True):
    """A dead letter as kept: `payload` is its beginning, `size` its whole length, `count` how often it came.

    A `waiting` one will be taken: its gateway keeps it until it is registered.
    """

    id: int
    topic: str
    gateway: str | None
    reason: str
    payload: bytes
    size: int
    count: int
    first_at: int
    last_at: int
    waiting: bool

    @property
    def kind(self) -> str:
        """What it came as: the end of its topic, such as batch."""
        return self.topic.rpartition("/")[2]

    @property
    def is_whole(self) -> bool:
        """Whether all of it was kept, so that it could be taken after all."""
        return len(self.payload) == self.size


_KEPT = [dead_letters.c[field] for field in KeptLetter.__struct_fields__]


def unregistered(gateway: str) -> str:
    """Return why a message of a gateway that is not registered is no more than a dead letter."""
    load = command("cloud", "registry load")
    return f"gateway {gateway} is not registered: add it with {load}; until then it keeps its messages"


def keep(connection: Connection, letters: Iterable[DeadLetter], *, now_ms: int) -> None:
    """Keep letters, or count those whose content is kept already; the longest unseen make room."""
    new = [letter for letter in letters if _keep_or_count(connection, letter, now_ms)]
    newest_id = connection.scalar(select(func.max(dead_letters.c.id))) or 0
    every = SWEEP_EVERY_LARGE if any(len(letter.payload) >= LARGE for letter in new) else SWEEP_EVERY
    if newest_id // every != (newest_id - len(new)) // every:
        _make_room(connection)


def newest(connection: Connection, *, limit: int, gateway: str | None = None) -> list[KeptLetter]:
    """Return the letters seen last, newest first; of one gateway or of all."""
    wanted = select(*_KEPT).order_by(dead_letters.c.last_at.desc(), dead_letters.c.id.desc()).limit(limit)
    if gateway is not None:
        wanted = wanted.where(dead_letters.c.gateway == gateway)
    return [KeptLetter(**row) for row in connection.execute(wanted).mappings()]


def forget_waiting(connection: Connection, gateways: Iterable[str]) -> None:
    """Drop what waited only for these gateways to be registered: they send it again."""
    connection.execute(delete(dead_letters).where(dead_letters.c.waiting, dead_letters.c.gateway.in_(list(gateways))))


def find(connection: Connection, letter_id: int) -> KeptLetter | None:
    """Return one letter, or None when there is none with this id (any more)."""
    row = connection.execute(select(*_KEPT).where(dead_letters.c.id == letter_id)).mappings().one_or_none()
    return KeptLetter(**row) if row else None


def say_why(connection: Connection, letter_id: int, reason: str) -> None:
    """Give a letter the reason for which it could not be taken the last time."""
    connection.execute(update(dead_letters).where(dead_letters.c.id == letter_id).values(reason=reason))


def drop(connection: Connection, letter_id: int) -> bool:
    """Drop one letter; return False when there is none with this id (any more)."""
    return connection.execute(delete(dead_letters).where(dead_letters.c.id == letter_id)).rowcount == 1


def _keep_or_count(connection: Connection, letter: DeadLetter, now_ms: int) -> bool:
    """Keep one letter; return False when its content was kept already and is counted."""
    # A broker should let no NUL pass, and PostgreSQL keeps none in a text.
    content, topic = sha256(letter.payload).digest(), letter.topic[:256].replace("\0", "\N{REPLACEMENT CHARACTER}")
    is_same = and_(dead_letters.c.hash == content, dead_letters.c.topic == topic)
    waiting = letter.gateway is not None and letter.reason == unregistered(letter.gateway)
    count = {"count": dead_letters.c.count + 1, "last_at": now_ms, "reason": letter.reason, "waiting": waiting}
    count_again = update(dead_letters).where(is_same).values(count)
    if connection.execute(count_again).rowcount:
        return False
    kept = letter.payload[:CLIP]
    row = {
        "hash": content,
        "topic": topic,
        "gateway": letter.gateway,
        "reason": letter.reason,
        "kept": len(kept),
        "size": len(letter.payload),
        "count": 1,
        "first_at": now_ms,
        "last_at": now_ms,
        "waiting": waiting,
        "payload": kept,
    }
    if insert_new(connection, dead_letters, [row]) == 1:
        return True
    connection.execute(count_again)  # another process kept it meanwhile
    return False


def _make_room(connection: Connection) -> None:
    order = [dead_letters.c.last_at.desc(), dead_letters.c.id.desc()]
    ranked = select(
        dead_letters.c.id,
        func.row_number().over(order_by=order).label("place"),
        func.sum(dead_letters.c.kept).over(order_by=order).label("bytes"),
    ).subquery()
    too_many = select(ranked.c.id).where(or_(ranked.c.place > MAX_LETTERS, ranked.c.bytes > MAX_BYTES))
    connection.execute(delete(dead_letters).where(dead_letters.c.id.in_(too_many)))
