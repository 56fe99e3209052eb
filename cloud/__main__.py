"""`python -m cloud`, and `anlan-cloud` where the package is installed."""

import sys


def main() -> None:
    """Run the command line, or say what is not installed."""
    try:
        from cloud.cli import main as run  # noqa: PLC0415 -- a gateway has the package without what the cloud needs
    except ModuleNotFoundError as error:
        sys.exit(f"the cloud needs the Python package {error.name}: install what cloud.txt names, or anlan[cloud]")
    run()


if __name__ == "__main__":
    main()
