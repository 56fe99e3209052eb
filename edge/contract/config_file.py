"""Reading YAML files into pydantic models, with errors that a person can act on.

Every problem says file, line, dotted key, reason and, where there is one, the nearest valid word:

    gateway.yaml:7: devices.1.profil: unknown key (did you mean "profile"?)

Errors: `ConfigError` (a `ValueError`): the person must change the file. It lists all problems found, by line.

A file is read in three steps: text -> YAML nodes (they know their lines) -> plain values -> model. Model validators
report a problem below themselves by raising `Misfit`; checks that need other files use `Document.refuse`.
"""

import difflib
import json
import os
import re
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Self, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, ValidationInfo, model_validator
from pydantic_core import ErrorDetails

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 32
MAX_NODES = 200_000  # after expanding aliases: a small file cannot grow without bound

Key = tuple[str | int, ...]
ModelT = TypeVar("ModelT", bound=BaseModel)


class ConfigModel(BaseModel):
    """Base of everything read from a configuration file: frozen, strict types, unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class CheckedModel(ConfigModel):
    """One whose values must also fit each other: all that does not is told at once."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        problems = list(self._problems())
        if problems:
            raise Misfit(problems)
        return self

    @abstractmethod
    def _problems(self) -> Iterator[tuple[Key, str]]:
        """Each value that does not fit, by its key below this one, and why."""


def _beside_the_file(path: Path, info: ValidationInfo) -> Path:
    """A relative path in a file counts from the file's folder, whatever folder the program was started in."""
    return info.context["folder"].absolute() / path if info.context else path


def _status_of(path: Path) -> os.stat_result:
    try:
        with path.open("rb") as file:
            return os.fstat(file.fileno())
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None


def _is_readable(path: Path, info: ValidationInfo) -> Path:
    """A file that must be there when the program starts."""
    path = _beside_the_file(path, info)
    if info.context:
        _status_of(path)
    return path


def _is_secret(path: Path, info: ValidationInfo) -> Path:
    """A secret is a file of its own that only its owner (and a group of his choice) may read."""
    path = _beside_the_file(path, info)
    if info.context:
        status = _status_of(path)
        if status.st_mode & 0o007:
            raise ValueError(f"everyone on this machine may read {path}: chmod 600 it")
        if not status.st_size:
            raise ValueError(f"{path} is empty")
    return path


LocalPath = Annotated[Path, AfterValidator(_beside_the_file)]
ReadablePath = Annotated[Path, AfterValidator(_is_readable)]
SecretPath = Annotated[Path, AfterValidator(_is_secret)]


def read_secret(path: Path | None) -> str:
    """Return the first line of a secret's file; nothing where there is none. What is no text makes it a wrong one."""
    return path.read_text(encoding="utf-8-sig", errors="replace").partition("\n")[0].rstrip("\r") if path else ""


class Problem(NamedTuple):
    """One thing wrong in one file; `line` counts from 1, 0 means the file as a whole; `key` is dotted."""

    path: str
    line: int
    key: str
    reason: str

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else self.path
        return f"{place}: {self.key}: {self.reason}" if self.key else f"{place}: {self.reason}"


class ConfigError(ValueError):
    """A file cannot be used as it is; prints all its problems, one a line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(set(problems))
        super().__init__("\n".join(map(str, self.problems)))


class Misfit(ValueError):  # noqa: N818 -- never leaves this module: it becomes a ConfigError
    """Raised by model validators: problems at keys relative to the model that is being checked."""

    def __init__(self, problems: Sequence[tuple[Key, str]]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{dotted(key)}: {reason}" for key, reason in problems))


def dotted(key: Key) -> str:
    """`("devices", 1, "profile")` -> `devices.1.profile`."""
    return ".".join(map(str, key))


def nearest(word: str, choices: Iterable[str]) -> str:
    """` (did you mean "profile"?)` when some choice is near to `word`, else an empty string."""
    by_lower = {choice.lower(): choice for choice in choices}
    found = difflib.get_close_matches(word.lower(), by_lower, n=1)
    return f' (did you mean "{by_lower[found[0]]}"?)' if found else ""


@dataclass
class Document:
    """The plain values of one YAML file and where in the file each of them stands."""

    path: Path
    value: dict[str, Any]
    lines: dict[Key, int]
    texts: dict[Key, str] = field(default_factory=dict)  # scalars as written, by key

    def validate(self, model: type[ModelT]) -> ModelT:
        """The file as a `model`. Raises ConfigError with every problem."""
        return _validate(self, model, {"folder": self.path.parent})

    def refuse(self, problems: Sequence[tuple[Key, str]]) -> None:
        """Raise ConfigError when there are problems; each is (key, reason)."""
        if problems:
            raise ConfigError(self.problem(key, reason) for key, reason in problems)

    def problem(self, key: Key, reason: str) -> Problem:
        """A problem at `key`, on its line or, when the file does not have that key, on its parent's."""
        known = key
        while known and known not in self.lines:
            known = known[:-1]
        return Problem(str(self.path), self.lines.get(known, 1), dotted(key), reason)


def load_yaml(path: Path, model: type[ModelT]) -> ModelT:
    """Read and check one file. Raises ConfigError with every problem found."""
    return read_document(path).validate(model)


def check_values(values: dict[str, Any], model: type[ModelT], *, name: str) -> ModelT:
    """Check plain values that are in no file here, such as a filled form; the problems have keys and no useful line.

    Paths among them are another machine's: nothing is looked for on this one. Raises ConfigError.
    """
    return _validate(Document(Path(name), values, {}), model, None)


def _validate(document: Document, model: type[ModelT], context: dict[str, Any] | None) -> ModelT:
    try:
        return model.model_validate_json(json.dumps(document.value), context=context)
    except ValidationError as error:
        details = error.errors(include_url=False)
        raise ConfigError([p for detail in details for p in _problems_of(document, model, detail)]) from None


def in_yaml(value: Any) -> str:
    """Plain values as YAML on one line, to stand anywhere: `{host: 192.0.2.10, unit: 1}`, `"on"`."""
    text: str = yaml.dump(
        [value], Dumper=_LineDumper, default_flow_style=True, allow_unicode=True, sort_keys=False, width=2 * MAX_BYTES
    )
    return text.rstrip("\n")[1:-1]


def read_document(path: Path) -> Document:
    """Read one YAML file without a model: a mapping of plain values. Raises ConfigError."""
    text = _read_text(path)
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ConfigError([Problem(str(path), mark.line + 1 if mark else 0, "", _yaml_reason(error))]) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        reason = f"character U+{error.character:04X} is not allowed"
        raise ConfigError([Problem(str(path), line, "", reason)]) from None
    if node is None:
        raise ConfigError([Problem(str(path), 0, "", "the file is empty")])
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError([Problem(str(path), node.start_mark.line + 1, "", "expected keys and values at the top")])
    return _Reader(path).read(node)


def _read_text(path: Path) -> str:
    def refusal(reason: str, line: int = 0) -> ConfigError:
        return ConfigError([Problem(str(path), line, "", reason)])

    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)  # a device tells no size, and never ends
    except FileNotFoundError:
        raise refusal("no such file") from None
    except IsADirectoryError:
        raise refusal("is a directory, expected a YAML file") from None
    except OSError as error:
        raise refusal(f"cannot be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise refusal(f"larger than {MAX_BYTES // 1024} KiB: not a configuration file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise refusal("not UTF-8 text: save the file as UTF-8", line) from None


class _Loader(yaml.SafeLoader):
    """SafeLoader that stops at a depth which no configuration needs, before Python's own stack ends."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            mark = self.get_mark()
            raise yaml.composer.ComposerError(None, None, f"nested deeper than {MAX_DEPTH} levels", mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _LineDumper(yaml.SafeDumper):
    """SafeDumper that escapes line breaks instead of breaking the line."""


def _represent_text(dumper: _LineDumper, text: str) -> yaml.ScalarNode:
    style = None if len(text.splitlines()) <= 1 and text.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_LineDumper.add_representer(str, _represent_text)


def _yaml_reason(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "not valid YAML"
    if "'\\t'" in problem:
        return "a tab: YAML indents with spaces only"
    context = f" ({error.context})" if error.context else ""
    return f"not valid YAML: {problem}{context}: look at indents, colons, quotes and brackets here and just above"


_PLAIN_TAGS = {"str", "int", "float", "bool", "null"}
_SURROGATE = re.compile("[\ud800-\udfff]")  # what an escape can make and no UTF-8 can hold
_AMBIGUOUS_INT = re.compile(r"[-+]?0[0-9_]+|[-+]?[0-9_]+(:[0-9_.]+)+|0b[01_]+|[-+]?[0-9]+_[0-9_]*")


class _Reader:
    """Turns composed nodes into plain values, collecting places and problems on the way."""

    def __init__(self, path: Path) -> None:
        self.document = Document(path, {}, {})
        self.problems: list[Problem] = []
        self.constructor = yaml.constructor.SafeConstructor()
        self.nodes = 0

    def read(self, node: yaml.MappingNode) -> Document:
        self.document.value = self._mapping(node, ())
        if self.problems:
            raise ConfigError(self.problems)
        return self.document

    def _value(self, node: yaml.Node, key: Key) -> Any:
        self.document.lines.setdefault(key, node.start_mark.line + 1)
        self.nodes += 1
        if self.nodes > MAX_NODES or len(key) > MAX_DEPTH:
            raise ConfigError([self.document.problem(key, "aliases make the file too large")])
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, key)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*key, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, key)

    def _mapping(self, node: yaml.MappingNode, key: Key) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for name_node, value_node in node.value:
            line = name_node.start_mark.line + 1
            if not isinstance(name_node, yaml.ScalarNode):
                self._refuse(key, line, "a key must be one word")
                continue
            name = str(name_node.value)
            place = (*key, name)
            if _SURROGATE.search(name):
                self._refuse(key, line, "a key holds half a character")
            elif name == "<<":
                self._refuse(place, line, "merge keys are not supported: write the keys out")
            elif name in result:
                self._refuse(place, line, f"duplicate key, first given in line {self.document.lines[place]}")
            else:
                self.document.lines[place] = line
                result[name] = self._value(value_node, place)
        return result

    def _scalar(self, node: yaml.Node, key: Key) -> Any:
        line = node.start_mark.line + 1
        tag = node.tag.rpartition(":")[2]
        if node.tag == f"tag:yaml.org,2002:{tag}" and tag == "timestamp":
            return str(node.value)  # no setting is a date; text such as 2026-11-22 stays text
        if node.tag != f"tag:yaml.org,2002:{tag}" or tag not in _PLAIN_TAGS:
            self._refuse(key, line, f"tag {node.tag} is not allowed")
            return None
        if _SURROGATE.search(node.value):
            self._refuse(key, line, "the text holds half a character")
            return None
        if tag in ("int", "float") and _AMBIGUOUS_INT.fullmatch(node.value):
            self._refuse(key, line, f'{node.value} is ambiguous: write a plain decimal or 0x number, or "{node.value}"')
            return None
        self.document.texts[key] = str(node.value)
        construct = self.constructor.yaml_constructors[node.tag]
        try:
            return construct(self.constructor, node)
        except ValueError:
            self._refuse(key, line, f"{node.value} is not a number")
            return None

    def _refuse(self, key: Key, line: int, reason: str) -> None:
        self.problems.append(Problem(str(self.document.path), line, dotted(key), reason))


_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "decimal_type": "a number",
    "decimal_parsing": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "keys and values",
    "model_type": "keys and values",
    "finite_number": "a finite number",
}


def _problems_of(document: Document, model: type[BaseModel], detail: ErrorDetails) -> list[Problem]:
    """What one pydantic error means to the person who wrote the file."""
    key, context = detail["loc"], detail.get("ctx", {})
    cause = context.get("error")
    if isinstance(cause, Misfit):
        return [document.problem((*key, *below), reason) for below, reason in cause.problems]
    if isinstance(cause, ConfigError):
        return cause.problems  # of another file, which this one names
    if detail["type"] == "too_short" and len(detail["input"]) >= context["min_length"]:
        return []  # follows from a faulty item, which is told by itself
    return [document.problem(key, _reason(document, model, detail))]


def _reason(document: Document, model: type[BaseModel], detail: ErrorDetails) -> str:
    key, found = detail["loc"], detail["input"]
    match detail["type"]:
        case "extra_forbidden":
            reason = "unknown key" + nearest(str(key[-1]), _field_names(model, key[:-1]))
        case "missing":
            reason = "missing"
        case "enum" | "literal_error":
            choices = _choices(model, key)
            reason = f"{json.dumps(found)} is not one of {', '.join(choices)}" + nearest(str(found), choices)
        case "value_error":
            reason = str(detail["ctx"]["error"])
        case "too_short":
            reason = f"needs at least {detail['ctx']['min_length']}"
        case kind if kind in _EXPECTED:
            reason = f"expected {_EXPECTED[kind]}, found {_shown(document, key, found)}"
            if kind == "string_type" and found is not None and key in document.texts:
                reason += f': write "{document.texts[key]}" in quotes'
        case _:
            reason = f"{detail['msg'].partition(' ')[2]}, found {_shown(document, key, found)}"  # "Input should be …"
    return reason


def _shown(document: Document, key: Key, found: Any) -> str:
    """The offending value as the person wrote it; says so where YAML reads a word as true or false."""
    text = document.texts.get(key, "")
    if isinstance(found, bool) and text.lower() not in ("true", "false"):
        return f"{text}, which YAML reads as {str(found).lower()}"
    if isinstance(found, dict):
        return "keys and values"
    if isinstance(found, list):
        return "a list"
    if found is None:
        return "nothing"
    return json.dumps(found, ensure_ascii=False)


def _field_names(model: type[BaseModel], key: Key) -> list[str]:
    found = _annotation_at(model, key)
    return [field.alias or name for name, field in found.model_fields.items()] if _is_model(found) else []


def _choices(model: type[BaseModel], key: Key) -> list[str]:
    annotation = _annotation_at(model, key)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return [str(member.value) for member in annotation]
    return [str(choice) for choice in get_args(annotation)] if get_origin(annotation) is Literal else []


def _annotation_at(annotation: Any, key: Key) -> Any:
    """The type that stands at `key` below a model: through optionals, lists and string-keyed dicts."""
    annotation = _bare(annotation)
    for part in key:
        if _is_model(annotation):
            fields = {field.alias or name: field.annotation for name, field in annotation.model_fields.items()}
            annotation = _bare(fields.get(str(part)))
        else:
            arguments = get_args(annotation)
            position = part if isinstance(part, int) and part < len(arguments) and Ellipsis not in arguments else 0
            annotation = _bare(arguments[-1 if get_origin(annotation) is dict else position]) if arguments else None
    return annotation


def _bare(annotation: Any) -> Any:
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, UnionType):
        annotation = next(part for part in get_args(annotation) if part is not type(None))
        return _bare(annotation)
    return annotation


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
