"""Sweep files: what to train, as a few lines of YAML.

A sweep file has these keys, all optional::

    name: my_sweep            # letters, digits, _ and -; default: the file's name
    description: a question   # one line, shown at launch
    base:                     # fields that all runs share, nested or as dotted paths
      data: {size: 64}
      model.width: 128
    grid:                     # every combination of these lists
      model.activation: [sine, elu]
      training.learning_rate: [1e-3, 1e-4]
    list:                     # combinations written out
      - {training.loss_weights: [1, 0, 0, 0]}
      - {training.loss_weights: [1, 1, 1, 1], training.steps: 3000}
    random:                   # distinct draws, the same for the same seed
      count: 100
      seed: 0
      choices: {training.loss_weights.value: [1, 0.1, 0], training.loss_weights.gradient: [1, 0]}
      constraint: {sum: training.loss_weights, above: 0.1}
      include:                # draws that are wanted in any case; count includes them
        - {training.loss_weights.value: 1, training.loss_weights.gradient: 0}
    seeds: 3                  # repetitions: training.seed 0, 1, 2; or a list of seeds
    set:                      # fields fixed last, over everything (what --set does)
      training.steps: 10

The runs are the product grid x list x random x seeds, in that order, the seeds innermost. A block
that is absent counts as one. A block overrides ``base``; two blocks may not set the same field.
"""

from __future__ import annotations

import itertools
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from inr.config import RunConfig
from inr.errors import UsageError
from jobs.blocks import Axis, check_axes, parse_fields, parse_grid, parse_list, parse_seeds
from jobs.document import Document, read_document, show
from jobs.draws import parse_random
from jobs.fields import IMAGE, Settings, make_config, parse_settings, suggest

BUILT_IN_IMAGE = "camera"  # as `inr.images.BUILT_IN`, which loads scikit-image
SHIPPED = Path(__file__).parent / "sweeps"
_KEYS = ("name", "description", "base", "grid", "list", "random", "seeds", "set")


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
        return yaml.safe_dump(self.document, sort_keys=False, default_flow_style=None, width=100)


def find_sweep_file(given: str) -> Path:
    """The path of a sweep file: ``given`` if it looks like one, else a shipped sweep's.

    Raises `UsageError` if there is none.
    """
    path = Path(given)
    if path.suffix or len(path.parts) > 1:
        if not path.is_file():
            raise UsageError(f"{given}: no such sweep file")
        return path
    shipped = {file.stem: file for file in sorted(SHIPPED.glob("*.yaml"))}
    if given not in shipped:
        raise UsageError(
            f"no sweep {given!r}: give the path of a sweep file ending in .yaml, or "
            f"{suggest(given, shipped)}"
        )
    return shipped[given]


def load_sweep(path: Path, overrides: list[str] | None = None) -> Sweep:
    """Read and check a sweep file, and fix the fields named in ``overrides`` (``field=value``).

    Image paths are taken relative to the current directory and made absolute.

    Raises:
        UsageError: naming the file, the place in it, the value and what is allowed.
    """
    document = read_document(path)
    for key in document.data:
        if key not in _KEYS:
            raise UsageError(f"{document.where(str(key))}: unknown key; {suggest(key, _KEYS)}")
    document.data.update(_with_absolute_images(document.data))
    axes = [
        *parse_grid(document),
        *parse_list(document),
        *parse_random(document),
        *parse_seeds(document),
    ]
    check_axes(document, axes)
    fixed = parse_fields(document, document.data.get("set"), "set")
    fixed |= parse_overrides(overrides or [])
    name = _name(document, path)
    return Sweep(
        name=name,
        description=_text(document, "description"),
        base=parse_fields(document, document.data.get("base"), "base"),
        axes=axes,
        fixed=fixed,
        document=_resolved(document.data, name, fixed),
    )


def parse_overrides(overrides: list[str]) -> Settings:
    """The fields fixed by ``--set field=value`` options; the last one of a field wins."""
    settings: Settings = {}
    for text in overrides:
        path, equals, value = text.partition("=")
        where = f"--set {text}"
        if not equals or not path.strip() or not value.strip():
            raise UsageError(f"{where}: write it as field=value, such as training.steps=500")
        settings |= parse_settings(path.strip(), _override_value(path.strip(), value, where), where)
    return settings


def _override_value(path: str, value: str, where: str) -> Any:
    if path == IMAGE:  # a path is no YAML: it may hold colons and brackets
        return _absolute(value)
    try:
        return yaml.safe_load(value)
    except (yaml.YAMLError, ValueError):
        raise UsageError(f"{where}: {show(value)} is not a valid YAML value") from None


def _name(document: Document, path: Path) -> str:
    name = _text(document, "name") or path.stem
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", name):
        raise UsageError(
            f"{document.where('name')}: {show(name)} is not allowed: it names a directory, use "
            "letters, digits, _ and -"
        )
    return name


def _text(document: Document, key: str) -> str:
    text = document.data.get(key, "")
    if not isinstance(text, str):
        raise UsageError(f"{document.where(key)}: must be text, got {show(text)}")
    return " ".join(text.split())


def _resolved(data: Mapping[str, Any], name: str, fixed: Settings) -> dict[str, Any]:
    """The sweep file with its name and everything that is fixed last written into it."""
    document = {"name": name, **{key: value for key, value in data.items() if key != "name"}}
    if fixed:
        document["set"] = {path: setting.value for path, setting in fixed.items()}
    return document


def _with_absolute_images(node: Any, path: str = "") -> Any:
    """A copy of a parsed sweep file in which every ``data.image`` is an absolute path."""
    if isinstance(node, Mapping):
        return {key: _with_absolute_images(value, f"{path}.{key}") for key, value in node.items()}
    if isinstance(node, list):
        return [_with_absolute_images(item, path) for item in node]
    if isinstance(node, str) and path.endswith(f".{IMAGE}"):
        return _absolute(node)
    return node


def _absolute(image: str) -> str:
    """An image path that holds in any working directory; the built-in image has none.

    Never fails: a ``~user`` without a home stays as it is, and a NUL is refused with the image.
    """
    if image in ("", BUILT_IN_IMAGE) or "\0" in image:
        return image
    return os.path.realpath(os.path.expanduser(image))  # noqa: PTH111 - pathlib's may raise
