"""Sweep files: what to train, as a few lines of YAML.

`SweepFile` tells its keys, docs/sweeps.md shows them. The runs are the product grid x list x random
x seeds, in that order, the seeds innermost. A block that is absent counts as one. A block overrides
``base``; two blocks may not set the same field; ``set`` is over everything.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StrictInt

from inr.config import RunConfig
from inr.errors import UsageError
from inr.storage.paths import user_path
from jobs.sweeps.fields import IMAGE, SEED, Settings, make_config, parse_settings
from jobs.sweeps.random_search import Random, draw_axis
from jobs.sweeps.search_space import (
    MAX_RUNS,
    Axis,
    Entries,
    Fields,
    check_axes,
    parse_choices,
    parse_entries,
    parse_fields,
)
from jobs.sweeps.yaml_document import Block, Document, as_text, one_line
from jobs.sweeps.yaml_file import find_document, parse, read_document, write

BUILT_IN_IMAGE = "camera"  # as `inr.targets.image_file.BUILT_IN`, which loads scikit-image
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
    """A checked sweep file.

    Attributes:
        name: name of the sweep, and of its directory below ``outputs/``.
        description: the question it answers, or "".
        base: fields shared by all runs.
        axes: what varies; the runs are the product of these, the last one innermost.
        fixed: fields set last, over everything.
        document: the sweep file with ``set`` completed, as it is kept beside the results.
    """

    name: str
    description: str
    base: Settings
    axes: list[Axis]
    fixed: Settings
    document: dict[str, Any]

    def expand(self) -> tuple[list[RunConfig], int]:
        """All different configurations in order, and the number of combinations before that.

        Raises `UsageError` when fields of a combination contradict each other.
        """
        configs: dict[str, RunConfig] = {}
        for combination in itertools.product(*self.axes):
            settings = dict(self.base)
            for part in combination:
                settings |= part
            config = make_config(settings | self.fixed)
            configs.setdefault(config.run_id, config)
        return list(configs.values()), math.prod(map(len, self.axes))

    def text(self) -> str:
        """The sweep file that gives the same runs again."""
        return write(self.document)


def find_sweep_file(given: str) -> Path:
    """The path of a sweep file: ``given`` if it looks like one, else a shipped sweep's.

    Raises `UsageError` if there is none.
    """
    path = find_document(given, SHIPPED, "sweep")
    if not path.is_file():
        raise UsageError(f"{given}: no such sweep file")
    return path


def load_sweep(path: Path, overrides: list[str] | None = None) -> Sweep:
    """Read and check a sweep file, and fix the fields named in ``overrides`` (``field=value``).

    Image paths are taken relative to the current directory and made absolute.

    Raises:
        UsageError: naming the file, the place in it, the value and what is allowed.
    """
    document = read_document(path)
    document.data = _with_absolute_images({"name": path.stem} | document.data)
    given = document.check(SweepFile)
    fixed = parse_fields(given.set, document.at("set")) | parse_overrides(overrides or [])
    kept = document.data
    if fixed:
        kept = kept | {"set": {path: setting.value for path, setting in fixed.items()}}
    return Sweep(
        name=given.name,
        description=given.description,
        base=parse_fields(given.base, document.at("base")),
        axes=_axes(given, document),
        fixed=fixed,
        document=kept,
    )


def _axes(given: SweepFile, document: Document) -> list[Axis]:
    axes = parse_choices(given.grid or {}, document.at("grid"))
    if given.list is not None:
        axes.append(parse_entries(given.list, document.at("list")))
    if given.random is not None:
        axes.append(draw_axis(given.random, document.at("random")))
    if given.seeds is not None:
        seeds = range(given.seeds) if isinstance(given.seeds, int) else given.seeds
        at = document.at("seeds")
        axes.append([parse_settings(SEED, seed, at / n) for n, seed in enumerate(seeds)])
    check_axes(axes, document.source)
    return axes


def parse_overrides(overrides: list[str]) -> Settings:
    """The fields fixed by ``--set field=value`` options; the last one of a field wins."""
    settings: Settings = {}
    for text in overrides:
        path, equals, value = text.partition("=")
        where = f"--set {one_line(text)}"
        if not equals or not path.strip() or not value.strip():
            raise UsageError(f"{where}: write it as field=value, such as training.steps=500")
        if path.strip() == IMAGE:  # a path is no YAML: it may hold colons and brackets
            document = Document(where, _absolute(value))
        else:
            document = parse(value, where)
            document.lines.clear()  # all stands on the command line
        settings |= parse_settings(path.strip(), document.data, document.at())
    return settings


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
    """An image path that holds in any working directory; the built-in image has none."""
    return image if image in ("", BUILT_IN_IMAGE) else os.path.realpath(user_path(image))
