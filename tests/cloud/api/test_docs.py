"""docs/api.md names every path and every transition, as they are."""

from pathlib import Path
from typing import cast

from cloud.api.app import create_app
from cloud.api.services import Services
from cloud.workorders.states import TRANSITIONS

TEXT = (Path(__file__).parents[3] / "docs" / "api.md").read_text(encoding="utf-8")


def test_every_path_is_in_the_docs() -> None:
    """Each operation of the OpenAPI document has its line, and no line is about something else."""
    paths = create_app(cast("Services", None)).openapi()["paths"]
    operations = {f"`{method.upper()} {path}`" for path, methods in paths.items() for method in methods}
    lines = {
        line.split(" | ")[0].removeprefix("| ")
        for line in TEXT.splitlines()
        if line.startswith(("| `G", "| `P", "| `D"))
    }
    assert lines == operations


def test_every_transition_is_in_the_docs() -> None:
    """The table of the docs is the table of the program."""
    rows = []
    for line in TRANSITIONS.values():
        needs = ", ".join(f"`{need}`" for need in sorted(line.needs))
        rows.append(f"| `{line.source}` | `{line.target}` | {', or '.join(sorted(line.by))} | {needs} |")
    assert "\n".join(rows) in TEXT
