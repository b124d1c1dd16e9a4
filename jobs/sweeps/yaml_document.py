"""What a sweep file, a profile or ``--set`` holds, where it stands, and how faults are told."""

import difflib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import truediv
from types import TracebackType
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from inr.errors import UsageError

Path_ = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)
Given = TypeVar("Given")
Read = TypeVar("Read")

_MOST_MISTAKES = 10  # that are shown


class _SeveralError(UsageError):
    """Several mistakes, a line each."""

    def __init__(self, messages: list[str]) -> None:
        self.messages = messages
        lines = [f"{len(messages):,} mistakes:", *messages[:_MOST_MISTAKES]]
        if len(messages) > _MOST_MISTAKES:
            lines.append(f"and {len(messages) - _MOST_MISTAKES:,} more")
        super().__init__("\n".join(lines))


class Mistakes:
    """Collects every `UsageError` that ends a ``with`` block of it."""

    def __init__(self, messages: Iterable[str] = ()) -> None:
        self._messages = list(messages)

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: object, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if isinstance(error, UsageError):
            self._messages += error.messages if isinstance(error, _SeveralError) else [str(error)]
            return True
        return False

    def tell(self) -> None:
        """Raise one `UsageError` for all there were, if any."""
        if self._messages:
            several = len(self._messages) > 1
            raise _SeveralError(self._messages) if several else UsageError(self._messages[0])


def read_each(read: Callable[[Given], Read], parts: Iterable[Given]) -> list[Read]:
    """``read`` of each of ``parts``. Raises one `UsageError` for all mistakes in them."""
    mistakes, found = Mistakes(), []
    for part in parts:
        with mistakes:
            found.append(read(part))
    mistakes.tell()
    return found


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
        """The content as ``model``. Raises `UsageError` for all faults: place, value, cure."""
        Mistakes(message for told in self.faults(model).values() for message in told).tell()
        return model.model_validate(self.value)

    def faults(self, model: type[BaseModel]) -> dict[str | int, list[str]]:
        """What keeps the content from being ``model``: messages by key, in the order of lines."""
        try:
            model.model_validate(self.value)
        except ValidationError as error:
            details = error.errors()
        else:
            return {}
        # where a key is misspelt, another may only be missing for it
        misspelt = {each["loc"][:-1] for each in details if each["type"] == "extra_forbidden"}
        told: dict[str | int, dict[str, None]] = {}  # once: pydantic tells of each alternative
        for each in sorted(details, key=lambda each: self._line(each["loc"])):
            if each["type"] != "missing" or each["loc"][:-1] not in misspelt:
                told.setdefault(each["loc"][0], {})[self._explain(model, each)] = None
        return {key: list(messages) for key, messages in told.items()}

    def _line(self, path: Path_) -> int:
        """Where a part of it stands; of one that does not, where the part around it does."""
        lines = (self.lines.get(path[:end]) for end in range(len(path), 0, -1))
        return next(filter(None, lines), sys.maxsize)

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
