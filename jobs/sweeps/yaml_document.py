"""What a sweep file, a profile or ``--set`` holds, where it stands, and how faults are told."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import reduce
from operator import getitem
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from inr.errors import UsageError

Path_ = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)


class _Written:
    """A number that messages show, and fields of text take, as it was written."""

    written = ""

    def __repr__(self) -> str:
        return self.written


class Integer(_Written, int):
    """A whole number."""


class Float(_Written, float):
    """Any other number."""


def as_text(value: object) -> object:
    """A number as it was written, for a field of text; anything else as it is."""
    return value.written if isinstance(value, _Written) else value


class Block(BaseModel):
    """A model of a file or a part of it. The description of a field says what is allowed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass
class Document:
    """A YAML text: its name in messages, content as plain data, and line of each part."""

    source: str
    data: Any = None
    lines: dict[Path_, int] = field(default_factory=dict)

    def at(self, *path: str | int) -> Place:
        """A place in the document."""
        return Place(self, path)

    def check(self, model: type[Model]) -> Model:
        """The content as ``model``. Raises `UsageError` for the first fault: place, value, cure."""
        try:
            return model.model_validate(self.data)
        except ValidationError as error:
            # a misspelt key first: another may only be missing for it
            first = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
            raise UsageError(self._explain(model, first)) from None

    def _explain(self, model: type[BaseModel], details: Any) -> str:
        known, allowed, path = model.model_fields, "", details["loc"]
        for name in path:
            if name in known:
                allowed, inner = known[name].description or allowed, known[name].annotation
                models = [m for m in getattr(inner, "__args__", ()) if hasattr(m, "model_fields")]
                known = models[0].model_fields if models else {}
        if details["type"] == "missing":
            return f"{self.at(*path)} is missing: {allowed}"
        if details["type"] == "extra_forbidden":
            return f"{self.at(*path)}: unknown key {show(path[-1])}: {suggest(path[-1], known)}"
        while path and path not in self.lines:  # pydantic appends names of alternatives
            path = path[:-1]
        if details["type"] == "value_error":
            return f"{self.at(*path)}: {details['ctx']['error']}"
        value = reduce(getitem, path, self.data)
        return f"{self.at(*path)}: {show(value)} is not allowed: {allowed}"


@dataclass(frozen=True)
class Place:
    """Where a value stands, as ``file:line: grid.model.width[1]``; a part of it by ``/``."""

    document: Document
    path: Path_

    def __truediv__(self, part: str | int) -> Place:
        return Place(self.document, (*self.path, part))

    def __str__(self) -> str:
        line = self.document.lines.get(self.path)
        parts = (f"[{p}]" if isinstance(p, int) else f".{one_line(p)}" for p in self.path)
        source = f"{self.document.source}:{line}" if line else self.document.source
        return ": ".join(filter(None, (source, "".join(parts).removeprefix("."))))


def show(value: object) -> str:
    """A value for a message, short and on one line."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def one_line(text: str) -> str:
    """Text with what cannot be printed escaped."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text) or "''"


def suggest(word: object, allowed: Iterable[str]) -> str:
    """List what is allowed, and the closest match to ``word`` if there is one."""
    allowed = list(allowed)
    closest = difflib.get_close_matches(str(word), allowed, n=1)
    hint = f". Did you mean {closest[0]}?" if closest else ""
    return f"choose from {', '.join(allowed)}{hint}"
