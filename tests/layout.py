"""What may import what, and other rules on the source that no linter knows; tests/test_layout.py holds them.

The rules are the data at the top. Each check takes sources by name and returns its findings as lines of text, so that a
bad sample can be given to it as well as the tree.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("edge", "cloud", "simulators", "firmware_configs")

# Which of our packages a package may import; the longest name that fits a module decides.
MAY_IMPORT = {
    "edge.contract": ("edge.contract", "firmware_configs"),
    "edge": ("edge", "firmware_configs"),
    "cloud": ("cloud", "edge.contract", "firmware_configs"),
    "simulators": ("simulators", "edge.contract", "firmware_configs"),
    "simulators.demo": ("simulators",),  # it starts processes and imports neither gateway nor cloud
    "firmware_configs": (),  # data only
}

# Outside libraries that only these modules (or packages) import; they translate its exceptions once.
ONLY_IN = {
    "paho": ("edge.contract.mqtt", "edge.contract.mqtt_client"),
    "pymodbus": ("edge.drivers.modbus_link", "simulators.modbus_server"),
    "influxdb_client": ("cloud.series.influx_writers",),
    "urllib3": ("cloud.series.influx_writers",),
    "amqtt": ("simulators.broker",),
    "sqlalchemy": ("cloud",),
    "alembic": ("cloud.database", "cloud.migrations"),
    "fastapi": ("cloud.api", "cloud.web"),
    "starlette": ("cloud.api", "cloud.web"),
    "jinja2": ("cloud.web.page",),
    "babel": ("cloud.web.words", "cloud.web.catalogue"),
    "prometheus_client": ("cloud.api.metrics",),
    "uvicorn": ("edge.drivers.cameras.listener", "cloud.api", "cloud.run"),
    "argon2": ("cloud.registry",),
    "cryptography": ("cloud.access.certificates", "edge.identity"),
    "sqlite3": (
        "edge.outbox",
        "edge.outbox_accounts",
        "edge.outbox_change",
        "edge.outbox_file",
        "edge.outbox_salvage",
        "edge.outbox_view",
        "cloud.database",
        "cloud.series.sqlite",
        "cloud.series.sqlite_file",
        "cloud.series.sqlite_hours",
        "simulators.demo",
    ),
    "PIL": ("edge.drivers.cameras.mask",),
    "httpx": ("simulators", "cloud.series.influx_http", "edge.drivers.cameras.web"),
    "rich": ("simulators.demo",),
    "psutil": ("simulators.demo",),
    "typer": ("edge.cli", "cloud.cli", "simulators"),
    "yaml": ("edge.contract.config_file", "simulators"),
    # Of the standard library: what starts programs, and what reading hostile bytes would run.
    "subprocess": ("simulators.demo",),
    "pickle": ("nobody",),
    "marshal": ("nobody",),
    "shelve": ("nobody",),
}

# Readings in, answers out: no clock, no file, no network, no other thread; nor may what they import of ours.
PURE = (
    "edge.quality",
    "edge.counters",
    "edge.report",
    "edge.outbox_pages",
    "edge.thinning",
    "edge.detect",
    "edge.pacing",
    "edge.window",
    "edge.read_plan",
    "edge.bus_load",
    "edge.camera_outcomes",
    "edge.cli.plan_text",
    "edge.cli.scan_text",
    "edge.drivers.cameras.anlan",
    "edge.drivers.cameras.frigate_read",
    "edge.drivers.cameras.tracker",
    "edge.scan.targets",
    "edge.scan.report",
    "edge.scan.fit",
    "edge.scan.findings",
    "edge.scan.sketch",
    "edge.drivers.cameras.dahua",
    "edge.drivers.cameras.hikvision",
    "edge.drivers.cameras.onvif",
    "edge.drivers.cameras.soap",
    "edge.contract.messages",
    "edge.contract.registers",
    "edge.contract.silence",
    "edge.contract.sunspec",
    "cloud.workorders.states",
    "cloud.workorders.limits",
    "cloud.workorders.work_time",
    "cloud.workorders.case_codes",
    "cloud.health",
    "cloud.twins",
    "cloud.registry.areas",
)
IMPURE = {"asyncio", "threading", "subprocess", "socket", "ssl", "sqlite3", "selectors", "requests", "tenacity", "time"}
IMPURE |= set(ONLY_IN) - {"yaml"}

# The gateway's process stays small: 40 MiB of imports without these, 69 MiB with numpy and FastAPI.
NOT_ON_A_GATEWAY = {
    "numpy",
    "fastapi",
    "starlette",
    "sqlalchemy",
    "influxdb_client",
    "amqtt",
    "cloud",
    "simulators",
}

# Installed there, and imported only once a camera is asked.
ONLY_WITH_CAMERAS = {"httpx"}

# The one task supervisor of each process may catch everything: it says what failed and ends or restarts the task.
# Written "module:function". The other one runs what asks a camera: whatever a camera on the network answers, and
# whatever its answer makes a library raise, may cost that camera only and never the agent with all its sensors.
SUPERVISORS = {"edge.cli.service:_supervise", "edge.drivers.cameras.pulling:_ask"}

# Made of pieces, so that this file does not hold what it forbids.
FORBIDDEN = {
    "address of a package index": re.compile(
        "|".join((r"pypi\.or" + "g", r"pythonhosted\.or" + "g", r"registry\.npmj" + "s", r"deb\.debia" + r"n\.org"))
    ),
    "path of one machine": re.compile("|".join(("/wor" + r"k/", "/roo" + "t/", "/tm" + "p/try"))),
    "folder outside the repository": re.compile(r"\.\./share" + "d"),
}
FORBIDDEN_EXCEPT = {".ci/run": {"folder outside the repository"}}  # takes recorded data from there when it is there


def is_in(module: str, packages: Iterable[str]) -> bool:
    """Whether the module is one of these or inside one."""
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def module_sources(root: Path = ROOT) -> dict[str, str]:
    """Every module of the packages: dotted name (a package's own is its name) -> source."""
    sources = {}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            name = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
            sources[name] = path.read_text()
    return sources


def imports_of(module: str, source: str, *, is_package: bool = False) -> set[str]:
    """The dotted names that a module imports anywhere in it; `from a import b` gives a and a.b."""
    found: set[str] = set()
    parts = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(ast.parse(source, filename=module)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = parts[: len(parts) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found.add(base)
            found.update(f"{base}.{alias.name}" for alias in node.names)
    return found


def _all_imports(sources: Mapping[str, str]) -> dict[str, set[str]]:
    packages = {name.rpartition(".")[0] for name in sources}
    return {name: imports_of(name, text, is_package=name in packages) for name, text in sources.items()}


def wrong_directions(sources: Mapping[str, str]) -> list[str]:
    """Imports between our packages against MAY_IMPORT."""
    findings = []
    for module, imported in sorted(_all_imports(sources).items()):
        rule = max((package for package in MAY_IMPORT if is_in(module, [package])), key=len)
        findings += [
            f"{module} imports {name}, {rule} may not"
            for name in sorted(imported)
            if is_in(name, PACKAGES) and not is_in(name, MAY_IMPORT[rule]) and not _is_way_to(name, MAY_IMPORT[rule])
        ]
    return findings


def _is_way_to(name: str, allowed: Iterable[str]) -> bool:
    """`from edge import contract` names edge on the way to edge.contract, and says so in the second name."""
    return any(package.startswith(f"{name}.") for package in allowed)


def strays(sources: Mapping[str, str]) -> list[str]:
    """Imports of an outside library by a module that is not its own, against ONLY_IN."""
    return [
        f"{module} imports {name}, only {' and '.join(ONLY_IN[library])} may"
        for module, imported in sorted(_all_imports(sources).items())
        for name in sorted(imported)
        if (library := name.partition(".")[0]) in ONLY_IN and not is_in(module, ONLY_IN[library])
    ]


def impurities(sources: Mapping[str, str]) -> list[str]:
    """Imports of PURE modules, and of what they import of ours, that do something to the world."""
    imports = _all_imports(sources)
    findings = []
    for pure in (name for name in PURE if name in sources):
        reached, waiting = {pure}, [pure]
        while waiting:
            module = waiting.pop()
            new = {name for name in imports[module] if name in sources} - reached
            reached |= new
            waiting += new
            bad = sorted({name.partition(".")[0] for name in imports[module]} & IMPURE)
            findings += [f"{pure} is pure, but {module} imports {name}" for name in bad]
    return findings


def broad_excepts(sources: Mapping[str, str]) -> list[str]:
    """Handlers that catch everything, outside SUPERVISORS; one that ends in `raise` only cleans up."""
    findings = []
    for module, source in sorted(sources.items()):
        for place, handler in _handlers(ast.parse(source), ""):
            last = handler.body[-1]
            cleans_up = isinstance(last, ast.Raise) and last.exc is None
            if _is_broad(handler.type) and not cleans_up and f"{module}:{place}" not in SUPERVISORS:
                findings.append(f"{module}:{place} (line {handler.lineno}) catches everything and is no supervisor")
    return findings


def _handlers(node: ast.AST, place: str) -> Iterator[tuple[str, ast.ExceptHandler]]:
    for child in ast.iter_child_nodes(node):
        inside = place
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inside = f"{place}.{child.name}".lstrip(".")
        if isinstance(child, ast.ExceptHandler):
            yield place, child
        yield from _handlers(child, inside)


def _is_broad(kind: ast.expr | None) -> bool:
    names = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return any(
        name is None or (isinstance(name, ast.Name) and name.id in {"Exception", "BaseException"}) for name in names
    )


def untold_tests(sources: Mapping[str, str]) -> list[str]:
    """Test functions without a sentence that says what must hold."""
    return [
        f"{name}:{node.lineno} {node.name} does not say what must hold"
        for name, source in sorted(sources.items())
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and ast.get_docstring(node) is None
    ]


def forbidden_words(texts: Mapping[str, str]) -> list[str]:
    """Lines that have what FORBIDDEN names."""
    return [
        f"{name}:{number}: {what}: {match.group()}"
        for name, text in sorted(texts.items())
        for number, line in enumerate(text.splitlines(), start=1)
        for what, pattern in FORBIDDEN.items()
        if (match := pattern.search(line)) and what not in FORBIDDEN_EXCEPT.get(name, set())
    ]


def repository_texts(root: Path = ROOT) -> dict[str, str]:
    """Every text file that git would commit: path -> text."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        check=True,
    )
    texts = {}
    for name in listing.stdout.decode().split("\0"):
        path = root / name
        if name and path.is_file():
            try:
                texts[name] = path.read_text()
            except UnicodeDecodeError:  # a picture or another binary file
                continue
    return texts
