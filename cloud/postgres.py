"""What only PostgreSQL needs: how its connections are made, one writer at a time, and what its errors mean.

Why there is one writer: docs/decisions/one-writer.md.
"""

import re
from getpass import getuser
from typing import Any

from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

DRIVER = "postgresql+psycopg"
PATIENCE_S = 10
"""How long a transaction waits for the one that writes, as SQLite does."""
WRITER = 0x616E6C616E
"""The name of the lock that whoever writes holds: "anlan" as a number. Each database has its own."""

CONNECTING = {
    "application_name": "anlan",
    "connect_timeout": "5",
    # A server or a path to it that has vanished is noticed within a minute, and not after two hours.
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
SESSION = {
    "lock_timeout": f"{PATIENCE_S}s",
    # So that a machine which has vanished while it wrote lets go of the lock.
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}

LOST = frozenset({"25P03", "25P04"})
NO_TABLES = frozenset({"42P01", "42703"})
OF_THE_SERVER = ("08", "25006", "28", "3D000", "40", "42501", "53", "55P03", "57", "58", "XX")
"""SQLSTATEs, or their beginnings, of what is no fault of a statement."""


def make_engine(url: URL) -> Engine:
    """Return an engine whose connections are replaced when a server that was restarted has broken them."""
    options = " ".join(f"-c {name}={value}" for name, value in SESSION.items())
    given = {name: value for name, value in url.normalized_query.items() if name == "options"}
    settings: dict[str, Any] = {name: value for name, value in CONNECTING.items() if name not in url.query}
    settings["options"] = " ".join((options, *given.get("options", ())))
    # What somebody typed, and hashes of secrets, are no part of an error that goes into the log.
    engine = create_engine(
        url.set(drivername=DRIVER).difference_update_query(["options"]),
        connect_args=settings,
        pool_pre_ping=True,
        hide_parameters=True,
    )
    event.listen(engine, "begin", _begin)
    event.listen(engine, "handle_error", _hide_values)
    return engine


def why(error: DBAPIError, url: URL) -> str | None:
    """Return in one line what is wrong with the server or our place there, and what to do; None for other errors."""
    state: str | None = getattr(error.orig, "sqlstate", None)
    if state is None:
        return _why_not_connected(error, url) if isinstance(error, OperationalError | InterfaceError) else None
    if state in NO_TABLES:
        return f"has not the tables of this program ({_line(error)})"
    if state not in LOST and not state.startswith(OF_THE_SERVER):
        return None
    return _with_advice(_line(error), _ADVICE_BY_STATE.get(state) or _ADVICE_BY_STATE.get(state[:2], ""), url)


def _why_not_connected(error: DBAPIError, url: URL) -> str:
    line = _line(error)
    advice = next((advice for words, advice in _ADVICE_BY_WORDS if all(word in line for word in words)), "")
    return _with_advice(line, advice, url)


def _line(error: DBAPIError) -> str:
    """Return the server's own words, in one line and without libpq's questions."""
    line = " ".join(_REST.split(str(error.orig))[0].split())
    return line.removeprefix("connection failed: ").removeprefix("connection is bad: ")


def _with_advice(line: str, advice: str, url: URL) -> str:
    role = url.username or getuser()
    names = {"role": role, "database": url.database or role}
    return f"{line}: {advice.format_map(names)}" if advice else line


_REST = re.compile(r"\n\s*Is the server running|\nMultiple connection attempts failed")
_ASK = "as its superuser type in psql: "
_PASSWORD = "write the password of this role into a file, and name that as database_password_file"  # noqa: S105
_CREATE = _ASK + 'CREATE DATABASE "{database}" OWNER "{role}" ENCODING \'UTF8\' TEMPLATE template0;'
_NO_ROOM = "close other programs, or raise its max_connections"
_WAIT = "wait until it takes connections"
_START = "start it, or correct database_url"
_TRUST = "name the file of the authority that signed its certificate with sslrootcert= in database_url"

_ADVICE_BY_STATE = {
    "25006": "name the server that is the primary; of several, add target_session_attrs=read-write to database_url",
    "3D000": _CREATE,
    "40": "two programs were in each other's way, nothing was changed: try again",
    "42501": _ASK + 'ALTER DATABASE "{database}" OWNER TO "{role}";',
    "53100": "its disk is full: make room there",
    "53300": _NO_ROOM,
    "55P03": f"another program has been writing for {PATIENCE_S} s: try again",
    "57P01": "try again",
    "57P03": _WAIT,
}
_ADVICE_BY_WORDS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("FATAL: ", "starting up"), _WAIT),
    (("FATAL: ", "shutting down"), _WAIT),
    (("FATAL: ", "recovery"), _WAIT),
    (("password authentication failed",), _PASSWORD),
    (("no password supplied",), _PASSWORD),
    (("FATAL: ", "database ", "does not exist"), _CREATE),
    (("FATAL: ", "role ", "does not exist"), _ASK + 'CREATE ROLE "{role}" LOGIN; then \\password {role}'),
    (("FATAL: ", "permission denied for database"), _ASK + 'GRANT CONNECT ON DATABASE "{database}" TO "{role}";'),
    (("no pg_hba.conf entry",), 'let "{role}" in by a line of the server\'s pg_hba.conf, and reload it'),
    (("Peer authentication failed",), 'run as the system user "{role}", or connect by a host and a password'),
    (("too many",), _NO_ROOM),
    (("connection slots",), _NO_ROOM),
    (("does not support SSL",), "give the server a certificate and let it say ssl = on in postgresql.conf"),
    (("root certificate file",), _TRUST),
    (("certificate verify failed",), _TRUST),
    (("does not match host name",), "connect by a name that is in the server's certificate"),
    (("Connection refused",), _START),
    (("No such file or directory",), _START),
    (("resolve host",), "correct the host in database_url"),
    (("timeout expired",), "is the host right, and does a firewall let it through?"),
)


def _begin(connection: Connection) -> None:
    if not connection.get_execution_options().get("reads_only", False):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITER})")


def _hide_values(context: ExceptionContext) -> None:
    """Leave the server's details out of an error: they quote the row, and errors go into the log."""
    said = str(context.original_exception)
    primary = getattr(getattr(context.original_exception, "diag", None), "message_primary", None)
    if primary is None:
        return
    context.original_exception.args = (primary,)
    if context.sqlalchemy_exception is not None:
        first, *rest = context.sqlalchemy_exception.args
        context.sqlalchemy_exception.args = (first.replace(said, primary), *rest)
