"""The fields of a run that sweep files and ``--set`` address: their values, checked one by one.

Each parser takes a place of a YAML text, and reads what stands there.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache, partial, reduce
from itertools import chain
from typing import Annotated, Any, get_args

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from inr.config import RunConfig
from inr.errors import UsageError
from jobs.sweeps.yaml_document import Part, as_text, read_each, show, suggest

WEIGHTS = "training.loss_weights"
SEED = "training.seed"
IMAGE = "data.image"
MAX_RUNS = 1_000_000

Fields = dict[str, Any]  # as written: fields, or groups of them, to values; nested or dotted
Entries = list[Fields | None]


# One part of a combination: dotted path of a single field -> its checked value, and where that was
# written (for messages).
Settings = dict[str, Part]
# Alternatives of which each combination takes one. No axis has no alternative.
Axis = list[Settings]


@cache
def all_fields() -> dict[str, FieldInfo]:
    """Every single field of a run by its dotted path, in the order of declaration."""
    return {path: info for path, info, names in _walk(RunConfig) if not names}


@cache
def all_groups() -> dict[str, list[str]]:
    """What is in each group of fields, by its dotted path, such as ``training.loss_weights``."""
    return {path: names for path, _, names in _walk(RunConfig) if names}


def _walk(kind: Any, prefix: str = "") -> Iterator[tuple[str, FieldInfo, list[str]]]:
    """All fields and groups below: path, declaration, and of a group what is in it."""
    for name, info in kind.model_fields.items():
        names = list(getattr(info.annotation, "model_fields", ()))
        yield f"{prefix}{name}", info, names
        if names:
            yield from _walk(info.annotation, f"{prefix}{name}.")


def parse_fields(at: Part) -> Settings:
    """Read a mapping of fields, or groups of them, to values. Raises `UsageError`."""
    return merge(read_each(lambda part: parse_settings(part.name, part), at))


def parse_choices(at: Part, prefix: str = "") -> list[Axis]:
    """Read a mapping of fields, or groups of them, to lists of values: one axis a list.

    ``prefix``: path of the group that all of it belongs to, with a final dot. Raises `UsageError`.
    """
    return list(chain.from_iterable(read_each(partial(_parse_choice, prefix), at)))


def _parse_choice(prefix: str, part: Part) -> list[Axis]:
    path = f"{prefix}{part.name}"
    require_field(path, part)
    if isinstance(part.value, Mapping) and part.value:
        return parse_choices(part, f"{path}.")
    if not isinstance(part.value, list) or not part.value:
        raise UsageError(
            f"{part}: must be a list of values, got {show(part.value)}. "
            "Fields that do not vary belong in base"
        )
    choices = list(part)
    if path in all_groups() and not any(isinstance(each, list | Mapping) for each in part.value):
        del choices[1:]  # one mistake: a list where lists are wanted
    return [read_each(partial(parse_settings, path), choices)]


def parse_settings(path: str, at: Part) -> Settings:
    """Check the value for the field or group ``path`` and split it into single fields.

    A mapping sets the fields it names and leaves the others of its group alone; the loss weights
    may also be a list of all four. Raises `UsageError`.
    """
    require_field(path, at)
    if path in all_fields():
        return {path: replace(at, value=_check(path, at))}
    names, value = all_groups()[path], at.value
    if isinstance(value, Mapping):
        names = list(value)
    elif path != WEIGHTS or not isinstance(value, list):
        kinds = "a list of four numbers or a mapping" if path == WEIGHTS else "a mapping"
        raise UsageError(
            f"{at}: {show(value)} given, but {path} is a group of fields. Give {kinds} of "
            f"{', '.join(names)}, or set one, such as {path}.{names[0]}"
        )
    elif len(value) != len(names):
        raise UsageError(
            f"{at}: {show(value)} has {len(value)} weights, {len(names)} are needed: "
            f"[{', '.join(names)}]"
        )
    pairs = zip(names, at, strict=True)
    return merge(read_each(lambda pair: parse_settings(f"{path}.{pair[0]}", pair[1]), pairs))


def merge(parts: Iterable[Settings]) -> Settings:
    """All of them together. Raises `UsageError` if two set the same field."""
    merged: Settings = {}
    for part in parts:
        for path, setting in part.items():
            if path in merged:
                raise UsageError(
                    f"{setting}: {show(setting.value)} given, but {path} is already set at "
                    f"{merged[path]}. Keep one of them"
                )
            merged[path] = setting
    return merged


def require_apart(axes: Iterable[Axis]) -> None:
    """Raise `UsageError` for a field that two axes set."""
    merge({path: each[path] for each in axis for path in each} for axis in axes)


def make_config(settings: Settings) -> RunConfig:
    """The complete configuration in which ``settings`` replace the defaults.

    Raises `UsageError` when fields that are right alone contradict each other.
    """
    tree: dict[str, Any] = {}
    for path, setting in settings.items():
        *groups, name = path.split(".")
        reduce(lambda node, group: node.setdefault(group, {}), groups, tree)[name] = setting.value
    try:
        return RunConfig.model_validate(tree)
    except ValidationError as error:
        details = error.errors()[0]
        group, reason = ".".join(str(part) for part in details["loc"]), _reason(details)
        named = [path for path in settings if path in reason]
        involved = named or [path for path in settings if path.startswith(group)]
        places = dict.fromkeys(str(settings[path]) for path in involved)
        shown = "; ".join(list(places)[:4]) or group
        raise UsageError(f"{shown}: {reason}") from None


def require_field(path: str, at: Part) -> None:
    """Raise `UsageError` if there is no such field or group: names what is close, or there is."""
    fields, groups = all_fields(), all_groups()
    if path in fields or path in groups:
        return
    known = [*fields, *sorted(groups)]
    parent, _, name = path.rpartition(".")
    last = {field.split(".")[-1]: field for field in reversed(known)}
    # inside a group its name, which they share, makes no field close to another
    inside = [f"{parent}.{n}" for n in difflib.get_close_matches(name, groups.get(parent, []), 1)]
    outside = [] if parent in groups else difflib.get_close_matches(path, known, 1)
    near = [last[each] for each in difflib.get_close_matches(name, last, 1)] if not parent else []
    same_name = [last[name]] if name in last else []
    if closest := same_name or inside or outside or near:
        raise UsageError(f"{at}: no field {path!r}. Did you mean {closest[0]}?")
    scope = f"of {parent} " if parent in groups else ""
    allowed = ", ".join(groups.get(parent) or sorted(fields))
    raise UsageError(f"{at}: no field {path!r}. The fields {scope}are {allowed}")


@cache
def _adapter(path: str) -> TypeAdapter[Any]:
    info = all_fields()[path]
    kind: Any = info.annotation
    finite = ConfigDict(allow_inf_nan=False)  # as in the configuration itself
    return TypeAdapter(Annotated[kind, info], config=finite)


def _check(path: str, at: Part) -> Any:
    kind, value = all_fields()[path].annotation, at.value
    tried = as_text(value) if kind is str else value
    if isinstance(value, bool) and kind is not bool and "off" not in get_args(kind):
        tried = object()  # a truth value would pass for a number
    try:
        return _adapter(path).validate_python(tried)
    except ValidationError as error:
        refusal = _refusal(value, error.errors())
        raise UsageError(f"{at}: {show(value)} is not allowed for {path}: {refusal}") from None


def _refusal(value: Any, details: list[ErrorDetails]) -> str:
    """What would have been allowed: words such as ``'sine', 'elu' or ...``, and other kinds."""
    expected = [str(each["ctx"]["expected"]) for each in details if each["type"] == "literal_error"]
    words = [word for text in expected for word in text.replace(" or ", ", ").split(", ")]
    parts = [suggest(value, [word.strip("'") for word in words])] if words else []
    parts += [_reason(each) for each in details if each["type"] != "literal_error"][:1]
    return ", or ".join(parts)


def _reason(details: ErrorDetails) -> str:
    return details["msg"].removeprefix("Value error, ").removeprefix("Input ")
