"""Sweep files: what to train, as a few lines of YAML.

`SweepFile` tells its keys, docs/sweeps.md shows them. The runs are the product grid x list x random
x seeds, in that order, the seeds innermost. A block that is absent counts as one. A block overrides
``base``; two blocks may not set the same field; ``set`` is over everything.
"""

import itertools
import math
import operator
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StrictInt

from inr.config import BUILT_IN_IMAGES, RunConfig
from inr.errors import UsageError
from inr.storage.paths import user_path
from jobs.sweeps.fields import (
    IMAGE,
    MAX_RUNS,
    SEED,
    Axis,
    Entries,
    Fields,
    Settings,
    make_config,
    parse_choices,
    parse_fields,
    parse_settings,
    require_apart,
)
from jobs.sweeps.random_search import Random, draw_axis
from jobs.sweeps.yaml_document import Block, Mistakes, Part, as_text, one_line, read_each
from jobs.sweeps.yaml_file import find_document, parse, read_document, write

SHIPPED = Path(__file__).parent

# Text for one line of a table: nothing in it moves the cursor.
_Line = Annotated[
    str,
    BeforeValidator(as_text),
    AfterValidator(lambda text: text and one_line(" ".join(text.split()))),
]
_Seeds = Annotated[StrictInt, Field(ge=1, le=MAX_RUNS)] | Annotated[list[Any], Field(min_length=1)]


class SweepFile(Block):
    """What a sweep file may hold."""

    name: Annotated[
        str, BeforeValidator(as_text), Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")
    ] = Field(description="the name of the sweep names a directory, use letters, digits, _ and -")
    description: _Line = Field("", description="must be text")
    base: Fields | None = Field(None, description="must map fields to values")
    grid: Fields | None = Field(
        None, min_length=1, description="must map fields to lists of values"
    )
    list: Entries | None = Field(
        None, min_length=1, description="must be a list of mappings of fields to values"
    )
    random: Random | None = Field(
        None, description=f"must be a mapping with {', '.join(Random.model_fields)}"
    )
    seeds: _Seeds | None = Field(None, description="give how many (1 or more) or a list of seeds")
    set: Fields | None = Field(None, description="must map fields to values")


@dataclass(frozen=True)
class Sweep:
    """A sweep file, read, checked and expanded."""

    name: str  # also of its directory below ``outputs/``
    description: str  # the question it answers, or ""
    configs: list[RunConfig]  # all different ones, in order
    combinations: int  # how many there were before equal ones were put together
    text: str  # a sweep file that gives the same runs again, to be kept beside the results


def find_sweep_file(given: str) -> Path:
    """The path of a sweep file: ``given`` if it looks like one, else a shipped sweep's.

    Raises `UsageError` if there is none.
    """
    path = find_document(given, SHIPPED, "sweep")
    if not path.is_file():
        raise UsageError(f"{given}: no such sweep file")
    return path


def load_sweep(path: Path, overrides: Sequence[str] = ()) -> Sweep:
    """Read, check and expand a sweep file; its image paths start in the current directory.

    ``overrides``: ``field=value``, as ``--set`` has them; the last one of a field wins. Raises
    `UsageError`, which names the file, the place in it, the value and what is allowed.
    """
    document = read_document(path)
    kept = _with_absolute_images({"name": path.stem} | document.value)
    document = replace(document, value=kept)
    sections, fixed = _read_all(document, overrides)
    given = SweepFile.model_validate(kept)
    base: Settings = sections.get("base", {})
    axes = _axes(sections)
    combinations = math.prod(len(axis) for axis in axes)
    if combinations > MAX_RUNS:
        raise UsageError(
            f"{document.source}: grid x list x random x seeds: {combinations:,} combinations, "
            f"at most {MAX_RUNS:,} are allowed"
        )
    configs: dict[str, RunConfig] = {}
    for combination in itertools.product(*axes):
        config = make_config(reduce(operator.or_, (*combination, fixed), base))
        configs.setdefault(config.run_id, config)
    if fixed:
        kept = kept | {"set": {field: setting.value for field, setting in fixed.items()}}
    return Sweep(given.name, given.description, list(configs.values()), combinations, write(kept))


def _read_all(document: Part, overrides: Sequence[str]) -> tuple[dict[str, Any], Settings]:
    """The blocks of fields by name, and what is fixed. Raises one `UsageError` for all mistakes."""
    mistakes, faults = Mistakes(), document.faults(SweepFile)
    sections: dict[str, Any] = {}
    for part in document:
        with mistakes:
            Mistakes(faults.get(part.name, ())).tell()
            if part.name in _READERS and part.value is not None:
                sections[part.name] = _READERS[part.name](part)
    fixed: Settings = sections.get("set", {})
    for text in overrides:
        with mistakes:
            fixed |= _parse_override(text)
    mistakes.tell()
    return sections, fixed


def _parse_seeds(at: Part) -> list[Axis]:
    if isinstance(at.value, int):
        return [[{SEED: replace(at, value=seed)} for seed in range(at.value)]]
    return [read_each(partial(parse_settings, SEED), at)]


# Blocks that set fields -> what reads them; those that vary fields, in the order of the product.
_AXES: dict[str, Callable[[Part], list[Axis]]] = {
    "grid": parse_choices,
    "list": lambda at: [read_each(parse_fields, at)],
    "random": lambda at: [draw_axis(Random.model_validate(at.value), at)],
    "seeds": _parse_seeds,
}
_READERS: dict[str, Callable[[Part], Any]] = {"set": parse_fields, "base": parse_fields, **_AXES}


def _axes(sections: Mapping[str, Any]) -> list[Axis]:
    """What varies. Raises `UsageError` for a field that two axes set."""
    axes = [axis for name in _AXES for axis in sections.get(name, [])]
    require_apart(axes)
    return axes


def _parse_override(text: str) -> Settings:
    """What one ``--set`` fixes."""
    field, equals, value = text.partition("=")
    source = f"--set {one_line(text)}"
    if not equals or not field.strip() or not value.strip():
        raise UsageError(f"{source}: write it as field=value, such as training.steps=500")
    if field.strip() == IMAGE:  # a path is no YAML: it may hold colons and brackets
        return parse_settings(IMAGE, Part(source, _absolute(value)))
    # without lines: all stands on the command line
    return parse_settings(field.strip(), Part(source, parse(value, source).value))


def _with_absolute_images(node: Any, path: str = "") -> Any:
    """A copy of a parsed sweep file in which every ``data.image`` is an absolute path."""
    if isinstance(node, Mapping):
        return {key: _with_absolute_images(value, f"{path}.{key}") for key, value in node.items()}
    if isinstance(node, list):
        return [_with_absolute_images(item, path) for item in node]
    if path.endswith(f".{IMAGE}") and isinstance(text := as_text(node), str):
        return _absolute(text)
    return node


def _absolute(image: str) -> str:
    """An image path that holds in any working directory; built-in images have none."""
    return image if image in ("", *BUILT_IN_IMAGES) else os.path.realpath(user_path(image))
