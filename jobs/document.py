"""Read a YAML file and remember on which line everything stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from inr.errors import UsageError, describe_os_error

Path_ = tuple[str | int, ...]
_TEXT_TAGS = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge")
MAX_VALUES = 2_000_000


@dataclass(frozen=True)
class Document:
    """A parsed YAML file."""

    source: str
    data: dict[str, Any]
    lines: dict[Path_, int] = field(default_factory=dict)

    def where(self, *path: str | int) -> str:
        """Where ``path`` stands, as ``file:line: grid.model.width[1]``."""
        return _where(self.source, self.lines.get(path), path)


def read_document(path: Path) -> Document:
    """Read a YAML file whose top level is a mapping.

    Raises:
        UsageError: the file cannot be read, is not YAML, or names a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not a text file. Give a YAML file") from None
    except OSError as error:
        raise UsageError(f"{describe_os_error(error)}. Give a YAML file") from None
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        lines = _all_lines(root, str(path)) if root else {}
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not valid YAML: {_describe(error)}") from None
    if not isinstance(data, dict):
        raise UsageError(
            f"{path}: must be a mapping of keys such as base and grid, got {show(data)}"
        )
    return Document(str(path), data, lines)


def _all_lines(root: yaml.Node, source: str) -> dict[Path_, int]:
    lines: dict[Path_, int] = {}
    for path, line in _lines(root, (), source):
        lines[path] = line
        if len(lines) > MAX_VALUES:  # a few nested aliases can stand for billions of values
            raise UsageError(f"{source}: more than {MAX_VALUES:,} values")
    return lines


def _lines(node: yaml.Node, path: Path_, source: str) -> Iterator[tuple[Path_, int]]:
    yield path, node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from _lines(item, (*path, number), source)
    elif isinstance(node, yaml.MappingNode):
        seen: set[str | int] = set()
        for key, item in node.value:
            inner = (*path, _name(key, path, source))
            if inner[-1] in seen:
                # YAML would silently keep the last one
                where = _where(source, key.start_mark.line + 1, inner)
                raise UsageError(f"{where}: is named twice. Keep one")
            seen.add(inner[-1])
            yield from _lines(item, inner, source)


def _name(key: yaml.Node, path: Path_, source: str) -> str:
    """A key of a mapping. Raises `UsageError` for one that YAML reads as a number or the like."""
    text = str(key.value) if isinstance(key, yaml.ScalarNode) else "?"
    if key.tag not in _TEXT_TAGS:
        where = _where(source, key.start_mark.line + 1, (*path, text))
        kind = key.tag.rpartition(":")[2]
        raise UsageError(f"{where}: this key is read as {kind}, must be text: quote it")
    return text


def show(value: object) -> str:
    """A value for a message, short and on one line."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _where(source: str, line: int | None, path: Path_) -> str:
    parts = [f"[{part}]" if isinstance(part, int) else f".{_one_line(part)}" for part in path]
    text = "".join(parts).removeprefix(".")
    return f"{source}{f':{line}' if line else ''}: {text}"


def _one_line(key: str) -> str:
    """A key with what cannot be printed escaped."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in key) or "''"


def _describe(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error) or type(error).__name__
    place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
    return " ".join(problem.split()) + place
