"""Hundreds of generated sweep files: expanded, or refused with place and what is allowed."""

import hashlib
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from inr.config import RunConfig
from inr.errors import UsageError
from inr.storage.provenance import ROOT
from jobs.sweeps.fields import all_fields
from jobs.sweeps.sweep_file import load_sweep
from jobs.sweeps.yaml_document import Part, one_line, show
from jobs.sweeps.yaml_file import _read
from tests.helpers.generated_sweeps import sweep_texts

SEARCH = settings.get_current_profile_name() == "search"
EXAMPLES = 5_000 if SEARCH else 500


def compose(text: str) -> Node | None:
    return YAML(typ="safe", pure=True).compose(text)


@pytest.mark.hypothesis  # for what lies in it
def test_every_sweep_file_is_expanded_or_refused(tmp_path):
    outcomes = Counter()

    @settings(max_examples=EXAMPLES)
    @given(text=sweep_texts())
    def search(text):
        outcomes[expand_or_refuse(tmp_path / "fuzz.yaml", text)] += 1

    search()
    assert min(outcomes["expanded"], outcomes["refused"]) > EXAMPLES / 10


def expand_or_refuse(path: Path, text: str) -> str:
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        sweep = load_sweep(path)
    except UsageError as error:
        for message in mistakes_in(str(error)):
            check_refusal(message, path, text)
        return "refused"
    assert 1 <= len(sweep.configs) <= sweep.combinations
    assert len({config.run_id for config in sweep.configs}) == len(sweep.configs)
    for config in sweep.configs:
        assert RunConfig.model_validate_json(config.canonical_json()) == config
    kept = path.with_name("kept.yaml")
    kept.write_text(sweep.text)
    again = load_sweep(kept)
    assert (again.configs, again.combinations) == (sweep.configs, sweep.combinations)
    return "expanded"


def digest_of_examples() -> str:
    digest = hashlib.sha256()

    @settings(max_examples=100)
    @given(sweep_texts(), st.floats(), st.integers())
    def draw(text, real, whole):
        digest.update(f"{text!r} {real!r} {whole}".encode())

    draw()
    return digest.hexdigest()


@pytest.mark.skipif(SEARCH, reason="a search draws others")
@pytest.mark.parametrize(
    ("loaded", "environment"),
    [
        ("json", {"PYTHONHASHSEED": "1", "LC_ALL": "C", "TZ": "Asia/Tokyo"}),
        (
            "jobs.managing.sweep_status, inr.targets.image_file, postprocess.report",
            {"PYTHONHASHSEED": "2"},
        ),
    ],
)
def test_the_same_examples_are_drawn_everywhere(tmp_path, loaded, environment):
    tests = "tests.jobs.sweeps.test_generated_sweeps"
    code = f"import tests.conftest, {loaded}, {tests} as t; print(t.digest_of_examples())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == digest_of_examples()
    assert not list(tmp_path.glob(".hypothesis/examples"))


def test_a_file_that_broke_the_checks_below(tmp_path):
    assert expand_or_refuse(tmp_path / "fuzz.yaml", 'name: "\\e\\r"') == "refused"


def mistakes_in(message: str) -> list[str]:
    """The only line, or those between the number of mistakes and what says how many more."""
    first, *others = message.split("\n")
    if not others:
        return [first]
    count = int(first.removesuffix(" mistakes:").replace(",", ""))
    assert others[10:] == ([f"and {count - 10:,} more"] if count > 10 else [])
    assert len(others[:10]) == min(count, 10)
    return others[:10]


def check_refusal(message: str, path: Path, text: str) -> None:
    """One line: the file, the place in it, the value there, and what is allowed instead."""
    assert message.isprintable(), "one line"
    found = re.fullmatch(rf"{re.escape(str(path))}(:\d+)?: (.+)", message)
    assert found, "the file"
    line, said = found.groups()
    if NOT_YAML.match(said):
        return  # there are no places and values in it
    nodes, words = find_place(said, text)
    if not nodes:
        assert said.startswith((*MISSING, NO_MAPPING)), "the place"
        return
    assert line, "the line"
    assert any(shows(words, node) for node in nodes), "the value"
    field = re.search(r"is not allowed for ([\w.]+)", words)
    assert says_allowed(words, field[1] if field else None), "what is allowed"


NOT_YAML = re.compile(r"(.+ is )?not valid YAML: .|not a text file in UTF-8. Give")
NO_MAPPING = "must be a mapping of keys to values, got "
MISSING = tuple(f"random.{key} is missing: " for key in ("count", "choices", "constraint.sum"))


def find_place(said: str, text: str) -> tuple[list[Node], str]:
    """What stands at the place that a message begins with, and the rest of the message."""
    found = [(place, node) for place, node in walk(compose(text), "") if place_is(place, said)]
    place = max((place for place, _ in found), key=len, default="")
    # a key that was written twice stands there twice
    return [node for each, node in found if each == place], said.removeprefix(place)


def place_is(place: str, said: str) -> bool:
    return said.startswith((f"{place}: ", f"{place}; "))


def walk(node: Node | None, place: str) -> Iterator[tuple[str, Node]]:
    """Every place below a node as people write it, such as ``grid.model.width[1]``."""
    children: list[tuple[str, Node]] = []
    if isinstance(node, MappingNode):
        dot = "." if place else ""
        children = [(f"{place}{dot}{name_of(key)}", value) for key, value in node.value]
    elif isinstance(node, SequenceNode):
        children = [(f"{place}[{number}]", value) for number, value in enumerate(node.value)]
    for inner, value in children:
        yield inner, value
        yield from walk(value, inner)


def name_of(key: Node) -> str:
    return one_line(key.value) if isinstance(key.value, str) else "?"


def shows(words: str, node: Node) -> bool:
    """Whether a message shows a value; of a key that should not be there, the key."""
    if re.search("unknown key|no field|is named twice|this key|the tag", words):
        return True  # the place has ended with it
    value = _read(node, Part(""))
    forms = [show(value)]
    with suppress(TypeError, ValueError, OverflowError):  # messages about several compute with it
        forms += [f"{float(value):g}", f"{int(value):,} "]
    return any(form in words for form in forms)


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
    r"choose from|Did you mean|The fields (of \S+ )?are|must (be|map|rise|set)|[Gg]ive |needed: "
    r"|Keep one|at least one must|name a field|at most|Lower the count|use letters|Quote it"
    r"|Write plain|merge mappings"
)
