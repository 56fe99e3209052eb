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


def test_a_traceback_holds_no_values() -> None:
    """A JSON log line names where it went wrong, and nothing of what was in the variables there, such as tokens."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    [line] = done.stderr.splitlines()
    assert json.loads(line)["exception"][0]["exc_value"] == "something went wrong"
    assert "token-4711" not in line
