"""What the processes log."""

import json
import subprocess
import sys

PROGRAM = """
import logging
from edge.contract import log
log.configure(as_json=True)

def answer(token):
    raise RuntimeError("something went wrong")

try:
    answer("to" + "ken-4711")
except RuntimeError:
    logging.getLogger("library").exception("request failed")
"""


HOSTILE = """
import logging, structlog
from edge.contract import log
log.configure(as_json=False)
forged = "\\n2026-01-01 00:00:00 [info] all is well"
logger = structlog.get_logger()
line = f"post to \\x1b]0;owned\\x07{forged}"
logger.warning(line, path="/\\x1b[2J", reason=f"odd: {forged}", backwards="a\\u202eb", n=1)
try:
    raise ValueError(f"no such thing \\x1b[2J{forged}")
except ValueError:
    logging.getLogger("library").exception("request failed")
"""


def test_what_others_send_neither_steers_a_terminal_nor_looks_like_a_line_of_ours() -> None:
    """Escapes are shown, line breaks in values too; only a traceback has several lines, which begin with blanks."""
    done = subprocess.run([sys.executable, "-c", HOSTILE], capture_output=True, text=True, check=True, timeout=60)
    assert all(character.isprintable() or character == "\n" for character in done.stderr)
    first, second, *traceback = done.stderr.splitlines()
    assert "[warning] post to \\x1b]0;owned\\x07\\n2026-01-01" in first
    assert r"path='/\x1b[2J' reason='odd: \n2026" in first
    assert r"backwards='a\u202eb' n=1" in first
    assert second.endswith("[error] request failed")
    assert traceback
    assert all(line.startswith("  ") for line in traceback)


def test_a_traceback_holds_no_values() -> None:
    """A JSON log line names where it went wrong, and nothing of what was in the variables there, such as tokens."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    [line] = done.stderr.splitlines()
    assert json.loads(line)["exception"][0]["exc_value"] == "something went wrong"
    assert "token-4711" not in line
