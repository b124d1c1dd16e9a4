"""Five hundred generated sweep files: expanded, or refused with place and what is allowed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest
import yaml
from hypothesis import HealthCheck, given, note, seed, settings
from hypothesis import strategies as st

from inr.config import RunConfig
from inr.errors import UsageError
from jobs.document import show
from jobs.fields import all_fields, all_groups
from jobs.sweep import load_sweep

SEED = 20_261_123
EXAMPLES = 500

FIELDS = sorted(all_fields())
GROUPS = sorted(all_groups())
GOOD: dict[str, list[object]] = {
    "model.activation": ["sine", "elu", "gaussian"],
    "model.width": [1, 16, 256],
    "training.learning_rate": [1e-4, 3e-3, 1],
    "training.batch": ["frame", 128],
    "training.loss_weights": [[1, 0, 0, 0], {"value": 0.5}, [1, 0.1, 0.01, 0.1]],
    "data.sigma_end": [2.0, 5],
    "record.tensorboard": [True, False],
}

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 300),
    st.sampled_from([0, 1, 2**31, 10**30, -1]),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from(["sine", "elu", "frame", "camera", "1e-3", "", "ß\u2028", "none", "a: b"]),
    st.text(max_size=6),
    st.dates(),
)
junk = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(scalars, inner, max_size=3)
    ),
    max_leaves=6,
)
misspelt = st.sampled_from(FIELDS).flatmap(
    lambda field: st.sampled_from([field[:-1], field + "s", field.upper(), field.split(".")[-1]])
)
names = st.one_of(
    st.sampled_from(sorted(GOOD)), st.sampled_from(FIELDS + GROUPS), misspelt, st.text(max_size=5)
)


@st.composite
def assignments(draw, plural: bool) -> dict[object, object]:
    """Fields with values, or with lists of values; mostly right ones."""
    block: dict[object, object] = {}
    for _ in range(draw(st.integers(1, 3))):
        name = draw(st.sampled_from(sorted(GOOD)) if draw(st.integers(0, 9)) else names)
        value = st.sampled_from(GOOD[name]) if name in GOOD and draw(st.integers(0, 9)) else junk
        block[name] = draw(st.lists(value, min_size=1, max_size=3) if plural else value)
    return block


randoms = st.fixed_dictionaries(
    {"count": st.integers(1, 4), "choices": assignments(True)},
    optional={
        "seed": st.one_of(st.integers(0, 9), junk),
        "constraint": st.one_of(
            st.fixed_dictionaries(
                {"sum": names, "above": st.one_of(st.just(0.1), junk)},
                optional={"below": st.one_of(st.just(9), junk)},
            ),
            junk,
        ),
        "include": st.one_of(st.lists(assignments(False), min_size=1, max_size=3), junk),
        "extra": junk,
    },
)
BLOCKS = {
    "name": st.one_of(st.just("fine"), st.text(max_size=5), junk),
    "description": st.one_of(st.just("a question"), junk),
    "base": st.one_of(assignments(False), assignments(False), junk),
    "grid": st.one_of(assignments(True), assignments(True), junk),
    "list": st.one_of(st.lists(assignments(False), min_size=1, max_size=3), junk),
    "random": st.one_of(randoms, randoms, junk),
    "seeds": st.one_of(st.integers(1, 3), st.lists(st.integers(0, 9), min_size=1), junk),
    "set": st.one_of(assignments(False), junk),
}


@st.composite
def sweep_texts(draw) -> str:
    """The text of a sweep file: most of them nearly right, some cut off or overwritten."""
    chosen = draw(st.lists(st.sampled_from(sorted(BLOCKS)), unique=True, max_size=3))
    document: dict[object, object] = {key: draw(BLOCKS[key]) for key in chosen}
    if not draw(st.integers(0, 19)):
        document[draw(st.text(max_size=5))] = draw(junk)
    text = yaml.safe_dump(document, allow_unicode=True)
    damage = draw(st.integers(0, 19))
    if damage == 0:
        return text[: draw(st.integers(0, len(text)))]
    if damage == 1:
        place = draw(st.integers(0, len(text)))
        return text[:place] + draw(st.text(max_size=3)) + text[place:]
    return text


@pytest.fixture(scope="module")
def outcomes():
    """How many files were expanded and how many refused."""
    return {"expanded": 0, "refused": 0}


@seed(SEED)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(text=sweep_texts())
def test_every_sweep_file_is_expanded_or_refused(tmp_path, outcomes, text):
    path = tmp_path / "fuzz.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        configs, combinations = load_sweep(path).expand()
    except UsageError as error:
        note(str(error))
        check_refusal(str(error), path, text)
        outcomes["refused"] += 1
        return
    outcomes["expanded"] += 1
    assert 1 <= len(configs) <= combinations
    assert len({config.run_id for config in configs}) == len(configs)
    for config in configs:
        assert RunConfig.model_validate_json(config.canonical_json()) == config


def check_refusal(message: str, path: Path, text: str) -> None:
    """One line: the file, the place in it, the value there, and what is allowed instead."""
    assert len(message.splitlines()) == 1, "one line"
    found = re.fullmatch(rf"{re.escape(str(path))}(:\d+)?: (.+)", message)
    assert found, "the file"
    line, said = found.groups()
    if said.startswith(NOT_YAML):
        return  # there are no places and values in it
    place, words = find_place(said, text)
    if place is None:
        assert said.startswith(NO_MAPPING), "the place"
        assert f"got {show(yaml.safe_load(text))}" in said, "the value"
        return
    assert line or place in MISSING, "the line"
    values = values_at(place, text)
    assert any(shows(words, place, value) for value in values), "the value"
    field = re.search(r"is not allowed for ([\w.]+)", words)
    assert says_allowed(words, field[1] if field else None), "what is allowed"


NOT_YAML = ("not valid YAML: ", "not a text file")
NO_MAPPING = "must be a mapping of keys such as base and grid, "
MISSING = ("random.count", "random.choices")  # may be asked for where there is no such line


def find_place(said: str, text: str) -> tuple[str | None, str]:
    """The place in the file that a message begins with, and the rest of the message."""
    known = {*(place for place, _ in walk(yaml.compose(text), "")), *MISSING}
    fitting = [place for place in known if said.startswith((f"{place}: ", f"{place}; "))]
    if not fitting:
        return None, said
    place = max(fitting, key=len)
    return place, said.removeprefix(place)


def walk(node: yaml.Node | None, place: str) -> Iterator[tuple[str, yaml.Node]]:
    """Every place below a node as people write it, such as ``grid.model.width[1]``."""
    children: list[tuple[str, yaml.Node]] = []
    if isinstance(node, yaml.MappingNode):
        dot = "." if place else ""
        children = [(f"{place}{dot}{one_line(key.value)}", value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        children = [(f"{place}[{number}]", value) for number, value in enumerate(node.value)]
    for inner, value in children:
        yield inner, value
        yield from walk(value, inner)


def one_line(key: object) -> str:
    """A key as messages write it."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(key)) or "''"


def values_at(place: str, text: str) -> list[object]:
    """What stands at a place; a key that was written twice stands there twice."""
    nodes = [node for where, node in walk(yaml.compose(text), "") if where == place]
    return [yaml.SafeLoader("").construct_document(node) for node in nodes] or [None]


def shows(words: str, place: str, value: object) -> bool:
    """Whether a message shows a value; of a key that should not be there, the key."""
    if re.search("unknown key|no field|is named twice|this key", words):
        return True  # the place has ended with it
    number = isinstance(value, (int, float)) and f"{value:g}" in words
    return show(value) in words or number or f"{value:,} " in words


def says_allowed(words: str, field: str | None) -> bool:
    """Whether a message says what may stand there; all of the words, where words may."""
    if field is None:
        return bool(ALLOWED.search(words))
    said = words.partition(f"is not allowed for {field}")[2]
    options = literals(all_fields()[field].annotation)
    return all(word in said for word in options) and bool(options or KINDS.search(said))


def literals(kind: object) -> list[str]:
    """The words that a type allows."""
    if get_origin(kind) is Literal:
        return [str(word) for word in get_args(kind)]
    return [word for part in get_args(kind) for word in literals(part)]


# how a message says what is allowed: of a field with numbers or texts, and of anything else
KINDS = re.compile(
    r"greater than|less than|number|integer|boolean|string|tuple|at least \d|from \S+ to \S+"
)
ALLOWED = re.compile(
    r"choose from|Did you mean|The fields (of \S+ )?are|must (be|map|rise)|[Gg]ive |needed: "
    r"|Keep one|at least one must|name a field|at most|Lower the count|use letters"
)


def test_both_outcomes_are_common(outcomes):
    assert min(outcomes.values()) > EXAMPLES / 10
