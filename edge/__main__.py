"""``python -m edge``, and ``anlan-edge`` where the package is installed."""

import sys


def main() -> None:
    """Run the command line, or say what is not installed."""
    sys.modules["rich"] = None  # type: ignore[assignment] # structlog would load it, and a gateway's log shows none of it
    try:
        from edge.cli import main as run  # noqa: PLC0415 -- a cloud has the package without what a gateway needs
    except ModuleNotFoundError as error:
        sys.exit(f"the gateway needs the Python package {error.name}: install what edge.txt names, or anlan[edge]")
    run()


if __name__ == "__main__":
    main()
