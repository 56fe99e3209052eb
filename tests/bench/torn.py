"""An outbox torn at every byte of its last commit: ``./anlan bench torn``; some twenty minutes.

A copy is cut at a byte, or has that byte wrong. All commits before the last must be there, and that one as a whole or
not at all; else this ends with an error. The suite tries some places (tests/edge/test_outbox_broken.py).
"""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from edge.contract import log
from tests.edge.torn_outbox import tear


def main() -> None:
    """Tear at all places; print one JSON line."""
    log.configure(as_json=False, level=logging.ERROR)
    began = time.monotonic()
    with TemporaryDirectory(prefix="anlan-torn-") as folder:
        copies = tear(Path(folder), lambda everything: everything)
    print(json.dumps({"copies": copies, "seconds": round(time.monotonic() - began), "lost": 0}))


if __name__ == "__main__":
    main()
