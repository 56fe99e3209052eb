"""docs/broker.md says what is really said, and explains all that is really there."""

from __future__ import annotations

import re
from pathlib import Path

from edge.contract.broker_config import BrokerConfig, TlsConfig
from edge.contract.mqtt import RefusedError, connect
from tests import layout
from tests.broker.conftest import Closed
from tests.broker.deployed import DEPLOY
from tests.broker.test_entering import FORGED, refusal

PAGE = (layout.ROOT / "docs" / "broker.md").read_text(encoding="utf-8")


def comparable(line: str) -> str:
    """A message without what differs from place to place."""
    line = re.sub(r"^broker [\w.-]+:\d+", "broker HOST", line)
    line = re.sub(r"IP address mismatch|Hostname mismatch", "mismatch", line)
    return re.sub(r"'[\w.-]+'|\bgw-\d\b", "NAME", line)


async def test_the_messages_are_those_that_are_said(closed: Closed) -> None:
    """Each message that the page explains is one that comes, and each refusal that can come is explained."""
    ours, thief = closed.gateways["gw-1", "password"], closed.gateways["gw-2", "password"]
    tried: list[BrokerConfig] = [forge(closed.keys, closed.broker.by_certificate) for forge, _ in FORGED.values()]
    tried.append(closed.keys.by_password("gw-1", closed.broker.by_password, password="wrong"))
    tried.append(ours.model_copy(update={"tls": TlsConfig()}))
    tried.append(ours.model_copy(update={"host": "127.0.0.2"}))
    said = {comparable(await refusal(broker)) for broker in tried} | {_revoked()}
    async with connect(thief, client_id="any") as connection:
        try:
            await connection.publish("anlan/v1/gw-1/inventory", b"")
        except RefusedError as error:
            said.add(comparable(str(error)))
    shown = re.findall(r"^broker .*", PAGE, re.MULTILINE)
    assert {comparable(line) for line in shown} == said


def _revoked() -> str:
    """What test_entering.py sees, where the broker is the test's own."""
    return "broker HOST: does not let us in: our certificate was revoked"


def test_every_line_of_the_acl_is_explained() -> None:
    """What a line allows stands on the page, and no line that is not there."""
    lines = re.findall(r"^((?:topic|pattern) .*)", (DEPLOY / "anlan.acl").read_text(), re.MULTILINE)
    assert re.findall(r"^\| `((?:topic|pattern) [^`]*)`", PAGE, re.MULTILINE) == lines


def test_every_file_has_its_place() -> None:
    """The page says where each file of deploy/mosquitto goes, and the file says it too."""
    for path in sorted(DEPLOY.rglob("*")):
        if path.is_file():
            place = path.relative_to(DEPLOY)
            assert f"deploy/mosquitto/{place.parts[0]}" in PAGE
            assert path.read_text().startswith("# /etc/")
            assert str(Path(*place.parts[-2:])) in path.read_text().splitlines()[0]
