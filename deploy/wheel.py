"""`./anlan wheel`: the installable package, and beside it all that a machine without this checkout needs to run it.

dist/
├── anlan-VERSION-py3-none-any.whl
├── edge.txt  cloud.txt              the packages that each needs, pinned and held to their files by hash
└── systemd/  mosquitto/             what goes into /etc
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILES = ("pyproject.toml", "README.md", "LICENSE")
PACKAGES = ("edge", "cloud", "simulators", "firmware_configs")
BESIDE = ("deploy/locks/edge.txt", "deploy/locks/cloud.txt", "deploy/systemd", "deploy/mosquitto")
BUILD = "import setuptools.build_meta as build, sys; print(build.build_wheel(sys.argv[1]))"


def build_wheel(into: Path) -> Path:
    """Build the wheel of the present tree into a folder that is there; the tree stays as it is.

    Raises subprocess.CalledProcessError with what setuptools said.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in FILES:
            shutil.copy(ROOT / name, copy)
        for name in PACKAGES:
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        command = [sys.executable, "-c", BUILD, str(into.absolute())]
        # The time of every file in it is the same each time, so that the same tree gives the same wheel.
        environment = {**os.environ, "SOURCE_DATE_EPOCH": "315532800"}
        built = subprocess.run(  # noqa: S603 -- our own interpreter
            command, cwd=copy, check=True, capture_output=True, text=True, env=environment
        )
    return into / built.stdout.splitlines()[-1]


def main(arguments: Sequence[str] | None = None) -> None:
    """Build, and say what there is now."""
    parser = argparse.ArgumentParser(prog="./anlan wheel", description="Build the installable package.")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", metavar="FOLDER", help="default: dist")
    out = parser.parse_args(arguments).out
    try:
        out.mkdir(parents=True, exist_ok=True)
        wheel = build_wheel(out)
        for name in BESIDE:
            source, target = ROOT / name, out / Path(name).name
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True)
            else:
                shutil.copy(source, target)
    except OSError as error:
        sys.exit(f"{error.filename}: {error.strerror}")
    except subprocess.CalledProcessError as error:
        sys.exit(f"the wheel could not be built:\n{error.stderr}")
    sys.stdout.write(f"{wheel}\nbeside it {', '.join(Path(name).name for name in BESIDE)}; see docs/installing.md\n")


if __name__ == "__main__":
    main()
