"""`/metrics`: for whom, and that it says what docs/api.md says."""

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.cloud.api.callers import Caller

DOCS = (Path(__file__).parents[3] / "docs" / "api.md").read_text(encoding="utf-8")


async def test_metrics_are_for_operators(caller: Caller) -> None:
    """Nobody else learns how much there is."""
    statuses = {
        login: (await caller.ask(login, "/metrics")).status_code for login in ("nobody", "li", "sun", "chen", "zhao")
    }
    assert statuses == {"nobody": 401, "li": 403, "sun": 403, "chen": 200, "zhao": 200}


async def test_metrics_tell_how_everything_stands(caller: Caller) -> None:
    """Prometheus' own parser reads them, and the numbers are those of the neighbourhood."""
    text = (await caller.ask("chen", "/metrics")).text
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found["anlan_orders_unfinished", "dispatched"] == 1
    assert found["anlan_alerts_firing", "orange"] == 1
    assert found["anlan_gateways", "online"] == 1
    assert found["anlan_messages_total",] == 0


async def test_every_metric_is_in_the_docs(caller: Caller) -> None:
    """And no line of the docs is about another one."""
    text = (await caller.ask("chen", "/metrics")).text
    families = {
        family.name + ("_total" if family.type == "counter" else "") for family in text_string_to_metric_families(text)
    }
    documented = set(re.findall(r"^\|.*", DOCS, re.MULTILINE))
    named = {name for line in documented for name in re.findall(r"`(anlan_[a-z_]+)", line)}
    assert named == families
