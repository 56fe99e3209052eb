"""What the gateway's process loads when it starts, because memory and the time to the first reading hang on it."""

from __future__ import annotations

import subprocess
import sys

LOADED_WHEN_NEEDED = {"rich", "pygments", "uvicorn", "h11", "cryptography", "numpy", "httpx", "PIL", "python_multipart"}
SHOW_MODULES = """
import sys
from edge.__main__ import main
sys.argv = ["anlan-edge", "--help"]
try:
    main()
finally:
    print(*{name.partition(".")[0] for name in sys.modules if sys.modules[name] is not None}, file=sys.stderr)
"""


def test_what_few_gateways_need_is_not_loaded() -> None:
    """No colours, no HTTP for cameras, no cryptography for requests: 10 MiB and a quarter of the start."""
    shown = subprocess.run([sys.executable, "-c", SHOW_MODULES], capture_output=True, text=True, check=True, timeout=60)
    assert "The gateway" in shown.stdout
    assert not LOADED_WHEN_NEEDED & set(shown.stderr.split())
