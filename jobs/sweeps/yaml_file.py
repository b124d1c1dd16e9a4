"""Read YAML 1.2 into plain data with the line of every value, and write it."""

import io
import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.representer import SafeRepresenter
from ruamel.yaml.resolver import VersionedResolver

from inr.errors import UsageError, describe_os_error
from inr.storage.paths import user_path
from jobs.sweeps.yaml_document import Float, Integer, Part, one_line, show, suggest

MAX_VALUES = 1_000_000
MAX_BYTES = 8 << 20
_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"


def find_document(given: str, folder: Path, what: str) -> Path:
    """The file in ``folder`` of that name, or the file at that path, which may not exist.

    Raises `UsageError` for an unknown name.
    """
    path = user_path(given)
    if path.suffix or len(path.parts) > 1:
        return path
    names = sorted(path.stem for path in folder.glob("*.yaml"))
    if given not in names:
        raise UsageError(
            f"no {what} {given!r} in {folder}. Give the path of a YAML file, or "
            f"{suggest(given, names)}"
        )
    return folder / f"{given}.yaml"


def read_document(path: Path) -> Part:
    """Read a YAML file whose top level is a mapping. Raises `UsageError` for any other file."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise UsageError(f"{path}: larger than {MAX_BYTES >> 20} MiB. Give a YAML file")
        document = parse(content.decode("utf-8-sig"), str(path))
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not a text file in UTF-8. Give a YAML file") from None
    except OSError as error:
        raise UsageError(f"{describe_os_error(error)}. Give a YAML file") from None
    if not isinstance(document.value, dict):
        raise UsageError(f"{path}: must be a mapping of keys to values, got {show(document.value)}")
    return document


def parse(text: str, source: str) -> Part:
    """Read YAML 1.2: true and false are truth values, 1e-4 and 0256 decimal, on and 1:30 text.

    Raises `UsageError` if it is none, names a key twice, or holds more than ``MAX_VALUES``.
    """
    document = Part(source)
    try:
        if other := re.search(r"^%YAML(?! 1\.2\s).*", text, re.MULTILINE):
            raise ValueError(f"{other[0]}: only version 1.2 is read. Remove this line")
        with warnings.catch_warnings(action="ignore"):  # an anchor may be set anew
            root = YAML(typ="safe", pure=True).compose(text)
        if root and _size(root, {}) > MAX_VALUES:
            raise UsageError(f"{source}: more than {MAX_VALUES:,} values")
        return replace(document, value=_read(root, document)) if root else document
    except RecursionError:
        problem = "nested too deeply, or within itself"
    except (YAMLError, ValueError, OverflowError) as error:
        problem = _describe(error, text)
    shown = "" if "\n" in text else f"{show(text)} is "
    raise UsageError(f"{source}: {shown}not valid YAML: {problem}")


def _size(node: Node, known: dict[int, int]) -> int:
    """How many values a node stands for: a few nested aliases can stand for billions."""
    if id(node) not in known:
        known[id(node)] = 0  # within itself; it fails when it is read
        pairs = node.value if isinstance(node, MappingNode) else [node.value]
        parts = [] if isinstance(node, ScalarNode) else [part for pair in pairs for part in pair]
        known[id(node)] = 1 + sum(_size(part, known) for part in parts)
    return known[id(node)]


def _read(node: Node, at: Part) -> Any:
    """Plain data from a node; ruamel's own constructors also make dates, sets and the like."""
    at.lines[at.path] = node.start_mark.line + 1
    kind = str(node.tag).removeprefix(_TAG)
    if isinstance(node, MappingNode) and kind == "map":
        return _mapping(node, at)
    if isinstance(node, SequenceNode) and kind == "seq":
        return [_read(item, at / number) for number, item in enumerate(node.value)]
    if isinstance(node, ScalarNode) and kind in _SCALARS:
        return _SCALARS[kind](node.value)
    raise UsageError(f"{at}: the tag {one_line(kind)} is not allowed. Write plain values")


def _mapping(node: MappingNode, at: Part) -> dict[str, Any]:
    values: dict[str, Any] = {}
    own: set[str] = set()
    # what << merges comes first, and may be replaced
    for key, item in sorted(node.value, key=lambda pair: pair[0].tag != _MERGE):
        inner = at / (key.value if isinstance(key, ScalarNode) else "?")
        name = _read(key, inner)
        if not isinstance(name, str):
            raise UsageError(f"{inner}: this key is not read as text. Quote it")
        if name in own:  # YAML would silently keep the last one
            raise UsageError(f"{inner}: is named twice. Keep one")
        own.add(name)
        if key.tag == _MERGE:
            values |= _merged(item, at)
            continue
        values[name] = _read(item, inner)
        at.lines[inner.path] = key.start_mark.line + 1
    return values


def _merged(node: Node, at: Part) -> dict[str, Any]:
    """What ``<<`` brings in: a mapping, or several, of which the first counts."""
    values: dict[str, Any] = {}
    for each in reversed(node.value if isinstance(node, SequenceNode) else [node]):
        if not isinstance(each, MappingNode):
            raise UsageError(f"{at / '<<'}: {show(each.value)} is not allowed: merge mappings")
        values |= _read(each, at)
    return values


def _number(written: str) -> Any:
    """A number; what only looks like one, such as 1__0, is text."""
    text = written.lower().replace(".inf", "inf").replace(".nan", "nan")
    for kind, *arguments in ((Integer, text, 10), (Integer, text, 0), (Float, text)):
        try:
            value = kind(*arguments)
        except ValueError:
            continue
        value.written = written
        return value
    return written


def _text(written: str) -> str:
    written.encode()  # fails for halves of characters
    if "\0" in written:
        raise ValueError(f"{show(written)} holds a NUL character")
    return written


_SCALARS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("str", "timestamp", "value", "merge"), _text),
    **dict.fromkeys(("int", "float"), _number),
    "bool": lambda written: written.lower() == "true",
    "null": lambda written: None,
}


class _Representer(SafeRepresenter):
    """Writes what readers of YAML 1.1 and of 1.2 take for the same."""

    def represent_float(self, data: float) -> ScalarNode:
        node = super().represent_float(float(data))
        if "." not in node.value:
            node.value = node.value.replace("e", ".0e")
        return node

    def represent_str(self, data: str) -> ScalarNode:
        is_text = _YAML_1_1.resolve(ScalarNode, data, (True, False)) == f"{_TAG}str"
        plain = is_text and not set(":?") & set(data)  # which in a list mark keys to YAML 1.1
        return self.represent_scalar(f"{_TAG}str", data, style=None if plain else "'")


_YAML_1_1 = VersionedResolver(version=(1, 1))
_Representer.add_representer(str, _Representer.represent_str)
for _kind in (float, Float):
    _Representer.add_representer(_kind, _Representer.represent_float)
_Representer.add_representer(Integer, lambda self, data: self.represent_int(int(data)))


def write(data: Any) -> str:
    """YAML text that gives ``data`` again."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Representer = _Representer
    yaml.default_flow_style, yaml.width, yaml.allow_unicode = None, 100, False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    stream = io.StringIO()
    yaml.dump(data, stream)
    return stream.getvalue()


def _describe(error: Exception, text: str) -> str:
    mark, position = (getattr(error, name, None) for name in ("problem_mark", "position"))
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    if position is not None:
        problem = f"{text[position]!a}: {problem} (line {text[:position].count(chr(10)) + 1})"
    place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
    return one_line(" ".join(problem.split())) + place
