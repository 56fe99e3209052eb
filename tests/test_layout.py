"""The rules of tests/layout.py hold for the tree, and each of them can fail."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests import layout

# A walk instead of a list: a module that is added is looked at.
IMPORT_THE_GATEWAY = """
import importlib, pkgutil, sys
import edge
for module in pkgutil.walk_packages(edge.__path__, "edge."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.fixture(scope="module")
def sources() -> dict[str, str]:
    return layout.module_sources()


def test_imports_go_one_way(sources: dict[str, str]) -> None:
    """Our packages import each other only as MAY_IMPORT says."""
    assert layout.wrong_directions(sources) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("edge.contract.messages", "from edge.outbox import Outbox"),
        ("edge.contract.messages", "from .. import outbox"),
        ("edge.agent", "import cloud.ingest"),
        ("edge.agent", "def late():\n    from simulators import device"),
        ("cloud.ingest", "from edge.quality import flag"),
        ("cloud.ingest", "from edge import quality"),
        ("simulators.device", "import edge.drivers.modbus"),
        ("simulators.demo.run", "from edge.contract import messages"),
        ("firmware_configs", "import edge"),
    ],
)
def test_a_wrong_import_is_found(module: str, source: str) -> None:
    """Each forbidden direction, absolute or relative, at the top or late, is a finding that names the module."""
    (finding, *_) = layout.wrong_directions({module: source})
    assert finding.startswith(f"{module} imports ")


def test_right_imports_are_not_found() -> None:
    """What DESIGN allows passes, in each form of writing it."""
    allowed = {
        "cloud.ingest": "from edge.contract import messages\nfrom edge.contract.messages import Batch",
        "simulators.device": "from edge import contract",
        "edge.drivers.modbus": "from edge.contract import registers\nfrom . import silence",
        "simulators.demo.run": "from simulators.demo import console",
    }
    assert layout.wrong_directions(allowed) == []


def test_each_outside_library_has_its_module(sources: dict[str, str]) -> None:
    """A client library is imported only where ONLY_IN says."""
    assert layout.strays(sources) == []


def test_a_stray_import_is_found() -> None:
    """A stray module with paho is a finding that says which modules may."""
    assert layout.strays({"edge.uplink": "import paho.mqtt.client", "edge.contract.mqtt": "import paho"}) == [
        "edge.uplink imports paho.mqtt.client, only edge.contract.mqtt and edge.contract.mqtt_client may"
    ]


def test_pure_modules_are_pure(sources: dict[str, str]) -> None:
    """Judging, reporting and the contract do nothing to the world, neither themselves nor through what they import."""
    assert layout.impurities(sources) == []


def test_an_impure_import_is_found_behind_another_module() -> None:
    """An asyncio in a module that a pure one imports is a finding."""
    sample = {"edge.detect": "from edge.helpers import wait", "edge.helpers": "import asyncio"}
    assert layout.impurities(sample) == ["edge.detect is pure, but edge.helpers imports asyncio"]


def test_the_gateway_imports_nothing_of_the_cloud() -> None:
    """All modules of the gateway together load no package that only cloud or simulators need."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_THE_GATEWAY], capture_output=True, text=True, check=True, cwd=layout.ROOT
    )
    loaded = set(done.stdout.split())
    assert "edge" in loaded
    assert loaded & (layout.NOT_ON_A_GATEWAY | layout.ONLY_WITH_CAMERAS) == set()


def test_only_supervisors_catch_everything(sources: dict[str, str]) -> None:
    """Every other handler names what it can deal with."""
    assert layout.broad_excepts(sources) == []


@pytest.mark.parametrize("kind", ["", " Exception", " BaseException", " (ValueError, Exception)"])
def test_a_broad_except_is_found(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each way to catch everything is a finding, unless it is a named supervisor's or raises again."""
    sample = {"edge.agent": f"class A:\n  def run(self):\n    try:\n      pass\n    except{kind}:\n      pass"}
    assert layout.broad_excepts(sample) == ["edge.agent:A.run (line 5) catches everything and is no supervisor"]
    assert layout.broad_excepts({"edge.agent": sample["edge.agent"][:-4] + "raise"}) == []
    monkeypatch.setattr(layout, "SUPERVISORS", {"edge.agent:A.run"})
    assert layout.broad_excepts(sample) == []


def test_the_named_supervisors_exist(sources: dict[str, str]) -> None:
    """A supervisor that was renamed or removed leaves the list."""
    for name in layout.SUPERVISORS:
        module, _, function = name.partition(":")
        assert f"def {function.rpartition('.')[2]}(" in sources.get(module, ""), name


def test_every_test_says_what_must_hold() -> None:
    """Each test function has its sentence."""
    tests = {str(path): path.read_text() for path in (layout.ROOT / "tests").rglob("test_*.py")}
    assert len(tests) > 10
    assert layout.untold_tests(tests) == []


def test_a_test_without_a_sentence_is_found() -> None:
    """A bare test is a finding with file and line."""
    assert layout.untold_tests({"t.py": "\nasync def test_x():\n    pass"}) == [
        "t.py:2 test_x does not say what must hold"
    ]


def test_the_repository_knows_no_workplace() -> None:
    """No committed file has the address of a package index or the path of somebody's machine."""
    assert layout.forbidden_words(layout.repository_texts()) == []


@pytest.mark.parametrize("word", ["https://pypi." + "org/simple", "/wor" + "k/main", "cd ../share" + "d/data"])
def test_a_workplace_word_is_found(word: str) -> None:
    """Such a word is a finding with file and line."""
    (finding,) = layout.forbidden_words({"a.txt": f"fine\nsee {word}"})
    assert finding.startswith("a.txt:2: ")
