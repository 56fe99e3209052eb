"""How a person types our programs: hints and help show lines that can be typed where they are read.

`command("edge", "check")` is `./anlan edge check` in a checkout, whose script passes its own name on, and
`anlan-edge check` where the package is installed.
"""

import os
from typing import Literal

VARIABLE = "ANLAN_PROGRAM"  # set by the script ./anlan


def command(program: Literal["edge", "cloud", "simulate"], *words: str) -> str:
    """A command line of ours as it is typed here."""
    script = os.environ.get(VARIABLE)
    return " ".join([f"{script} {program}" if script else f"anlan-{program}", *words])


def keep_files_private() -> None:
    """From here on, what this process makes is for its owner alone, unless it says otherwise."""
    os.umask(0o077)


def example(program: Literal["edge", "cloud", "simulate"], *words: str) -> str:
    """The last line of a command's help."""
    return f"Example: {command(program, *words)}"
