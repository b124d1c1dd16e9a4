"""What a sweep file, a profile or ``--set`` holds, where it stands, and how faults are told."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import truediv
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


@dataclass(frozen=True)
class Part:
    """A YAML text or a part of it: plain data, and where it stands.

    ``part / name`` is a part of it, which may be missing; ``list(part)`` are all of them: the
    values of a mapping, the items of a list. ``str(part)`` is its place, as
    ``file:line: grid.width[1]``.
    """

    source: str  # name of the text
    value: Any = None  # what stands there; None also where nothing does
    lines: dict[Path_, int] = field(default_factory=dict)  # of parts of the text that have one
    path: Path_ = ()  # keys and positions, from the top

    def __truediv__(self, name: str | int) -> "Part":
        try:
            value = self.value[name]
        except (LookupError, TypeError):
            value = None
        return Part(self.source, value, self.lines, (*self.path, name))

    def __iter__(self) -> Iterator["Part"]:
        names = self.value if isinstance(self.value, Mapping) else range(len(self.value or ()))
        return (self / name for name in names)

    @property
    def name(self) -> str:
        """The key under which it stands."""
        return str(self.path[-1])

    def __str__(self) -> str:
        line = self.lines.get(self.path)
        parts = (f"[{p}]" if isinstance(p, int) else f".{one_line(p)}" for p in self.path)
        source = f"{self.source}:{line}" if line else self.source
        return ": ".join(filter(None, (source, "".join(parts).removeprefix("."))))

    def check(self, model: type[Model]) -> Model:
        """The content as ``model``. Raises `UsageError` for the first fault: place, value, cure."""
        try:
            return model.model_validate(self.value)
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
        missing, unknown = (details["type"] == kind for kind in ("missing", "extra_forbidden"))
        while not missing and path and path not in self.lines:  # pydantic appends alternatives
            path = path[:-1]
        part = reduce(truediv, path, self)
        if missing:
            return f"{part} is missing: {allowed}"
        if unknown:
            return f"{part}: unknown key {show(path[-1])}: {suggest(path[-1], known)}"
        if details["type"] == "value_error":
            return f"{part}: {details['ctx']['error']}"
        return f"{part}: {show(part.value)} is not allowed: {allowed}"


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
