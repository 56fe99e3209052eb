"""What is generated is up to date, and the check finds what is not."""

import json
from pathlib import Path

import pytest
import yaml

from docs import generate
from edge.contract.event_classes import event_classes
from edge.contract.profile import config_folder, profile_names

FILES = generate.generated()


def test_nothing_is_stale() -> None:
    """The committed schemas and pages are what the models and profiles say."""
    assert generate.stale_files(FILES) == []


def test_same_every_time() -> None:
    """Generating twice gives the same bytes."""
    assert generate.generated() == FILES


def test_check_finds_stale_files(tmp_path: Path) -> None:
    """A missing, a changed and a left-over file are each found; writing mends all three and touches nothing else."""
    files = {"docs/profiles/a.md": "a", "docs/profiles/b.md": "b", "docs/c.md": "c"}
    (tmp_path / "docs" / "profiles").mkdir(parents=True)
    (tmp_path / "docs" / "profiles" / "a.md").write_text("changed")
    (tmp_path / "docs" / "profiles" / "gone.md").write_text("left over")
    (tmp_path / "docs" / "c.md").write_text("c")
    (tmp_path / "docs" / "mine.md").write_text("by hand")
    stale = ["docs/profiles/a.md", "docs/profiles/b.md", "docs/profiles/gone.md"]
    assert generate.stale_files(files, tmp_path) == stale
    assert generate.write_files(files, tmp_path) == stale
    assert generate.stale_files(files, tmp_path) == []
    assert sorted(path.name for path in tmp_path.rglob("*.md")) == ["a.md", "b.md", "c.md", "mine.md"]


def test_exit_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The check exits 0 when all is fresh, and 1 with the list of stale files when not."""
    monkeypatch.setattr("sys.argv", ["generate.py", "--check"])
    assert generate.main() == 0
    monkeypatch.setattr(generate, "generated", lambda: FILES | {"docs/new.md": "new"})
    assert generate.main() == 1
    assert capsys.readouterr().out == "docs/new.md: stale: run ./anlan generate\n"
    assert not (generate.ROOT / "docs" / "new.md").exists()


def test_a_mistake_in_a_profile_is_told_without_a_trace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who made the mistake reads the file's own problem, and the command exits 1."""
    monkeypatch.setattr("sys.argv", ["generate.py"])
    monkeypatch.setattr(generate, "profile_names", lambda: ["eastron_sdm63"])
    assert generate.main() == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.endswith('unknown profile "eastron_sdm63" (did you mean "eastron_sdm630"?)\n')


def test_every_event_class_is_on_its_page() -> None:
    """Code, both names, limits and rule stand in one row."""
    page = FILES["docs/event_classes.md"]
    assert all(f"| `{code}` | {each.zh} | {each.en} |" in page for code, each in event_classes().items())
    limits = "acknowledge within 10 urgent minutes; handle within 2 urgent hours"
    assert f"| orange | {limits} | depth at least 150 mm, 2 samples; over when below 100 for 1800 s |" in page


def test_every_profile_has_a_page() -> None:
    """Each profile's page names all its points, and the index names the profile."""
    for name in profile_names():
        assert f"[{name}]({name}.md)" in FILES["docs/profiles/README.md"]
        assert f"Profile `{name}`" in FILES[f"docs/profiles/{name}.md"]


@pytest.mark.parametrize(
    ("setting", "row"),
    [
        ("batch_s", "number, 0.1 to 3600 | `10.0` | Readings are sent together this often."),
        ("gateway", "id | required | The gateway's logical id; replaced hardware keeps it."),
        ("people[].phone", "text |  | In quotes."),
        ("devices[].modbus.port", "whole number, 1 to 65535 | `502` | Its TCP port."),
        ("cameras[].classes", "list of text | required | Event classes this camera may raise."),
        ("broker.tls.ca_file", "path |  | Default: the authorities this machine trusts."),
    ],
)
def test_settings_page(setting: str, row: str) -> None:
    """A setting stands with its kind and bounds, its default and its meaning."""
    assert f"| `{setting}` | {row} |\n" in FILES["docs/configuration.md"]


def test_schemas_name_the_keys_of_the_files() -> None:
    """An editor that checks our own files by the schemas knows every key in them."""
    pairs = {
        "quantities": "quantities.yaml",
        "event_classes": "event_classes.yaml",
        "gateway": "gateways/river_street.yaml",
        "registry": "registries/heping.yaml",
    }
    for name, path in pairs.items():
        schema = json.loads(FILES[f"firmware_configs/schemas/{name}.json"])
        content = yaml.safe_load((config_folder() / path).read_text(encoding="utf-8"))
        assert set(content) <= set(schema["properties"]), name
        assert schema["additionalProperties"] is False
