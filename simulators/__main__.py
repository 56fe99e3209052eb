"""``python -m simulators``, and ``anlan-simulate`` where the package is installed."""

import sys


def main() -> None:
    """Run the command line, or say what is not installed."""
    try:
        from simulators.cli import main as run  # noqa: PLC0415 -- a gateway has the package without what this needs
    except ModuleNotFoundError as error:
        sys.exit(f"the simulators need the Python package {error.name}: install anlan[simulate]")
    run()


if __name__ == "__main__":
    main()
