"""``simulate camera`` says what is wrong with a command line, and serves what it says."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge.contract.gateway_config import load_gateway_config
from simulators.cameras.cli import FAULTS, KINDS, Brand, made, written
from simulators.cli import app


def test_an_unknown_fault_is_said_with_the_nearest() -> None:
    """A fault that there is none of ends with code 2, the nearest word and the whole list."""
    done = CliRunner().invoke(app, ["camera", "--brand", "dahua", "--fault", "strom"])
    assert done.exit_code == 2
    assert 'no fault "strom" (did you mean "storm"?)' in done.output


def test_help_lists_every_fault() -> None:
    """What can be typed is in the help, with what it does."""
    shown = " ".join(CliRunner().invoke(app, ["camera", "--help"]).output.split())
    assert all(f"{word} {fault.value}" in shown for word, fault in FAULTS.items())


@pytest.mark.parametrize("brand", Brand)
async def test_what_it_says_for_gateway_yaml_is_right(brand: Brand, tmp_path: Path) -> None:
    """It can be pasted as it is, with the password in the file that it names."""
    password, config = tmp_path / "camera.password", tmp_path / "gateway.yaml"
    async with made(brand, 0) as camera:
        password.write_text(camera.password)
        password.chmod(0o600)
        head = "gateway: gw-1\nbroker: {host: 127.0.0.1, port: 1}\ndata_dir: data\n"
        config.write_text(head + written(brand, KINDS[brand], camera))
        [asked] = load_gateway_config(config).cameras
        assert (asked.brand, asked.pull and asked.pull.url) == (brand.value, camera.url)
