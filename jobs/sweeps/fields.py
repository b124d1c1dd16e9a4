"""The fields of a run that sweep files and ``--set`` address, and checks of single values."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from inr.config import RunConfig
from inr.errors import UsageError
from jobs.sweeps.yaml_document import Place, as_text, show, suggest

WEIGHTS = "training.loss_weights"
SEED = "training.seed"
IMAGE = "data.image"


@dataclass(frozen=True)
class Setting:
    """A value for one field, and where it was written (for messages)."""

    value: Any
    where: Place


# One part of a combination: dotted path of a single field -> what it is set to.
Settings = dict[str, Setting]


@cache
def all_fields() -> dict[str, FieldInfo]:
    """Every single field of a run by its dotted path, in the order of declaration."""
    return dict(_walk(RunConfig, ""))


def _walk(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from _walk(info.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", info


@cache
def all_groups() -> frozenset[str]:
    """Dotted paths of the groups of fields, such as ``training.loss_weights``."""
    paths = [path.split(".") for path in all_fields()]
    return frozenset(".".join(parts[:end]) for parts in paths for end in range(1, len(parts)))


def parse_settings(path: str, value: Any, where: Place) -> Settings:
    """Check ``value`` for the field or group ``path`` and split it into single fields.

    A mapping sets the fields it names and leaves the others of its group alone; the loss weights
    may also be a list of all four.

    Raises:
        UsageError: no such field, or a value of the wrong type or out of range.
    """
    if path in all_fields():
        return {path: Setting(_check(path, value, where), where)}
    if path not in all_groups():
        raise UsageError(f"{where}: {unknown_field(path)}")
    settings: Settings = {}
    for name, part, member in _split(path, value, where):
        merge_settings(settings, parse_settings(f"{path}.{name}", member, where / part))
    return settings


def _split(path: str, value: Any, where: Place) -> list[tuple[str, str | int, Any]]:
    """Name, part of the place, and value of each field of a group."""
    names = _members(path)
    if isinstance(value, Mapping):
        return [(name, name, member) for name, member in value.items()]
    if path == WEIGHTS and isinstance(value, list):
        if len(value) != len(names):
            raise UsageError(
                f"{where}: {show(value)} has {len(value)} weights, {len(names)} are needed: "
                f"[{', '.join(names)}]"
            )
        return [(name, n, value[n]) for n, name in enumerate(names)]
    kinds = "a list of four numbers or a mapping" if path == WEIGHTS else "a mapping"
    raise UsageError(
        f"{where}: {show(value)} given, but {path} is a group of fields. Give {kinds} of "
        f"{', '.join(names)}, or set one, such as {path}.{names[0]}"
    )


def merge_settings(target: Settings, more: Settings) -> None:
    """Add ``more`` to ``target``. Raises `UsageError` if both set the same field."""
    for path, setting in more.items():
        if path in target:
            raise UsageError(
                f"{setting.where}: {show(setting.value)} given, but {path} is already set at "
                f"{target[path].where}. Keep one of them"
            )
        target[path] = setting


def make_config(settings: Settings) -> RunConfig:
    """The complete configuration in which ``settings`` replace the defaults.

    Raises `UsageError` when fields that are right alone contradict each other.
    """
    tree: dict[str, Any] = {}
    for path, setting in settings.items():
        *groups, name = path.split(".")
        node = tree
        for group in groups:
            node = node.setdefault(group, {})
        node[name] = setting.value
    try:
        return RunConfig.model_validate(tree)
    except ValidationError as error:
        details = error.errors()[0]
        group, reason = ".".join(str(part) for part in details["loc"]), _reason(details)
        named = [path for path in settings if path in reason]
        involved = named or [path for path in settings if path.startswith(group)]
        places = dict.fromkeys(str(settings[path].where) for path in involved)
        shown = "; ".join(list(places)[:4]) or group
        raise UsageError(f"{shown}: {reason}") from None


def flatten_config(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The single fields (dotted path, value) of a configuration dumped to plain data."""
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from flatten_config(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def unknown_field(path: str) -> str:
    """Message for a field that does not exist: the closest match, or the fields of its group."""
    fields = list(all_fields()) + sorted(all_groups())
    by_last_part = [field for field in fields if field.split(".")[-1] == path.split(".")[-1]]
    closest = by_last_part[:1] or difflib.get_close_matches(path, fields, n=1)
    if closest:
        return f"no field {path!r}. Did you mean {closest[0]}?"
    parent = path.rpartition(".")[0]
    known = _members(parent) if parent in all_groups() else sorted(all_fields())
    scope = f"of {parent} " if parent in all_groups() else ""
    return f"no field {path!r}. The fields {scope}are {', '.join(known)}"


def _members(group: str) -> list[str]:
    members = (path.removeprefix(f"{group}.") for path in all_fields() if path.startswith(group))
    return list(dict.fromkeys(member.split(".")[0] for member in members))


@cache
def _adapter(path: str) -> TypeAdapter[Any]:
    info = all_fields()[path]
    kind: Any = info.annotation
    return TypeAdapter(
        Annotated[kind, *info.metadata] if info.metadata else kind,
        config=ConfigDict(allow_inf_nan=False),  # as in the configuration itself
    )


def _check(path: str, value: Any, where: Place) -> Any:
    kind = all_fields()[path].annotation
    tried = as_text(value) if kind is str else value
    if isinstance(value, bool) and kind is not bool and "off" not in get_args(kind):
        tried = object()  # a truth value would pass for a number
    try:
        return _adapter(path).validate_python(tried)
    except ValidationError as error:
        raise UsageError(
            f"{where}: {show(value)} is not allowed for {path}: {_refusal(value, error)}"
        ) from None


def _refusal(value: Any, error: ValidationError) -> str:
    """What would have been allowed."""
    details = error.errors()
    options = [word for detail in details for word in _literals(detail)]
    numeric = [detail for detail in details if detail["type"] != "literal_error"]
    parts = [suggest(value, options)] if options else []
    parts += [_reason(detail) for detail in numeric[:1]]
    return ", or ".join(parts)


def _literals(details: ErrorDetails) -> list[str]:
    """The words that a field allows, from the error of a wrong one: ``'sine', 'elu' or ...``."""
    if details["type"] != "literal_error":
        return []
    return str(details["ctx"]["expected"]).replace(" or ", ", ").replace("'", "").split(", ")


def _reason(details: ErrorDetails) -> str:
    return details["msg"].removeprefix("Value error, ").removeprefix("Input ")
